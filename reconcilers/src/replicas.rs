//! Keeps true: a replicated service has its wanted slots, and no others.
//!
//! Slots are numbered from 1 and the lowest free ones are filled first. When there are too many,
//! those go first that serve nobody, then those on the node that has most of the service, so that
//! what stays is spread. A service whose tasks would fill the plan comes last: the others need not
//! wait for it.

use crate::{
    plan::{Plan, Reconciler, Turn},
    slots::{Slot, idle_from_the_top, slots},
    succession::{desire, new_task},
};
use skep_projections::{Delta, NodeIdx, ServiceIdx, ServiceRow, TaskRow, View};
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

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        // A task that is no longer wanted may have kept its slot taken. When it ends, its restart
        // policy is evaluated again, and the slot may get another task.
        let tasks = delta.tasks.iter().filter_map(|row| view.tasks().get(*row));
        let ended = tasks.filter(|task| task.has_ended() && !task.is_wanted());
        let mut services = delta.services.clone();
        services.extend(ended.map(|task| task.service));
        let mut services: Vec<ServiceIdx> = services.into_iter().collect();
        services.sort_by_key(|index| difference(view, *index) > room as u64);
        for index in services {
            let Some(service) = view.services().get(index) else { continue };
            if service.removed {
                remove_all(view, index, service, &mut plan);
            } else if defaults::replicas(&service.spec).is_some() {
                scale(view, (index, service), turn, &mut plan);
            }
        }
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let services = view.services().iter().map(|(index, _)| index).collect();
        (Delta { services, ..Delta::default() }, None)
    }
}

/// How many live tasks a service has too few or too many.
fn difference(view: &View, index: ServiceIdx) -> u64 {
    let Some(service) = view.services().get(index) else { return 0 };
    let wanted = if service.removed { 0 } else { service.replicas() };
    wanted.abs_diff(u64::from(service.live_tasks))
}

/// Ended tasks are left to `history`, which removes them whatever is desired of them. Those that
/// have no node come first: they leave the view at once, and need not be passed over in the next
/// plan.
fn remove_all(view: &View, index: ServiceIdx, service: &ServiceRow, plan: &mut Plan) {
    let pending = view.pending_of(index).filter_map(|(_, task)| view.tasks().get(task));
    let others = view.tasks_of(index).map(|(_, task)| task).filter(|task| !task.is_pending());
    let still_wanted = |task: &&TaskRow| task.desired < TaskState::Remove && !task.has_ended();
    for task in pending.chain(others).filter(still_wanted) {
        if plan.is_full() {
            plan.left.services.insert(index);
            return;
        }
        let (desired, reason) = (TaskState::Remove, DesireReason::ServiceRemoved);
        desire(plan, task, desired, reason, service.last_revision);
    }
}

fn scale(view: &View, (index, service): (ServiceIdx, &ServiceRow), turn: &Turn, plan: &mut Plan) {
    let (wanted, live) = (service.replicas(), service.live_tasks);
    // Asked only where it decides: it looks at every end that is not answered yet.
    let only_live = || !has_others(view, index, service);
    if u64::from(live) == wanted && only_live() {
        return;
    }
    if plan.is_full() {
        plan.left.services.insert(index);
        return;
    }
    // Where live tasks fill the slots from 1 to the highest, they need not be looked at one by one:
    // a service that grows to very many would be read again for each plan.
    if wanted > u64::from(live) && view.highest_slot(index) == live {
        return add(view, (index, service), live + 1.., wanted - u64::from(live), turn, plan);
    }
    // Nor need they where enough slots at the top have nothing on a node: those would go first.
    if u64::from(live) > wanted && only_live() {
        let most = usize::try_from(u64::from(live) - wanted).unwrap_or(usize::MAX);
        let most = most.min(plan.room());
        let idle: Vec<Slot<'_>> = idle_from_the_top(view, index).take(most).collect();
        if idle.len() == most {
            return give_up_all(view, (index, service), idle, plan);
        }
    }
    let slots = slots(view, index);
    let have = slots.len() as u64;
    if wanted > have {
        let taken: BTreeSet<u32> = slots.iter().map(|slot| slot.number).collect();
        let free = (1..).filter(|number| !taken.contains(number));
        add(view, (index, service), free, wanted - have, turn, plan);
    } else {
        let surplus = surplus(slots, (have - wanted) as usize);
        give_up_all(view, (index, service), surplus, plan);
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

fn give_up_all(
    view: &View,
    (index, service): (ServiceIdx, &ServiceRow),
    slots: Vec<Slot<'_>>,
    plan: &mut Plan,
) {
    for slot in slots {
        if plan.is_full() {
            break;
        }
        give_up(view, index, &slot, service.version, plan);
    }
    // Looked at again where the plan ended before the surplus did.
    if plan.is_full() {
        plan.left.services.insert(index);
    }
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
    free: impl Iterator<Item = u32>,
    missing: u64,
    turn: &Turn,
    plan: &mut Plan,
) {
    for slot in free.take(usize::try_from(missing).unwrap_or(usize::MAX)) {
        if plan.is_full() {
            plan.left.services.insert(index);
            return;
        }
        let created = new_task(view, (index, service), slot, turn.now, turn);
        plan.decide(service.version, Kind::TaskCreated(created));
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
