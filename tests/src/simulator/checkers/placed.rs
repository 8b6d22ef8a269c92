//! REC-5: a task is placed only on a node that may have it. Judged here by rules of its own.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_projections::{NodeRow, ServiceRow, TaskRow, View};
use skep_proto::{
    Id,
    v1::{NodeAvailability, NodeRole, NodeState, ServiceSpec, event::Kind},
};

/// Looks at each assignment.
pub(super) struct Placements;

impl Checker for Placements {
    fn name(&self) -> &'static str {
        "REC-5"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let Kind::TaskAssigned(e) = seen.kind else { return Ok(()) };
        let (task, node) = (Id::from_bytes(&e.task_id), Id::from_bytes(&e.node_id));
        let view = seen.before;
        let (_, row) = view.tasks().by_id(task).ok_or("a task that is not there is assigned")?;
        let (_, node) =
            view.nodes().by_id(node).ok_or("a task is assigned to a node that is not there")?;
        let spec = view.spec_of(row).ok_or("a task without a spec is assigned")?;
        match misfit(view, spec, node) {
            None => Ok(()),
            Some(why) => Err(format!("task {task} is assigned to {}, {why}", node.hostname())),
        }
    }
}

/// Why a node may not have a task of this spec now.
pub(super) fn misfit(view: &View, spec: &ServiceSpec, node: &NodeRow) -> Option<String> {
    if node.removed || node.state != NodeState::Ready || node.silent {
        return Some("which is not ready".into());
    }
    if node.spec.availability() != NodeAvailability::Active {
        return Some("which is not active".into());
    }
    if node.is_impaired() {
        return Some("which is impaired".into());
    }
    if let Some(unmet) = unmet(spec, node) {
        return Some(format!("which does not meet {unmet}"));
    }
    let task = spec.task.clone().unwrap_or_default();
    let reserved = task.resources.and_then(|resources| resources.reservations).unwrap_or_default();
    let lacks = |asked: i64, free: i64| asked > 0 && asked > free;
    if lacks(reserved.nano_cpus, node.free_nano_cpus())
        || lacks(reserved.memory_bytes, node.free_memory_bytes())
    {
        return Some("which has no room".into());
    }
    let ports = spec.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
    let index = view.nodes().find(node.id)?;
    for port in ports {
        let taken = view.tasks_on(index).filter(|(_, task)| !task.has_ended()).any(|(_, other)| {
            let spec = view.spec_of(other);
            let endpoint = spec.and_then(|spec| spec.endpoint.as_ref());
            endpoint.iter().flat_map(|e| &e.ports).any(|p| p.published_port == port.published_port)
        });
        if taken {
            return Some(format!("whose port {} is taken", port.published_port));
        }
    }
    let most = task.placement.map_or(0, |placement| placement.max_replicas_per_node);
    let of_service = |other: &TaskRow| {
        other.is_live() && view.services().get(other.service).is_some_and(|row| names(row, spec))
    };
    let have = view.tasks_on(index).filter(|(_, other)| of_service(other)).count() as u64;
    (most > 0 && have >= most).then(|| format!("which has {have} of {most} tasks at most"))
}

fn names(row: &ServiceRow, spec: &ServiceSpec) -> bool {
    !row.removed && spec.annotations.as_ref().is_some_and(|named| named.name == row.name())
}

/// The first constraint of a spec that a node does not meet.
pub(super) fn unmet(spec: &ServiceSpec, node: &NodeRow) -> Option<String> {
    let placement = spec.task.as_ref().and_then(|task| task.placement.as_ref());
    let constraints = placement.map_or(&[][..], |placement| &placement.constraints);
    constraints.iter().find(|text| !is_met(text, node)).cloned()
}

/// The few constraints that people write here.
fn is_met(text: &str, node: &NodeRow) -> bool {
    let (key, value, wanted) = match (text.split_once("=="), text.split_once("!=")) {
        (Some((key, value)), _) => (key, value, true),
        (None, Some((key, value))) => (key, value, false),
        (None, None) => return false,
    };
    let labels = node.spec.annotations.as_ref().map(|annotations| &annotations.labels);
    let found = match key {
        "node.hostname" => Some(node.hostname()),
        "node.role" => Some(match node.spec.desired_role() {
            NodeRole::Worker => "worker",
            NodeRole::Manager => "manager",
        }),
        _ => {
            let label = key.strip_prefix("node.labels.").unwrap_or_default();
            labels.and_then(|labels| labels.get(label)).map(String::as_str)
        }
    };
    (found == Some(value)) == wanted
}
