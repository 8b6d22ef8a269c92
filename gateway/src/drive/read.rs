//! Reading the newest committed view, whether or not the log confirms that it is the newest.
//!
//! A manager whose log does not work still has everything that was committed. Its answers are late
//! at most, and they say so; an error would tell people less, at the moment when they need to look.

use super::{
    Drive, LeaderIndex, NO_LEADER, Published, shell::DriveState, unconfirmed::CONFIRM_READ_NS_MAX,
};
use crate::sessions::LeaderWord;
use skep_log::BarrierError;
use skep_projections::View;
use skep_proto::Position;
use skep_proto::v1::StaleRead;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// A committed view, and what has to be said of it.
#[derive(Clone)]
pub struct ReadView {
    /// The cluster.
    pub view: View,
    /// Why newer records may be missing; none where the log confirmed that there are none.
    pub stale: Option<StaleRead>,
}

/// A read on the list of those that wait. It leaves the list when this is dropped.
struct WaitingRead {
    state: Arc<DriveState>,
    number: u64,
}

impl Drop for WaitingRead {
    fn drop(&mut self) {
        self.state.reads().end(self.number);
    }
}

impl Drive {
    /// The committed view, at least as new as when this was called, confirmed by a quorum. Where
    /// the log of this manager does not work, or nobody confirms in time, it is what was committed
    /// before, with a note that says so.
    pub async fn read(&self) -> ReadView {
        let number = self.state.reads().begin(self.clock().uptime());
        let Some(number) = number else { return self.stale(SILENT.into()) };
        let waiting = WaitingRead { state: self.state.clone(), number };
        let mut confirmed = Box::pin(self.clone().confirm());
        match timeout(Duration::from_nanos(CONFIRM_READ_NS_MAX), &mut confirmed).await {
            Ok(Ok(published)) => ReadView { view: published.view.clone(), stale: None },
            Ok(Err(why)) => self.stale(why),
            Err(_) => {
                let why = if self.is_leaderless() { NO_LEADER } else { SILENT };
                // The log is silent for as long as it does not answer this one.
                tokio::spawn(async move {
                    drop(confirmed.await);
                    drop(waiting);
                });
                self.stale(why.into())
            }
        }
    }

    /// Waits until all that was committed anywhere before this call is in the published view.
    async fn confirm(self) -> Result<Arc<Published>, String> {
        let position = self.read_index().await?;
        let mut published = self.state.published();
        let seen = published.wait_for(|newest| newest.view.position() >= position).await;
        seen.map(|newest| newest.clone()).map_err(|_| "the manager is stopping".into())
    }

    /// Up to where history was committed when this was called: as this manager's log says, or where
    /// it does not lead, as the one says that does.
    async fn read_index(&self) -> Result<Position, String> {
        match self.log.barrier().await {
            Ok(position) => Ok(position),
            Err(BarrierError::Failed(why)) => Err(why),
            Err(BarrierError::NotLeader) => match self.state.leader_link() {
                Some(link) => {
                    let LeaderIndex { position, at } = link.read_index().await?;
                    self.state.step(|core, now| core.handle_leader_time(at, now));
                    Ok(position)
                }
                None => Err(NO_LEADER.into()),
            },
        }
    }

    /// Whether a leader that a majority follows answers. A manager that knows no other waits for
    /// its own log, which no agent can change anything about.
    pub async fn leader_word(&self) -> LeaderWord {
        let is_alone = self.newest().view.managers().count() <= 1;
        if is_alone || self.log.leadership().borrow().leader {
            return LeaderWord::Heard;
        }
        let Some(link) = self.state.leader_link() else { return LeaderWord::Missing };
        link.read_index().await.map_or(LeaderWord::Missing, |_| LeaderWord::Heard)
    }

    fn stale(&self, why: String) -> ReadView {
        let view = self.newest().view.clone();
        let revision = view.position().revision.0;
        let stale = StaleRead { revision, why, for_ns: self.silence_ns() };
        ReadView { view, stale: Some(stale) }
    }

    /// For how long the log has not worked or not answered, in nanoseconds; 0 while it does.
    fn silence_ns(&self) -> u64 {
        let without_lead = self.state.step(|core, now| core.obstructed_ns(now));
        self.unconfirmed_ns().max(self.unconfirmed_read_ns()).max(without_lead)
    }

    /// How long the oldest read has waited for the log, in nanoseconds; 0 when none waits.
    pub fn unconfirmed_read_ns(&self) -> u64 {
        self.state.reads().oldest_ns(self.clock().uptime())
    }
}

/// Why a read is stale where the log says nothing at all.
const SILENT: &str = "the log does not answer";
