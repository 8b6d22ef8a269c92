//! Records about some objects, the newest first, without reading what lies before those that are
//! wanted.
//!
//! Each object has its own rows in the audit index; they are merged from the newest back. A
//! service's tasks become known on the way: those of the view are known at the start, and each
//! other one is named by the record that took it out of the view, which is newer than all the rest
//! about it.

use super::{FoundRecord, Past, PastError, select::Selection};
use skep_log::{AuditIndex, Revisions};
use skep_projections::View;
use skep_proto::{Id, Revision};
use std::collections::{BTreeMap, BTreeSet};

/// Reads backwards.
pub(super) struct NewestFirst {
    index: AuditIndex,
    /// The next revision of each object, and the rest of its rows.
    next: BTreeMap<(Revision, Id), Revisions>,
    known: BTreeSet<Id>,
}

impl NewestFirst {
    /// Begins at the view, which is at least as new as the newest record that is wanted.
    pub(super) fn new(
        past: &Past,
        selection: &mut Selection,
        view: &View,
    ) -> Result<NewestFirst, PastError> {
        let index = past.history().index()?;
        let mut merged = NewestFirst { index, next: BTreeMap::new(), known: BTreeSet::new() };
        for object in selection.learn_from(view) {
            merged.add(object, view.position().revision)?;
        }
        Ok(merged)
    }

    fn add(&mut self, object: Id, through: Revision) -> Result<(), PastError> {
        if self.known.insert(object) {
            let rows = self.index.newest_first(object, Revision(1), through);
            self.advance(object, rows)?;
        }
        Ok(())
    }

    fn advance(&mut self, object: Id, mut rows: Revisions) -> Result<(), PastError> {
        if let Some(revision) = rows.next() {
            self.next.insert((revision?, object), rows);
        }
        Ok(())
    }

    /// The newest `count` records between both ends that the selection takes, newest first.
    pub(super) fn take(
        mut self,
        past: &Past,
        selection: &mut Selection,
        (from, to): (Revision, Revision),
        count: usize,
    ) -> Result<Vec<FoundRecord>, PastError> {
        let mut taken: Vec<FoundRecord> = Vec::new();
        let mut entry = None;
        let mut last = None;
        while let Some(((revision, object), rows)) = self.next.pop_last() {
            if revision < from || taken.len() == count {
                break;
            }
            self.advance(object, rows)?;
            // One record may be about several of the objects.
            if last.replace(revision) == Some(revision) {
                continue;
            }
            let Some(found) = past.record_in(revision, entry.take())? else { continue };
            entry = Some(found.entry.clone());
            let kind = found.record.event.as_ref().and_then(|event| event.kind.as_ref());
            if let Some(task) = kind.and_then(|kind| selection.task_of(kind)) {
                self.add(task, Revision(revision.0.saturating_sub(1)))?;
            }
            if selection.takes(&found.record) && revision <= to {
                taken.push(found);
            }
        }
        Ok(taken)
    }
}
