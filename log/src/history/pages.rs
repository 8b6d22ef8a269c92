//! History entry by entry, a page at a time.
//!
//! The index says which raft indexes are history; blank, membership and fenced ones lie between
//! them and are skipped. One scan brings a page of rows, a second one their entries.

use super::{HistoryReader, HistoryRow, HistoryRows, ReadError, row_of};
use crate::{
    Entry,
    disk::{
        entries, keys,
        store::{Page, ScanOrder, Span, StoreTable},
    },
};
use skep_proto::Revision;
use std::{collections::VecDeque, sync::Arc};

/// Entries that an iterator reads ahead.
const PAGE_ENTRIES_MAX: usize = 256;
/// Bytes of entries that one scan brings at most; what is missing is read by the next page.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// Entries of history in one direction. After an error it ends.
pub struct Entries {
    history: HistoryReader,
    way: ScanOrder,
    /// The revision wanted next; none at the end.
    next: Option<Revision>,
    /// Whether an entry was given already.
    began: bool,
    page: VecDeque<Arc<Entry>>,
}

impl Iterator for Entries {
    type Item = Result<Arc<Entry>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() {
            let from = self.next?;
            let page = match self.way {
                ScanOrder::Up => self.history.page_up(from, PAGE_ENTRIES_MAX),
                ScanOrder::Down => self.history.page_down(from, PAGE_ENTRIES_MAX),
            };
            match page {
                Ok(page) => self.page = page.into(),
                Err(error) => {
                    self.next = None;
                    return Some(Err(error));
                }
            }
        }
        let Some(entry) = self.page.pop_front() else {
            let wanted = self.next.take()?;
            return self.ends_early(wanted).map(Err);
        };
        if let Some(gap) = self.gap_before(&entry) {
            self.next = None;
            self.page.clear();
            return Some(Err(gap));
        }
        self.began = true;
        self.next = match self.way {
            ScanOrder::Up => Some(entry.last().next()),
            ScanOrder::Down => {
                entry.first().0.checked_sub(1).filter(|before| *before > 0).map(Revision)
            }
        };
        Some(Ok(entry))
    }
}

impl Entries {
    /// What lies between the revision that is wanted next, downwards, and an entry. Upwards a page
    /// says it.
    fn gap_before(&self, entry: &Entry) -> Option<ReadError> {
        let wanted = self.next.filter(|_| self.way == ScanOrder::Down && self.began)?;
        let from = entry.last().next();
        (from <= wanted).then_some(ReadError::NotHere { from, until: wanted })
    }

    /// Downwards history ends with revision 1, and before that only where more is not here.
    fn ends_early(&self, wanted: Revision) -> Option<ReadError> {
        let is_early = self.way == ScanOrder::Down && self.began;
        is_early.then_some(ReadError::NotHere { from: Revision(1), until: wanted })
    }
}

fn not_here(from: Revision, next: &Entry) -> ReadError {
    ReadError::NotHere { from, until: Revision(next.first().0 - 1) }
}

impl HistoryReader {
    /// History from the entry that holds `from`, upwards. On a live log it ends where history
    /// stands when it gets there.
    pub fn entries(&self, from: Revision) -> Entries {
        let next = Some(from.max(Revision(1)));
        let (history, way, page) = (self.clone(), ScanOrder::Up, VecDeque::new());
        Entries { history, way, next, began: false, page }
    }

    /// History from the entry that holds `from`, or from the newest if there is no such revision
    /// yet, backwards.
    pub fn entries_back(&self, from: Revision) -> Entries {
        Entries {
            history: self.clone(),
            way: ScanOrder::Down,
            next: Some(from),
            began: false,
            page: VecDeque::new(),
        }
    }

    /// The entry that holds `from` and those behind it, as many as one page brings; at least one if
    /// there is one.
    pub(crate) fn page_up(
        &self,
        from: Revision,
        count: usize,
    ) -> Result<Vec<Arc<Entry>>, ReadError> {
        let waiting = self.source.unindexed.all();
        let start = self.row(from)?.map_or(from, |row| row.first);
        let span = Span::since(keys::revision_key(start));
        let mut rows = self.rows(&span, ScanOrder::Up, count)?;
        rows.extend(waiting.into_iter().filter(|w| w.entry.last() >= from).map(row_of));
        let mut rows: Vec<_> = rows.into_iter().take(count).collect();
        // The entry before may end before `from`, where `from` itself still waits for its row.
        if let [(first, _), (second, _), ..] = rows[..]
            && first < from
            && second <= from
        {
            rows.remove(0);
        }
        let mut found = self.fill(&rows)?;
        found.retain(|entry| entry.last() >= from);
        if let Some(first) = found.first().filter(|first| first.first() > from) {
            return Err(not_here(from, first));
        }
        let follow = |two: &[Arc<Entry>]| two[1].first() == two[0].last().next();
        let gap = found.windows(2).position(|two| !follow(two));
        found.truncate(gap.map_or(found.len(), |gap| gap + 1));
        Ok(found)
    }

    /// The entry that holds `from`, or the newest before it, and those before that.
    fn page_down(&self, from: Revision, count: usize) -> Result<Vec<Arc<Entry>>, ReadError> {
        let waiting = self.source.unindexed.all();
        let Some(next) = from.0.checked_add(1) else {
            return self.page_down(Revision(from.0 - 1), count);
        };
        let span = Span::new([], keys::revision_key(Revision(next)));
        let mut rows = self.rows(&span, ScanOrder::Down, count)?;
        rows.extend(waiting.into_iter().filter(|w| w.entry.first() <= from).map(row_of));
        let kept = rows.len().saturating_sub(count);
        let rows: Vec<_> = rows.into_iter().skip(kept).collect();
        let mut found = self.fill_down(&rows)?;
        found.reverse();
        let follow = |two: &[Arc<Entry>]| two[0].first() == two[1].last().next();
        let gap = found.windows(2).position(|two| !follow(two));
        found.truncate(gap.map_or(found.len(), |gap| gap + 1));
        Ok(found)
    }

    fn rows(&self, span: &Span, way: ScanOrder, count: usize) -> Result<HistoryRows, ReadError> {
        let page = Page { rows: count, bytes: usize::MAX };
        let mut rows = HistoryRows::new();
        for (key, value) in self.source.store.scan(StoreTable::Revisions, span, way, page)? {
            let row = keys::read_revision(&key, &value)?;
            rows.insert(row.first, (row.index, None));
        }
        Ok(rows)
    }

    /// The entries of the first rows, in order, as far as one scan brings them.
    fn fill(&self, rows: &[HistoryRow]) -> Result<Vec<Arc<Entry>>, ReadError> {
        let stored =
            rows.iter().filter(|(_, (_, here))| here.is_none()).map(|(_, (index, _))| *index);
        let mut read = match (stored.clone().min(), stored.max()) {
            (Some(low), Some(high)) => self.read_range(low, high, ScanOrder::Up)?,
            (_, _) => Vec::new(),
        }
        .into_iter()
        .peekable();
        let mut found = Vec::with_capacity(rows.len());
        for (first, (index, here)) in rows {
            if let Some(entry) = here {
                found.push(entry.clone());
                continue;
            }
            while read.next_if(|(at, _)| at < index).is_some() {}
            match read.next_if(|(at, _)| at == index) {
                Some((_, value)) => found.extend(entries::open(*index, &value)?),
                // The page was full; the next one goes on here.
                None if !found.is_empty() => break,
                None => return Err(ReadError::Missing { revision: *first }),
            }
        }
        Ok(found)
    }

    /// As [`HistoryReader::fill`], for the last rows.
    fn fill_down(&self, rows: &[HistoryRow]) -> Result<Vec<Arc<Entry>>, ReadError> {
        let stored =
            rows.iter().filter(|(_, (_, here))| here.is_none()).map(|(_, (index, _))| *index);
        let mut read = match (stored.clone().min(), stored.max()) {
            (Some(low), Some(high)) => self.read_range(low, high, ScanOrder::Down)?,
            (_, _) => Vec::new(),
        }
        .into_iter()
        .peekable();
        let mut found = VecDeque::with_capacity(rows.len());
        for (first, (index, here)) in rows.iter().rev() {
            if let Some(entry) = here {
                found.push_front(entry.clone());
                continue;
            }
            while read.next_if(|(at, _)| at > index).is_some() {}
            match read.next_if(|(at, _)| at == index) {
                Some((_, value)) => entries::open(*index, &value)?
                    .into_iter()
                    .for_each(|entry| found.push_front(entry)),
                None if !found.is_empty() => break,
                None => return Err(ReadError::Missing { revision: *first }),
            }
        }
        Ok(found.into())
    }

    fn read_range(
        &self,
        low: u64,
        high: u64,
        way: ScanOrder,
    ) -> Result<Vec<(u64, bytes::Bytes)>, ReadError> {
        let span = Span::new(keys::entry_key(low), keys::entry_key(high.saturating_add(1)));
        let page = Page { rows: usize::MAX, bytes: PAGE_BYTES_MAX };
        let rows = self.source.store.scan(StoreTable::Entries, &span, way, page)?;
        rows.into_iter().map(|(key, value)| Ok((keys::read_entry_key(&key)?, value))).collect()
    }
}
