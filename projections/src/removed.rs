//! Which nodes were removed, as long as their agents may come back.
//!
//! An agent whose node was removed ends its tasks. One whose node this history does not know must
//! not: its manager may have been set back to an older backup. So the view remembers removals. A
//! key is its node for ever, so who was removed does not join under the same key again either.

use crate::digest::{Digest, parts};
use skep_proto::{Id, Timestamp, time::DAY_NS};

/// Removed nodes remembered; at it the one is forgotten whose certificate ended first.
pub const REMOVED_NODES_MAX: usize = 65_536;
/// How long a removed node is remembered after its certificate has ended.
const REMEMBERED_AFTER_END_NS: u64 = 365 * DAY_NS;

/// The nodes that were removed.
#[derive(Clone, Debug, Default)]
pub struct RemovedNodes {
    /// Until when each is remembered.
    until: imbl::OrdMap<Id, Timestamp>,
    by_end: imbl::OrdSet<(Timestamp, Id)>,
}

impl RemovedNodes {
    /// Whether this node was removed, as far as that is remembered.
    pub fn has(&self, node: Id) -> bool {
        self.until.contains_key(&node)
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Remembers a node whose newest certificate ends then, and forgets whose time is over.
    pub(crate) fn add(&mut self, node: Id, ends: Timestamp, now: Timestamp, digest: &mut Digest) {
        while let Some((until, first)) = self.by_end.get_min().copied()
            && (until <= now || self.by_end.len() >= REMOVED_NODES_MAX)
        {
            self.by_end.remove(&(until, first));
            self.until.remove(&first);
            digest.take(parts::removed_node(first, until));
        }
        if let Some(earlier) = self.until.get(&node) {
            digest.take(parts::removed_node(node, *earlier));
        }
        let until = ends.max(now) + REMEMBERED_AFTER_END_NS;
        self.put_back(node, until);
        digest.put(parts::removed_node(node, until));
    }

    /// Each with the end of its time, in the order of ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, Timestamp)> + '_ {
        self.until.iter().map(|(node, until)| (*node, *until))
    }

    /// One of a snapshot.
    pub(crate) fn put_back(&mut self, node: Id, until: Timestamp) {
        if let Some(earlier) = self.until.insert(node, until) {
            self.by_end.remove(&(earlier, node));
        }
        self.by_end.insert((until, node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(removed: &RemovedNodes) -> Digest {
        let mut digest = Digest::default();
        removed.iter().for_each(|(id, until)| digest.put(parts::removed_node(id, until)));
        digest
    }

    #[test]
    fn a_removed_node_is_remembered_for_a_year_after_its_certificate() {
        let (mut removed, mut digest) = (RemovedNodes::default(), Digest::default());
        removed.add(Id(1), Timestamp(10), Timestamp(5), &mut digest);
        removed.add(Id(2), Timestamp(3), Timestamp(9 + REMEMBERED_AFTER_END_NS), &mut digest);
        assert!(removed.has(Id(1)) && removed.has(Id(2)));
        removed.add(Id(3), Timestamp(0), Timestamp(10 + REMEMBERED_AFTER_END_NS), &mut digest);
        assert!(!removed.has(Id(1)), "its time is over");
        assert!(removed.has(Id(2)), "it was removed after its certificate had ended");
        assert_eq!(digest, digest_of(&removed));
        removed.add(Id(3), Timestamp(u64::MAX / 2), Timestamp(1), &mut digest);
        assert_eq!(digest, digest_of(&removed), "a record that says it again");
    }

    #[test]
    fn there_is_a_most_and_who_ends_first_is_forgotten_first() {
        let (mut removed, mut digest) = (RemovedNodes::default(), Digest::default());
        for number in 0..=REMOVED_NODES_MAX as u64 {
            removed.add(Id(number.into()), Timestamp(number), Timestamp(1), &mut digest);
        }
        assert_eq!(removed.len(), REMOVED_NODES_MAX);
        assert!(!removed.has(Id(0)) && removed.has(Id(1)));
        assert_eq!(digest, digest_of(&removed));
    }
}
