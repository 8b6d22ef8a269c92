//! From an id to its row's index.
//!
//! Every record looks an id up. The first half of an id, 64 random bits, tells practically all
//! objects apart; the key is that half alone, and whether the other half agrees is asked of the
//! row, which is wanted anyway. Ids that share their first half with an earlier one stand in a
//! second map under their whole.

mod radix_tree;

use radix_tree::RadixTree;
use skep_proto::Id;

/// An id as index keys hold it: in the order of ids, but aligned to 8 bytes, which saves a quarter
/// of an index.
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

/// Indexes by id.
#[derive(Clone, Default)]
pub(crate) struct IdIndex {
    first: RadixTree,
    second: imbl::OrdMap<PackedId, u32>,
}

impl IdIndex {
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    /// What stands for an id; `row_at` says what an index stands for, if that is of this id.
    pub(crate) fn find<T>(&self, id: Id, row_at: impl Fn(u32) -> Option<T>) -> Option<T> {
        let packed = PackedId::from(id);
        if let Some(row) = self.first.get(packed.0).and_then(&row_at) {
            return Some(row);
        }
        if self.second.is_empty() { None } else { row_at(*self.second.get(&packed)?) }
    }

    /// Adds an id that is not there.
    pub(crate) fn insert(&mut self, id: Id, index: u32) {
        let packed = PackedId::from(id);
        if self.first.get(packed.0).is_some() {
            self.second.insert(packed, index);
        } else {
            self.first.insert(packed.0, index);
        }
    }

    /// Takes an id away that stood for this index.
    pub(crate) fn remove(&mut self, id: Id, index: u32) {
        let packed = PackedId::from(id);
        if self.first.get(packed.0) == Some(index) {
            self.first.remove(packed.0);
        } else {
            self.second.remove(&packed);
        }
    }

    /// Indexes in the first map whose id may lie in the range, in the order of ids.
    pub(crate) fn first(&self, low: Id, high: Id) -> impl Iterator<Item = u32> + '_ {
        self.first.range(PackedId::from(low).0, PackedId::from(high).0)
    }

    /// Indexes in the second map whose id lies in the range, in the order of ids.
    pub(crate) fn second(&self, low: Id, high: Id) -> impl Iterator<Item = u32> + '_ {
        let range = PackedId::from(low)..=PackedId::from(high.max(low));
        let within = move |packed: &PackedId| Id::from(*packed) <= high;
        self.second.range(range).filter(move |(packed, _)| within(packed)).map(|(_, index)| *index)
    }
}
