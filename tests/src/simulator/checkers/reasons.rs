//! REC-10: a task is taken away, given up or forgotten only for a reason that holds.

use super::{Check, Checker, CommittedRecord, placed::unmet};
use crate::simulator::world::SimulatedWorld;
use skep_projections::{NodeRow, ServiceRow, TaskRow, View};
use skep_proto::{
    Id, RESTART_POLICY_LEVEL, defaults,
    time::SECOND_NS,
    v1::{
        DesireReason, NodeAvailability, NodeState, Resources, ServiceSpec, TaskSpec, TaskState,
        event::Kind,
    },
};

/// A node must be down for so long before its tasks are given up.
const GIVEN_UP_AFTER_NS: u64 = 24 * 3_600 * SECOND_NS;

/// Looks at each decision against a task.
pub(super) struct Reasons;

impl Checker for Reasons {
    fn name(&self) -> &'static str {
        "REC-10"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let view = seen.before;
        let (id, wrong) = match seen.kind {
            Kind::TaskDesired(e) => {
                let (id, desired) = (Id::from_bytes(&e.task_id), e.desired());
                (id, of(view, id).and_then(|known| undesired(view, &known, desired, e.reason())))
            }
            Kind::TaskRejected(e) => {
                let id = Id::from_bytes(&e.task_id);
                (id, of(view, id).and_then(|known| rejected(view, &known)))
            }
            Kind::TaskOrphaned(e) => {
                let id = Id::from_bytes(&e.task_id);
                let is_near = |node: &&NodeRow| {
                    let down_ns = seen.at.since(node.state_at);
                    !node.removed && (node.state != NodeState::Down || down_ns < GIVEN_UP_AFTER_NS)
                };
                let near = of(view, id).and_then(|known| known.node).filter(is_near);
                (id, near.map(|_| "is given up, and its node was not down for a day".into()))
            }
            Kind::TaskReaped(e) => {
                let id = Id::from_bytes(&e.task_id);
                (id, of(view, id).and_then(|known| reaped(view, &known)))
            }
            _ => return Ok(()),
        };
        match wrong {
            None => Ok(()),
            Some(what) => Err(format!("at {} task {id} {what}", seen.revision)),
        }
    }
}

/// A task with what belongs to it.
struct Known<'v> {
    task: &'v TaskRow,
    service: &'v ServiceRow,
    node: Option<&'v NodeRow>,
}

fn of(view: &View, id: Id) -> Option<Known<'_>> {
    let (_, task) = view.tasks().by_id(id)?;
    let node = task.node.and_then(|node| view.nodes().get(node));
    Some(Known { task, service: view.services().get(task.service)?, node })
}

fn undesired(
    view: &View,
    known: &Known<'_>,
    desired: TaskState,
    reason: DesireReason,
) -> Option<String> {
    let Known { task, service, node } = known;
    let holds = match reason {
        DesireReason::NodeDown => {
            node.is_some_and(|node| node.removed || node.state == NodeState::Down)
        }
        DesireReason::NodeDrained => {
            node.is_some_and(|node| node.spec.availability() == NodeAvailability::Drain)
        }
        DesireReason::ServiceRemoved => service.removed,
        DesireReason::ScaledDown => {
            let slots: std::collections::BTreeSet<u32> = view
                .tasks_of(task.service)
                .filter(|(_, row)| row.desired < TaskState::Remove)
                .map(|(_, row)| row.slot)
                .collect();
            slots.len() as u64 > service.replicas() || !task.is_live()
        }
        DesireReason::NewSpec => {
            let in_slot = view.tasks_in_slot(task.service, task.slot);
            in_slot.map(|(_, row)| row).any(|row| {
                row.spec_version != service.spec_version && runs_something_else(view, row, service)
            })
        }
        DesireReason::Ended => task.has_ended(),
        DesireReason::Start => desired == TaskState::Running,
        DesireReason::Unspecified
        | DesireReason::Replaced
        | DesireReason::NodeRemoved
        | DesireReason::Unfit => true,
    };
    (!holds).then(|| format!("is wanted {desired:?} because of {reason:?}, which is not so"))
}

/// Whether more than the restart policy has changed since the task's version. Before the level at
/// which that makes a difference, everything counts.
fn runs_something_else(view: &View, task: &TaskRow, service: &ServiceRow) -> bool {
    let Some(old) = service.spec_at(task.spec_version) else { return true };
    let runs = |spec: &ServiceSpec| {
        spec.task.as_ref().map(|task| TaskSpec { restart: None, ..task.clone() })
    };
    view.level() < RESTART_POLICY_LEVEL
        || runs(old) != runs(&service.spec)
        || old.endpoint != service.spec.endpoint
}

/// The cluster withdraws a task where its node changed under it.
fn rejected(view: &View, known: &Known<'_>) -> Option<String> {
    let (Some(node), Some(spec)) = (known.node, view.spec_of(known.task)) else {
        return Some("is rejected and is on no node".into());
    };
    if unmet(spec, node).is_some() {
        return None;
    }
    // Where a machine has become too small, the newest tasks leave first.
    let has = node.description.resources.clone().unwrap_or_default();
    let (mut nano_cpus, mut memory_bytes) = (has.nano_cpus, has.memory_bytes);
    let index = view.nodes().find(node.id)?;
    let of_age = |task: &TaskRow| (task.created.0, view.tasks().find(task.id));
    for (_, other) in view.tasks_on(index).filter(|(_, other)| other.is_live()) {
        let reserved = view.spec_of(other).map(|spec| reserved(spec)).unwrap_or_default();
        if of_age(other) <= of_age(known.task) {
            nano_cpus -= reserved.nano_cpus;
            memory_bytes -= reserved.memory_bytes;
        }
    }
    let is_full = nano_cpus < 0 || memory_bytes < 0;
    (!is_full).then(|| format!("is rejected, although {} meets what it needs", node.hostname()))
}

fn reserved(spec: &ServiceSpec) -> Resources {
    let resources = spec.task.as_ref().and_then(|task| task.resources.as_ref());
    resources.and_then(|resources| resources.reservations.clone()).unwrap_or_default()
}

fn reaped(view: &View, known: &Known<'_>) -> Option<String> {
    let Known { task, service, .. } = known;
    let done = |task: &TaskRow| task.has_ended() || (task.node.is_none() && !task.is_wanted());
    if !done(task) {
        return Some("leaves the view and has not ended".into());
    }
    let in_slot = || view.tasks_in_slot(task.service, task.slot).map(|(_, row)| row);
    let newest = in_slot().last()?;
    if service.removed || newest.desired == TaskState::Remove {
        return None;
    }
    let limit = defaults::task_history_limit(&view.cluster().spec).unwrap_or(usize::MAX);
    let ended = in_slot().filter(|row| done(row)).count();
    (ended <= limit).then(|| format!("leaves the view as one of {ended}; {limit} are kept"))
}
