//! What is written together: rows are gathered, committed with one sync, and the head file says how
//! far that was.
//!
//! The thread that writes for raft and the log that one thread drives use the same functions.

use super::{
    head, index,
    keys::{self, meta},
    store, store_handle,
};
use prost::Message;
use skep_proto::Position;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Counts since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Group commits that were synced.
    pub syncs: u64,
    /// Raft entries in them.
    pub entries: u64,
}

/// The same, as they are counted.
#[derive(Default)]
pub(crate) struct Counts {
    syncs: AtomicU64,
    entries: AtomicU64,
}

impl Counts {
    pub(crate) fn read(&self) -> Counters {
        Counters { syncs: self.syncs.load(Relaxed), entries: self.entries.load(Relaxed) }
    }
}

/// Rows that are put together. The buffer is used again after each commit.
#[derive(Default)]
pub(crate) struct Rows {
    batch: store::Batch,
    synced: bool,
    entries: u64,
    last: Option<meta::StoredLogId>,
    position: Option<Position>,
    /// Set where the head file could not be lowered: the rows must not be written then.
    refused: Option<String>,
}

impl Rows {
    /// An entry of raft's log; `position` where it is one of the chain.
    pub(crate) fn entry(
        &mut self,
        log_id: meta::StoredLogId,
        body: keys::StoredBody,
        position: Option<Position>,
    ) {
        let stored = keys::StoredEntry { term: log_id.term, body };
        let (prefix, packed) = keys::entry_value(&stored);
        let body: &[u8] = match (&packed, &stored.body) {
            (Some(packed), _) => packed,
            (None, keys::StoredBody::Blank) => &[],
            (None, keys::StoredBody::Membership(bytes) | keys::StoredBody::Entry(bytes)) => bytes,
        };
        self.batch.put(
            store::StoreTable::Entries,
            &keys::entry_key(log_id.index),
            &[&prefix, body],
        );
        self.last = Some(log_id);
        self.position = position.or(self.position);
        self.entries += 1;
        self.synced = true;
    }

    /// Whom this manager chose. It is durable before it counts.
    pub(crate) fn vote(&mut self, vote: &meta::StoredVote) {
        self.batch.put(store::StoreTable::Meta, keys::VOTE, &[&vote.encode_to_vec()]);
        self.synced = true;
    }

    /// Raft sees nothing up to there from now on; nothing is deleted.
    pub(crate) fn purge(&mut self, purged: meta::StoredLogId) {
        self.batch.put(store::StoreTable::Meta, keys::PURGED, &[&purged.encode_to_vec()]);
    }

    /// Other changes.
    pub(crate) fn change(&mut self, batch: &store::Batch) {
        self.batch.append(batch);
        self.synced = true;
    }

    /// Index rows of entries that were applied. Nobody waits for them.
    pub(crate) fn index(&mut self, entries: &[index::Indexed]) -> Result<(), store::StoreError> {
        entries.iter().try_for_each(|indexed| index::put_rows(&mut self.batch, indexed))
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.batch.bytes()
    }

    fn clear(&mut self) {
        self.batch.clear();
        *self = Rows { batch: std::mem::take(&mut self.batch), ..Rows::default() };
    }
}

/// Writes rows, and then how far the log is durable.
pub(crate) struct Appender {
    pub(crate) store: Arc<store_handle::StoreHandle>,
    pub(crate) head: head::HeadFile,
    pub(crate) counts: Arc<Counts>,
}

impl Appender {
    /// The log ends before this index from now on. The head file says so before it is so.
    pub(crate) fn truncate(&mut self, rows: &mut Rows, next_index: u64) {
        let mark = self.head.mark();
        if next_index < mark.next_index
            && let Err(error) = self.head.lower(head::HeadMark { next_index, ..mark })
        {
            rows.refused = Some(format!("the head file can't be lowered: {error}"));
        }
        let (from, to) = (keys::entry_key(next_index), keys::entry_key(u64::MAX));
        rows.batch.delete_span(store::StoreTable::Entries, &from, &to);
        rows.last = None;
    }

    /// Writes all rows, or none; says where the log ends now, if it grew. The rows are gone
    /// afterwards.
    pub(crate) fn commit(
        &mut self,
        rows: &mut Rows,
    ) -> Result<Option<meta::StoredLogId>, store::StoreError> {
        let committed = self.write(rows);
        rows.clear();
        committed
    }

    /// Writes all rows, or none, and does not wait until they are durable.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn commit_unsynced(&mut self, rows: &mut Rows) -> Result<(), store::StoreError> {
        let committed = self.store.commit(&rows.batch, store::Durability::Later);
        self.counts.entries.fetch_add(rows.entries, Relaxed);
        rows.clear();
        committed
    }

    /// Writes the rows, and makes them durable with all that was written before; the log is durable
    /// up to `last` then.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn sync(
        &mut self,
        rows: &mut Rows,
        last: meta::StoredLogId,
        position: Option<Position>,
    ) -> Result<(), store::StoreError> {
        let committed = self.store.commit(&rows.batch, store::Durability::Synced);
        rows.clear();
        committed?;
        self.counts.syncs.fetch_add(1, Relaxed);
        self.mark(last, position);
        Ok(())
    }

    fn write(&mut self, rows: &Rows) -> Result<Option<meta::StoredLogId>, store::StoreError> {
        if let Some(refused) = &rows.refused {
            return Err(store::StoreError::Failed(refused.clone()));
        }
        if rows.batch.is_empty() {
            return Ok(None);
        }
        let durability =
            if rows.synced { store::Durability::Synced } else { store::Durability::Later };
        self.store.commit(&rows.batch, durability)?;
        self.counts.syncs.fetch_add(u64::from(rows.synced), Relaxed);
        self.counts.entries.fetch_add(rows.entries, Relaxed);
        if let Some(last) = rows.last {
            self.mark(last, rows.position);
        }
        Ok(rows.last)
    }

    fn mark(&mut self, last: meta::StoredLogId, position: Option<Position>) {
        let before = self.head.mark();
        let (revision, incarnation) = match position {
            Some(position) => (position.revision, position.incarnation),
            None => (before.revision, before.incarnation),
        };
        let marked: io::Result<()> =
            self.head.write(head::HeadMark { next_index: last.index + 1, revision, incarnation });
        if let Err(error) = marked {
            // It only lags then.
            tracing::warn!(%error, "the head file could not be written");
        }
    }
}
