//! When this manager last heard of a leader.
//!
//! Raft goes on naming the last leader it followed: a manager that is cut off does not raise its
//! term, so nothing tells its raft that the leader is out of reach. People and agents must be told.

use super::{runtime, timing};
use openraft::{
    AsyncRuntime,
    async_runtime::{Instant, WatchReceiver, WatchSender},
};
use std::time::Duration;

type Heard = Option<runtime::RaftInstant>;
type WatchKind = <runtime::TaskRuntime as AsyncRuntime>::Watch;

/// A message is noted only if so much time has passed since the one that was noted last: whoever
/// watches is not woken by each of them.
const CONTACT_GRAIN: Duration = Duration::from_millis(100);

/// Where the messages of leaders are noted.
pub(super) struct LeaderContact(<WatchKind as openraft::async_runtime::Watch>::Sender<Heard>);

/// Sees when they come.
pub(super) struct ContactWatch(<WatchKind as openraft::async_runtime::Watch>::Receiver<Heard>);

/// Nothing was heard yet.
pub(super) fn channel() -> (LeaderContact, ContactWatch) {
    let (sender, receiver) = <WatchKind as openraft::async_runtime::Watch>::channel(None);
    (LeaderContact(sender), ContactWatch(receiver))
}

impl LeaderContact {
    /// A leader has spoken.
    pub(super) fn note(&self) {
        let now = runtime::RaftInstant::now();
        self.0.send_if_modified(|heard| {
            let is_news = heard.is_none_or(|heard| heard + CONTACT_GRAIN <= now);
            if is_news {
                *heard = Some(now);
            }
            is_news
        });
    }
}

impl ContactWatch {
    /// Until when the leader counts as being there, if it is silent from now on.
    pub(super) fn counts_until(&self) -> Heard {
        (*self.0.borrow_watched()).map(|heard| heard + timing::LEADER_SILENCE_MAX)
    }

    /// Waits until more is heard. For ever where nothing can be heard any more.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
