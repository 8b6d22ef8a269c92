//! The audit index: which records are about an object.

use super::{History, ReadError, object_span};
use crate::{
    keys,
    store::{Page, Table, Way},
};
use skep_proto::{Id, Revision};
use std::collections::{BTreeSet, VecDeque};

/// Revisions read ahead.
const PAGE_REVISIONS: usize = 1024;

/// Revisions about one object, in one direction. After an error it ends.
pub struct Revisions {
    history: History,
    object: Id,
    way: Way,
    /// What is still to be read, both ends included; none at the end.
    rest: Option<(Revision, Revision)>,
    page: VecDeque<Revision>,
}

impl History {
    /// The revisions about an object, both ends included, upwards.
    pub fn revisions_of(&self, object: Id, from: Revision, to: Revision) -> Revisions {
        self.about(object, from, to, Way::Up)
    }

    /// The same, backwards: the newest first.
    pub fn revisions_of_back(&self, object: Id, from: Revision, to: Revision) -> Revisions {
        self.about(object, from, to, Way::Down)
    }

    fn about(&self, object: Id, from: Revision, to: Revision, way: Way) -> Revisions {
        let rest = (from <= to).then_some((from, to));
        Revisions { history: self.clone(), object, way, rest, page: VecDeque::new() }
    }
}

impl Revisions {
    fn read(&mut self, from: Revision, to: Revision) -> Result<(), ReadError> {
        let source = &self.history.source;
        let waiting = source.unindexed.all();
        let page = Page { rows: PAGE_REVISIONS, bytes: usize::MAX };
        let rows = source.door.scan(Table::Objects, &object_span(self.object, from, to), self.way, page)?;
        let full = rows.len() == PAGE_REVISIONS;
        let mut found = BTreeSet::new();
        for (key, _) in rows {
            found.insert(keys::read_object_key(&key)?.1);
        }
        // A full page ends before what it could not hold, on whichever side is read last.
        let (low, high) = match (self.way, full) {
            (Way::Up, true) => (from, found.last().copied().unwrap_or(to)),
            (Way::Down, true) => (found.first().copied().unwrap_or(from), to),
            (Way::Up | Way::Down, false) => (from, to),
        };
        for indexed in waiting {
            let touched = indexed.entry.touched().map_err(|error| ReadError::Damaged(error.to_string()))?;
            let about = touched
                .into_iter()
                .filter(|(object, revision)| *object == self.object && (low..=high).contains(revision));
            found.extend(about.map(|(_, revision)| revision));
        }
        self.rest = match (self.way, full) {
            (Way::Up, true) => (high < to).then(|| (high.next(), to)),
            (Way::Down, true) => (from < low).then(|| (from, Revision(low.0 - 1))),
            (Way::Up | Way::Down, false) => None,
        };
        self.page = match self.way {
            Way::Up => found.into_iter().collect(),
            Way::Down => found.into_iter().rev().collect(),
        };
        Ok(())
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
