//! Keeps true: tasks move to the newest spec, one slot at a time, until one of the new ones fails.
//!
//! A slot is out of date when what its task runs differs from what the service asks for now. Its task is stopped
//! first, the new one starts when that has ended, and the next slot waits until the new one runs. A new task that
//! fails before it ran, or soon after, stops everything until somebody changes the spec again: the rest of the old
//! tasks goes on serving. Which slots are done is read from the tasks themselves, so nothing need be remembered.

mod dirt;
mod progress;

use crate::{
    plan::{Plan, Reconciler, Turn, earlier},
    slots::{Slot, slots},
    succession::{desire, is_over, is_slot_clear},
};
use dirt::Dirt;
use progress::{Failure, Progress};
use skep_projections::{Delta, ServiceIdx, ServiceRow, View};
use skep_proto::{
    Id, Timestamp, defaults,
    time::SECOND_NS,
    v1::{
        self, DesireReason, RolloutCompleted, RolloutPaused, RolloutStarted, RolloutState, TaskCreated,
        TaskState, event::Kind,
    },
};
use std::collections::BTreeSet;

/// A new task that fails so soon after it began to run fails the roll-out, where the spec does not say.
pub const MONITOR_NS: u64 = 5 * SECOND_NS;

/// See the module.
pub struct Rollout;

impl Reconciler for Rollout {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Rollout
    }

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn) -> Plan {
        let mut plan = Plan::default();
        let mut services = delta.services.clone();
        let of_tasks =
            delta.tasks.iter().filter_map(|place| view.tasks().get(*place)).map(|task| task.service);
        services.extend(of_tasks.filter(|service| view.services().get(*service).is_some_and(is_updating)));
        // New constraints that a task met without being replaced may be met no longer.
        let on_nodes = delta.nodes.iter().flat_map(|node| view.tasks_on(*node)).map(|(_, task)| task);
        let is_old = |service: &ServiceRow, version| service.spec_version != version;
        let behind = on_nodes.filter(|task| {
            view.services().get(task.service).is_some_and(|service| is_old(service, task.spec_version))
        });
        services.extend(behind.map(|task| task.service));
        for place in services {
            if let Some(service) = view.services().get(place)
                && !service.removed
                && defaults::replicas(&service.spec).is_some()
            {
                step(view, (place, service), turn, &mut plan);
            }
            if plan.is_full() {
                break;
            }
        }
        plan.wake_at = next_verdict(view, turn.now);
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let services = view.services().iter().map(|(place, _)| place).collect();
        (Delta { services, ..Delta::default() }, next_verdict(view, view.at()))
    }

    fn due(&self, view: &View, now: Timestamp) -> Delta {
        let verdict = |place: &ServiceIdx| {
            let service = view.services().get(*place)?;
            verdict_at(view, *place, service)
        };
        let services: BTreeSet<_> =
            view.updating().filter(|place| verdict(place).is_some_and(|at| at <= now)).collect();
        Delta { services, ..Delta::default() }
    }
}

fn state(service: &ServiceRow) -> RolloutState {
    service.rollout.as_ref().map_or(RolloutState::None, |rollout| rollout.state)
}

fn is_updating(service: &ServiceRow) -> bool {
    state(service) == RolloutState::Updating
}

/// What follows for one service.
fn step(view: &View, (place, service): (ServiceIdx, &ServiceRow), turn: &Turn, plan: &mut Plan) {
    let state = state(service);
    if state == RolloutState::Paused || (state != RolloutState::Updating && service.specs.len() < 2) {
        return;
    }
    let mut dirt = Dirt::new(view, service);
    let slots = slots(view, place);
    let dirty = slots.iter().filter(|slot| slot.tasks.iter().any(|(_, task)| dirt.is_dirty(task)));
    // A slot that serves nobody has nothing to lose by going first.
    let next = dirty.min_by_key(|slot| (slot.is_running(), slot.number));
    let (service_id, spec_version) = (service.id.to_bytes(), service.spec_version.0);
    if state != RolloutState::Updating {
        if let Some(slot) = next {
            plan.decide(service.version, Kind::RolloutStarted(RolloutStarted { service_id, spec_version }));
            replace(view, service, slot, turn, plan);
        }
        return;
    }
    let progress = Progress::of(view, place, service);
    if let Some(Failure { task, cause, message }) = progress.failure {
        let paused = RolloutPaused { service_id, spec_version, task_id: task.to_bytes(), message };
        plan.decide(cause, Kind::RolloutPaused(paused));
    } else if progress.under_way {
        // The next slot waits until this one runs.
    } else if let Some(slot) = next {
        replace(view, service, slot, turn, plan);
    } else if progress.watched_until.is_none_or(|until| until <= turn.now) {
        let cause = progress.newest.max(service.version);
        plan.decide(cause, Kind::RolloutCompleted(RolloutCompleted { service_id, spec_version }));
    }
}

/// Stops what the slot runs and puts a task of the newest spec behind it.
fn replace(view: &View, service: &ServiceRow, slot: &Slot<'_>, turn: &Turn, plan: &mut Plan) {
    let Some((_, old)) = slot.tasks.last() else { return };
    // One that was never placed ends with the wish for it.
    let replaced: Vec<Id> = slot.tasks.iter().map(|(_, task)| task.id).collect();
    let free = slot.tasks.iter().all(|(_, task)| is_over(view, task) || task.node.is_none())
        && is_slot_clear(view, old, &replaced);
    let created = TaskCreated {
        task_id: turn.entropy.id().to_bytes(),
        service_id: service.id.to_bytes(),
        slot: u64::from(slot.number),
        spec_version: service.spec_version.0,
        desired: if free { TaskState::Running } else { TaskState::Ready } as i32,
        replaces_id: old.id.to_bytes(),
        start_at: if free { 0 } else { turn.now.0 },
        attempt: 0,
    };
    let wanted: Vec<_> = slot.tasks.iter().filter(|(_, task)| task.is_wanted()).collect();
    for (_, task) in &wanted {
        desire(plan, task, TaskState::Shutdown, DesireReason::NewSpec, service.version);
    }
    let created = Kind::TaskCreated(created);
    if wanted.is_empty() {
        plan.decide(service.version, created)
    } else {
        plan.join(service.version, created)
    }
}

/// When a roll-out whose slots are all done and running has been watched long enough.
fn verdict_at(view: &View, place: ServiceIdx, service: &ServiceRow) -> Option<Timestamp> {
    let progress = Progress::of(view, place, service);
    // While one is under way there is something to wait for that will be in a delta.
    progress.watched_until.filter(|_| !progress.under_way)
}

/// The next time at which a roll-out may be complete without anything else happening.
fn next_verdict(view: &View, now: Timestamp) -> Option<Timestamp> {
    view.updating().fold(None, |found, place| {
        let service = view.services().get(place).filter(|row| view.parked(row.id).is_none());
        let verdict = service.and_then(|service| verdict_at(view, place, service));
        earlier(found, verdict.filter(|at| *at > now))
    })
}
