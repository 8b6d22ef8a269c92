//! What raft's own metrics say, told on: elections to the status, being alone to the store, and
//! raft's end to the alarm.
//!
//! A leader that no majority has answered for one lease may have been replaced: it leads no more,
//! as far as anybody here is told, until a majority answers again. Nothing happens in raft at that
//! moment, so a timer runs for it. Another manager that leads counts as being there as long as it
//! is heard of.

use super::{alarm::Alarm, contact::ContactWatch, machine::Raft, runtime, tasks, timing, types};
use crate::{FailureCause, LogFailure, history};
use openraft::{
    AsyncRuntime, RaftMetrics, ServerState,
    async_runtime::{Instant, WatchReceiver as _, watch::RecvError},
    errors::Fatal,
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
    (status, alarm, alone): (Arc<history::StatusCell>, Arc<Alarm>, Arc<AtomicBool>),
    raft: &Raft,
    mut contact: ContactWatch,
) {
    let mut metrics = raft.metrics();
    tasks::spawn(async move {
        loop {
            let seen = look(&metrics.borrow_watched(), contact.counts_until());
            alone.store(seen.is_sole, Relaxed);
            let is_running = seen.running.is_ok();
            let leads = is_running && seen.leads;
            let role = if leads { history::RaftRole::Leader } else { history::RaftRole::Follower };
            status.elected(seen.term, role);
            status.follows(seen.leader);
            if let Err(error) = seen.running {
                if !matches!(error, Fatal::Stopped) {
                    let failure = match error {
                        Fatal::Panicked => LogFailure::Panicked,
                        Fatal::StorageError(_) | Fatal::Stopped => LogFailure::Disk,
                    };
                    alarm.raise(failure(FailureCause::of(error)));
                }
                return;
            }
            let changed = next_news(&mut metrics, &mut contact);
            let changed = match seen.until {
                // The time was up: the loop looks again.
                Some(end) => runtime::TaskRuntime::timeout_at(end, changed).await.unwrap_or(Ok(())),
                None => changed.await,
            };
            if changed.is_err() {
                // Raft is gone without a word: it panicked, or this session is over.
                alarm.raise(LogFailure::Panicked("raft ended".into()));
                return;
            }
        }
    });
}

/// What is seen in one look.
struct RaftLook {
    term: u64,
    /// Whether this manager leads.
    leads: bool,
    /// Whether no other manager is known.
    is_sole: bool,
    /// The leader that can be counted on.
    leader: Option<u64>,
    /// When it no longer can be, if nothing is heard.
    until: Option<runtime::RaftInstant>,
    running: Result<(), Fatal<types::Types>>,
}

/// `heard_until` says until when another leader counts as being there.
fn look(now: &RaftMetrics<types::Types>, heard_until: Option<runtime::RaftInstant>) -> RaftLook {
    let lead = lead(now);
    // One that has just joined knows an old membership of somebody else alone.
    let is_sole = now.membership_config.nodes().map(|(raft_id, _)| *raft_id).eq([now.id]);
    let follows = now.current_leader.filter(|leader| *leader != now.id);
    let until = match lead {
        Lead::Until(end) => Some(end),
        Lead::No if follows.is_some() => heard_until,
        Lead::Alone | Lead::No => None,
    };
    let until = until.filter(|end| *end > runtime::RaftInstant::now());
    let is_there = lead == Lead::Alone || until.is_some();
    let leader = now.current_leader.filter(|_| is_there);
    let (term, running) = (now.current_term, now.running_state.clone());
    RaftLook { term, leads: lead != Lead::No && is_there, is_sole, leader, until, running }
}

async fn next_news(
    metrics: &mut runtime::WatchReceiver<RaftMetrics<types::Types>>,
    contact: &mut ContactWatch,
) -> Result<(), RecvError> {
    tokio::select! {
        biased;
        changed = metrics.changed() => changed,
        () = contact.changed() => Ok(()),
    }
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
