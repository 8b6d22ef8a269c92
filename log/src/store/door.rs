//! The one place through which the store is reached, so that it can be closed and opened anew under its users.
//!
//! After a failed write a store may not go on: what it holds in memory and what lies on disk may differ. It is
//! opened anew while readers wait at the door for some milliseconds and notice nothing else.

use super::{Batch, Durability, Page, Row, Span, Store, StoreError, Table, Way};
use bytes::Bytes;
use std::sync::{Arc, PoisonError, RwLock};

/// Opens the store, and may be asked again.
pub(crate) type Opener = Arc<dyn Fn() -> Result<Box<dyn Store>, StoreError> + Send + Sync>;

/// A store that can be exchanged.
pub(crate) struct Door {
    store: RwLock<Result<Box<dyn Store>, StoreError>>,
    opener: Opener,
}

impl Door {
    /// Opens the store for the first time.
    pub(crate) fn open(opener: Opener) -> Result<Door, StoreError> {
        Ok(Door { store: RwLock::new(Ok(opener()?)), opener })
    }

    /// Closes the store and opens it anew. Where that fails, `fallback` is asked for one that can at least be read.
    pub(crate) fn reopen(&self, fallback: &Opener) -> Result<(), StoreError> {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        *store = Err(StoreError::Failed("the store is being opened anew".into()));
        match (self.opener)() {
            Ok(opened) => {
                *store = Ok(opened);
                Ok(())
            }
            Err(error) => {
                *store = fallback();
                Err(error)
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

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.with(|store| store.get(table, key))
    }

    pub(crate) fn scan(
        &self,
        table: Table,
        span: &Span,
        way: Way,
        page: Page,
    ) -> Result<Vec<Row>, StoreError> {
        self.with(|store| store.scan(table, span, way, page))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.with(|store| Ok(store.bytes())).unwrap_or(0)
    }

    /// The row with the highest key below `to`, or of the whole table.
    pub(crate) fn last(&self, table: Table, to: Option<&[u8]>) -> Result<Option<Row>, StoreError> {
        let span = Span { from: Vec::new(), to: to.map(<[u8]>::to_vec) };
        Ok(self.scan(table, &span, Way::Down, Page::ONE)?.pop())
    }

    fn with<T>(&self, ask: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &*self.store.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(store) => ask(&**store),
            Err(error) => Err(error.clone()),
        }
    }
}
