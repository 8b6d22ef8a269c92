//! Keeps true: an ended task is answered as its policy says, and a held one starts when its time
//! has come.
//!
//! A task that stands in for another is held until its delay is over and all older tasks of its
//! slot have ended, so that two of them do not run at once; but no longer than their grace periods
//! and a margin, since a machine that does not answer must not stop the slot for ever.

use crate::{
    attempts::{SuccessorReason, answer_at},
    plan::{Plan, Reconciler, Turn, earlier},
    succession::{desire, is_over, succeed},
};
use skep_projections::{Delta, ServiceIdx, TaskIdx, TaskRow, View};
use skep_proto::{
    Revision, Timestamp,
    v1::{self, DesireReason, NodeState, TaskState},
};
use std::collections::{BTreeMap, BTreeSet};

/// Answers ended tasks by their restart policies.
pub struct Restarts;

impl Reconciler for Restarts {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Restart
    }

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        let mut held = BTreeSet::new();
        let mut unanswered: BTreeMap<ServiceIdx, Vec<(TaskIdx, &TaskRow)>> = BTreeMap::new();
        for index in &delta.tasks {
            let Some(task) = view.tasks().get(*index) else { continue };
            if task.is_held() {
                held.insert(*index);
            } else if task.has_ended() {
                if is_unanswered(view, task) && answer_at(view, task) <= turn.now {
                    unanswered.entry(task.service).or_default().push((*index, task));
                }
                held.extend(held_in_slot(view, task));
            }
        }
        // A service with more ends than the plan holds comes last: others need not wait for it.
        let (few, many): (Vec<_>, Vec<_>) =
            unanswered.into_values().partition(|tasks| tasks.len() <= room);
        for task in few.into_iter().chain(many).flatten() {
            answer(view, task, turn, &mut plan);
        }
        for node in &delta.nodes {
            if view
                .nodes()
                .get(*node)
                .is_some_and(|row| row.removed || row.state == NodeState::Down)
            {
                held.extend(view.tasks_on(*node).filter_map(|(_, task)| held_in_slot(view, task)));
            }
        }
        for index in held {
            if let Some(task) = view.tasks().get(index)
                && let Some(cause) = may_start(view, task, turn.now)
            {
                if plan.is_full() {
                    plan.left.tasks.insert(index);
                } else {
                    desire(&mut plan, task, TaskState::Running, DesireReason::Start, cause);
                }
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
        let ended = later_answers(view).filter(|(at, _)| *at <= now).map(|(_, task)| task);
        Delta { tasks: held.chain(ended).collect(), ..Delta::default() }
    }
}

/// Ended tasks that are answered at a time of their own, with that time: see [`answer_at`].
fn later_answers(view: &View) -> impl Iterator<Item = (Timestamp, TaskIdx)> + '_ {
    view.unanswered().filter_map(|index| {
        let task = view.tasks().get(index).filter(|task| is_unanswered(view, task))?;
        let at = answer_at(view, task);
        (at > Timestamp::NEVER).then_some((at, index))
    })
}

fn is_unanswered(view: &View, task: &TaskRow) -> bool {
    task.is_wanted()
        && task.has_ended()
        && view.services().get(task.service).is_some_and(|row| !row.removed)
}

fn answer(view: &View, (index, task): (TaskIdx, &TaskRow), turn: &Turn, plan: &mut Plan) {
    if plan.is_full() {
        plan.left.tasks.insert(index);
    } else {
        let cause = task.state_since.0;
        succeed(view, (index, task), SuccessorReason::Ended, cause, turn, plan);
    }
}

/// The task of the same slot that may be waiting for this one's end.
fn held_in_slot(view: &View, task: &TaskRow) -> Option<TaskIdx> {
    let mut waiting = view.tasks_in_slot(task.service, task.slot);
    waiting.find(|(_, row)| row.is_held()).map(|(index, _)| index)
}

/// Whether a held task may start, and because of which record.
fn may_start(view: &View, task: &TaskRow, now: Timestamp) -> Option<Revision> {
    if task.start_at > now {
        return None;
    }
    let in_slot = view.tasks_in_slot(task.service, task.slot).map(|(_, row)| row);
    let mut cause = task.created.0;
    for old in in_slot.take_while(|row| row.created.0 < task.created.0) {
        if old.has_ended() {
            cause = cause.max(old.state_since.0);
        } else if !is_over(view, old) && now < task.start_by {
            return None;
        }
    }
    Some(cause)
}

/// The next time at which a held task may start, or an end is answered, without anything else
/// happening.
fn next_start(view: &View, now: Timestamp) -> Option<Timestamp> {
    let mut next = later_answers(view).map(|(at, _)| at).filter(|at| *at > now).min();
    for (at, index) in view.held() {
        let Some(task) = view.tasks().get(index) else { continue };
        let starts_at = if task.start_at > now { task.start_at } else { task.start_by };
        if starts_at > now {
            next = earlier(next, Some(starts_at));
        }
        if at > now {
            break;
        }
    }
    next
}
