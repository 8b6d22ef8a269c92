//! When this manager last heard of a leader.
//!
//! Raft goes on naming the last leader it followed: a manager that is cut off does not raise its
//! term, so nothing tells its raft that the leader is out of reach. People and agents must be told.

use super::{
    runtime::{RaftInstant, RaftWatch, WatchReceiver, WatchSender},
    timing,
};
use openraft::async_runtime::{
    Instant,
    watch::{Watch, WatchReceiver as _, WatchSender as _},
};
use std::time::Duration;

type Heard = Option<RaftInstant>;

/// A message is noted only if so much time has passed since the one that was noted last: whoever
/// watches is not woken by each of them.
const CONTACT_PERIOD_MIN: Duration = Duration::from_millis(100);

/// Where the messages of leaders are noted.
pub(super) struct LeaderContact(WatchSender<Heard>);

/// Sees when they come.
pub(super) struct ContactWatch(WatchReceiver<Heard>);

/// Nothing was heard yet.
pub(super) fn channel() -> (LeaderContact, ContactWatch) {
    let (sender, receiver) = RaftWatch::channel(None);
    (LeaderContact(sender), ContactWatch(receiver))
}

impl LeaderContact {
    /// A leader has spoken.
    pub(super) fn note(&self) {
        let now = RaftInstant::now();
        self.0.send_if_modified(|heard| {
            let is_news = heard.is_none_or(|heard| heard + CONTACT_PERIOD_MIN <= now);
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
