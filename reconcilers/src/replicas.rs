//! Keeps true: a replicated service has its wanted slots, and no others.
//!
//! Slots are numbered from 1 and the lowest free ones are filled first. When there are too many,
//! those go first that serve nobody, then those on the node that has most of the service, so that
//! what stays is spread.

use crate::{
    plan::{Plan, Reconciler, Turn},
    slots::{Slot, slots},
    succession::{desire, new_task},
};
use skep_projections::{Delta, NodeIdx, ServiceIdx, ServiceRow, View};
use skep_proto::{
    Revision, Timestamp, defaults,
    v1::{self, DesireReason, RestartCondition, TaskState, event::Kind},
};
use std::collections::{BTreeMap, BTreeSet};

/// Gives a replicated service the slots that it wants, and no others.
pub struct Replicas;

impl Reconciler for Replicas {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Replicas
    }

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn) -> Plan {
        let mut plan = Plan::default();
        // A task that is no longer wanted may have kept its slot taken. When it ends, its restart
        // policy is evaluated again, and the slot may get another task.
        let tasks = delta.tasks.iter().filter_map(|row| view.tasks().get(*row));
        let ended = tasks.filter(|task| task.has_ended() && !task.is_wanted());
        let mut services = delta.services.clone();
        services.extend(ended.map(|task| task.service));
        for index in services {
            let Some(service) = view.services().get(index) else { continue };
            if service.removed {
                remove_all(view, index, service, &mut plan);
            } else if defaults::replicas(&service.spec).is_some() {
                scale(view, (index, service), turn, &mut plan);
            }
            if plan.is_full() {
                break;
            }
        }
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let services = view.services().iter().map(|(index, _)| index).collect();
        (Delta { services, ..Delta::default() }, None)
    }
}

/// Ended tasks are left to `history`, which removes them whatever is desired of them.
fn remove_all(view: &View, index: ServiceIdx, service: &ServiceRow, plan: &mut Plan) {
    for (_, task) in view.tasks_of(index) {
        if task.desired < TaskState::Remove && !task.has_ended() {
            desire(
                plan,
                task,
                TaskState::Remove,
                DesireReason::ServiceRemoved,
                service.last_revision,
            );
            if plan.is_full() {
                return;
            }
        }
    }
}

fn scale(view: &View, (index, service): (ServiceIdx, &ServiceRow), turn: &Turn, plan: &mut Plan) {
    if u64::from(service.live_tasks) == service.replicas() && !has_others(view, index, service) {
        return;
    }
    let slots = slots(view, index);
    let wanted = service.replicas();
    let have = slots.len() as u64;
    if wanted > have {
        add(view, (index, service), &slots, wanted - have, turn, plan);
    } else {
        for slot in surplus(slots, (have - wanted) as usize) {
            give_up(view, index, &slot, service.version, plan);
            if plan.is_full() {
                return;
            }
        }
    }
}

/// Whether a slot of the service may be taken by a task that is not live: one that has done its
/// work, or one whose end is not answered yet.
fn has_others(view: &View, index: ServiceIdx, service: &ServiceRow) -> bool {
    let may_finish =
        service.specs.iter().filter_map(|known| known.spec.task.as_ref()).any(|task| {
            let policy = defaults::restart(task);
            policy.condition != RestartCondition::Any || policy.max_attempts > 0
        });
    let of_service = |task| view.tasks().get(task).is_some_and(|row| row.service == index);
    may_finish || view.unanswered().any(of_service)
}

/// All of the slot goes: also what is still ending in it, or that would stand for the slot once the
/// rest has gone.
fn give_up(view: &View, index: ServiceIdx, slot: &Slot<'_>, cause: Revision, plan: &mut Plan) {
    for (_, task) in view.tasks_in_slot(index, slot.number) {
        let stands = slot.tasks.iter().any(|(_, standing)| standing.id == task.id);
        if task.desired < TaskState::Remove && (stands || !task.has_ended()) {
            desire(plan, task, TaskState::Remove, DesireReason::ScaledDown, cause);
        }
    }
}

/// A free slot may still have a task that is ending: the new one waits for it.
fn add(
    view: &View,
    (index, service): (ServiceIdx, &ServiceRow),
    slots: &[Slot<'_>],
    missing: u64,
    turn: &Turn,
    plan: &mut Plan,
) {
    let taken: BTreeSet<u32> = slots.iter().map(|slot| slot.number).collect();
    let free = (1..=u32::MAX - 1).filter(|number| !taken.contains(number));
    for slot in free.take(usize::try_from(missing).unwrap_or(usize::MAX)) {
        let created = new_task(view, (index, service), slot, turn.now, turn);
        plan.decide(service.version, Kind::TaskCreated(created));
        if plan.is_full() {
            return;
        }
    }
}

/// The slots to give up: first those that have nothing on a node or are in the middle of a change,
/// then from the node that has most of the service; of equals one that does not run, then the
/// highest number.
fn surplus<'a>(mut slots: Vec<Slot<'a>>, count: usize) -> Vec<Slot<'a>> {
    slots.sort_by_key(|slot| (!slot.is_running(), slot.number));
    let mut on_node: BTreeMap<NodeIdx, i64> = BTreeMap::new();
    let mut ranked: Vec<(i64, Slot<'a>)> = Vec::with_capacity(slots.len());
    for slot in slots {
        let rank = match slot.node() {
            None => i64::MAX,
            Some(node) => {
                let nth = on_node.entry(node).or_insert(-1);
                *nth += 1;
                *nth
            }
        };
        ranked.push((rank, slot));
    }
    ranked.sort_by(|(a_rank, a), (b_rank, b)| {
        (b_rank, !b.is_running(), b.number).cmp(&(a_rank, !a.is_running(), a.number))
    });
    ranked.into_iter().take(count).map(|(_, slot)| slot).collect()
}
