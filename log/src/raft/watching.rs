//! What raft's own metrics say, told on: elections to the status, being alone to the store, and
//! raft's end to the alarm.
//!
//! A leader that no majority has answered for one lease may have been replaced: it leads no more,
//! as far as anybody here is told, until a majority answers again. Nothing happens in raft at that
//! moment, so a timer runs for it.

use super::{alarm::Alarm, machine::Raft, runtime, tasks, timing, types};
use crate::{FailureCause, LogFailure, history};
use openraft::{
    AsyncRuntime, RaftMetrics, ServerState,
    async_runtime::{Instant, WatchReceiver},
};
use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed};

/// Whether this manager leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    No,
    /// Nobody else votes.
    Alone,
    /// Until then, unless a majority answers.
    Until(runtime::RaftInstant),
}

/// Starts the task that watches.
pub(super) fn watch(
    status: Arc<history::StatusCell>,
    alarm: Arc<Alarm>,
    raft: &Raft,
    alone: Arc<AtomicBool>,
) {
    let mut metrics = raft.metrics();
    tasks::spawn(async move {
        loop {
            let (term, lead, sole, running, leader) = {
                let now = metrics.borrow_watched();
                // One that has just joined knows an old membership of somebody else alone.
                let sole = now.membership_config.nodes().map(|(raft_id, _)| *raft_id).eq([now.id]);
                (now.current_term, lead(&now), sole, now.running_state.clone(), now.current_leader)
            };
            alone.store(sole, Relaxed);
            let lease = match lead {
                Lead::Until(end) => Some(end).filter(|end| *end > runtime::RaftInstant::now()),
                Lead::Alone | Lead::No => None,
            };
            let leads = running.is_ok() && (lead == Lead::Alone || lease.is_some());
            let role = if leads { history::RaftRole::Leader } else { history::RaftRole::Follower };
            status.elected(term, role);
            status.follows(leader);
            if let Err(error) = running {
                if !matches!(error, openraft::errors::Fatal::Stopped) {
                    alarm.raise(LogFailure::Disk(FailureCause::of(error)));
                }
                return;
            }
            let changed = match lease {
                // The time was up: the loop looks again.
                Some(end) => {
                    runtime::TaskRuntime::timeout_at(end, metrics.changed()).await.unwrap_or(Ok(()))
                }
                None => metrics.changed().await,
            };
            if changed.is_err() {
                // Raft is gone without a word: it panicked, or this session is over.
                alarm.raise(LogFailure::Disk("raft ended".into()));
                return;
            }
        }
    });
}

fn lead(now: &RaftMetrics<types::Types>) -> Lead {
    if now.state != ServerState::Leader {
        return Lead::No;
    }
    if now.membership_config.voter_ids().eq([now.id]) {
        return Lead::Alone;
    }
    let acked = now.last_quorum_acked;
    acked.map_or(Lead::No, |acked| Lead::Until(acked.into_inner() + timing::LEASE_PERIOD))
}
