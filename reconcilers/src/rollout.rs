//! Keeps true: tasks move to the newest spec, one slot at a time, until one of the new ones fails.
//!
//! A slot is out of date when its task runs an older version of the spec than the service asks for.
//! Its task is stopped first, and the new one starts when that has ended. The first new task must
//! run for its whole monitor time before a second slot is touched, so that a program which fails
//! after a moment takes one slot down and not all of them; later slots follow as soon as the one
//! before runs. No slot is touched while another one that is up to date does not run, whatever the
//! reason. A new task that ends before it ran, or within its monitor time, pauses the roll-out
//! until somebody changes the spec again: the rest of the old tasks goes on serving. All of this is
//! read from the tasks themselves, so nothing need be remembered.

mod progress;

use crate::{
    plan::{Plan, Reconciler, Turn, earlier},
    slots::{Slot, slots},
    succession::{desire, new_task},
};
use progress::{Failure, Progress};
use skep_projections::{Delta, ServiceIdx, ServiceRow, View};
use skep_proto::{
    Timestamp, defaults,
    v1::{
        self, DesireReason, RolloutCompleted, RolloutPaused, RolloutStarted, RolloutState,
        TaskCreated, TaskState, event::Kind,
    },
};
use std::collections::BTreeSet;

/// The reconciler of roll-outs.
pub struct Rollouts;

impl Reconciler for Rollouts {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Rollout
    }

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        let mut services = delta.services.clone();
        let of_tasks =
            delta.tasks.iter().filter_map(|row| view.tasks().get(*row)).map(|task| task.service);
        services.extend(
            of_tasks.filter(|service| view.services().get(*service).is_some_and(is_updating)),
        );
        for index in services {
            if plan.is_full() {
                plan.left.services.insert(index);
            } else if let Some(service) = view.services().get(index)
                && !service.removed
                && defaults::replicas(&service.spec).is_some()
            {
                step(view, (index, service), turn, &mut plan);
            }
        }
        plan.wake_at = next_look(view, turn.now);
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let services = view.services().iter().map(|(index, _)| index).collect();
        (Delta { services, ..Delta::default() }, next_look(view, view.at()))
    }

    fn due(&self, view: &View, now: Timestamp) -> Delta {
        let is_due = |index: &ServiceIdx| look_at(view, *index).is_some_and(|at| at <= now);
        let services: BTreeSet<_> = view.updating().filter(is_due).collect();
        Delta { services, ..Delta::default() }
    }
}

fn state(service: &ServiceRow) -> RolloutState {
    service.rollout.as_ref().map_or(RolloutState::None, |rollout| rollout.state)
}

fn is_updating(service: &ServiceRow) -> bool {
    state(service) == RolloutState::Updating
}

/// Whether one of the slot's tasks runs an older version of the spec.
fn is_dirty(slot: &Slot<'_>, service: &ServiceRow) -> bool {
    slot.tasks.iter().any(|(_, task)| task.spec_version != service.spec_version)
}

/// The slot to be replaced next: one that serves nobody has nothing to lose by going first.
fn next<'s, 'v>(slots: &'s [Slot<'v>], service: &ServiceRow) -> Option<&'s Slot<'v>> {
    let dirty = slots.iter().filter(|slot| is_dirty(slot, service));
    dirty.min_by_key(|slot| (slot.is_running(), slot.number))
}

/// What follows for one service.
fn step(view: &View, (index, service): (ServiceIdx, &ServiceRow), turn: &Turn, plan: &mut Plan) {
    let state = state(service);
    if state == RolloutState::Paused || (state != RolloutState::Updating && service.specs.len() < 2)
    {
        return;
    }
    let slots = slots(view, index);
    let next = next(&slots, service);
    let (service_id, spec_version) = (service.id.to_bytes(), service.spec_version.0);
    let progress = if state == RolloutState::Updating {
        Progress::of(view, index, service, &slots)
    } else if next.is_some() {
        let started = RolloutStarted { service_id: service_id.clone(), spec_version };
        plan.decide(service.version, Kind::RolloutStarted(started));
        Progress::beginning(service, &slots)
    } else {
        return;
    };
    if let Some(Failure { task, cause, message }) = progress.failure {
        let paused = RolloutPaused { service_id, spec_version, task_id: task.to_bytes(), message };
        plan.decide(cause, Kind::RolloutPaused(paused));
    } else if progress.waits_until(next).is_some_and(|until| until <= turn.now) {
        match next {
            Some(slot) => replace(view, (index, service), slot, turn, plan),
            None => {
                let cause = progress.newest.max(service.version);
                plan.decide(
                    cause,
                    Kind::RolloutCompleted(RolloutCompleted { service_id, spec_version }),
                );
            }
        }
    }
}

/// Stops what the slot runs and puts a task of the newest spec behind it.
fn replace(
    view: &View,
    (index, service): (ServiceIdx, &ServiceRow),
    slot: &Slot<'_>,
    turn: &Turn,
    plan: &mut Plan,
) {
    let Some((_, old)) = slot.tasks.last() else { return };
    let created = new_task(view, (index, service), slot.number, turn.now, turn);
    let created = Kind::TaskCreated(TaskCreated { replaces_id: old.id.to_bytes(), ..created });
    for (_, task) in slot.tasks.iter().filter(|(_, task)| task.is_wanted()) {
        desire(plan, task, TaskState::Shutdown, DesireReason::NewSpec, service.version);
    }
    plan.decide(service.version, created);
}

/// When a roll-out goes on without anything else happening.
fn look_at(view: &View, index: ServiceIdx) -> Option<Timestamp> {
    let service = view.services().get(index).filter(|row| view.parked(row.id).is_none())?;
    let slots = slots(view, index);
    Progress::of(view, index, service, &slots).waits_until(next(&slots, service))
}

/// The next time at which some roll-out goes on without anything else happening.
fn next_look(view: &View, now: Timestamp) -> Option<Timestamp> {
    view.updating()
        .fold(None, |found, index| earlier(found, look_at(view, index).filter(|at| *at > now)))
}
