//! The whole text about a service: with everything that can be said, and with next to nothing.

use super::*;
use skep_proto::{
    Id,
    v1::{
        Annotations, EndpointSpec, HealthCheck, Meta, Mount, NetworkAttachment, Placement,
        PlacementBlocked, PortConfig, PortProtocol, Replicated, ResourceRequirements,
        RestartPolicy, ServiceMode, ServiceStatus, service_mode::Mode, task_spec::Runtime,
    },
};

/// Two times, and how the reader's zone shows them.
const CREATED_AT: u64 = 1_700_000_000_000_000_000;
const UPDATED_AT: u64 = 1_700_000_060_000_000_000;

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

fn label(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn container() -> ContainerSpec {
    let kinds = [
        (MountType::Bind, true),
        (MountType::Volume, false),
        (MountType::Tmpfs, false),
        (MountType::Npipe, false),
        (MountType::Cluster, true),
    ];
    let mount = |(kind, read_only): (MountType, bool)| Mount {
        r#type: kind.into(),
        source: "from".into(),
        target: "/to".into(),
        read_only,
        ..Mount::default()
    };
    ContainerSpec {
        image: "nginx:1".into(),
        command: words(&["sh", "-c"]),
        args: words(&["sleep", "9"]),
        env: words(&["A=1", "B=2"]),
        dir: "/srv".into(),
        user: "www".into(),
        hostname: "web".into(),
        labels: BTreeMap::from([label("tier", "front")]),
        mounts: kinds.map(mount).into(),
        health: Some(HealthCheck { test: words(&["CMD", "true"]), ..HealthCheck::default() }),
        stop_signal: "SIGINT".into(),
        stop_grace_period_ns: Some(20_000_000_000),
        read_only: true,
        init: Some(true),
        ..ContainerSpec::default()
    }
}

fn resources(nano_cpus: i64, memory_bytes: i64) -> Option<Resources> {
    Some(Resources { nano_cpus, memory_bytes, ..Resources::default() })
}

fn policy(condition: RestartCondition, max_attempts: u64) -> RestartPolicy {
    let (condition, delay_ns) = (condition.into(), Some(5_000_000_000));
    RestartPolicy { condition, delay_ns, max_attempts, ..RestartPolicy::default() }
}

fn spec() -> ServiceSpec {
    let port = PortConfig {
        target_port: 80,
        published_port: 8080,
        protocol: PortProtocol::Tcp.into(),
        ..PortConfig::default()
    };
    let network =
        |target: &str| NetworkAttachment { target: target.into(), ..NetworkAttachment::default() };
    let task = TaskSpec {
        runtime: Some(Runtime::Container(container())),
        resources: Some(ResourceRequirements {
            limits: resources(1_500_000_000, 0),
            reservations: resources(500_000_000, 64 << 20),
            ..ResourceRequirements::default()
        }),
        restart: Some(policy(RestartCondition::Any, 2)),
        placement: Some(Placement {
            constraints: words(&["node.role==worker", "node.labels.zone!=b"]),
            max_replicas_per_node: 3,
            ..Placement::default()
        }),
        networks: vec![network("front"), network("back")],
        ..TaskSpec::default()
    };
    let labels = BTreeMap::from([label("a", "1"), label("b", "2")]);
    ServiceSpec {
        annotations: Some(Annotations { name: "web".into(), labels }),
        task: Some(task),
        mode: Some(ServiceMode { mode: Some(Mode::Replicated(Replicated { replicas: 4 })) }),
        endpoint: Some(EndpointSpec { ports: vec![port], ..EndpointSpec::default() }),
        ..ServiceSpec::default()
    }
}

fn rolled(state: RolloutState, message: &str) -> RolloutStatus {
    RolloutStatus { state: state.into(), message: message.into(), ..RolloutStatus::default() }
}

#[test]
fn everything_that_is_known_of_a_service_is_told() {
    let message = "no node has room".to_owned();
    let service = Service {
        id: Id(7).to_bytes(),
        meta: Some(Meta {
            version: 12,
            created_at: CREATED_AT,
            updated_at: UPDATED_AT,
            created_revision: 3,
        }),
        spec: Some(spec()),
        status: Some(ServiceStatus { running_tasks: 1, desired_tasks: 4 }),
        rollout: Some(rolled(RolloutState::Paused, "task web.1 failed")),
        blocked: Some(PlacementBlocked { message, ..PlacementBlocked::default() }),
        parked: "placement: a panic".into(),
        ..Service::default()
    };
    let (created, updated) = (local_time(CREATED_AT), local_time(UPDATED_AT));
    let expected = format!(
        "ID:       0000000000000000000000007
Name:     web
Labels:   a=1
          b=2
Mode:     replicated, 4 replicas
Running:  1 of 4
Created:  {created}
Updated:  {updated} (version 12)
Update:   paused: task web.1 failed
Blocked:  no node has room
Parked:   placement: a panic
Ports:    *:8080->80/tcp
Task:
 Image:        nginx:1
 Entrypoint:   sh -c
 Command:      sleep 9
 Environment:  A=1
               B=2
 Folder:       /srv
 User:         www
 Hostname:     web
 Labels:       tier=front
 Mounts:       bind from at /to (read-only)
               volume from at /to
               tmpfs from at /to
               npipe from at /to
               cluster from at /to (read-only)
 Health:       CMD true
 Stop signal:  SIGINT
 Stop grace:   20 seconds
 Read-only:    yes
 Init:         yes
 Limits:       1.5 CPUs
 Reserved:     0.5 CPUs, 64MiB
 Restart:      always, after 5 seconds, 2 attempts at most
 Constraints:  node.role==worker
               node.labels.zone!=b
 Most a node:  3
 Networks:     front, back
"
    );
    assert_eq!(pretty(&service), expected);
}

#[test]
fn what_is_not_there_has_no_line() {
    let container = ContainerSpec { image: "run".into(), ..ContainerSpec::default() };
    let mut service = Service { id: Id(7).to_bytes(), ..Service::default() };
    let empty = pretty(&service);
    assert_eq!(
        empty,
        "ID:       0000000000000000000000007\nMode:     other\nRunning:  0 of 0\nUpdated:   (version 0)\n"
    );
    let runtime = Some(Runtime::Container(container));
    let task = TaskSpec { runtime, ..TaskSpec::default() };
    service.spec = Some(ServiceSpec { task: Some(task), ..ServiceSpec::default() });
    let stands = "Task:
 Image:       run
 Stop grace:  10 seconds
 Restart:     always, after 5 seconds
";
    assert_eq!(pretty(&service), empty + stands);
}

#[test]
fn each_restart_policy_and_each_stage_of_a_roll_out_has_its_words() {
    let restarts = |condition, max_attempts| {
        let policy = Some(policy(condition, max_attempts));
        restart(&TaskSpec { restart: policy, ..TaskSpec::default() })
    };
    assert_eq!(restarts(RestartCondition::Any, 0), "always, after 5 seconds");
    assert_eq!(
        restarts(RestartCondition::OnFailure, 1),
        "on failure, after 5 seconds, 1 attempt at most"
    );
    assert_eq!(restarts(RestartCondition::None, 1), "never");
    let stages = [
        (RolloutState::None, ""),
        (RolloutState::Updating, "updating"),
        (RolloutState::Paused, "paused"),
        (RolloutState::Completed, "completed"),
    ];
    for (state, expected) in stages {
        assert_eq!(rollout(&rolled(state, "")), expected);
    }
}
