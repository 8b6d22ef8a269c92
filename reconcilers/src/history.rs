//! Keeps true: at most so many ended tasks of a slot stay in the view.
//!
//! What leaves the view stays in the log, so a small limit loses nothing. Three kinds of tasks
//! always stay: those that have not ended, those to whose end no reconciler has reacted yet, and
//! the newest of a slot that is still wanted, because it alone shows that the slot has done its
//! work.

use crate::{
    attempts::ATTEMPTS_KEPT_MAX,
    plan::{Plan, Reconciler, Turn},
};
use skep_projections::{Delta, ServiceIdx, TaskRow, View};
use skep_proto::{
    Revision, Timestamp, defaults,
    v1::{self, TaskReaped, TaskState, event::Kind},
};
use std::collections::BTreeSet;

/// Removes the oldest ended tasks of each slot from the view.
pub struct History;

impl Reconciler for History {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::History
    }

    fn reconcile(&self, view: &View, delta: &Delta, _turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        let is_removed =
            |index: &ServiceIdx| view.services().get(*index).is_some_and(|row| row.removed);
        let removed: BTreeSet<_> = delta.services.iter().copied().filter(is_removed).collect();
        let mut slots = BTreeSet::new();
        for task in delta.tasks.iter().filter_map(|index| view.tasks().get(*index)) {
            // A slot that is given up takes its past along at once. A task that follows others may
            // bring another limit, and the newest of those has no longer to stand for the slot.
            let mut in_slot = view.tasks_in_slot(task.service, task.slot);
            let follows = in_slot.next().is_some_and(|(_, oldest)| oldest.id != task.id);
            if is_done(task) || task.desired == TaskState::Remove || follows {
                slots.insert((task.service, task.slot));
            }
        }
        if delta.cluster {
            slots.extend(view.services().iter().flat_map(|(index, _)| slots_of(view, index)));
        }
        slots.retain(|(service, _)| !removed.contains(service));
        for (service, slot) in slots {
            if trim(view, service, slot, &mut plan) == Trimmed::InPart {
                plan.left.tasks.extend(view.tasks_in_slot(service, slot).map(|(task, _)| task));
            }
        }
        for index in removed {
            trim_all(view, index, &mut plan);
        }
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let mut delta = Delta::default();
        for (index, task) in view.tasks().iter() {
            if is_done(task) || task.desired == TaskState::Remove {
                delta.tasks.insert(index);
            }
        }
        (delta, None)
    }
}

/// Ended, or never placed and no longer wanted: no agent will ever report on that one.
fn is_done(task: &TaskRow) -> bool {
    task.has_ended() || (task.node.is_none() && !task.is_wanted())
}

fn slots_of(view: &View, service: ServiceIdx) -> impl Iterator<Item = (ServiceIdx, u32)> {
    view.tasks_of(service).map(move |(_, task)| (service, task.slot))
}

/// Goes only as far as the plan holds: a removed service may have very many tasks.
fn trim_all(view: &View, index: ServiceIdx, plan: &mut Plan) {
    let mut slots = slots_of(view, index).peekable();
    while let Some((_, slot)) = slots.next() {
        while slots.next_if(|(_, same)| *same == slot).is_some() {}
        if trim(view, index, slot, plan) == Trimmed::InPart {
            plan.left.services.insert(index);
            return;
        }
    }
}

/// Whether all was removed from a slot that is to be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trimmed {
    Whole,
    /// The plan is full.
    InPart,
}

fn trim(view: &View, index: ServiceIdx, slot: u32, plan: &mut Plan) -> Trimmed {
    let Some(service) = view.services().get(index) else { return Trimmed::Whole };
    if view.parked(service.id).is_some() {
        return Trimmed::Whole;
    }
    let tasks: Vec<&TaskRow> = view.tasks_in_slot(index, slot).map(|(_, task)| task).collect();
    let Some(newest) = tasks.last() else { return Trimmed::Whole };
    let unwanted = service.removed || newest.desired == TaskState::Remove;
    let ended: Vec<&TaskRow> = tasks.iter().copied().filter(|task| is_done(task)).collect();
    let keep = if unwanted { 0 } else { limit(view, newest) };
    let Some(excess) = ended.len().checked_sub(keep) else { return Trimmed::Whole };
    let cause = ended.iter().map(|task| task.state_since.0).max().unwrap_or(Revision::ZERO);
    let cause = if service.removed { cause.max(service.last_revision) } else { cause };
    for task in ended.iter().take(excess) {
        let answered = !task.is_wanted() || service.removed;
        if answered && (unwanted || task.id != newest.id) {
            if plan.is_full() {
                return Trimmed::InPart;
            }
            let (task_id, service_id) = (task.id.to_bytes(), service.id.to_bytes());
            plan.decide(cause, Kind::TaskReaped(TaskReaped { task_id, service_id }));
        }
    }
    Trimmed::Whole
}

/// Ended tasks that a slot keeps; the policy of its newest task may need to see more to count
/// attempts.
fn limit(view: &View, newest: &TaskRow) -> usize {
    let limit = defaults::task_history_limit(&view.cluster().spec).unwrap_or(usize::MAX);
    let spec = view.spec_of(newest).and_then(|spec| spec.task.as_ref());
    let attempts = spec.map_or(0, |task| defaults::restart(task).max_attempts);
    if attempts == 0 { limit } else { limit.max(attempts.min(ATTEMPTS_KEPT_MAX) as usize + 1) }
}
