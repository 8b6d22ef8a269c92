//! Reading what happened: of a live log, or of a stopped manager's folder, which is not changed by
//! a byte.
//!
//! All of it blocks on the disk for as long as a page takes: from async code, call it where
//! blocking is allowed. A live log's history grows while it is read; what was read stays true.

use crate::{
    Entry,
    chain::Hash,
    disk::{
        entries,
        index::{Indexed, named_snapshots},
        keys::{self, RevisionRow, meta},
        snapshot::Snapshots,
        store::{Page, ScanOrder, Span, StoreError, StoreTable},
        store_handle::StoreHandle,
    },
};
use skep_proto::{Id, Position, Revision, Timestamp};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

pub(crate) mod applier;
mod objects;
mod offline;
mod pages;
mod ring;
mod status;
mod subscribe;
mod unindexed;

pub use objects::{AuditIndex, Revisions};
pub use offline::OpenHistoryError;
pub use pages::Entries;
pub(crate) use ring::Ring;
pub use status::{Health, Leadership, Status};
pub(crate) use status::{RaftRole, StatusCell};
pub use subscribe::{SubscribeError, Subscription};
pub(crate) use unindexed::Unindexed;

/// The read side. Handles are cheap.
#[derive(Clone)]
pub struct HistoryReader {
    source: Arc<HistorySource>,
}

pub(crate) struct HistorySource {
    pub(crate) store: Arc<StoreHandle>,
    pub(crate) unindexed: Arc<Unindexed>,
    pub(crate) snapshots: Snapshots,
    pub(crate) status: watch::Receiver<Status>,
}

/// Why history can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The disk or the file system said no.
    #[error("history can't be read: {0}")]
    Store(String),
    /// Bytes are not what was written.
    #[error("history is damaged: {0}")]
    Damaged(String),
    /// This manager was behind and was brought a snapshot in place of these entries.
    #[error(
        "revisions {from} to {until} are not in this manager's log: it was brought a snapshot instead"
    )]
    NotHere {
        /// The first one that is missing.
        from: Revision,
        /// The last one.
        until: Revision,
    },
    /// There is an index row and no entry, or the other way round.
    #[error("revision {revision} is missing from the log")]
    Missing {
        /// What was looked for.
        revision: Revision,
    },
}

impl ReadError {
    /// What to do about it, where that does not follow from the message.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ReadError::Store(_) => None,
            ReadError::NotHere { .. } => Some("ask another manager, which may have them"),
            ReadError::Damaged(_) | ReadError::Missing { .. } => {
                Some("stop the daemon and run `skep verify`")
            }
        }
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> ReadError {
        match error {
            StoreError::Damaged(message) => ReadError::Damaged(message),
            StoreError::Locked(message)
            | StoreError::Absent(message)
            | StoreError::Failed(message)
            | StoreError::KeyMissing(message) => ReadError::Store(message),
        }
    }
}

impl From<keys::Malformed> for ReadError {
    fn from(error: keys::Malformed) -> ReadError {
        ReadError::Damaged(error.to_string())
    }
}

impl HistoryReader {
    pub(crate) fn new(source: HistorySource) -> HistoryReader {
        HistoryReader { source: Arc::new(source) }
    }

    /// Where history stands now. The store is not read.
    pub fn newest(&self) -> Position {
        self.source.status.borrow().applied
    }

    /// The oldest revision kept, where history stands now, and the hash of its newest entry. An
    /// empty history begins at revision 1 and stands at 0.
    pub fn bounds(&self) -> (Revision, Position, Hash) {
        let Status { applied, head, .. } = self.source.status.borrow().clone();
        // A store that can't be read says so where it is read.
        let first = self.first().ok().flatten().unwrap_or(applied.revision.next());
        (first, applied, head)
    }

    /// Where the oldest entry that is here begins.
    fn first(&self) -> Result<Option<Revision>, ReadError> {
        let waiting = self.source.unindexed.first();
        let span = Span::since(keys::revision_key(Revision::ZERO));
        let page = Page { rows: 1, bytes: usize::MAX };
        let rows = self.source.store.scan(StoreTable::Revisions, &span, ScanOrder::Up, page)?;
        let stored =
            rows.first().map(|(key, value)| keys::read_revision(key, value)).transpose()?;
        Ok(stored.map(|row| row.first).or(waiting))
    }

    /// The entry that holds a revision; none where there is no such revision.
    pub fn entry_at(&self, revision: Revision) -> Result<Option<Arc<Entry>>, ReadError> {
        let newest = self.source.status.borrow().applied.revision;
        let found = self.find(revision)?;
        if found.is_none() && (Revision(1)..=newest).contains(&revision) {
            return Err(ReadError::NotHere { from: revision, until: revision });
        }
        Ok(found)
    }

    fn find(&self, revision: Revision) -> Result<Option<Arc<Entry>>, ReadError> {
        if let Some(waiting) = self.source.unindexed.holding(revision) {
            return Ok(Some(waiting.entry));
        }
        let Some(row) = self.row(revision)? else { return Ok(None) };
        let entry = self.load(row.index)?.ok_or(ReadError::Missing { revision })?;
        Ok((entry.last() >= revision).then_some(entry))
    }

    /// The newest record whose time is at most `time`; 0 where all are later.
    pub fn revision_at(&self, time: Timestamp) -> Result<Revision, ReadError> {
        let (first, last, _) = self.bounds();
        // Times never go back: by halves. `low` is known to be early enough, `high` to be too late.
        let (mut low, mut high) = (first.0.saturating_sub(1), last.revision.0 + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let at = match self.source.unindexed.holding(Revision(middle)) {
                Some(waiting) => waiting.entry.at(),
                None => {
                    self.row(Revision(middle))?
                        .ok_or(ReadError::Missing { revision: Revision(middle) })?
                        .at
                }
            };
            if at <= time { low = middle } else { high = middle }
        }
        Ok(Revision(low))
    }

    /// The nearest snapshot at or below a revision: where it stands, the chain's head there, and
    /// the view's bytes. A damaged one is passed over, as if it had never been taken.
    pub fn snapshot_at(
        &self,
        revision: Revision,
    ) -> Result<Option<(Position, Hash, Vec<u8>)>, ReadError> {
        for snapshot in self.snapshots(revision)? {
            match self.source.snapshots.read(&snapshot) {
                Ok(view) => {
                    let head = Hash::from_bytes(&snapshot.head).unwrap_or(Hash::ZERO);
                    return Ok(Some((snapshot.position(), head, view)));
                }
                Err(error) => tracing::warn!(%error, "a snapshot is passed over"),
            }
        }
        Ok(None)
    }

    /// What is known of the snapshots at or below a revision, newest first.
    pub(crate) fn snapshots(&self, revision: Revision) -> Result<Vec<meta::Snapshot>, ReadError> {
        Ok(named_snapshots(&self.source.store, revision)?)
    }

    /// The index row of the entry that begins at or before a revision.
    fn row(&self, revision: Revision) -> Result<Option<RevisionRow>, ReadError> {
        let end = keys::revision_key(revision.next());
        let row = self.source.store.last(StoreTable::Revisions, Some(&end))?;
        Ok(row.map(|(key, value)| keys::read_revision(&key, &value)).transpose()?)
    }

    fn load(&self, index: u64) -> Result<Option<Arc<Entry>>, ReadError> {
        match self.source.store.get(StoreTable::Entries, &keys::entry_key(index))? {
            Some(value) => Ok(entries::open(index, &value)?),
            None => Ok(None),
        }
    }
}

/// Where an entry lies, by its first revision; the entry too where it is here already.
type HistoryRow = (Revision, (u64, Option<Arc<Entry>>));

/// Rows in the order of history.
type HistoryRows = BTreeMap<Revision, (u64, Option<Arc<Entry>>)>;

fn row_of(indexed: Indexed) -> HistoryRow {
    (indexed.entry.first(), (indexed.index, Some(indexed.entry)))
}

/// Keys of an object's revisions.
fn object_span(object: Id, from: Revision, to: Revision) -> Span {
    let end = match to.0.checked_add(1) {
        Some(next) => keys::object_key(object, Revision(next)).to_vec(),
        None => [&object.0.to_be_bytes()[..], &[0xff; 9]].concat(),
    };
    Span::new(keys::object_key(object, from), end)
}
