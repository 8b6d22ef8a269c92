//! Changes that happen together.
//!
//! All keys and values lie in one buffer that is used again for the next batch: a group commit of a
//! thousand entries costs no allocation.

use super::StoreTable;
use std::ops::Range;

/// Changes in the order in which they were asked for.
#[derive(Default, Clone, Debug)]
pub(crate) struct Batch {
    buffer: Vec<u8>,
    changes: Vec<PackedChange>,
}

#[derive(Debug, Clone, Copy)]
enum ChangeKind {
    Put,
    Delete,
    DeleteSpan,
}

#[derive(Clone, Debug)]
struct PackedChange {
    kind: ChangeKind,
    table: StoreTable,
    key: Range<usize>,
    value: Range<usize>,
}

/// One change, as a store reads it.
#[derive(Debug, PartialEq)]
pub(crate) enum Change<'a> {
    Put {
        table: StoreTable,
        key: &'a [u8],
        value: &'a [u8],
    },
    Delete {
        table: StoreTable,
        key: &'a [u8],
    },
    /// All keys from `from` on and below `to`.
    DeleteSpan {
        table: StoreTable,
        from: &'a [u8],
        to: &'a [u8],
    },
}

impl Batch {
    /// Sets a key to the parts of a value, one behind the other.
    pub(crate) fn put(&mut self, table: StoreTable, key: &[u8], value: &[&[u8]]) {
        let key = self.keep(&[key]);
        let value = self.keep(value);
        self.changes.push(PackedChange { kind: ChangeKind::Put, table, key, value });
    }

    pub(crate) fn delete(&mut self, table: StoreTable, key: &[u8]) {
        let key = self.keep(&[key]);
        self.changes.push(PackedChange { kind: ChangeKind::Delete, table, key, value: 0..0 });
    }

    /// Deletes all keys from `from` on and below `to`.
    pub(crate) fn delete_span(&mut self, table: StoreTable, from: &[u8], to: &[u8]) {
        let key = self.keep(&[from]);
        let value = self.keep(&[to]);
        self.changes.push(PackedChange { kind: ChangeKind::DeleteSpan, table, key, value });
    }

    /// Adds the changes of another batch behind these.
    pub(crate) fn append(&mut self, other: &Batch) {
        for change in other.changes() {
            match change {
                Change::Put { table, key, value } => self.put(table, key, &[value]),
                Change::Delete { table, key } => self.delete(table, key),
                Change::DeleteSpan { table, from, to } => self.delete_span(table, from, to),
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Forgets the changes and keeps the room, within reason.
    pub(crate) fn clear(&mut self) {
        /// Room kept between batches; a larger buffer is given back.
        const BATCH_KEPT_BYTES_MAX: usize = 4 << 20;
        self.changes.clear();
        self.buffer.clear();
        self.buffer.shrink_to(BATCH_KEPT_BYTES_MAX);
    }

    pub(crate) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.changes.iter().map(|slot| {
            let (table, key, value) =
                (slot.table, &self.buffer[slot.key.clone()], &self.buffer[slot.value.clone()]);
            match slot.kind {
                ChangeKind::Put => Change::Put { table, key, value },
                ChangeKind::Delete => Change::Delete { table, key },
                ChangeKind::DeleteSpan => Change::DeleteSpan { table, from: key, to: value },
            }
        })
    }

    fn keep(&mut self, parts: &[&[u8]]) -> Range<usize> {
        let start = self.buffer.len();
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        start..self.buffer.len()
    }
}
