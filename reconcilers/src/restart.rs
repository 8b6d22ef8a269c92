//! Keeps true: an ended task is answered as its policy says, and a held one starts when its time has come.
//!
//! A task that stands in for another is held until its delay is over and the other has ended, so that two tasks
//! of one slot do not run at once; but no longer than a minute, since a machine that does not answer must not
//! stop the slot for ever.

use crate::{
    plan::{Plan, Reconciler, Turn, earlier},
    succession::{Occasion, desire, is_slot_clear, succeed},
};
use skep_projections::{Delta, TaskIdx, TaskRow, View};
use skep_proto::{
    Revision, Timestamp,
    defaults::REPLACED_STOP_LIMIT_NS,
    v1::{self, DesireReason, NodeState, TaskState},
};
use std::collections::BTreeSet;

/// See the module.
pub struct Restart;

impl Reconciler for Restart {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Restart
    }

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn) -> Plan {
        let mut plan = Plan::default();
        let mut held = BTreeSet::new();
        for place in &delta.tasks {
            let Some(task) = view.tasks().get(*place) else { continue };
            if task.is_held() {
                held.insert(*place);
            } else if task.has_ended() {
                if is_unanswered(view, task) && task.start_at <= turn.now && !plan.is_full() {
                    succeed(view, (*place, task), Occasion::Ended, task.state_since.0, turn, &mut plan);
                }
                held.extend(successor(view, task));
            }
        }
        for node in &delta.nodes {
            if view.nodes().get(*node).is_some_and(|row| row.removed || row.state == NodeState::Down) {
                held.extend(view.tasks_on(*node).filter_map(|(_, task)| successor(view, task)));
            }
        }
        for place in held {
            if plan.is_full() {
                break;
            }
            if let Some(task) = view.tasks().get(place)
                && let Some(cause) = may_start(view, task, turn.now)
            {
                desire(&mut plan, task, TaskState::Running, DesireReason::Start, cause);
            }
        }
        plan.wake_at = next_start(view, turn.now);
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let tasks = view.unanswered().chain(view.held().map(|(_, task)| task)).collect();
        (Delta { tasks, ..Delta::default() }, next_start(view, view.at()))
    }

    fn due(&self, view: &View, now: Timestamp) -> Delta {
        let held = view.held().take_while(|(at, _)| *at <= now).map(|(_, task)| task);
        let ended = too_early(view).filter(|(at, _)| *at <= now).map(|(_, task)| task);
        Delta { tasks: held.chain(ended).collect(), ..Delta::default() }
    }
}

/// Tasks that ended while they were still held, such as those whose image is not to be had, with the end of their
/// hold: they are answered only then, or a slot that can't be prepared would be filled again and again at once.
fn too_early(view: &View) -> impl Iterator<Item = (Timestamp, TaskIdx)> + '_ {
    view.unanswered().filter_map(|place| {
        let task = view.tasks().get(place)?;
        (task.start_at > Timestamp::NEVER && is_unanswered(view, task)).then_some((task.start_at, place))
    })
}

fn is_unanswered(view: &View, task: &TaskRow) -> bool {
    task.is_wanted() && task.has_ended() && view.services().get(task.service).is_some_and(|row| !row.removed)
}

/// The task that waits for this one's end: directly, or because it replaces one that was put behind this one.
fn successor(view: &View, task: &TaskRow) -> Option<TaskIdx> {
    let mut waiting = view.tasks_in_slot(task.service, task.slot);
    waiting.find(|(_, row)| row.is_held() && row.created.0 > task.created.0).map(|(place, _)| place)
}

/// Whether a held task may start, and because of which record.
fn may_start(view: &View, task: &TaskRow, now: Timestamp) -> Option<Revision> {
    if task.start_at > now {
        return None;
    }
    if !is_slot_clear(view, task, &[task.id]) && now < patience_ends(task) {
        return None;
    }
    let ended = view.tasks_in_slot(task.service, task.slot).filter(|(_, row)| row.has_ended());
    ended.map(|(_, row)| row.state_since.0).chain([task.created.0]).max()
}

fn patience_ends(task: &TaskRow) -> Timestamp {
    task.created.1 + REPLACED_STOP_LIMIT_NS
}

/// The next time at which a held task may start without anything else happening.
fn next_start(view: &View, now: Timestamp) -> Option<Timestamp> {
    let mut next = too_early(view).map(|(at, _)| at).filter(|at| *at > now).min();
    for (at, place) in view.held() {
        let Some(task) = view.tasks().get(place) else { continue };
        let starts_at = if task.start_at > now { task.start_at } else { patience_ends(task) };
        if starts_at > now {
            next = earlier(next, Some(starts_at));
        }
        if at > now {
            break;
        }
    }
    next
}
