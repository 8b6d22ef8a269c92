//! Raft's log on our store: appends go to the writer, reads come from memory or the store, purging moves a pointer.
//!
//! Vote and entries share one queue and so one order, as raft demands. What is appended is readable at once, from
//! the tail; raft is told that it is durable by the writer, after the sync.

use super::{LogId, RaftEntry, Types, Vote, codec, tail::Tail};
use crate::{
    alarm::{Alarm, Failure},
    keys,
    store::{Door, Page, Span, StoreError, Table, Way},
    writer::{Queue, Work},
};
use futures::{Stream, StreamExt, stream};
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use prost::Message;
use std::{
    fmt::Debug,
    io,
    ops::{Bound, Range, RangeBounds},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// What one read from the store brings at most: replaying a long log holds no more than this in memory.
const PAGE: Page = Page { rows: 512, bytes: 4 << 20 };

/// Up to so many entries raft's own thread writes itself when the writer is idle and there is no other manager that
/// it would keep waiting. With more, it should go on gathering while the writer syncs.
const INLINE_ENTRIES_MAX: usize = 4;

/// One log; handles are cheap.
#[derive(Clone)]
pub(crate) struct LogStore {
    door: Arc<Door>,
    tail: Arc<Mutex<Tail>>,
    queue: Queue,
    alarm: Arc<Alarm>,
    /// Whether this manager is the only one.
    alone: Arc<AtomicBool>,
}

/// Where a log stands, read from its store.
pub(crate) fn load_tail(door: &Door) -> Result<Tail, StoreError> {
    let damaged = |words: String| StoreError::Damaged(words);
    let decode = |what: &str| {
        let what = what.to_owned();
        move |error: prost::DecodeError| damaged(format!("{what} does not decode: {error}"))
    };
    let vote = door.get(Table::Meta, keys::VOTE)?;
    let vote = vote.map(keys::meta::Vote::decode).transpose().map_err(decode("the stored vote"))?;
    let purged = door.get(Table::Meta, keys::PURGED)?;
    let purged = purged.map(keys::meta::Place::decode).transpose().map_err(decode("the purge pointer"))?;
    let last = match door.last(Table::Entries, None)? {
        Some((key, value)) => {
            let index = keys::read_entry_key(&key).map_err(|error| damaged(error.to_string()))?;
            let stored =
                keys::read_entry(&value).map_err(|error| damaged(format!("{error}, raft index {index}")))?;
            Some(super::log_id(stored.term, index))
        }
        None => None,
    };
    Ok(Tail::new(vote.as_ref().map(codec::load_vote), last, purged.as_ref().map(codec::load_place)))
}

impl LogStore {
    pub(crate) fn new(door: Arc<Door>, tail: Arc<Mutex<Tail>>, queue: Queue, alarm: Arc<Alarm>) -> LogStore {
        LogStore { door, tail, queue, alarm, alone: Arc::default() }
    }

    /// To be set as long as this manager is the only one.
    pub(crate) fn alone(&self) -> Arc<AtomicBool> {
        self.alone.clone()
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first entries of a range, as many as a page holds.
    fn page(&self, range: Range<u64>) -> io::Result<Vec<RaftEntry>> {
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

    fn stored(&self, range: Range<u64>) -> io::Result<Vec<RaftEntry>> {
        let span = Span::new(keys::entry_key(range.start), keys::entry_key(range.end));
        let rows = match self.door.scan(Table::Entries, &span, Way::Up, PAGE) {
            Err(StoreError::Damaged(words)) => return Err(self.damaged(words)),
            rows => rows?,
        };
        let mut found: Vec<RaftEntry> = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let index = keys::read_entry_key(&key).map_err(|error| self.damaged(error.to_string()))?;
            if let Some(before) = found.last().filter(|before| before.log_id.index + 1 != index) {
                let before = before.log_id.index;
                return Err(self.damaged(format!("raft index {before} is followed by {index}")));
            }
            let stored = keys::read_entry(&value)
                .map_err(|error| self.damaged(format!("{error}, raft index {index}")))?;
            found.push(codec::load_entry(index, stored).map_err(|error| self.damaged(error.to_string()))?);
        }
        Ok(found)
    }

    fn damaged(&self, words: String) -> io::Error {
        self.alarm.raise(Failure::Damaged(words.clone()));
        io::Error::new(io::ErrorKind::InvalidData, words)
    }

    /// Page after page of a range that is all there.
    fn pages(self, range: Range<u64>) -> impl Stream<Item = io::Result<RaftEntry>> {
        let pages = stream::try_unfold(range, move |range| {
            let page = if range.is_empty() { Ok(Vec::new()) } else { self.page(range.clone()) };
            futures::future::ready(page.and_then(|page| match (page.first(), page.last()) {
                (Some(first), Some(last)) if first.log_id.index == range.start => {
                    let next = last.log_id.index + 1..range.end;
                    Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
                }
                (None, None) if range.is_empty() => Ok(None),
                (_, _) => Err(self.damaged(format!("raft index {} is missing from the log", range.start))),
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

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>, io::Error> {
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

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<RaftEntry>, io::Error> {
        self.page(start..end)
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<RaftEntry>> + OptionalSend
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

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.tail().vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let tail = self.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.queue.ask(|done| Work::Vote { vote: codec::store_vote(vote), done }).await?;
        self.tail().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<RaftEntry> = entries.into_iter().collect();
        let few = entries.len() <= INLINE_ENTRIES_MAX;
        self.tail().append(&entries)?;
        let work = Work::Append { entries, flushed };
        if few && self.alone.load(Relaxed) { self.queue.write(work) } else { self.queue.push(work) }
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        self.tail().truncate(last);
        self.queue.push(Work::Truncate { next_index: last.map_or(0, |last| last.index + 1) })
    }

    async fn purge(&mut self, purged: LogId) -> Result<(), io::Error> {
        self.tail().purge(purged);
        self.queue.push(Work::Purge { purged: codec::store_place(&purged) })
    }
}
