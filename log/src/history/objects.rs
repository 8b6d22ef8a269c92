//! The audit index: which records are about an object, and which gave a name.
//!
//! Most index rows are in the store; those of the newest entries may still wait in memory. A reader
//! of many objects takes the waiting rows once, before its first look at the store, so that a row
//! which moves from one to the other meanwhile is never missed.

use super::{HistoryReader, ReadError, object_span};
use crate::{
    chain,
    disk::{
        keys,
        store::{Page, ScanOrder, Span, StoreTable},
    },
};
use skep_proto::{Id, Revision};
use std::{collections::VecDeque, sync::Arc};

/// Rows that the first scan about an object reads. Readers that merge many objects want few
/// revisions of each.
const FIRST_PAGE_ROWS: usize = 2;
/// Each further scan reads so many times more than the one before.
const PAGE_GROWTH: usize = 8;
/// Rows that one scan of the index reads ahead, at most.
const PAGE_ROWS_MAX: usize = 256;

/// The audit index at one moment. Handles are cheap.
#[derive(Clone)]
pub struct AuditIndex {
    history: HistoryReader,
    /// Rows that were not in the store when this was made, sorted.
    waiting: Arc<Vec<(Id, Revision)>>,
}

impl HistoryReader {
    /// The audit index as it is now. Records that are written later may be missing from it.
    pub fn index(&self) -> Result<AuditIndex, ReadError> {
        let mut waiting = Vec::new();
        for indexed in self.source.unindexed.all() {
            let touched = indexed.entry.touched();
            waiting.extend(touched.map_err(|error| ReadError::Damaged(error.to_string()))?);
        }
        waiting.sort_unstable();
        Ok(AuditIndex { history: self.clone(), waiting: Arc::new(waiting) })
    }
}

impl AuditIndex {
    /// The revisions about an object, both ends included, oldest first.
    pub fn oldest_first(&self, object: Id, from: Revision, to: Revision) -> Revisions {
        self.about(object, from, to, ScanOrder::Up)
    }

    /// The revisions about an object, both ends included, newest first.
    pub fn newest_first(&self, object: Id, from: Revision, to: Revision) -> Revisions {
        self.about(object, from, to, ScanOrder::Down)
    }

    /// The revisions of records that gave this name to a service or a node, oldest first. Case does
    /// not matter. Another name may lead to the same place by chance: look at the record.
    pub fn naming(&self, name: &str) -> Revisions {
        let newest = self.history.newest().revision;
        self.oldest_first(chain::id_of_name(name), Revision(1), newest)
    }

    fn about(&self, object: Id, from: Revision, to: Revision, way: ScanOrder) -> Revisions {
        let rest = (from <= to).then_some((from, to));
        let (page, page_rows) = (VecDeque::new(), FIRST_PAGE_ROWS);
        Revisions { index: self.clone(), object, way, rest, page, page_rows }
    }

    fn waiting(&self, object: Id, low: Revision, high: Revision) -> impl Iterator<Item = Revision> {
        let begin = self.waiting.partition_point(|row| *row < (object, low));
        let rows = self.waiting[begin..].iter();
        rows.take_while(move |row| **row <= (object, high)).map(|(_, revision)| *revision)
    }
}

/// Revisions about one object, in one direction. After an error it ends.
pub struct Revisions {
    index: AuditIndex,
    object: Id,
    way: ScanOrder,
    /// What is still to be read, both ends included; none at the end.
    rest: Option<(Revision, Revision)>,
    page: VecDeque<Revision>,
    /// Rows that the next scan reads.
    page_rows: usize,
}

impl Revisions {
    fn read(&mut self, from: Revision, to: Revision) -> Result<(), ReadError> {
        let (mut found, full) =
            self.read_rows(&object_span(self.object, from, to), self.page_rows, self.way)?;
        self.page_rows = (self.page_rows * PAGE_GROWTH).min(PAGE_ROWS_MAX);
        // A full page ends before what it could not hold, on whichever side is read last.
        let (low, high) = match (self.way, full) {
            (ScanOrder::Up, true) => (from, found.last().copied().unwrap_or(to).min(to)),
            (ScanOrder::Down, true) => (found.first().copied().unwrap_or(from), to),
            (ScanOrder::Up | ScanOrder::Down, false) => (from, to),
        };
        // The row before may reach beyond `from`; before the first revision there is none.
        if low == from && from > Revision(1) {
            let before = Span::new(
                keys::object_key(self.object, Revision::ZERO),
                keys::object_key(self.object, from),
            );
            let (row, _) = self.read_rows(&before, 1, ScanOrder::Down)?;
            found.splice(..0, row);
        }
        found.extend(self.index.waiting(self.object, low, high));
        found.sort_unstable();
        found.dedup();
        found.retain(|revision| (low..=high).contains(revision));
        self.rest = match (self.way, full) {
            (ScanOrder::Up, true) => (high < to).then(|| (high.next(), to)),
            (ScanOrder::Down, true) => (from < low).then(|| (from, Revision(low.0 - 1))),
            (ScanOrder::Up | ScanOrder::Down, false) => None,
        };
        if self.way == ScanOrder::Down {
            found.reverse();
        }
        self.page = found.into();
        Ok(())
    }

    /// The revisions of so many rows, ascending, and whether there may be more rows.
    fn read_rows(
        &self,
        span: &Span,
        rows: usize,
        way: ScanOrder,
    ) -> Result<(Vec<Revision>, bool), ReadError> {
        let page = Page { rows, bytes: usize::MAX };
        let mut read =
            self.index.history.source.store.scan(StoreTable::Objects, span, way, page)?;
        let full = read.len() == rows;
        if way == ScanOrder::Down {
            read.reverse();
        }
        let mut revisions = Vec::new();
        for (key, value) in read {
            revisions.extend(keys::read_object(&key, &value)?);
        }
        Ok((revisions, full))
    }
}

impl Iterator for Revisions {
    type Item = Result<Revision, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.page.is_empty() {
            let (from, to) = self.rest.take()?;
            if let Err(error) = self.read(from, to) {
                return Some(Err(error));
            }
        }
        self.page.pop_front().map(Ok)
    }
}

#[cfg(test)]
impl Revisions {
    /// Revisions that were read and are not given yet.
    pub(crate) fn read_ahead(&self) -> usize {
        self.page.len()
    }
}
