//! The index: which raft indexes are history, and which records are about which object.
//!
//! Index rows are not synced, so the newest entries may lack theirs. What follows the index on the
//! chain is history too where this manager was the only voter, since then all that is in its log
//! was or will be committed. Otherwise only the index says what was applied, and the rest is left
//! out.

use super::{
    entries,
    keys::{self, StoredBody, meta},
    store::{Batch, ScanOrder, Span, StoreError, StoreTable},
    store_handle::StoreHandle,
};
use crate::{Entry, fence::HistoryHead};
use prost::Message;
use skep_proto::Revision;
use std::sync::Arc;

/// An entry with its index in raft's log.
#[derive(Clone, Debug)]
pub(crate) struct Indexed {
    pub(crate) index: u64,
    pub(crate) entry: Arc<Entry>,
}

/// Where history ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistoryEnd {
    /// The raft index after the last entry.
    pub(crate) next_index: u64,
    pub(crate) head: HistoryHead,
}

/// The index rows of one entry.
pub(crate) fn put_rows(
    batch: &mut Batch,
    Indexed { index, entry }: &Indexed,
) -> Result<(), StoreError> {
    let value = keys::revision_value(*index, entry.at());
    batch.put(StoreTable::Revisions, &keys::revision_key(entry.first()), &[&value]);
    let mut touched = entry.touched().map_err(|error| {
        StoreError::Damaged(format!("a record of the entry at revision {}: {error}", entry.first()))
    })?;
    // Some records name an object twice.
    touched.sort_unstable();
    touched.dedup();
    for about in touched.chunk_by(|(one, _), (other, _)| one == other) {
        let revisions: Vec<Revision> = about.iter().map(|(_, revision)| *revision).collect();
        for row in revisions.chunks(keys::ROW_REVISIONS_MAX) {
            let key = keys::object_key(about[0].0, row[0]);
            batch.put(StoreTable::Objects, &key, &[&keys::object_value(row)]);
        }
    }
    Ok(())
}

/// Whether the index says that the entry at this raft index is history.
pub(crate) fn is_indexed(
    store: &StoreHandle,
    entry: &Entry,
    index: u64,
) -> Result<bool, StoreError> {
    let key = keys::revision_key(entry.first());
    let row = store.get(StoreTable::Revisions, &key)?;
    Ok(row
        .map(|value| keys::read_revision(&key, &value))
        .transpose()?
        .is_some_and(|row| row.index == index))
}

/// Where the indexed history ends.
pub(crate) fn indexed_end(store: &StoreHandle) -> Result<HistoryEnd, StoreError> {
    let Some((key, value)) = store.last(StoreTable::Revisions, None)? else {
        return Ok(HistoryEnd::default());
    };
    let row = keys::read_revision(&key, &value)?;
    let missing = || StoreError::Damaged(format!("revision {} is missing from the log", row.first));
    let stored =
        store.get(StoreTable::Entries, &keys::entry_key(row.index))?.ok_or_else(missing)?;
    let entry = entries::open(row.index, &stored)?.ok_or_else(missing)?;
    Ok(HistoryEnd { next_index: row.index + 1, head: HistoryHead::after(&entry) })
}

/// Where history ends that can be read, and the entries in it that lie behind the index.
pub(crate) fn readable_end(store: &StoreHandle) -> Result<(HistoryEnd, Vec<Indexed>), StoreError> {
    let mut end = indexed_end(store)?;
    let mut behind = Vec::new();
    if !has_sole_voter(store)? {
        return Ok((end, behind));
    }
    let mut next = end.next_index;
    loop {
        let span = Span::since(keys::entry_key(next));
        let rows = store.scan(StoreTable::Entries, &span, ScanOrder::Up, entries::PAGE)?;
        let Some((last, _)) = rows.last() else { return Ok((end, behind)) };
        next = keys::read_entry_key(last)? + 1;
        for (key, value) in &rows {
            let index = keys::read_entry_key(key)?;
            let Some(entry) = entries::open(index, value)? else { continue };
            if end.head.is_followed_by(&entry) {
                end = HistoryEnd { next_index: index + 1, head: HistoryHead::after(&entry) };
                behind.push(Indexed { index, entry });
            }
        }
    }
}

/// Whether the newest membership names one voter.
fn has_sole_voter(store: &StoreHandle) -> Result<bool, StoreError> {
    let mut end = u64::MAX;
    // Memberships are rare; a snapshot carries the one before it.
    let snapshot = named_snapshots(store, Revision(u64::MAX))?.into_iter().next();
    let begin = snapshot.as_ref().and_then(|s| s.applied).map_or(0, |log_id| log_id.index);
    loop {
        let span = Span::new(keys::entry_key(begin), keys::entry_key(end));
        let rows = store.scan(StoreTable::Entries, &span, ScanOrder::Down, entries::PAGE)?;
        let Some((last, _)) = rows.last() else { break };
        end = keys::read_entry_key(last)?;
        for (_, value) in &rows {
            if let StoredBody::Membership(bytes) = keys::read_entry(value)?.body {
                let message = meta::StoredMembership::decode(bytes)
                    .map_err(|error| StoreError::Damaged(format!("a membership: {error}")))?;
                return Ok(is_sole(&message));
            }
        }
    }
    Ok(snapshot.and_then(|snapshot| snapshot.membership).is_none_or(|message| is_sole(&message)))
}

fn is_sole(membership: &meta::StoredMembership) -> bool {
    matches!(&membership.voters[..], [voters] if voters.ids.len() == 1)
}

/// The snapshots at or below a revision, newest first.
pub(crate) fn named_snapshots(
    store: &StoreHandle,
    revision: Revision,
) -> Result<Vec<meta::Snapshot>, StoreError> {
    let mut end = match revision.0.checked_add(1) {
        Some(next) => keys::snapshot_key(Revision(next)),
        None => keys::SNAPSHOT_END.to_vec(),
    };
    let mut found = Vec::new();
    loop {
        let rows = store.scan(
            StoreTable::Meta,
            &Span::new(keys::SNAPSHOT, &end),
            ScanOrder::Down,
            entries::PAGE,
        )?;
        let Some((last, _)) = rows.last() else { return Ok(found) };
        end = last.to_vec();
        for (_, value) in rows {
            found.push(meta::Snapshot::decode(value).map_err(|error| {
                StoreError::Damaged(format!("the name of a snapshot: {error}"))
            })?);
        }
    }
}
