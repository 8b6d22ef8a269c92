//! Entries that are history already, but whose index rows are not in the store yet.
//!
//! Index rows can be rebuilt from the log, so nobody waits for them: they ride along with the next
//! group commit. Readers look here first and in the store afterwards, and so never miss an entry
//! that moves from one to the other.

use crate::{
    Entry,
    disk::{
        appender::{Appender, Rows},
        index::Indexed,
        keys::meta,
        store::StoreError,
    },
};
use skep_proto::Revision;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Above this many entries or bytes the writer is woken for them alone.
const IDLE_ENTRIES_MAX: usize = 512;
/// The same in bytes.
const IDLE_BYTES_MAX: usize = 2 << 20;

/// Those entries. In order of revisions, without gaps.
#[derive(Default)]
pub(crate) struct Unindexed {
    waiting: Mutex<UnindexedEntries>,
}

#[derive(Default)]
struct UnindexedEntries {
    entries: VecDeque<Indexed>,
    bytes: usize,
}

impl Unindexed {
    /// Takes the next entry; says whether the writer should be woken for what has gathered.
    pub(crate) fn push(&self, index: u64, entry: Arc<Entry>) -> bool {
        let mut waiting = self.waiting();
        let few = waiting.is_few();
        waiting.bytes += entry.bytes().len();
        waiting.entries.push_back(Indexed { index, entry });
        // Once, when the line is crossed: the writer takes all there is.
        few && !waiting.is_few()
    }

    /// All that waits now, oldest first.
    pub(crate) fn all(&self) -> Vec<Indexed> {
        self.waiting().entries.iter().cloned().collect()
    }

    /// Where the oldest that waits begins.
    pub(crate) fn first(&self) -> Option<Revision> {
        self.waiting().entries.front().map(|indexed| indexed.entry.first())
    }

    /// The oldest `count` are in the store.
    pub(crate) fn stored(&self, count: usize) {
        let mut waiting = self.waiting();
        let freed: usize =
            waiting.entries.drain(..count).map(|indexed| indexed.entry.bytes().len()).sum();
        waiting.bytes -= freed;
    }

    /// Writes the rows, and with them the index rows of all that waits. So whatever is written
    /// names nothing as history whose index rows could still be lost: a snapshot, above all.
    pub(crate) fn commit_with(
        &self,
        appender: &mut Appender,
        rows: &mut Rows,
    ) -> Result<Option<meta::StoredLogId>, StoreError> {
        let waiting = self.all();
        rows.index(&waiting)?;
        let last = appender.commit(rows)?;
        self.stored(waiting.len());
        Ok(last)
    }

    /// The entry that holds a revision.
    pub(crate) fn holding(&self, revision: Revision) -> Option<Indexed> {
        let waiting = self.waiting();
        let after = waiting.entries.partition_point(|indexed| indexed.entry.first() <= revision);
        let found = waiting.entries.get(after.checked_sub(1)?)?;
        (found.entry.last() >= revision).then(|| found.clone())
    }

    fn waiting(&self) -> MutexGuard<'_, UnindexedEntries> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnindexedEntries {
    fn is_few(&self) -> bool {
        self.entries.len() < IDLE_ENTRIES_MAX && self.bytes < IDLE_BYTES_MAX
    }
}
