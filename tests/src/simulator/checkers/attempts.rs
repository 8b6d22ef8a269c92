//! REC-14: a successor knows of as many failures in a row as its slot has had: an end after a whole
//! run makes them forgotten, and an early one adds to them.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_projections::{TaskRow, View};
use skep_proto::{
    Id, Timestamp, defaults,
    time::SECOND_NS,
    v1::{DesireReason, Reconciler, TaskState, author::Who, event::Kind},
};

/// A task that has run for so long is no part of a crash loop.
const FORGIVEN_AFTER_NS: u64 = 600 * SECOND_NS;

/// Looks at each successor of a task that ended by itself.
pub(super) struct AttemptCounts;

impl Checker for AttemptCounts {
    fn name(&self) -> &'static str {
        "REC-14"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let Kind::TaskCreated(e) = seen.kind else { return Ok(()) };
        let by = seen.record.author.as_ref().and_then(|author| author.who.as_ref());
        let old = Id::from_bytes(&e.replaces_id);
        let Some((_, old)) = seen.before.tasks().by_id(old) else { return Ok(()) };
        let ended_by_itself =
            old.desire_reason == DesireReason::Ended && old.state != TaskState::Orphaned;
        if by != Some(&Who::Reconciler(Reconciler::Restart as i32)) || !ended_by_itself {
            return Ok(());
        }
        let expected = failures_after(seen.before, old);
        if e.attempt == expected {
            return Ok(());
        }
        let (id, knows) = (Id::from_bytes(&e.task_id), e.attempt);
        Err(format!("task {id} knows of {knows} failures in a row; its slot has had {expected}"))
    }
}

/// The failures in a row once this task has ended.
fn failures_after(view: &View, old: &TaskRow) -> u32 {
    let monitor_ns = view
        .spec_of(old)
        .map_or(defaults::UPDATE_MONITOR_PERIOD_NS, |spec| defaults::monitor_ns(spec));
    let ran_ns = match old.running_at {
        Timestamp::NEVER => None,
        since => Some(old.state_since.1.since(since)),
    };
    match ran_ns {
        Some(ran) if ran >= monitor_ns && old.state == TaskState::Complete => 0,
        Some(ran) if ran >= monitor_ns && ran >= FORGIVEN_AFTER_NS => 1,
        Some(_) | None => old.attempt + 1,
    }
}
