//! The tables of a model database, in key order.

use crate::disk::store::{Batch, Change, KeyValue, Page, ScanOrder, Span, StoreTable};
use bytes::Bytes;
use std::{collections::BTreeMap, ops::Bound};

/// One ordered map a table.
#[derive(Default, Clone)]
pub(crate) struct Tables {
    rows: [BTreeMap<Bytes, Bytes>; StoreTable::ALL.len()],
}

impl Tables {
    pub(crate) fn change(&mut self, batch: &Batch) {
        for change in batch.changes() {
            match change {
                Change::Put { table, key, value } => {
                    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                    self.rows[table as usize].insert(key, value);
                }
                Change::Delete { table, key } => {
                    self.rows[table as usize].remove(key);
                }
                Change::DeleteSpan { table, from, to } => {
                    self.rows[table as usize].retain(|key, _| &key[..] < from || &key[..] >= to);
                }
            }
        }
    }

    pub(crate) fn get(&self, table: StoreTable, key: &[u8]) -> Option<Bytes> {
        self.rows[table as usize].get(key).cloned()
    }

    pub(crate) fn scan(
        &self,
        table: StoreTable,
        span: &Span,
        way: ScanOrder,
        page: Page,
    ) -> Vec<KeyValue> {
        if span.to.as_ref().is_some_and(|to| *to <= span.from) {
            return Vec::new();
        }
        let upper = span.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows =
            self.rows[table as usize].range::<[u8], _>((Bound::Included(&span.from[..]), upper));
        let rows = rows.map(|(key, value)| (key.clone(), value.clone()));
        let mut bytes = 0;
        let fits = |row: &KeyValue| {
            let before = bytes;
            bytes += row.0.len() + row.1.len();
            before == 0 || bytes <= page.bytes
        };
        match way {
            ScanOrder::Up => rows.take(page.rows).take_while(fits).collect(),
            ScanOrder::Down => rows.rev().take(page.rows).take_while(fits).collect(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let rows = self.rows.iter().flatten();
        rows.map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}
