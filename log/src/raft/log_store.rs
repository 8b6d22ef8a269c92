//! Raft's log on our store: appends go to the writer, reads come from memory or the store, purging
//! moves a pointer.
//!
//! Vote and entries share one queue and so one order, as raft demands. What is appended is readable
//! at once, from the tail; the writer reports to raft that it is durable, after the sync.

use super::{alarm::Alarm, codec, tail, tasks, types, writer};
use crate::{disk, failure::LogFailure};
use futures::{Stream, StreamExt, stream};
use openraft::{LogState, OptionalSend, RaftLogReader, storage};
use prost::Message;
use std::{
    fmt::Debug,
    io,
    ops::{Bound, Range, RangeBounds},
    sync::{Arc, MutexGuard, atomic},
};

/// Up to so many entries the thread that runs raft's tasks writes itself when the writer is idle
/// and there is no other manager that it would keep waiting. With more, it should go on gathering
/// while the writer syncs.
const INLINE_ENTRIES_MAX: usize = 4;

/// One log; handles are cheap.
#[derive(Clone)]
pub(crate) struct LogStore {
    store: Arc<disk::store_handle::StoreHandle>,
    tail: Arc<tail::SharedTail>,
    queue: writer::Queue,
    alarm: Arc<Alarm>,
    /// Whether this manager is the only one.
    alone: Arc<atomic::AtomicBool>,
    /// Up to where an earlier session is known to have applied.
    applied_before: Option<types::LogId>,
}

/// Where a log stands, read from its store.
pub(crate) fn load_tail(
    store: &disk::store_handle::StoreHandle,
) -> Result<tail::Tail, disk::store::StoreError> {
    let damaged = |what: &str, error: prost::DecodeError| {
        disk::store::StoreError::Damaged(format!("{what} does not decode: {error}"))
    };
    let vote = store
        .get(disk::store::StoreTable::Meta, disk::keys::VOTE)?
        .map(disk::keys::meta::StoredVote::decode)
        .transpose();
    let vote = vote.map_err(|error| damaged("the stored vote", error))?;
    let purged = store
        .get(disk::store::StoreTable::Meta, disk::keys::PURGED)?
        .map(disk::keys::meta::StoredLogId::decode)
        .transpose();
    let purged = purged.map_err(|error| damaged("the purge pointer", error))?;
    let last = disk::entries::last(store)?.as_ref().map(codec::load_log_id);
    Ok(tail::Tail::new(
        vote.as_ref().map(codec::load_vote),
        last,
        purged.as_ref().map(codec::load_log_id),
    ))
}

impl LogStore {
    pub(crate) fn new(
        store: Arc<disk::store_handle::StoreHandle>,
        tail: Arc<tail::SharedTail>,
        queue: writer::Queue,
        alarm: Arc<Alarm>,
    ) -> LogStore {
        LogStore { store, tail, queue, alarm, alone: Arc::default(), applied_before: None }
    }

    /// The same where an earlier session had applied what lies before this index. It was committed,
    /// so a manager that starts without the others knows as much of history, and where they are.
    pub(crate) fn applied_before(mut self, end: u64) -> Result<LogStore, disk::store::StoreError> {
        if let Some(last) = end.checked_sub(1) {
            let found = disk::entries::load_page(&self.store, last..end)?;
            self.applied_before = found.first().map(|entry| codec::load_log_id(&entry.log_id));
        }
        Ok(self)
    }

    /// To be set as long as this manager is the only one.
    pub(crate) fn alone(&self) -> Arc<atomic::AtomicBool> {
        self.alone.clone()
    }

    fn tail(&self) -> MutexGuard<'_, tail::Tail> {
        self.tail.lock()
    }

    /// The first entries of a range, as many as a page holds.
    fn page(&self, range: Range<u64>) -> io::Result<Vec<types::RaftEntry>> {
        let (older, here) = self.tail().read(range);
        if older.is_empty() {
            return Ok(here);
        }
        let mut found = self.stored(older.clone())?;
        // A log may begin late; and a page may end early.
        if found.last().is_none_or(|last| last.log_id.index + 1 == older.end) {
            found.extend(here);
        }
        Ok(found)
    }

    fn stored(&self, range: Range<u64>) -> io::Result<Vec<types::RaftEntry>> {
        let page = disk::entries::load_page(&self.store, range);
        let page = page.and_then(|page| page.into_iter().map(codec::load_entry).collect());
        page.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: disk::store::StoreError) -> io::Error {
        self.alarm.raise(LogFailure::from(error.clone()));
        io::Error::from(error)
    }

    /// Page after page of a range that is all there.
    fn pages(self, range: Range<u64>) -> impl Stream<Item = io::Result<types::RaftEntry>> {
        let pages = stream::try_unfold(range, move |range| {
            let page = if range.is_empty() { Ok(Vec::new()) } else { self.page(range.clone()) };
            futures::future::ready(page.and_then(|page| match (page.first(), page.last()) {
                (Some(first), Some(last)) if first.log_id.index == range.start => {
                    let next = last.log_id.index + 1..range.end;
                    Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
                }
                (None, None) if range.is_empty() => Ok(None),
                (_, _) => {
                    let missing = format!("raft index {} is missing from the log", range.start);
                    Err(self.failed(disk::store::StoreError::Damaged(missing)))
                }
            }))
        });
        pages.flat_map(|page| match page {
            Ok(entries) => entries.left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        })
    }
}

fn span(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end.max(start)
}

impl RaftLogReader<types::Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<types::RaftEntry>, io::Error> {
        let mut range = span(&range);
        let mut found = self.page(range.clone())?;
        while let Some(last) = found.last() {
            range.start = last.log_id.index + 1;
            let more = self.page(range.clone())?;
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        Ok(found)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<types::RaftEntry>, io::Error> {
        self.page(start..end)
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<types::RaftEntry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let range = span(&range);
        let (older, here) = self.tail().read(range.clone());
        // Nearly always raft asks for what it has just appended.
        if older.is_empty() && here.len() as u64 == range.end - range.start {
            stream::iter(here.into_iter().map(Ok)).left_stream()
        } else {
            let end = range.end.min(self.tail().next());
            self.clone().pages(range.start.min(end)..end).boxed().right_stream()
        }
    }

    async fn read_vote(&mut self) -> Result<Option<types::Vote>, io::Error> {
        Ok(self.tail().vote)
    }
}

impl storage::RaftLogStorage<types::Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<types::Types>, io::Error> {
        let tail = self.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn read_committed(&mut self) -> Result<Option<types::LogId>, io::Error> {
        Ok(self.applied_before)
    }

    async fn save_vote(&mut self, vote: &types::Vote) -> Result<(), io::Error> {
        self.queue.ask(|done| writer::Work::Vote { vote: codec::store_vote(vote), done }).await?;
        self.tail().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: storage::IOFlushed<types::Types>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = types::RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<types::RaftEntry> = entries.into_iter().collect();
        let few = entries.len() <= INLINE_ENTRIES_MAX;
        self.tail().append(&entries)?;
        let work = writer::Work::Append { entries, flushed };
        let alone = self.alone.load(atomic::Ordering::Relaxed);
        if few && alone && tasks::may_write_here() {
            self.queue.write(work)
        } else {
            self.queue.push(work)
        }
    }

    async fn truncate_after(&mut self, last: Option<types::LogId>) -> Result<(), io::Error> {
        self.tail().truncate(last);
        self.queue
            .push(writer::Work::Truncate { next_index: last.map_or(0, |last| last.index + 1) })
    }

    async fn purge(&mut self, purged: types::LogId) -> Result<(), io::Error> {
        self.tail().purge(purged);
        self.queue.push(writer::Work::Purge { purged: codec::store_log_id(&purged) })
    }
}
