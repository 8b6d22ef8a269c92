//! A store that is gone with its last handle: for tests, and the yardstick of the conformance suite.

use super::{Batch, Change, Durability, Page, Row, Span, Store, StoreError, Table, Way};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

/// The tables, in key order.
#[derive(Default, Clone)]
pub(crate) struct Tables {
    rows: BTreeMap<(Table, Bytes), Bytes>,
}

impl Tables {
    pub(crate) fn change(&mut self, batch: &Batch) {
        for change in batch.changes() {
            match change {
                Change::Put { table, key, value } => {
                    self.rows.insert((table, Bytes::copy_from_slice(key)), Bytes::copy_from_slice(value));
                }
                Change::Delete { table, key } => {
                    self.rows.remove(&(table, Bytes::copy_from_slice(key)));
                }
                Change::DeleteSpan { table, from, to } => {
                    self.rows.retain(|(t, key), _| *t != table || &key[..] < from || &key[..] >= to)
                }
            }
        }
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Bytes> {
        self.rows.get(&(table, Bytes::copy_from_slice(key))).cloned()
    }

    pub(crate) fn scan(&self, table: Table, span: &Span, way: Way, page: Page) -> Vec<Row> {
        if span.to.as_ref().is_some_and(|to| *to <= span.from) {
            return Vec::new();
        }
        let lower = Bound::Included((table, Bytes::copy_from_slice(&span.from)));
        let rows = self.rows.range((lower, Bound::Unbounded));
        let rows = rows
            .take_while(|((t, key), _)| *t == table && span.to.as_ref().is_none_or(|to| key[..] < to[..]));
        let found: Vec<Row> = rows.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        let mut bytes = 0;
        let taken = |row: &Row| {
            let before = bytes;
            bytes += row.0.len() + row.1.len();
            before == 0 || bytes <= page.bytes
        };
        match way {
            Way::Up => found.into_iter().take(page.rows).take_while(taken).collect(),
            Way::Down => found.into_iter().rev().take(page.rows).take_while(taken).collect(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.rows.iter().map(|((_, key), value)| (key.len() + value.len()) as u64).sum()
    }
}

/// Handles that share one set of tables.
#[derive(Default, Clone)]
pub(crate) struct Memory {
    tables: Arc<RwLock<Tables>>,
}

impl Store for Memory {
    fn commit(&self, batch: &Batch, _: Durability) -> Result<(), StoreError> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner).change(batch);
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.tables.read().unwrap_or_else(PoisonError::into_inner).get(table, key))
    }

    fn scan(&self, table: Table, span: &Span, way: Way, page: Page) -> Result<Vec<Row>, StoreError> {
        Ok(self.tables.read().unwrap_or_else(PoisonError::into_inner).scan(table, span, way, page))
    }

    fn bytes(&self) -> u64 {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).bytes()
    }
}
