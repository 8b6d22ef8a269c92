//! A persistent ordered map from random numbers to indexes, cloned in O(1).
//!
//! Each branch looks at four more bits of the key, highest first: it compares nothing and keeps the
//! order of keys. Random keys fill it evenly: one among ten thousand is three branches away, and of
//! each branch one line of memory is read. A B-tree reads several of each node, and with one half
//! of a record's folding was the search for its id. Keys that are not random make this tree deeper,
//! never wrong.

use std::{array, sync::Arc};

/// Children of a branch.
const BRANCH_LINKS: usize = 16;
const BRANCH_BITS: u32 = 4;
/// Entries of a leaf; one more makes it a branch.
const LEAF_ENTRIES_MAX: usize = 8;
/// A branch whose leaves hold fewer is a leaf again: fewer than what made it a branch, so that one
/// key that comes and goes does not change it each time.
const BRANCH_ENTRIES_MIN: usize = 4;

type KeyedIndex = (u64, u32);

#[derive(Clone)]
enum Node {
    /// The leaf's entries, in order.
    Leaf(Arc<[KeyedIndex]>),
    Branch(Arc<[Node; BRANCH_LINKS]>),
}

/// Indexes by key, in the order of keys.
#[derive(Clone)]
pub(super) struct RadixTree {
    root: Node,
    len: usize,
}

impl Default for RadixTree {
    fn default() -> RadixTree {
        RadixTree { root: Node::empty(), len: 0 }
    }
}

impl RadixTree {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: u64) -> Option<u32> {
        let (mut node, mut shift) = (&self.root, u64::BITS);
        loop {
            match node {
                Node::Leaf(entries) => {
                    return entries.iter().find(|entry| entry.0 == key).map(|entry| entry.1);
                }
                Node::Branch(links) => {
                    shift -= BRANCH_BITS;
                    node = &links[child(key, shift)];
                }
            }
        }
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, key: u64, index: u32) {
        self.len += 1;
        self.root.insert((key, index), u64::BITS);
    }

    /// Takes away a key that is there.
    pub(super) fn remove(&mut self, key: u64) {
        self.len -= 1;
        self.root.remove(key, u64::BITS);
    }

    /// The indexes of the keys from `low` to `high`, both included, in the order of keys.
    pub(super) fn range(&self, low: u64, high: u64) -> impl Iterator<Item = u32> + '_ {
        // Nodes that are not looked at yet, the next one last: each with its first key and the bits
        // that tell its keys apart.
        let mut left = vec![(&self.root, 0, u64::BITS)];
        let mut leaf: &[KeyedIndex] = &[];
        std::iter::from_fn(move || {
            loop {
                if let Some(((key, index), rest)) = leaf.split_first() {
                    leaf = rest;
                    if (low..=high).contains(key) {
                        return Some(*index);
                    }
                    continue;
                }
                match left.pop()? {
                    (Node::Leaf(entries), ..) => leaf = entries,
                    (Node::Branch(links), first, shift) => {
                        let shift = shift - BRANCH_BITS;
                        let keys = |link: usize| first + ((link as u64) << shift);
                        let within = |link: usize| {
                            keys(link) <= high && low <= keys(link) + ((1 << shift) - 1)
                        };
                        let links = links.iter().enumerate().rev();
                        let links = links.filter(|(link, _)| within(*link));
                        left.extend(links.map(|(link, node)| (node, keys(link), shift)));
                    }
                }
            }
        })
    }
}

/// The child that a key is in, below a branch that leaves this many bits to its children.
fn child(key: u64, shift: u32) -> usize {
    (key >> shift) as usize % BRANCH_LINKS
}

impl Node {
    fn empty() -> Node {
        Node::Leaf(Arc::new([]))
    }

    fn insert(&mut self, entry: KeyedIndex, shift: u32) {
        match self {
            Node::Branch(links) => {
                let shift = shift - BRANCH_BITS;
                Arc::make_mut(links)[child(entry.0, shift)].insert(entry, shift);
            }
            Node::Leaf(entries) => {
                let at = entries.partition_point(|known| *known < entry);
                let (before, after) = entries.split_at(at);
                let all: Vec<KeyedIndex> = [before, &[entry], after].concat();
                *self = Node::of(&all, shift);
            }
        }
    }

    /// The entries as a leaf, or below a branch where they are too many.
    fn of(entries: &[KeyedIndex], shift: u32) -> Node {
        if entries.len() <= LEAF_ENTRIES_MAX || shift == 0 {
            return Node::Leaf(entries.into());
        }
        let shift = shift - BRANCH_BITS;
        let links = array::from_fn(|link| {
            let from = entries.partition_point(|entry| child(entry.0, shift) < link);
            let to = entries.partition_point(|entry| child(entry.0, shift) <= link);
            Node::of(&entries[from..to], shift)
        });
        Node::Branch(Arc::new(links))
    }

    fn remove(&mut self, key: u64, shift: u32) {
        match self {
            Node::Leaf(entries) => {
                *entries = entries.iter().filter(|entry| entry.0 != key).copied().collect();
            }
            Node::Branch(links) => {
                let shift = shift - BRANCH_BITS;
                Arc::make_mut(links)[child(key, shift)].remove(key, shift);
                if let Some(few) = Node::few(links) {
                    *self = Node::Leaf(few.into());
                }
            }
        }
    }

    /// The entries of a branch that has only leaves below it, where they are few.
    fn few(links: &[Node; BRANCH_LINKS]) -> Option<Vec<KeyedIndex>> {
        let mut few = Vec::new();
        for node in links {
            match node {
                Node::Leaf(entries) if few.len() + entries.len() < BRANCH_ENTRIES_MIN => {
                    few.extend_from_slice(entries);
                }
                Node::Leaf(_) | Node::Branch(_) => return None,
            }
        }
        Some(few)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Random keys, and keys that have most of their bits in common.
    fn keys() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            0u64..24,
            (0u64..24).prop_map(|low| u64::MAX - low),
            (0u64..6).prop_map(|high| high << 61),
        ]
    }

    fn all(tree: &RadixTree, low: u64, high: u64) -> Vec<u32> {
        tree.range(low, high).collect()
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_map_and_clones_stand_apart(
            steps in proptest::collection::vec((keys(), 0u8..5), 0..300), low in keys(), high in keys(),
        ) {
            let (mut tree, mut model) = (RadixTree::default(), BTreeMap::new());
            let (mut old, mut old_model) = (tree.clone(), model.clone());
            for (index, (key, step)) in (0u32..).zip(steps) {
                match step {
                    0 => (old, old_model) = (tree.clone(), model.clone()),
                    1 => if model.remove(&key).is_some() { tree.remove(key) },
                    _ => if tree.get(key).is_none() {
                        tree.insert(key, index);
                        prop_assert_eq!(model.insert(key, index), None);
                    },
                }
                prop_assert_eq!((tree.get(key), tree.len()), (model.get(&key).copied(), model.len()));
            }
            for (tree, model) in [(&tree, &model), (&old, &old_model)] {
                prop_assert_eq!(all(tree, 0, u64::MAX), model.values().copied().collect::<Vec<_>>());
                let within = model.iter().filter(|(key, _)| (low..=high).contains(*key));
                prop_assert_eq!(all(tree, low, high), within.map(|(_, index)| *index).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_tree_that_was_emptied_is_one_leaf_again() {
        let mut tree = RadixTree::default();
        let key = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..1000).for_each(|n| tree.insert(key(n), n as u32));
        assert!(matches!(tree.root, Node::Branch(_)));
        (0..1000).for_each(|n| tree.remove(key(n)));
        assert!(matches!(&tree.root, Node::Leaf(entries) if entries.is_empty()));
    }
}
