//! The log as people read it: records that were asked for, each with its line.
//!
//! Records of certain objects are found through the audit index, all others by reading entries in
//! order, or backwards where only the newest are wanted.

use super::{
    FoundRecord, Past, PastError, names::NameLookup, newest::NewestFirst, select::Selection,
    summary,
};
use skep_log::Entry;
use skep_projections::View;
use skep_proto::{
    Id, Revision, event,
    v1::{LogRecord, Record},
};
use std::{collections::BTreeSet, sync::Arc};

/// Newest records that can be asked for by number; more are cut to this.
pub const TAIL_MAX: usize = 100_000;

/// Turns log entries into the records that a query asks for.
pub struct RecordFeed {
    past: Past,
    selection: Selection,
    names: NameLookup,
}

impl RecordFeed {
    /// Of what was selected, with the names that nodes have in the view.
    pub fn new(past: Past, view: &View, selection: Selection) -> RecordFeed {
        let names = NameLookup::new(past.clone(), view);
        RecordFeed { past, selection, names }
    }

    /// Tells the records of a range, both ends included, until `take` has enough; of a `tail` other
    /// than 0 only so many of the newest. `view` is the newest one.
    pub fn tell(
        &mut self,
        view: &View,
        from: Revision,
        to: Revision,
        tail: usize,
        mut take: impl FnMut(LogRecord) -> bool,
    ) -> Result<(), PastError> {
        if from > to {
            return Ok(());
        }
        if tail > 0 {
            let newest = self.newest(view, from, to, tail.min(TAIL_MAX))?;
            newest.into_iter().rev().map(|told| self.shown(&told)).all(take);
            return Ok(());
        }
        self.selection.learn_tasks(&self.past)?;
        let Some(objects) = self.selection.objects().cloned() else {
            for entry in self.past.history().entries(from) {
                if !self.tell_entry(&entry?, from, to, &mut take)? {
                    break;
                }
            }
            return Ok(());
        };
        let mut entry = None;
        for revision in self.about(&objects, from, to)? {
            let Some(told) = self.past.record_in(revision, entry.take())? else { continue };
            if self.selection.takes(&told.record) && !take(self.shown(&told)) {
                break;
            }
            entry = Some(told.entry);
        }
        Ok(())
    }

    /// Tells what an entry holds within a range, and answers whether more is wanted.
    pub fn tell_entry(
        &mut self,
        entry: &Arc<Entry>,
        from: Revision,
        to: Revision,
        mut take: impl FnMut(LogRecord) -> bool,
    ) -> Result<bool, PastError> {
        let records =
            entry.decode().map_err(|error| skep_log::ReadError::Damaged(error.to_string()))?;
        for (revision, record) in records {
            if revision > to {
                return Ok(false);
            }
            self.names.note(revision, &record);
            if revision >= from && self.selection.takes(&record) {
                let told = FoundRecord { revision, record, entry: entry.clone() };
                if !take(self.shown(&told)) {
                    return Ok(false);
                }
            }
        }
        Ok(entry.last() < to)
    }

    fn newest(
        &mut self,
        view: &View,
        from: Revision,
        to: Revision,
        tail: usize,
    ) -> Result<Vec<FoundRecord>, PastError> {
        if self.selection.objects().is_some() {
            let past = self.past.clone();
            let newer = (view.position().revision < to).then(|| past.view_at(to)).transpose()?;
            let merged =
                NewestFirst::new(&past, &mut self.selection, newer.as_ref().unwrap_or(view))?;
            return merged.take(&past, &mut self.selection, (from, to), tail);
        }
        let mut found = Vec::new();
        for entry in self.past.history().entries_back(to) {
            let entry = entry?;
            let records =
                entry.decode().map_err(|error| skep_log::ReadError::Damaged(error.to_string()))?;
            for (revision, record) in records.into_iter().rev() {
                if revision < from || found.len() == tail {
                    return Ok(found);
                }
                if revision <= to && self.selection.takes(&record) {
                    found.push(FoundRecord { revision, record, entry: entry.clone() });
                }
            }
        }
        Ok(found)
    }

    /// The revisions about any of the objects.
    fn about(
        &self,
        objects: &BTreeSet<Id>,
        from: Revision,
        to: Revision,
    ) -> Result<BTreeSet<Revision>, PastError> {
        let index = self.past.history().index()?;
        let rows = objects.iter().flat_map(|object| index.oldest_first(*object, from, to));
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn shown(&mut self, told: &FoundRecord) -> LogRecord {
        shown(told, &mut self.names)
    }
}

/// A record with its line.
pub fn shown(told: &FoundRecord, names: &mut NameLookup) -> LogRecord {
    let FoundRecord { revision, record, entry } = told;
    let kind = record.event.as_ref().and_then(|event| event.kind.as_ref());
    let summary = summary::line(record, names);
    let Record { author, cause, command, trace, reason, event, salt: _, warnings: _ } =
        record.clone();
    LogRecord {
        revision: revision.0,
        at: entry.at().0,
        author,
        cause,
        kind: kind.map_or("unknown", event::name).into(),
        summary,
        object_ids: kind.into_iter().flat_map(event::objects).map(Id::to_bytes).collect(),
        command,
        trace,
        reason,
        event,
        incarnation: entry.header.incarnation,
    }
}
