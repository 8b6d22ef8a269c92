//! What takes the place of a task that ended or has to leave its node.
//!
//! A task is one attempt and never comes back: its slot gets another one, if the restart policy
//! that it ran under allows. The successor runs the same version of the spec: only `rollout` moves
//! a slot to another one. A new task is held until all older ones of its slot are over, so that two
//! of them do not run side by side; but no longer than their grace periods and a margin, since a
//! machine that does not answer must not stop the slot for ever.

use crate::{
    attempts::{SuccessorReason, answer_at, delay_ns, may_restart, next_attempt},
    plan::{Plan, Turn},
};
use skep_projections::{NodeRow, ServiceIdx, ServiceRow, TaskIdx, TaskRow, View};
use skep_proto::{
    Revision, Timestamp, defaults,
    v1::{DesireReason, NodeState, TaskCreated, TaskDesired, TaskState, event::Kind},
};

/// Decides that a task is to stop, and creates another one in its slot where the policy allows.
pub(crate) fn succeed(
    view: &View,
    task: (TaskIdx, &TaskRow),
    why: SuccessorReason,
    cause: Revision,
    turn: &Turn,
    plan: &mut Plan,
) {
    let (index, old) = task;
    let reason = match why {
        SuccessorReason::Ended => DesireReason::Ended,
        SuccessorReason::Drained => DesireReason::NodeDrained,
        SuccessorReason::NodeDown => DesireReason::NodeDown,
    };
    desire(plan, old, TaskState::Shutdown, reason, cause);
    let Some(service) = view.services().get(old.service) else { return };
    let succeeded = view
        .tasks_in_slot(old.service, old.slot)
        .any(|(other, row)| other != index && row.is_wanted());
    if service.removed || succeeded || !may_restart(view, old) {
        return;
    }
    let attempt = next_attempt(view, old, why);
    let answered_at = answer_at(view, old);
    let has_waited = old.has_ended() && answered_at > old.start_at;
    let start_at = if has_waited {
        answered_at
    } else {
        let base =
            if old.desired == TaskState::Ready { turn.now.max(old.start_at) } else { turn.now };
        (base + delay_ns(view, old, attempt, why)).max(stopped_by(view, old, turn.now))
    };
    let created =
        TaskCreated { attempt, ..new_task(view, (old.service, service), old.slot, start_at, turn) };
    let created =
        TaskCreated { spec_version: old.spec_version.0, replaces_id: old.id.to_bytes(), ..created };
    // From this turn on the old task is not wanted, so nothing would create the successor later.
    plan.decide(cause, Kind::TaskCreated(created));
}

/// When a task that the cluster rejected has surely stopped. It counts as ended from then on, and
/// nobody reports its real end any more, so its successor waits for the grace period.
fn stopped_by(view: &View, old: &TaskRow, now: Timestamp) -> Timestamp {
    let runs_on = old.state == TaskState::Rejected && old.running_at != Timestamp::NEVER;
    let container = view.spec_of(old).and_then(|spec| spec.task.as_ref());
    let container = container.and_then(defaults::container);
    let grace_ns = container.map_or(defaults::STOP_GRACE_LIMIT_NS, defaults::stop_grace_ns);
    if runs_on { now + grace_ns } else { now }
}

/// A task of the newest spec in a slot of the service, not before that time: held where it has to
/// wait for that or for older tasks of the slot.
pub(crate) fn new_task(
    view: &View,
    (index, service): (ServiceIdx, &ServiceRow),
    slot: u32,
    start_at: Timestamp,
    turn: &Turn,
) -> TaskCreated {
    let older = view.tasks_in_slot(index, slot).map(|(_, task)| task);
    let ending: Vec<&TaskRow> = older.filter(|task| !is_over(view, task)).collect();
    let held = !ending.is_empty() || start_at > turn.now;
    let limit_ns = |task: &&TaskRow| {
        view.spec_of(task)
            .map_or(defaults::REPLACED_STOP_LIMIT_NS, |spec| defaults::stop_limit_ns(spec))
    };
    let limit = ending.iter().map(limit_ns).max().map(|limit_ns| turn.now + limit_ns);
    let at = |at: Timestamp| if held { at.0 } else { 0 };
    TaskCreated {
        task_id: turn.entropy.id().to_bytes(),
        service_id: service.id.to_bytes(),
        slot: u64::from(slot),
        spec_version: service.spec_version.0,
        desired: if held { TaskState::Ready } else { TaskState::Running } as i32,
        replaces_id: ending.last().map(|task| task.id.to_bytes()).unwrap_or_default(),
        start_at: at(start_at),
        attempt: 0,
        start_by_at: at(limit.map_or(start_at, |limit| limit.max(start_at))),
    }
}

/// Decides that something else is desired of a task.
pub(crate) fn desire(
    plan: &mut Plan,
    task: &TaskRow,
    desired: TaskState,
    reason: DesireReason,
    cause: Revision,
) {
    let desired =
        TaskDesired { task_id: task.id.to_bytes(), desired: desired as i32, reason: reason as i32 };
    plan.decide(cause, Kind::TaskDesired(desired));
}

/// Whether nothing of the task can still be running, as far as anybody can know: it ended, its node
/// is gone, or it never had one.
pub(crate) fn is_over(view: &View, task: &TaskRow) -> bool {
    let lost = |row: &NodeRow| row.removed || row.state == NodeState::Down;
    let is_lost = || task.node.is_none_or(|node| view.nodes().get(node).is_none_or(lost));
    task.has_ended() || is_lost()
}
