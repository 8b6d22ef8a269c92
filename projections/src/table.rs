//! A dense table with an index by id, cloned in O(1).
//!
//! Rows are found by a small integer, so that other rows and indexes refer to them in four bytes; ids are looked
//! up once, at the edge. The place of a removed row is given to the next new one: every manager removes and adds
//! in the same order, so places agree everywhere.

use crate::slab::Slab;
use skep_proto::Id;

/// A place in a table.
pub trait Place: Copy {
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

/// An id as index keys hold it: in the order of ids, but aligned to 8 bytes, which saves a quarter of an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct PackedId(u64, u64);

impl From<Id> for PackedId {
    fn from(id: Id) -> PackedId {
        PackedId((id.0 >> 64) as u64, id.0 as u64)
    }
}

impl From<PackedId> for Id {
    fn from(packed: PackedId) -> Id {
        Id(u128::from(packed.0) << 64 | u128::from(packed.1))
    }
}

/// Rows by place and by id.
#[derive(Clone)]
pub struct Table<P, R: Row> {
    rows: Slab<R>,
    /// Places ever given: those below it are taken or free.
    places: u32,
    by_id: imbl::OrdMap<PackedId, u32>,
    free: imbl::Vector<u32>,
    place: std::marker::PhantomData<P>,
}

impl<P: Place, R: Row> Default for Table<P, R> {
    fn default() -> Self {
        Table {
            rows: Slab::default(),
            places: 0,
            by_id: imbl::OrdMap::new(),
            free: imbl::Vector::new(),
            place: std::marker::PhantomData,
        }
    }
}

impl<P: Place, R: Row> Table<P, R> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Where the object stands.
    pub fn find(&self, id: Id) -> Option<P> {
        self.by_id.get(&PackedId::from(id)).copied().map(P::new)
    }

    /// The row at a place.
    pub fn get(&self, place: P) -> Option<&R> {
        self.rows.get(place.index())
    }

    /// The row at a place, to be changed.
    pub fn get_mut(&mut self, place: P) -> Option<&mut R> {
        self.rows.get_mut(place.index())
    }

    /// The row of an object.
    pub fn by_id(&self, id: Id) -> Option<(P, &R)> {
        let place = self.find(id)?;
        Some((place, self.get(place)?))
    }

    /// Adds a row whose id is new; one that is known keeps its row, and nothing is answered.
    pub fn insert(&mut self, row: R) -> Option<P> {
        let id = PackedId::from(row.id());
        if self.by_id.contains_key(&id) {
            return None;
        }
        let index = self.free.pop_back().unwrap_or(self.places);
        self.places = self.places.max(index + 1);
        self.rows.set(index, row);
        self.by_id.insert(id, index);
        Some(P::new(index))
    }

    /// Takes a row away; its place is free again.
    pub fn remove(&mut self, place: P) -> Option<R> {
        let row = self.rows.take(place.index())?;
        self.by_id.remove(&PackedId::from(row.id()));
        self.free.push_back(place.index());
        Some(row)
    }

    /// All rows in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (P, &R)> {
        self.by_id.values().filter_map(|index| Some((P::new(*index), self.get(P::new(*index))?)))
    }

    /// Rows whose id lies in the range, ends included, in order.
    pub fn range(&self, low: Id, high: Id) -> impl Iterator<Item = (P, &R)> {
        let range = PackedId::from(low)..=PackedId::from(high);
        self.by_id.range(range).filter_map(|(_, index)| Some((P::new(*index), self.get(P::new(*index))?)))
    }

    /// All rows in the order of their places: how a snapshot writes them.
    pub(crate) fn by_place(&self) -> impl Iterator<Item = (P, &R)> {
        (0..self.places).filter_map(|index| Some((P::new(index), self.rows.get(index)?)))
    }

    /// Free places, the next to be given last.
    pub(crate) fn free_places(&self) -> impl Iterator<Item = u32> + '_ {
        self.free.iter().copied()
    }

    /// Puts a row where a snapshot says; nothing when place or id is taken already.
    pub(crate) fn put_back(&mut self, index: u32, row: R) -> Option<()> {
        let id = PackedId::from(row.id());
        self.places = self.places.max(index.checked_add(1)?);
        let fresh = self.rows.set(index, row).is_none() && self.by_id.insert(id, index).is_none();
        fresh.then_some(())
    }

    /// Ends a table that was put back; nothing when a place is neither taken nor free, or is both.
    pub(crate) fn free_again(&mut self, free: Vec<u32>) -> Option<()> {
        let mut seen = std::collections::BTreeSet::new();
        for index in &free {
            self.places = self.places.max(index.checked_add(1)?);
            (self.rows.get(*index).is_none() && seen.insert(*index)).then_some(())?;
        }
        self.free = free.into_iter().collect();
        (self.by_id.len() + self.free.len() == self.places as usize).then_some(())
    }
}

/// Declares a place type.
#[macro_export]
macro_rules! place {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u32);
        impl $crate::table::Place for $name {
            fn new(index: u32) -> Self {
                $name(index)
            }
            fn index(self) -> u32 {
                self.0
            }
        }
    };
}
