//! What the log needs of a store: five ordered tables, atomic batches, and a say over when they are
//! durable.
//!
//! ```text
//!   commit(a, Later)  commit(b, Later)  commit(c, Synced)  commit(d, Later)      power cut
//!   ├──────────────────────────────────────────────────────┤                     ×
//!   └ after a synced commit returns, it and all before it survive ┘  d may be gone, whole, never in part
//! ```
//!
//! Batches become visible in the order of their commits, and are lost only from the end. Readers
//! see whole batches. All implementations pass one conformance suite.

use crate::failure::{FailureCause, LogFailure};
use bytes::Bytes;

mod batch;
#[cfg(test)]
mod conformance;
pub(crate) mod rocks;
pub(crate) mod sealed;

pub(crate) use batch::{Batch, Change};

/// The tables; each is a column family of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum StoreTable {
    Entries,
    Revisions,
    Objects,
    Sealed,
    Meta,
}

impl StoreTable {
    pub(crate) const ALL: [StoreTable; 5] = [
        StoreTable::Entries,
        StoreTable::Revisions,
        StoreTable::Objects,
        StoreTable::Sealed,
        StoreTable::Meta,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            StoreTable::Entries => "entries",
            StoreTable::Revisions => "revisions",
            StoreTable::Objects => "objects",
            StoreTable::Sealed => "sealed",
            StoreTable::Meta => "meta",
        }
    }
}

/// When a commit returns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Durability {
    /// Once it is visible. A later synced commit makes it durable too.
    Later,
    /// Once it and all before it would survive a power cut.
    Synced,
}

/// Which way a scan goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ScanOrder {
    Up,
    Down,
}

/// Keys from `from` on, and below `to` if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Option<Vec<u8>>,
}

impl Span {
    #[cfg(test)]
    pub(crate) fn all() -> Span {
        Span { from: Vec::new(), to: None }
    }

    pub(crate) fn new(from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Span {
        Span { from: from.as_ref().to_vec(), to: Some(to.as_ref().to_vec()) }
    }

    pub(crate) fn since(from: impl AsRef<[u8]>) -> Span {
        Span { from: from.as_ref().to_vec(), to: None }
    }
}

/// How much one scan brings at most. It brings at least one row if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Page {
    pub(crate) const ONE: Page = Page { rows: 1, bytes: usize::MAX };
}

/// A key and its value.
pub(crate) type KeyValue = (Bytes, Bytes);

/// Why a store refuses.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    /// Somebody else has it open.
    #[error("{0}")]
    Locked(String),
    /// There is nothing to open.
    #[error("{0}")]
    Absent(String),
    /// What lies there contradicts itself.
    #[error("{0}")]
    Damaged(String),
    /// The disk, or the file system, said no.
    #[error("{0}")]
    Failed(String),
    /// It is sealed with a key that is not here. With that key it can be read.
    #[error("{0}")]
    KeyMissing(String),
}

impl From<super::keys::Malformed> for StoreError {
    fn from(error: super::keys::Malformed) -> StoreError {
        StoreError::Damaged(error.to_string())
    }
}

impl From<StoreError> for LogFailure {
    fn from(error: StoreError) -> LogFailure {
        match error {
            StoreError::Damaged(_) => LogFailure::Damaged(FailureCause::of(error)),
            StoreError::Locked(_)
            | StoreError::Absent(_)
            | StoreError::Failed(_)
            | StoreError::KeyMissing(_) => LogFailure::Disk(FailureCause::of(error)),
        }
    }
}

impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        std::io::Error::other(error)
    }
}

/// An ordered, durable map. Closed by being dropped.
pub(crate) trait Store: Send + Sync + 'static {
    /// Makes the changes, all or none. After an error nothing is known about them until the store
    /// was reopened.
    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError>;

    /// One value.
    fn get(&self, table: StoreTable, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The next rows of a span, from its lower end up or from its upper end down.
    fn scan(
        &self,
        table: StoreTable,
        span: &Span,
        way: ScanOrder,
        page: Page,
    ) -> Result<Vec<KeyValue>, StoreError>;

    /// Bytes that it takes on disk.
    fn bytes(&self) -> u64;
}
