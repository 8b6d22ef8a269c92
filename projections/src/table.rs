//! A dense table with an index by id, cloned in O(1).
//!
//! Rows are found by a small integer, so that other rows and indexes refer to them in four bytes;
//! ids are looked up once, at the edge. The index of a removed row is given to the next new one:
//! every manager removes and adds in the same order, so indexes agree everywhere.

use crate::{ids::IdIndex, slab::Slab};
use skep_proto::Id;
use std::marker::PhantomData;

/// An index in a table.
pub trait RowIndex: Copy {
    /// From the number.
    fn new(index: u32) -> Self;
    /// The number.
    fn index(self) -> u32;
}

/// A row that knows its id.
pub trait Row: Clone {
    /// The object's id.
    fn id(&self) -> Id;
}

/// Rows by index and by id.
#[derive(Clone)]
pub struct Table<P, R: Row> {
    rows: Slab<R>,
    /// Indexes ever given: those below it are taken or free.
    indexes: u32,
    by_id: IdIndex,
    free: imbl::Vector<u32>,
    index: PhantomData<P>,
}

impl<P: RowIndex, R: Row> Default for Table<P, R> {
    fn default() -> Self {
        let (rows, by_id, free) = (Slab::default(), IdIndex::default(), imbl::Vector::new());
        Table { rows, indexes: 0, by_id, free, index: PhantomData }
    }
}

impl<P: RowIndex, R: Row> Table<P, R> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the object stands.
    pub fn find(&self, id: Id) -> Option<P> {
        self.by_id(id).map(|(index, _)| index)
    }

    /// The row at an index.
    pub fn get(&self, index: P) -> Option<&R> {
        self.rows.get(index.index())
    }

    /// The row at an index, to be changed.
    pub fn get_mut(&mut self, index: P) -> Option<&mut R> {
        self.rows.get_mut(index.index())
    }

    /// The row of an object.
    pub fn by_id(&self, id: Id) -> Option<(P, &R)> {
        self.by_id.find(id, |index| {
            let row = self.rows.get(index).filter(|row| row.id() == id)?;
            Some((P::new(index), row))
        })
    }

    /// Adds a row whose id is new; one that is known keeps its row, and nothing is answered.
    pub fn insert(&mut self, row: R) -> Option<P> {
        let id = row.id();
        if self.find(id).is_some() {
            return None;
        }
        let index = self.free.pop_back().unwrap_or(self.indexes);
        self.indexes = self.indexes.max(index + 1);
        self.rows.set(index, row);
        self.by_id.insert(id, index);
        Some(P::new(index))
    }

    /// Takes a row away; its index is free again.
    pub fn remove(&mut self, index: P) -> Option<R> {
        let row = self.rows.take(index.index())?;
        self.by_id.remove(row.id(), index.index());
        self.free.push_back(index.index());
        Some(row)
    }

    /// All rows in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (P, &R)> {
        self.range(Id(0), Id(u128::MAX))
    }

    /// Rows whose id lies in the range, ends included, in order.
    pub fn range(&self, low: Id, high: Id) -> impl Iterator<Item = (P, &R)> {
        let named = |index: u32| Some((P::new(index), self.rows.get(index)?));
        let mut few = self.by_id.second(low, high).filter_map(named).peekable();
        let mut most = self.by_id.first(low, high).filter_map(named).filter(move |(_, row)| {
            let id = row.id();
            low <= id && id <= high
        });
        let mut next = most.next();
        std::iter::from_fn(move || {
            // Two lists, each in order: the one whose head is lower goes on.
            let in_few = few.peek().map(|(_, row)| row.id());
            let few_first = match (in_few, next) {
                (Some(few), Some((_, row))) => few < row.id(),
                (Some(_), None) => true,
                (None, Some(_) | None) => false,
            };
            if few_first { few.next() } else { std::mem::replace(&mut next, most.next()) }
        })
    }

    /// All rows in the order of their indexes: how a snapshot writes them.
    pub(crate) fn by_index(&self) -> impl Iterator<Item = (P, &R)> {
        (0..self.indexes).filter_map(|index| Some((P::new(index), self.rows.get(index)?)))
    }

    /// Free indexes, the next to be given last.
    pub(crate) fn free_indexes(&self) -> impl Iterator<Item = u32> + '_ {
        self.free.iter().copied()
    }

    /// Puts a row where a snapshot says; nothing when index or id is taken already.
    pub(crate) fn put_back(&mut self, index: u32, row: R) -> Option<()> {
        let id = row.id();
        self.indexes = self.indexes.max(index.checked_add(1)?);
        if self.rows.get(index).is_some() || self.find(id).is_some() {
            return None;
        }
        self.rows.set(index, row);
        self.by_id.insert(id, index);
        Some(())
    }

    /// Ends a table that was put back; nothing when an index is neither taken nor free, or is both.
    pub(crate) fn free_again(&mut self, free: Vec<u32>) -> Option<()> {
        let mut seen = std::collections::BTreeSet::new();
        for index in &free {
            self.indexes = self.indexes.max(index.checked_add(1)?);
            (self.rows.get(*index).is_none() && seen.insert(*index)).then_some(())?;
        }
        self.free = free.into_iter().collect();
        (self.len() + self.free.len() == self.indexes as usize).then_some(())
    }
}

/// Declares an index type.
#[macro_export]
macro_rules! row_index {
    ($(#[$doc:meta])* $vis:vis $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        $vis struct $name(pub u32);
        impl $crate::table::RowIndex for $name {
            fn new(index: u32) -> Self {
                $name(index)
            }
            fn index(self) -> u32 {
                self.0
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    row_index!(
        /// An index of tests.
        Spot
    );

    #[derive(Clone, PartialEq, Debug)]
    struct Named(Id);

    impl Row for Named {
        fn id(&self) -> Id {
            self.0
        }
    }

    /// Ids of which many share their first half, as real ones never do.
    fn ids() -> impl Strategy<Value = Id> {
        (0u128..4, 0u128..8).prop_map(|(high, low)| Id(high << 64 | low))
    }

    proptest! {
        #[test]
        fn rows_are_found_by_id_and_in_order(steps in proptest::collection::vec((ids(), any::<bool>()), 0..80), low in ids(), high in ids()) {
            let (mut table, mut model) = (Table::<Spot, Named>::default(), BTreeMap::new());
            for (id, add) in steps {
                if add {
                    let index = table.insert(Named(id));
                    prop_assert_eq!(index.is_none(), model.contains_key(&id));
                    index.map(|index| model.insert(id, index));
                } else if let Some(index) = model.remove(&id) {
                    prop_assert_eq!(table.remove(index), Some(Named(id)));
                }
                prop_assert_eq!(table.find(id), model.get(&id).copied());
            }
            let all: Vec<_> = table.iter().map(|(index, row)| (row.0, index)).collect();
            prop_assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
            let some: Vec<_> = table.range(low, high).map(|(_, row)| row.0).collect();
            prop_assert_eq!(some, model.into_keys().filter(|id| low <= *id && *id <= high).collect::<Vec<_>>());
            prop_assert_eq!(table.len() as u32 + table.free_indexes().count() as u32, table.indexes);
        }
    }
}
