//! What takes the place of a task that ended or has to leave its node.
//!
//! A task is one attempt and never comes back: its slot gets another one, if the restart policy that it ran
//! under allows. A slot whose tasks keep failing waits longer each time, so that a crash loop neither fills the
//! log nor wears the machines down; ten minutes of running make its past forgotten.

use crate::plan::{Plan, Turn};
use skep_projections::{NodeRow, ServiceRow, TaskIdx, TaskRow, View};
use skep_proto::{
    Id, Revision, Timestamp, defaults,
    time::SECOND_NS,
    v1::{DesireReason, NodeState, RestartCondition, TaskCreated, TaskDesired, TaskState, event::Kind},
};

/// The longest that back-off waits; a longer delay in the policy itself is kept.
pub const BACKOFF_MAX_NS: u64 = 300 * SECOND_NS;
/// After so long a run a failure is the first again.
pub const FORGIVEN_AFTER_NS: u64 = 600 * SECOND_NS;
/// Ended tasks that a policy with a maximum of attempts keeps in the view for counting, at most. Beyond that a slot
/// is only stopped by failures in a row, which its newest task counts itself.
pub const ATTEMPTS_KEPT_MAX: u64 = 100;

/// Why a task needs a successor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Occasion {
    /// It ended by itself, was rejected, or was lost.
    Ended,
    /// Its node is to be empty.
    Drained,
    /// Its node is silent.
    NodeDown,
}

/// Ends the system's wish for a task, and wishes for another one in its slot where the policy allows.
pub(crate) fn succeed(
    view: &View,
    task: (TaskIdx, &TaskRow),
    why: Occasion,
    cause: Revision,
    turn: &Turn,
    plan: &mut Plan,
) {
    let (place, old) = task;
    let reason = match why {
        Occasion::Ended => DesireReason::Ended,
        Occasion::Drained => DesireReason::NodeDrained,
        Occasion::NodeDown => DesireReason::NodeDown,
    };
    desire(plan, old, TaskState::Shutdown, reason, cause);
    let Some(service) = view.services().get(old.service) else { return };
    let succeeded =
        view.tasks_in_slot(old.service, old.slot).any(|(other, row)| other != place && row.is_wanted());
    if service.removed || succeeded || !may_restart(view, old) {
        return;
    }
    let attempt = next_attempt(service, old, why);
    let base = if old.is_wanted() && old.desired == TaskState::Ready {
        turn.now.max(old.start_at)
    } else {
        turn.now
    };
    let start_at = base + delay_ns(view, old, attempt, why);
    let free = is_over(view, old) && is_slot_clear(view, old, &[old.id]) && start_at <= turn.now;
    let created = TaskCreated {
        task_id: turn.entropy.id().to_bytes(),
        service_id: service.id.to_bytes(),
        slot: u64::from(old.slot),
        spec_version: service.spec_version.0,
        desired: if free { TaskState::Running } else { TaskState::Ready } as i32,
        replaces_id: old.id.to_bytes(),
        start_at: if free { 0 } else { start_at.0 },
        attempt,
    };
    // The wish for the old one is gone with this turn, and with it what would ask for the new one.
    plan.join(cause, Kind::TaskCreated(created));
}

/// Wishes something else of a task.
pub(crate) fn desire(
    plan: &mut Plan,
    task: &TaskRow,
    desired: TaskState,
    reason: DesireReason,
    cause: Revision,
) {
    let desired = TaskDesired { task_id: task.id.to_bytes(), desired: desired as i32, reason: reason as i32 };
    plan.decide(cause, Kind::TaskDesired(desired));
}

/// Whether nothing of the task can still be running, as far as anybody can know: it ended, its node is gone, or it
/// never had one and is wanted no more.
pub(crate) fn is_over(view: &View, task: &TaskRow) -> bool {
    match task.node {
        None => task.has_ended() || !task.is_wanted(),
        Some(node) => {
            let lost = |row: &NodeRow| row.removed || row.state == NodeState::Down;
            task.has_ended() || view.nodes().get(node).is_none_or(lost)
        }
    }
}

/// Whether nothing that ran in the task's slot before it can still be running, these aside. A slot may be replaced
/// again while its first task is still stopping, so the task that is directly replaced does not say enough. What was
/// scaled away has left the slot.
pub(crate) fn is_slot_clear(view: &View, task: &TaskRow, aside: &[Id]) -> bool {
    let mut older =
        view.tasks_in_slot(task.service, task.slot).filter(|(_, row)| row.created.0 <= task.created.0);
    older.all(|(_, row)| aside.contains(&row.id) || row.desired == TaskState::Remove || is_over(view, row))
}

/// Whether the policy that a task ran under lets its slot have another one.
pub(crate) fn may_restart(view: &View, task: &TaskRow) -> bool {
    let Some(spec) = view.spec_of(task).and_then(|spec| spec.task.as_ref()) else { return true };
    let policy = defaults::restart(spec);
    let wanted = match policy.condition {
        RestartCondition::Any => true,
        RestartCondition::OnFailure => task.state != TaskState::Complete,
        RestartCondition::None => false,
    };
    wanted && (policy.max_attempts == 0 || restarts(view, task, policy.window_ns) < policy.max_attempts)
}

/// Restarts of the task's slot under the same spec: all, or those within the window before its newest state.
fn restarts(view: &View, task: &TaskRow, window_ns: u64) -> u64 {
    let same =
        view.tasks_in_slot(task.service, task.slot).filter(|(_, row)| row.spec_version == task.spec_version);
    let later = same.skip(1).map(|(_, row)| row.created.1);
    if window_ns == 0 {
        return u64::from(task.attempt).max(later.count() as u64);
    }
    let since = Timestamp(task.state_since.1.0.saturating_sub(window_ns));
    later.filter(|at| *at >= since && *at <= task.state_since.1).count() as u64
}

/// Failures in a row that the successor will know of.
fn next_attempt(service: &ServiceRow, old: &TaskRow, why: Occasion) -> u32 {
    let failed = why == Occasion::Ended && !matches!(old.state, TaskState::Complete | TaskState::Orphaned);
    let ran_ns = if old.running_at == Timestamp::NEVER { 0 } else { old.state_since.1.since(old.running_at) };
    let forgiven = old.state == TaskState::Complete || ran_ns >= FORGIVEN_AFTER_NS;
    let before = if forgiven { 0 } else { old.attempt };
    if old.spec_version == service.spec_version { before + u32::from(failed) } else { 0 }
}

/// How long the successor waits, from the policy that the old task ran under.
fn delay_ns(view: &View, old: &TaskRow, attempt: u32, why: Occasion) -> u64 {
    if why == Occasion::Drained {
        return 0;
    }
    let spec = view.spec_of(old).and_then(|spec| spec.task.as_ref());
    let delay_ns = spec.map_or(defaults::RESTART_DELAY_NS, |spec| defaults::restart(spec).delay_ns);
    let doublings = attempt.saturating_sub(1).min(32);
    delay_ns.saturating_mul(1 << doublings).min(BACKOFF_MAX_NS.max(delay_ns))
}
