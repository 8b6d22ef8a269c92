//! REC-4: a slot waits as long as its restart policy says, by a stopwatch, and not much longer.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_proto::{
    Id, Timestamp, defaults,
    time::SECOND_NS,
    v1::{DesireReason, Reconciler, TaskState, author::Who, event::Kind},
};
use std::collections::BTreeMap;

/// The longest that back-off waits, where the policy itself does not wait longer.
const BACKOFF_MAX_NS: u64 = 300 * SECOND_NS;
/// A turn is taken, and a clock is read, within this time.
const SLACK_NS: u64 = SECOND_NS / 100;
/// The log's time runs faster by one part in so many at most.
const SLEW_DIVISOR: u64 = 2_000;

/// A successor that is held.
struct HeldSuccessor {
    since: Timestamp,
    /// For so long at least.
    wait_ns: u64,
}

/// Remembers who waits.
#[derive(Default)]
pub(super) struct Delays {
    /// The record before, where it ended the wish for a task: a successor that it calls for stands
    /// right behind it.
    before: Option<(Id, DesireReason)>,
    held: BTreeMap<Id, HeldSuccessor>,
}

impl Checker for Delays {
    fn name(&self) -> &'static str {
        "REC-4"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, world: &SimulatedWorld) -> Check {
        let before = self.before.take();
        match seen.kind {
            Kind::TaskDesired(e) => {
                let task = Id::from_bytes(&e.task_id);
                self.before = Some((task, e.reason()));
                if e.desired() != TaskState::Running {
                    self.held.remove(&task);
                } else if let Some(held) = self.held.remove(&task) {
                    let waited = seen.decided_at.since(held.since);
                    if held.since > world.leapt_at && waited + slack_ns(held.wait_ns) < held.wait_ns
                    {
                        return Err(format!(
                            "task {task} starts after {} ms, although its slot has to wait {} ms",
                            waited / 1_000_000,
                            held.wait_ns / 1_000_000
                        ));
                    }
                }
            }
            Kind::TaskCreated(e) => {
                let old = Id::from_bytes(&e.replaces_id);
                let by = seen.record.author.as_ref().and_then(|author| author.who.as_ref());
                let by_rollout = by == Some(&Who::Reconciler(Reconciler::Rollout as i32));
                let wait_ns = match before {
                    Some((task, DesireReason::Ended | DesireReason::NodeDown))
                        if task == old && !by_rollout =>
                    {
                        wait_ns(seen, old, e.attempt)
                    }
                    Some(_) | None => 0,
                };
                let task = Id::from_bytes(&e.task_id);
                if e.desired() == TaskState::Running
                    && waited_ns(seen, world, old) + slack_ns(wait_ns) < wait_ns
                {
                    let wait_ms = wait_ns / 1_000_000;
                    return Err(format!(
                        "task {task} starts too early: its slot has to wait {wait_ms} ms"
                    ));
                }
                // What its predecessor has waited already counts.
                let wait_ns = wait_ns.saturating_sub(waited_ns(seen, world, old));
                self.held.insert(task, HeldSuccessor { since: seen.decided_at, wait_ns });
            }
            Kind::TaskReaped(e) => {
                self.held.remove(&Id::from_bytes(&e.task_id));
            }
            _ => {}
        }
        Ok(())
    }
}

/// How long a task that its node could not even prepare has waited for its successor: that is made
/// only then.
fn waited_ns(seen: &CommittedRecord<'_>, world: &SimulatedWorld, old: Id) -> u64 {
    let Some((_, row)) = seen.before.tasks().by_id(old) else { return 0 };
    let unprepared = row.state == TaskState::Rejected && row.running_at == Timestamp::NEVER;
    let since = world.disk.decided_at(row.state_since.0).filter(|_| unprepared);
    match since {
        Some(since) if since <= world.leapt_at => u64::MAX / 2,
        Some(since) => seen.decided_at.since(since),
        None => 0,
    }
}

/// What the policy of the old task says: its delay, doubled with each failure in a row.
fn wait_ns(seen: &CommittedRecord<'_>, old: Id, attempt: u32) -> u64 {
    let Some((_, row)) = seen.before.tasks().by_id(old) else { return 0 };
    let Some(spec) = seen.before.spec_of(row).and_then(|spec| spec.task.as_ref()) else { return 0 };
    let delay_ns = defaults::restart(spec).delay_ns;
    let doublings = attempt.saturating_sub(1).min(32);
    delay_ns.saturating_mul(1 << doublings).min(BACKOFF_MAX_NS.max(delay_ns))
}

/// How much less than this a wait may take by a stopwatch.
fn slack_ns(wait_ns: u64) -> u64 {
    SLACK_NS + wait_ns / SLEW_DIVISOR
}
