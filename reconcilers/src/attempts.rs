//! How often and how soon a slot is tried again.
//!
//! A slot whose tasks keep failing waits longer each time, so that a crash loop neither fills the
//! log nor wears the machines down. A task that ends within its monitor time has failed whatever
//! its exit code: a program that is gone at once serves nobody. Ten minutes of running make the
//! past forgotten.

use skep_projections::{TaskRow, View};
use skep_proto::{
    Timestamp, defaults,
    time::SECOND_NS,
    v1::{DesireReason, RestartCondition, ServiceSpec, TaskState},
};

/// The longest that back-off waits; a longer delay in the policy itself is kept.
pub const BACKOFF_MAX_NS: u64 = 300 * SECOND_NS;
/// After so long a run a failure is the first again.
pub const FORGIVEN_AFTER_NS: u64 = 600 * SECOND_NS;
/// Failures in a row that a policy without a delay answers at once. After those back-off begins
/// there too, or a program that can't start would fill the log.
pub const UNDELAYED_ATTEMPTS_MAX: u32 = 5;
/// The first delay of back-off where the policy has none.
pub const BACKOFF_MIN_NS: u64 = SECOND_NS;
/// Ended tasks that a policy with a maximum of attempts keeps in the view for counting, at most.
/// Beyond that a slot is only stopped by failures in a row, which its newest task counts itself.
pub const ATTEMPTS_KEPT_MAX: u64 = 100;

/// Why a task needs a successor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SuccessorReason {
    /// It ended by itself, was rejected, or was lost.
    Ended,
    /// Its node is to be empty.
    Drained,
    /// Its node is silent.
    NodeDown,
}

/// How a task came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AttemptEnd {
    /// It has not ended.
    Not,
    /// The cluster asked for it, or its node is lost.
    NotItsOwn,
    /// By itself, before it ran or within its monitor time.
    Early,
    /// By itself, after it ran for so long.
    After(u64),
}

/// How a task ended, given the spec that it ran.
pub(crate) fn end(task: &TaskRow, spec: Option<&ServiceSpec>) -> AttemptEnd {
    if !task.has_ended() {
        return AttemptEnd::Not;
    }
    let asked = !task.is_wanted() && task.desire_reason != DesireReason::Ended;
    if asked || task.state == TaskState::Orphaned {
        return AttemptEnd::NotItsOwn;
    }
    let monitor_ns = spec.map_or(defaults::UPDATE_MONITOR_PERIOD_NS, defaults::monitor_ns);
    match ran_ns(task) {
        Some(ran) if ran >= monitor_ns => AttemptEnd::After(ran),
        Some(_) | None => AttemptEnd::Early,
    }
}

/// How long an ended task ran, where it did.
pub(crate) fn ran_ns(task: &TaskRow) -> Option<u64> {
    (task.running_at != Timestamp::NEVER).then(|| task.state_since.1.since(task.running_at))
}

/// Whether the policy that a task ran under lets its slot have another one.
pub fn may_restart(view: &View, task: &TaskRow) -> bool {
    let Some(spec) = view.spec_of(task).and_then(|spec| spec.task.as_ref()) else { return true };
    let policy = defaults::restart(spec);
    let wanted = match policy.condition {
        RestartCondition::Any => true,
        RestartCondition::OnFailure => task.state != TaskState::Complete,
        RestartCondition::None => false,
    };
    wanted
        && (policy.max_attempts == 0
            || restarts(view, task, policy.window_ns) < policy.max_attempts)
}

/// Restarts of the task's slot under the same spec: all, or those within the window before its
/// newest state.
fn restarts(view: &View, task: &TaskRow, window_ns: u64) -> u64 {
    let same = view
        .tasks_in_slot(task.service, task.slot)
        .filter(|(_, row)| row.spec_version == task.spec_version);
    let later = same.skip(1).map(|(_, row)| row.created.1);
    if window_ns == 0 {
        return u64::from(task.attempt).max(later.count() as u64);
    }
    let since = Timestamp(task.state_since.1.0.saturating_sub(window_ns));
    later.filter(|at| *at >= since && *at <= task.state_since.1).count() as u64
}

/// Failures in a row that the successor of a task will know of.
pub(crate) fn next_attempt(view: &View, old: &TaskRow, why: SuccessorReason) -> u32 {
    let (failed, forgiven) = match end(old, view.spec_of(old).map(AsRef::as_ref)) {
        AttemptEnd::Not => (false, false),
        AttemptEnd::NotItsOwn => (false, ran_ns(old).is_some_and(|ran| ran >= FORGIVEN_AFTER_NS)),
        AttemptEnd::Early => (true, false),
        AttemptEnd::After(_) if old.state == TaskState::Complete => (false, true),
        AttemptEnd::After(ran) => (true, ran >= FORGIVEN_AFTER_NS),
    };
    let before = if forgiven { 0 } else { old.attempt };
    before.saturating_add(u32::from(failed && why == SuccessorReason::Ended))
}

/// How long the successor waits, from the policy that the old task ran under.
pub(crate) fn delay_ns(view: &View, old: &TaskRow, attempt: u32, why: SuccessorReason) -> u64 {
    if why == SuccessorReason::Drained {
        return 0;
    }
    let spec = view.spec_of(old);
    let policy = spec.and_then(|spec| spec.task.as_ref()).map(defaults::restart);
    let delay_ns = policy.map_or(defaults::RESTART_DELAY_NS, |policy| policy.delay_ns);
    let loops = end(old, spec.map(AsRef::as_ref)) == AttemptEnd::Early;
    let (first_ns, doublings) = match delay_ns {
        0 if loops && attempt > UNDELAYED_ATTEMPTS_MAX => {
            (BACKOFF_MIN_NS, attempt - UNDELAYED_ATTEMPTS_MAX - 1)
        }
        delay_ns => (delay_ns, attempt.saturating_sub(1)),
    };
    first_ns.saturating_mul(1 << doublings.min(32)).min(BACKOFF_MAX_NS.max(first_ns))
}

/// When an ended task is answered; at once, where that is past. One that ended while it was held is
/// answered when its hold would have been over. One that its node could not even prepare is
/// answered after the delay: its successor would otherwise be prepared at once, and a slot that
/// can't be prepared would be filled again and again.
pub(crate) fn answer_at(view: &View, task: &TaskRow) -> Timestamp {
    let unprepared = task.state == TaskState::Rejected && task.running_at == Timestamp::NEVER;
    if !unprepared || !may_restart(view, task) {
        return task.start_at;
    }
    let attempt = next_attempt(view, task, SuccessorReason::Ended);
    task.start_at.max(task.state_since.1) + delay_ns(view, task, attempt, SuccessorReason::Ended)
}
