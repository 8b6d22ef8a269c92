//! History of a stopped manager: opened without a lock and without changing a byte.
//!
//! Index rows are not synced, so the newest entries may lack theirs. What follows the index on the chain is history
//! too where this manager was the only voter, since then all that is in its log was or will be committed. Otherwise
//! only the index says what was applied, and the rest is left out.

use super::{History, ReadError, Source, decode};
use crate::{
    chain::Hash,
    fence::follows,
    head::HeadFile,
    keys::{self, StoredBody, meta},
    log::Places,
    snapshot::Snapshots,
    status::Standing,
    store::{Door, Page, Span, StoreError, Table, Way, rocks::Rocks},
    unindexed::Unindexed,
};
use prost::Message;
use skep_proto::{Position, Revision};
use std::{path::Path, sync::Arc};

/// Why a stopped manager's history can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenHistoryError {
    /// Nothing is there.
    #[error("there is no log in {dir}; is this a manager's state folder?")]
    Absent {
        /// Where it was looked for.
        dir: String,
    },
    /// Something is there, and it is not whole.
    #[error("the log in {dir} can't be read: {words}; `skep recover --accept-loss` keeps what is readable")]
    Damaged {
        /// Where it lies.
        dir: String,
        /// What is wrong.
        words: String,
    },
    /// The disk, or the permissions, said no.
    #[error("the log in {dir} can't be opened: {words}")]
    Failed {
        /// Where it lies.
        dir: String,
        /// What is wrong.
        words: String,
    },
}

/// How much of the log is looked at at once for entries behind the index.
const PAGE: Page = Page { rows: 512, bytes: 4 << 20 };

impl History {
    /// Opens the history of a manager that is not running. `dir` is the folder that its log was opened with.
    pub fn open_read_only(dir: &Path) -> Result<History, OpenHistoryError> {
        let places = Places::new(dir);
        let told = || dir.display().to_string();
        let refuse = |error: StoreError| match error {
            StoreError::Absent(_) => OpenHistoryError::Absent { dir: told() },
            StoreError::Damaged(words) => OpenHistoryError::Damaged { dir: told(), words },
            StoreError::Locked(words) | StoreError::Failed(words) => {
                OpenHistoryError::Failed { dir: told(), words }
            }
        };
        let path = places.store.clone();
        let opener =
            Arc::new(move || Ok(Box::new(Rocks::open_read_only(&path)?) as Box<dyn crate::store::Store>));
        let door = Arc::new(Door::open(opener).map_err(refuse)?);
        let damaged = |error: ReadError| OpenHistoryError::Damaged { dir: told(), words: error.to_string() };
        let (unindexed, position, head) = found(&door).map_err(damaged)?;
        if let Ok(mark) = HeadFile::read(&places.head)
            && mark.revision > position.revision
        {
            tracing::warn!(readable = %position, durable = %mark.revision, "the log ends before what was durable once");
        }
        Ok(History::new(Source {
            door,
            unindexed: Arc::new(unindexed),
            snapshots: Snapshots::new(dir),
            standing: Standing::new(position, head).watch(),
        }))
    }
}

/// Where the indexed history ends: the raft index after it, the position and the head there.
pub(crate) fn indexed_end(door: &Door) -> Result<(u64, Position, Hash), ReadError> {
    let Some((key, value)) = door.last(Table::Revisions, None)? else {
        return Ok((0, Position::default(), Hash::ZERO));
    };
    let row = keys::read_revision(&key, &value)?;
    let missing = || ReadError::Missing { revision: row.first };
    let stored = door.get(Table::Entries, &keys::entry_key(row.index))?.ok_or_else(missing)?;
    let entry = decode(row.index, &stored)?.ok_or_else(missing)?;
    Ok((row.index + 1, entry.position(), entry.hash))
}

/// Where history ends that can be read, whether it is indexed or not.
pub(crate) fn readable_end(door: &Door) -> Result<Position, ReadError> {
    found(door).map(|(_, position, _)| position)
}

/// What lies behind the index, and where history stands with it.
fn found(door: &Door) -> Result<(Unindexed, Position, Hash), ReadError> {
    let (mut next, mut position, mut head) = indexed_end(door)?;
    let unindexed = Unindexed::default();
    if !sole_voter(door)? {
        return Ok((unindexed, position, head));
    }
    loop {
        let rows = door.scan(Table::Entries, &Span::since(keys::entry_key(next)), Way::Up, PAGE)?;
        let Some((last, _)) = rows.last() else { break };
        let after = keys::read_entry_key(last)? + 1;
        for (key, value) in &rows {
            let index = keys::read_entry_key(key)?;
            let Some(entry) = decode(index, value)? else { continue };
            if follows(&entry, position, head) {
                (position, head) = (entry.position(), entry.hash);
                unindexed.push(index, entry);
            }
        }
        next = after;
    }
    Ok((unindexed, position, head))
}

/// Whether the newest membership names one voter.
fn sole_voter(door: &Door) -> Result<bool, ReadError> {
    let mut end = u64::MAX;
    // Memberships are rare; a snapshot carries the one before it.
    let snapshot = super::named_snapshots(door, Revision(u64::MAX))?.into_iter().next();
    let begin = snapshot.as_ref().and_then(|s| s.applied).map_or(0, |place| place.index);
    loop {
        let span = Span::new(keys::entry_key(begin), keys::entry_key(end));
        let rows = door.scan(Table::Entries, &span, Way::Down, PAGE)?;
        let Some((last, _)) = rows.last() else { break };
        end = keys::read_entry_key(last)?;
        for (_, value) in &rows {
            if let StoredBody::Membership(bytes) = keys::read_entry(value)?.body {
                let message =
                    meta::Membership::decode(bytes).map_err(|e| ReadError::Damaged(e.to_string()))?;
                return Ok(is_sole(&message));
            }
        }
    }
    Ok(snapshot.and_then(|snapshot| snapshot.membership).is_none_or(|message| is_sole(&message)))
}

fn is_sole(membership: &meta::Membership) -> bool {
    matches!(&membership.voters[..], [voters] if voters.ids.len() == 1)
}
