//! Following history: first what there is, then what comes.

use super::{
    HistoryReader, ReadError,
    ring::{Ring, RingRead},
};
use crate::Entry;
use skep_proto::Revision;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::watch;

/// Entries taken at once, from memory or from the store. All that a slow follower holds.
const FOLLOWER_ENTRIES_MAX: usize = 128;

/// A follower's place in history. Dropping it ends it; nobody else notices.
pub struct Subscription {
    next: Revision,
    batch: VecDeque<Arc<Entry>>,
    ring: Arc<Ring>,
    newest: watch::Receiver<Revision>,
    history: HistoryReader,
}

/// Why nothing more comes.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The log was closed.
    #[error("the log was closed; follow again once the daemon runs")]
    Closed,
    /// It is not kept any more, or never was here.
    #[error("revision {wanted} is not in this manager's log; the next one there is {oldest}")]
    Trimmed {
        /// What the follower wanted next.
        wanted: Revision,
        /// What there is.
        oldest: Revision,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Subscription {
    pub(crate) fn new(from: Revision, ring: Arc<Ring>, history: HistoryReader) -> Subscription {
        let newest = ring.watch();
        Subscription { next: from.max(Revision(1)), batch: VecDeque::new(), ring, newest, history }
    }

    /// The next entry: first the one that holds the revision asked for, then each that follows it.
    /// Waits for one. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Arc<Entry>, SubscribeError> {
        loop {
            if let Some(entry) = self.batch.pop_front() {
                self.next = entry.last().next();
                return Ok(entry);
            }
            self.newest.borrow_and_update();
            match self.ring.take(self.next, FOLLOWER_ENTRIES_MAX) {
                RingRead::Entries(entries) => self.batch = entries.into(),
                RingRead::Gone => self.batch = self.stored().await?.into(),
                RingRead::Closed => return Err(SubscribeError::Closed),
                RingRead::Ahead => {
                    self.newest.changed().await.map_err(|_| SubscribeError::Closed)?
                }
            }
        }
    }

    /// The revision that is wanted next.
    pub fn position(&self) -> Revision {
        self.next
    }

    async fn stored(&self) -> Result<Vec<Arc<Entry>>, SubscribeError> {
        let (history, from) = (self.history.clone(), self.next);
        let page = tokio::task::spawn_blocking(move || history.page_up(from, FOLLOWER_ENTRIES_MAX));
        match page.await.map_err(|_| SubscribeError::Closed)? {
            Ok(page) if page.is_empty() => Err(ReadError::Missing { revision: from }.into()),
            Ok(page) => Ok(page),
            Err(ReadError::NotHere { until, .. }) => {
                Err(SubscribeError::Trimmed { wanted: from, oldest: until.next() })
            }
            Err(error) => Err(error.into()),
        }
    }
}
