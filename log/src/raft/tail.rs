//! The newest entries in memory, and what raft must know at once: vote, last and purged log id.
//!
//! Raft reads back what it has just appended, to send it and to apply it. From here that costs a
//! pointer. An entry may only leave once it is in the store; what is older is read from there.

use super::types::{LogId, RaftEntry, Vote};
use openraft::EntryPayload;
use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Bytes kept in memory. Above it, entries that are in the store leave, the oldest first.
const TAIL_BYTES_MAX: usize = 32 << 20;
/// What an entry takes beside its bytes, about.
const TAIL_ENTRY_OVERHEAD_BYTES: usize = 128;

/// The tail, as raft's tasks and the writer share it.
pub(crate) struct SharedTail {
    tail: Mutex<Tail>,
    /// Rung when more of it is in the store. One task waits for that.
    written: Notify,
}

impl SharedTail {
    pub(crate) fn new(tail: Tail) -> SharedTail {
        SharedTail { tail: Mutex::new(tail), written: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of `log_id` and all before it are in the store now.
    pub(crate) fn written(&self, log_id: LogId) {
        self.lock().written(log_id);
        self.written.notify_one();
    }

    /// Waits until the entry at this index is in the store here. Where others vote, a majority may
    /// have it, and it may be committed, before this manager's own disk has it.
    pub(crate) async fn until_written(&self, index: u64) {
        while !self.lock().is_written(index) {
            self.written.notified().await;
        }
    }
}

/// What raft must know at once.
#[derive(Default, Debug)]
pub(crate) struct Tail {
    entries: VecDeque<RaftEntry>,
    bytes: usize,
    /// The first index that may not be in the store yet.
    unwritten: u64,
    pub(crate) vote: Option<Vote>,
    pub(crate) last: Option<LogId>,
    pub(crate) purged: Option<LogId>,
}

impl Tail {
    /// The state of a log that lies wholly in the store.
    pub(crate) fn new(vote: Option<Vote>, last: Option<LogId>, purged: Option<LogId>) -> Tail {
        let last = last.max(purged);
        Tail {
            unwritten: last.map_or(0, |last| last.index + 1),
            vote,
            last,
            purged,
            ..Tail::default()
        }
    }

    /// The index after the last.
    pub(crate) fn next(&self) -> u64 {
        self.last.map_or(0, |last| last.index + 1)
    }

    /// Takes entries that follow on the last. The first entry of an empty log may have any index.
    pub(crate) fn append(&mut self, entries: &[RaftEntry]) -> io::Result<()> {
        for entry in entries {
            let index = entry.log_id.index;
            if self.last.is_some() && index != self.next() {
                let message =
                    format!("raft appends index {index} where {} comes next", self.next());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            self.last = Some(entry.log_id);
            self.bytes += weight(entry);
            self.entries.push_back(entry.clone());
        }
        Ok(())
    }

    /// The entry of `log_id` and all before it are in the store now. If another entry has taken its
    /// index meanwhile, nothing is known about that one.
    pub(crate) fn written(&mut self, log_id: LogId) {
        let first = self.entries.front().map_or(u64::MAX, |entry| entry.log_id.index);
        let held = log_id.index.checked_sub(first).and_then(|at| self.entries.get(at as usize));
        if held.is_some_and(|entry| entry.log_id == log_id) {
            self.unwritten = self.unwritten.max(log_id.index + 1);
        }
        while self.bytes > TAIL_BYTES_MAX {
            match self.entries.pop_front_if(|entry| entry.log_id.index < self.unwritten) {
                Some(entry) => self.bytes -= weight(&entry),
                None => break,
            }
        }
    }

    fn is_written(&self, index: u64) -> bool {
        index < self.unwritten || self.purged.is_some_and(|purged| index <= purged.index)
    }

    /// Forgets what lies behind `last`.
    pub(crate) fn truncate(&mut self, last: Option<LogId>) {
        let next = last.map_or(0, |last| last.index + 1);
        if next >= self.next() {
            return;
        }
        while let Some(entry) = self.entries.pop_back_if(|entry| entry.log_id.index >= next) {
            self.bytes -= weight(&entry);
        }
        self.unwritten = self.unwritten.min(next);
        self.last = last.max(self.purged);
    }

    /// Hides what lies up to `purged`. What is hidden stays history; only raft does not see it any
    /// more.
    pub(crate) fn purge(&mut self, purged: LogId) {
        self.purged = self.purged.max(Some(purged));
        if self.last < self.purged {
            self.last = self.purged;
            self.entries.clear();
            self.bytes = 0;
        }
    }

    /// What raft may see of a range: the part that is only in the store, and the part that is here.
    pub(crate) fn read(&self, range: Range<u64>) -> (Range<u64>, Vec<RaftEntry>) {
        let start = range.start.max(self.purged.map_or(0, |purged| purged.index + 1));
        let end = range.end.min(self.next()).max(start);
        let first = self.entries.front().map_or(end, |entry| entry.log_id.index);
        let from = start.max(first).min(end);
        let skip = from.saturating_sub(first) as usize;
        let here = self.entries.iter().skip(skip).take((end - from) as usize).cloned().collect();
        (start..from, here)
    }
}

fn weight(entry: &RaftEntry) -> usize {
    TAIL_ENTRY_OVERHEAD_BYTES
        + match &entry.payload {
            EntryPayload::Normal(chained) => chained.0.bytes().len(),
            EntryPayload::Blank | EntryPayload::Membership(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        raft::types::{Chained, log_id},
        testing,
    };
    use std::sync::Arc;

    fn entry(index: u64) -> RaftEntry {
        RaftEntry { log_id: log_id(1, index), payload: EntryPayload::Blank }
    }

    fn read(tail: &Tail, range: Range<u64>) -> (Range<u64>, Vec<u64>) {
        let (older, here) = tail.read(range);
        (older, here.iter().map(|entry| entry.log_id.index).collect())
    }

    #[test]
    fn a_range_is_split_between_store_and_memory() {
        let mut tail = Tail::new(None, Some(log_id(1, 4)), None);
        tail.append(&[entry(5), entry(6), entry(7)]).unwrap();
        assert_eq!(read(&tail, 0..100), (0..5, vec![5, 6, 7]));
        assert_eq!(read(&tail, 6..7), (6..6, vec![6]));
        assert_eq!(read(&tail, 2..4), (2..4, vec![]));
        assert_eq!(read(&tail, 9..12).1, Vec::<u64>::new());
        tail.purge(log_id(1, 5));
        assert_eq!(read(&tail, 0..100), (6..6, vec![6, 7]));
    }

    #[test]
    fn what_is_cut_off_is_gone_and_replaced() {
        let mut tail = Tail::new(None, Some(log_id(1, 2)), None);
        tail.append(&[entry(3), entry(4)]).unwrap();
        tail.truncate(Some(log_id(1, 1)));
        assert_eq!(read(&tail, 0..100), (0..2, vec![]));
        assert!(tail.append(&[entry(5)]).is_err(), "a hole");
        tail.append(&[entry(2)]).unwrap();
        assert_eq!(read(&tail, 0..100), (0..2, vec![2]));
    }

    #[test]
    fn only_what_is_in_the_store_leaves_memory() {
        let mut tail = Tail::default();
        let big = Arc::new(crate::Entry::from(testing::sealed_of_bytes(1 << 20)));
        for index in 0..50 {
            let payload = EntryPayload::Normal(Chained(big.clone()));
            tail.append(&[RaftEntry { log_id: log_id(1, index), payload }]).unwrap();
        }
        assert_eq!(read(&tail, 0..50).0, 0..0);
        tail.written(log_id(1, 9));
        assert_eq!(read(&tail, 0..50).0, 0..10);
        tail.written(log_id(0, 49));
        assert_eq!(read(&tail, 0..50).0, 0..10, "of another term");
        tail.written(log_id(1, 49));
        let (older, here) = read(&tail, 0..50);
        assert!(here.len() < 33 && older.end + here.len() as u64 == 50);
    }
}
