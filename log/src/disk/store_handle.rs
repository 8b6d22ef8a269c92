//! The one place through which the store is reached, so that it can be closed and reopened under
//! its users.
//!
//! After a failed write a store may not go on: what it holds in memory and what lies on disk may
//! differ. It is reopened while readers wait for some milliseconds and notice
//! nothing else.

use super::{
    files::Files,
    names,
    store::{Batch, Durability, KeyValue, Page, ScanOrder, Span, Store, StoreError, StoreTable},
};
use bytes::Bytes;
use std::sync::{Arc, PoisonError, RwLock};

/// A store that can be exchanged.
pub(crate) struct StoreHandle {
    store: RwLock<Result<Box<dyn Store>, StoreError>>,
    files: Arc<dyn Files>,
}

/// What became of opening the store again.
#[derive(Debug)]
pub(crate) enum Reopened {
    /// It takes writes.
    Working,
    /// It can only be read, and why.
    Reading(StoreError),
    /// Not even that, and why.
    Closed(StoreError),
}

impl StoreHandle {
    /// Opens the store for the first time.
    pub(crate) fn open(files: Arc<dyn Files>) -> Result<StoreHandle, StoreError> {
        Ok(StoreHandle { store: RwLock::new(Ok(files.open_store(names::STORE)?)), files })
    }

    /// Opens a stopped manager's store, without changing a byte.
    pub(crate) fn open_for_reading(files: Arc<dyn Files>) -> Result<StoreHandle, StoreError> {
        Ok(StoreHandle { store: RwLock::new(Ok(files.read_store(names::STORE)?)), files })
    }

    /// Closes the store and opens it again: for work, or else for reading alone.
    pub(crate) fn reopen(&self) -> Reopened {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        // The old one is dropped first: it holds the lock on its files.
        *store = Err(StoreError::Failed("the store is being reopened".into()));
        match self.files.open_store(names::STORE) {
            Ok(opened) => {
                *store = Ok(opened);
                Reopened::Working
            }
            Err(error) => {
                *store = self.files.read_store(names::STORE);
                if store.is_ok() { Reopened::Reading(error) } else { Reopened::Closed(error) }
            }
        }
    }

    /// Closes the store for good: files are released when this returns.
    pub(crate) fn close(&self) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) =
            Err(StoreError::Failed("the log was closed".into()));
    }

    pub(crate) fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        self.with(|store| store.commit(batch, durability))
    }

    pub(crate) fn get(&self, table: StoreTable, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.with(|store| store.get(table, key))
    }

    pub(crate) fn scan(
        &self,
        table: StoreTable,
        span: &Span,
        way: ScanOrder,
        page: Page,
    ) -> Result<Vec<KeyValue>, StoreError> {
        self.with(|store| store.scan(table, span, way, page))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.with(|store| Ok(store.bytes())).unwrap_or(0)
    }

    /// The row with the highest key below `to`, or of the whole table.
    pub(crate) fn last(
        &self,
        table: StoreTable,
        to: Option<&[u8]>,
    ) -> Result<Option<KeyValue>, StoreError> {
        let span = Span { from: Vec::new(), to: to.map(<[u8]>::to_vec) };
        Ok(self.scan(table, &span, ScanOrder::Down, Page::ONE)?.pop())
    }

    fn with<T>(
        &self,
        ask: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.store.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(store) => ask(&**store),
            Err(error) => Err(error.clone()),
        }
    }
}
