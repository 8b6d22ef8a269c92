//! The entries of raft's log as they lie in the store: in order, without gaps, checked when they
//! are read.

use super::{
    keys::{self, StoredBody, meta},
    store::{Page, ScanOrder, Span, StoreError, StoreTable},
    store_handle::StoreHandle,
};
use crate::{Entry, chain};
use bytes::Bytes;
use prost::Message;
use std::{ops::Range, sync::Arc};

/// What one read from the store brings at most: replaying a long log holds no more than this in
/// memory.
pub(crate) const PAGE: Page = Page { rows: 512, bytes: 4 << 20 };

/// What was read at one raft index.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) log_id: meta::StoredLogId,
    pub(crate) body: LoadedBody,
}

/// The three things that raft keeps, decoded.
#[derive(Clone, Debug)]
pub(crate) enum LoadedBody {
    Blank,
    Membership(meta::StoredMembership),
    Entry(Arc<Entry>),
}

/// The first entries of a range of raft indexes, as many as a page holds. Records are checked
/// against their root.
pub(crate) fn load_page(store: &StoreHandle, range: Range<u64>) -> Result<Vec<Loaded>, StoreError> {
    let span = Span::new(keys::entry_key(range.start), keys::entry_key(range.end));
    let mut found: Vec<Loaded> = Vec::new();
    for (key, value) in store.scan(StoreTable::Entries, &span, ScanOrder::Up, PAGE)? {
        let index = keys::read_entry_key(&key)?;
        if let Some(before) =
            found.last().map(|before| before.log_id.index).filter(|at| at + 1 != index)
        {
            return Err(StoreError::Damaged(format!("raft index {before} is followed by {index}")));
        }
        found.push(load(index, &value)?);
    }
    Ok(found)
}

/// Decodes and checks what lies at one index.
pub(crate) fn load(index: u64, value: &Bytes) -> Result<Loaded, StoreError> {
    let damaged =
        |what: String| StoreError::Damaged(format!("the entry at raft index {index}: {what}"));
    let stored = keys::read_entry(value).map_err(|error| damaged(error.to_string()))?;
    let body = match stored.body {
        StoredBody::Blank => LoadedBody::Blank,
        StoredBody::Membership(bytes) => LoadedBody::Membership(
            meta::StoredMembership::decode(bytes)
                .map_err(|error| damaged(format!("its membership: {error}")))?,
        ),
        StoredBody::Entry(bytes) => {
            let sealed = chain::unseal(bytes).map_err(|error| damaged(error.to_string()))?;
            LoadedBody::Entry(Arc::new(Entry::from(sealed)))
        }
    };
    Ok(Loaded { log_id: meta::StoredLogId { term: stored.term, index }, body })
}

/// The entry of the chain in a stored value, not checked against its root; none where raft keeps
/// something else.
pub(crate) fn open(index: u64, value: &Bytes) -> Result<Option<Arc<Entry>>, StoreError> {
    match keys::read_entry(value)?.body {
        StoredBody::Entry(bytes) => {
            let sealed = chain::open(bytes).map_err(|error| {
                StoreError::Damaged(format!("the entry at raft index {index}: {error}"))
            })?;
            Ok(Some(Arc::new(Entry::from(sealed))))
        }
        StoredBody::Blank | StoredBody::Membership(_) => Ok(None),
    }
}

/// The first raft index from `next` on that is not here although a later one is.
pub(crate) fn first_missing(store: &StoreHandle, next: u64) -> Result<Option<u64>, StoreError> {
    let mut next = next;
    loop {
        let span = Span::since(keys::entry_key(next));
        let rows = store.scan(StoreTable::Entries, &span, ScanOrder::Up, PAGE)?;
        if rows.is_empty() {
            return Ok(None);
        }
        for (key, _) in rows {
            if keys::read_entry_key(&key)? != next {
                return Ok(Some(next));
            }
            next += 1;
        }
    }
}

/// Where the log ends.
pub(crate) fn last(store: &StoreHandle) -> Result<Option<meta::StoredLogId>, StoreError> {
    let Some((key, value)) = store.last(StoreTable::Entries, None)? else { return Ok(None) };
    let index = keys::read_entry_key(&key)?;
    let stored = keys::read_entry(&value).map_err(|error| {
        StoreError::Damaged(format!("the entry at raft index {index}: {error}"))
    })?;
    Ok(Some(meta::StoredLogId { term: stored.term, index }))
}
