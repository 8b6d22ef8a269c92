//! Rows of the view as people read them: names beside ids, counts beside wishes. PURE.
//!
//! One function a noun, from a row to its message. Nothing here reads anything but the view that it
//! is given, so a past moment is shown exactly as it would have been shown then.

pub mod filter;
pub mod list;

use crate::admit;
use skep_projections::{NodeRow, ServiceRow, TaskRow, View, task::TaskDetail};
use skep_proto::{
    MANAGERS_LEVEL, Revision, Timestamp, author, defaults,
    v1::{
        Cluster, ManagerPort, ManagerStatus, Meta, Node, NodeCertificate, NodeStatus, Reconciler,
        Resources, RolloutState, RolloutStatus, Service, ServiceSpec, ServiceStatus, Task,
        TaskSpec, TaskState, TaskStatus,
    },
};
use std::collections::BTreeSet;

/// The cluster.
pub fn cluster(view: &View) -> Cluster {
    let row = view.cluster();
    Cluster {
        id: row.id.to_bytes(),
        meta: Some(meta(row.version, row.created, row.updated_at)),
        spec: Some((*row.spec).clone()),
        feature_level: view.level(),
    }
}

/// A node.
pub fn node(view: &View, row: &NodeRow) -> Node {
    Node {
        id: row.id.to_bytes(),
        meta: Some(meta(row.version, row.created, row.updated_at)),
        spec: Some((*row.spec).clone()),
        description: Some((*row.description).clone()),
        status: Some(NodeStatus {
            state: row.state as i32,
            message: row.state_message.to_string(),
            since_at: row.state_at.0,
            conditions: row.conditions.as_ref().clone(),
            address: row.address.to_string(),
        }),
        role: row.spec.desired_role,
        tasks: row.live_tasks,
        reserved: Some(Resources {
            nano_cpus: row.reserved_nano_cpus,
            memory_bytes: row.reserved_memory_bytes,
            generic: Vec::new(),
        }),
        certificate: row.certificate.as_deref().map(|known| NodeCertificate {
            role: known.role as i32,
            serial: known.serial.to_vec().into(),
            not_before_at: known.not_before.0,
            not_after_at: known.not_after.0,
        }),
        manager_port: row.port.as_deref().map(|port| ManagerPort {
            listen_address: port.listen.clone(),
            advertise_address: port.advertise.clone(),
        }),
        manager_status: manager_status(view, row),
    }
}

/// Also of a node that is to be a manager and has no number yet. Below its feature level nothing is
/// known of managers.
fn manager_status(view: &View, row: &NodeRow) -> Option<ManagerStatus> {
    let is_known = view.level() >= MANAGERS_LEVEL && row.is_among_managers();
    is_known.then(|| ManagerStatus {
        raft_id: row.manager.map_or(0, |manager| manager.raft_id),
        membership: row.manager.map_or(0, |manager| manager.membership as i32),
        leader: view.tenure().manager == row.id,
        reachable: admit::is_ready(view, row),
    })
}

/// The node as a manager shows it that has no word of any leader: the one that led may lead no
/// more.
pub fn without_leader(node: &mut Node) {
    if let Some(status) = &mut node.manager_status {
        status.leader = false;
    }
}

/// A service.
pub fn service(view: &View, row: &ServiceRow) -> Service {
    let rollout = row.rollout.as_ref().map(|rollout| RolloutStatus {
        state: rollout.state as i32,
        started_at: rollout.started_at.0,
        completed_at: rollout.completed_at.0,
        message: rollout.message.to_string(),
    });
    Service {
        id: row.id.to_bytes(),
        meta: Some(meta(row.version, row.created, row.updated_at)),
        spec: Some((*row.spec).clone()),
        spec_version: row.spec_version.0,
        status: Some(ServiceStatus {
            running_tasks: row.running_tasks.into(),
            desired_tasks: row.replicas(),
        }),
        rollout,
        blocked: row.blocked.as_deref().cloned(),
        parked: parked(view, row),
        older_images: older_images(view, row),
    }
}

/// Other images than the spec's that the service's tasks run. Only a roll-out that is not complete
/// leaves such tasks, so nothing is looked at without one.
fn older_images(view: &View, row: &ServiceRow) -> Vec<String> {
    let image = |spec: &ServiceSpec| -> Option<String> {
        Some(defaults::container(spec.task.as_ref()?)?.image.clone())
    };
    let unfinished = row.rollout.as_ref().is_some_and(|rollout| match rollout.state {
        RolloutState::Updating | RolloutState::Paused => true,
        RolloutState::None | RolloutState::Completed => false,
    });
    let Some(index) = view.services().find(row.id).filter(|_| unfinished) else {
        return Vec::new();
    };
    let older = view.tasks_of(index).filter(|(_, task)| {
        task.state == TaskState::Running && task.spec_version != row.spec_version
    });
    let images: BTreeSet<String> =
        older.filter_map(|(_, task)| image(row.spec_at(task.spec_version)?)).collect();
    let newest = image(&row.spec);
    images.into_iter().filter(|older| Some(older) != newest.as_ref()).collect()
}

fn parked(view: &View, row: &ServiceRow) -> String {
    view.parked(row.id).map_or_else(String::new, |parked| {
        let by = Reconciler::try_from(parked.reconciler).unwrap_or(Reconciler::Unspecified);
        format!("{} failed on it: {}", author::reconciler_name(by), parked.message)
    })
}

/// A task.
pub fn task(view: &View, row: &TaskRow) -> Task {
    let service = view.services().get(row.service);
    let spec = service
        .and_then(|service| service.spec_at(row.spec_version))
        .and_then(|spec| spec.task.as_ref());
    let named =
        ServiceOfTasks { service, name: service.map_or("", |service| service.name()), spec };
    task_of(view, row, &named)
}

/// What the tasks of one service share, looked up once for all of them.
pub(crate) struct ServiceOfTasks<'a> {
    pub(crate) service: Option<&'a ServiceRow>,
    pub(crate) name: &'a str,
    pub(crate) spec: Option<&'a TaskSpec>,
}

pub(crate) fn task_of(view: &View, row: &TaskRow, named: &ServiceOfTasks<'_>) -> Task {
    let node = row.node.and_then(|index| view.nodes().get(index));
    let newest = row.created.0.max(row.state_since.0).max(row.desired_revision);
    Task {
        id: row.id.to_bytes(),
        name: format!("{}.{}", named.name, row.slot),
        meta: Some(meta(newest, row.created, row.state_since.1)),
        service_id: named.service.map(|service| service.id.to_bytes()).unwrap_or_default(),
        service_name: named.name.to_owned(),
        slot: row.slot.into(),
        spec_version: row.spec_version.0,
        spec: named.spec.cloned(),
        node_id: node.map(|node| node.id.to_bytes()).unwrap_or_default(),
        node_name: node.map(|node| node.hostname().to_owned()).unwrap_or_default(),
        desired: row.desired as i32,
        status: Some(status(row, named.service)),
        replaces_id: row.replaces.to_bytes(),
        start_at: row.start_at.0,
        attempt: row.attempt,
    }
}

fn status(row: &TaskRow, service: Option<&ServiceRow>) -> TaskStatus {
    let TaskDetail { message, mut error, container } =
        row.detail.as_deref().cloned().unwrap_or_default();
    if error.is_empty()
        && let Some(why) = blocked(row, service)
    {
        error = why.to_owned();
    }
    TaskStatus { state: row.state as i32, at: row.state_since.1.0, message, error, container }
}

/// Why a pending task has no node.
pub(crate) fn blocked<'a>(row: &TaskRow, service: Option<&'a ServiceRow>) -> Option<&'a str> {
    let blocked = service?.blocked.as_deref()?;
    (row.is_pending() && blocked.spec_version == row.spec_version.0)
        .then_some(blocked.message.as_str())
}

fn meta(version: Revision, created: (Revision, Timestamp), updated_at: Timestamp) -> Meta {
    Meta {
        version: version.0,
        created_at: created.1.0,
        updated_at: updated_at.0.max(created.1.0),
        created_revision: created.0.0,
    }
}

#[cfg(test)]
mod tests;
