//! A persistent array: rows by number, cloned in O(1).
//!
//! A tree of fixed width whose leaves hold few rows: the first write to a row after a clone copies
//! one leaf and the branches above it, some two kilobytes whatever the size; further writes to them
//! are in place. A vector of wider chunks reads no faster here, and copies nine kilobytes for one
//! task.

use std::sync::Arc;

/// Rows of a leaf. Copied together, so few; pointed to one by one, so not too few.
const LEAF_ROWS: usize = 4;
const LEAF_BITS: u32 = 2;
/// Children of a branch.
const BRANCH_LINKS: usize = 16;
const BRANCH_BITS: u32 = 4;

#[derive(Clone)]
enum SlabLink<T> {
    Branch(Arc<[Option<SlabLink<T>>; BRANCH_LINKS]>),
    Leaf(Arc<[Option<T>; LEAF_ROWS]>),
}

/// Rows by number. A number without a row costs at most its share of a leaf.
#[derive(Clone)]
pub(crate) struct Slab<T> {
    root: Option<SlabLink<T>>,
    /// Branches above a leaf.
    height: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { root: None, height: 0 }
    }
}

impl<T: Clone> Slab<T> {
    /// The row of this number.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        if self.capacity() <= u64::from(index) {
            return None;
        }
        let mut shift = LEAF_BITS + BRANCH_BITS * self.height;
        let mut link = self.root.as_ref()?;
        loop {
            match link {
                SlabLink::Leaf(rows) => return rows[index as usize % LEAF_ROWS].as_ref(),
                SlabLink::Branch(links) => {
                    shift -= BRANCH_BITS;
                    link = links[(index >> shift) as usize % BRANCH_LINKS].as_ref()?;
                }
            }
        }
    }

    /// The row of this number, to be changed.
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        if self.capacity() <= u64::from(index) {
            return None;
        }
        let mut shift = LEAF_BITS + BRANCH_BITS * self.height;
        let mut link = self.root.as_mut()?;
        loop {
            match link {
                SlabLink::Leaf(rows) => {
                    return Arc::make_mut(rows)[index as usize % LEAF_ROWS].as_mut();
                }
                SlabLink::Branch(links) => {
                    shift -= BRANCH_BITS;
                    link =
                        Arc::make_mut(links)[(index >> shift) as usize % BRANCH_LINKS].as_mut()?;
                }
            }
        }
    }

    /// Puts a row at this number; answers what stood there.
    pub(crate) fn set(&mut self, index: u32, row: T) -> Option<T> {
        self.cell(index).replace(row)
    }

    /// Takes the row of this number away.
    pub(crate) fn take(&mut self, index: u32) -> Option<T> {
        self.get(index)?;
        self.cell(index).take()
    }

    /// How many numbers the tree has room for as high as it is.
    fn capacity(&self) -> u64 {
        if self.root.is_none() { 0 } else { 1 << (LEAF_BITS + BRANCH_BITS * self.height) }
    }

    /// The place of a number, made if need be.
    fn cell(&mut self, index: u32) -> &mut Option<T> {
        self.grow(index);
        let mut shift = LEAF_BITS + BRANCH_BITS * self.height;
        let mut link = self.root.get_or_insert_with(SlabLink::leaf);
        loop {
            match link {
                SlabLink::Leaf(rows) => {
                    return &mut Arc::make_mut(rows)[index as usize % LEAF_ROWS];
                }
                SlabLink::Branch(links) => {
                    shift -= BRANCH_BITS;
                    let next = &mut Arc::make_mut(links)[(index >> shift) as usize % BRANCH_LINKS];
                    let is_leaf = shift == LEAF_BITS;
                    link = next.get_or_insert_with(|| {
                        if is_leaf { SlabLink::leaf() } else { SlabLink::branch() }
                    });
                }
            }
        }
    }

    fn grow(&mut self, index: u32) {
        self.root.get_or_insert_with(SlabLink::leaf);
        while self.capacity() <= u64::from(index) {
            let mut links: [Option<SlabLink<T>>; BRANCH_LINKS] = Default::default();
            links[0] = self.root.take();
            self.root = Some(SlabLink::Branch(Arc::new(links)));
            self.height += 1;
        }
    }
}

impl<T> SlabLink<T> {
    fn leaf() -> SlabLink<T> {
        SlabLink::Leaf(Arc::new(Default::default()))
    }

    fn branch() -> SlabLink<T> {
        SlabLink::Branch(Arc::new(Default::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_holds_what_was_put_and_clones_stand_apart(steps in proptest::collection::vec((0u32..5000, 0u8..4), 1..300)) {
            let (mut slab, mut model) = (Slab::default(), BTreeMap::new());
            let (mut old, mut old_model) = (slab.clone(), model.clone());
            for (value, (index, step)) in steps.into_iter().enumerate() {
                match step {
                    0 => prop_assert_eq!(slab.set(index, value), model.insert(index, value)),
                    1 => prop_assert_eq!(slab.take(index), model.remove(&index)),
                    2 => prop_assert_eq!(slab.get_mut(index).map(|v| { *v += 1; *v }), model.get_mut(&index).map(|v| { *v += 1; *v })),
                    _ => (old, old_model) = (slab.clone(), model.clone()),
                }
            }
            for index in 0..5000 {
                prop_assert_eq!(slab.get(index), model.get(&index));
                prop_assert_eq!(old.get(index), old_model.get(&index));
            }
        }
    }

    #[test]
    fn a_full_level_has_no_row_behind_its_last_and_grows_for_one() {
        for full in [LEAF_ROWS as u32, (LEAF_ROWS * BRANCH_LINKS) as u32, 1024] {
            let mut slab = Slab::default();
            slab.set(0, 'a');
            slab.set(full - 1, 'y');
            assert_eq!(slab.get(full), None);
            assert_eq!(slab.get_mut(full), None);
            assert_eq!(slab.take(full), None);
            assert_eq!(slab.set(full, 'z'), None);
            assert_eq!((slab.get(0), slab.get(full - 1)), (Some(&'a'), Some(&'y')));
            assert_eq!(slab.get(full), Some(&'z'));
        }
    }

    #[test]
    fn far_numbers_are_found() {
        let mut slab = Slab::default();
        slab.set(3, 'a');
        slab.set(u32::MAX, 'z');
        assert_eq!((slab.get(3), slab.get(u32::MAX), slab.get(4)), (Some(&'a'), Some(&'z'), None));
    }
}
