//! The people of the stories: nodes, services, tasks and records, always the same.

use skep_proto::{
    Id, Timestamp, author, event,
    v1::{
        self, Annotations, CommandId, ContainerSpec, ContainerStatus, EngineDescription, LogRecord,
        Meta, Node, NodeDescription, NodeRole, NodeSpec, NodeState, NodeStatus, Person, Platform,
        Replicated, Resources, RuntimeKind, Service, ServiceCreated, ServiceMode, ServiceSpec,
        ServiceStatus, StatusReply, Task, TaskSpec, TaskState, TaskStatus, event::Kind,
        service_mode::Mode, task_spec::Runtime,
    },
};

/// A time in the past that never changes: 2026-11-21T13:20:01.5Z.
pub(crate) const THEN: u64 = 1_795_267_201_500_000_000;
const MINUTE_NS: u64 = 60_000_000_000;

/// The log's time in all stories: never this machine's, which ages must not be counted from.
pub(crate) const NOW: u64 = THEN + 24 * 60 * MINUTE_NS;

/// So many minutes and a half before [`NOW`].
pub(crate) fn minutes_ago(minutes: u64) -> u64 {
    NOW - minutes * MINUTE_NS - MINUTE_NS / 2
}

pub(crate) fn id(n: u128) -> bytes::Bytes {
    Id(n << 100 | n).to_bytes()
}

pub(crate) fn id_text(n: u128) -> String {
    Id::from_bytes(&id(n)).to_string()
}

fn meta(revision: u64) -> Option<Meta> {
    Some(Meta { version: revision, created_at: THEN, updated_at: THEN, created_revision: revision })
}

pub(crate) fn node(n: u128, hostname: &str, state: NodeState, role: NodeRole) -> Node {
    Node {
        certificate: None,
        manager_port: None,
        manager_status: None,
        id: id(n),
        meta: meta(n as u64),
        spec: Some(NodeSpec {
            annotations: Some(Annotations {
                labels: [("zone".to_owned(), "b1".to_owned())].into(),
                ..Annotations::default()
            }),
            ..NodeSpec::default()
        }),
        description: Some(NodeDescription {
            hostname: hostname.into(),
            platform: Some(Platform { architecture: "amd64".into(), os: "linux".into() }),
            resources: Some(Resources {
                nano_cpus: 2_000_000_000,
                memory_bytes: 4 << 30,
                generic: vec![],
            }),
            engine: Some(EngineDescription {
                version: "20.10.24".into(),
                ..EngineDescription::default()
            }),
            features: vec![1, 7],
            runtime: RuntimeKind::Docker as i32,
            addr: "10.0.0.1".into(),
        }),
        status: Some(NodeStatus {
            state: state as i32,
            message: String::new(),
            since_at: minutes_ago(5),
            conditions: Vec::new(),
            address: String::new(),
        }),
        role: role as i32,
        tasks: 2,
        reserved: Some(Resources {
            nano_cpus: 500_000_000,
            memory_bytes: 64 << 20,
            generic: vec![],
        }),
    }
}

pub(crate) fn spec(name: &str, replicas: u64) -> ServiceSpec {
    let container = ContainerSpec {
        image: "busybox:1.36".into(),
        args: vec!["sleep".into(), "1000".into()],
        ..ContainerSpec::default()
    };
    ServiceSpec {
        annotations: Some(Annotations { name: name.into(), ..Annotations::default() }),
        task: Some(TaskSpec {
            runtime: Some(Runtime::Container(container)),
            ..TaskSpec::default()
        }),
        mode: Some(ServiceMode { mode: Some(Mode::Replicated(Replicated { replicas })) }),
        ..ServiceSpec::default()
    }
}

pub(crate) fn service(n: u128, name: &str, running: u64, replicas: u64) -> Service {
    Service {
        id: id(n),
        meta: meta(n as u64),
        spec: Some(spec(name, replicas)),
        spec_version: n as u64,
        status: Some(ServiceStatus { running_tasks: running, desired_tasks: replicas }),
        ..Service::default()
    }
}

/// A task of service 10, "web".
pub(crate) fn task(n: u128, slot: u64, state: TaskState) -> Task {
    Task {
        id: id(n),
        name: format!("web.{slot}"),
        meta: meta(n as u64),
        service_id: id(10),
        service_name: "web".into(),
        slot,
        spec_version: 10,
        spec: spec("web", 1).task,
        node_id: id(1),
        node_name: "node-a".into(),
        desired: if state > TaskState::Running { TaskState::Shutdown } else { TaskState::Running }
            as i32,
        status: Some(TaskStatus {
            state: state as i32,
            at: minutes_ago(5),
            ..TaskStatus::default()
        }),
        ..Task::default()
    }
}

pub(crate) fn failed(n: u128, slot: u64, exit_code: i32) -> Task {
    let mut failed = task(n, slot, TaskState::Failed);
    if let Some(status) = failed.status.as_mut() {
        status.container =
            Some(ContainerStatus { exit_code: Some(exit_code), ..ContainerStatus::default() });
    }
    failed
}

pub(crate) fn records() -> Vec<LogRecord> {
    let alice = Person { uid: 1000, login_uid: Some(1000), pid: 4242, name: "alice".into() };
    let created = ServiceCreated { service_id: id(10), spec: None };
    vec![
        LogRecord {
            revision: 12,
            at: THEN,
            author: Some(author::person(alice)),
            kind: "service_created".into(),
            summary: "service web created, 3 replicas of busybox:1.36".into(),
            object_ids: vec![id(10)],
            command: Some(CommandId {
                stamp: 4,
                number: 1,
                given_revision: 11,
                command_hash: 0xfeed,
                ..CommandId::default()
            }),
            reason: "INC-7".into(),
            event: Some(event::event(Kind::ServiceCreated(Box::new(created)))),
            incarnation: 1,
            ..LogRecord::default()
        },
        LogRecord {
            revision: 13,
            at: THEN + 1_000_000,
            author: Some(author::reconciler(v1::Reconciler::Placement)),
            cause: 12,
            kind: "task_assigned".into(),
            summary: "task web.1 assigned to node-a, of 3 candidates".into(),
            incarnation: 1,
            ..LogRecord::default()
        },
    ]
}

pub(crate) fn status() -> StatusReply {
    StatusReply {
        cluster_id: id(99),
        node_id: id(1),
        version: "0.1.0".into(),
        incarnation: 1,
        lineage: 0xab,
        revision: 1234,
        head_hash: vec![0xab; 32].into(),
        digest: vec![0xcd; 16].into(),
        at: THEN,
        term: 3,
        leader: true,
        feature_level: 1,
        nodes: 3,
        nodes_ready: 2,
        services: 2,
        tasks: 9,
        tasks_running: 5,
        log_bytes: 3 << 20,
        free_bytes: 40 << 30,
        first_revision: 1,
        started_at: Timestamp(THEN).0,
        accepting: "accepting".into(),
        uptime_ns: 3_600_000_000_000,
    }
}
