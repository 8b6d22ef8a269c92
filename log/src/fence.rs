//! The fence (PURE): an entry does something only where it follows on the head.
//!
//! An old leader's late proposal names a parent that is no longer the head. It is committed by raft
//! like any other and does nothing, on every manager alike.

use crate::{Entry, chain::Hash};
use skep_proto::{Lineage, Position};

/// Where a history stands: what the next entry must follow on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct HistoryHead {
    pub(crate) position: Position,
    /// Of the position's incarnation; none where no entry has named one.
    pub(crate) lineage: Lineage,
    /// The newest entry's hash.
    pub(crate) hash: Hash,
}

impl HistoryHead {
    /// Where history stands after an entry that follows.
    pub(crate) fn after(entry: &Entry) -> HistoryHead {
        HistoryHead { position: entry.position(), lineage: entry.lineage(), hash: entry.hash }
    }

    /// Whether `entry` is the next one of this history.
    ///
    /// An incarnation is kept, or a later one begins. One may be left out: a recovery whose
    /// incarnation was lost with what it wrote must not begin the same one again. A history without
    /// records has none yet, and begins with any. As long as an incarnation is kept, its lineage is
    /// too, once an entry has named it.
    pub(crate) fn is_followed_by(&self, entry: &Entry) -> bool {
        let incarnation = entry.header.incarnation;
        let begins = incarnation > self.position.incarnation;
        let keeps = incarnation == self.position.incarnation
            && (self.lineage.is_none() || entry.lineage() == self.lineage);
        entry.parent() == self.hash
            && entry.first() == self.position.revision.next()
            && incarnation > 0
            && (begins || keeps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chain, testing::draft};
    use skep_proto::Revision;

    const HERE: Lineage = Lineage(7);

    fn check(
        parent: Hash,
        first: u64,
        (incarnation, lineage): (u64, Lineage),
        at: HistoryHead,
    ) -> bool {
        let draft = chain::Draft { incarnation, lineage, ..draft(parent, first, 2) };
        at.is_followed_by(&chain::seal(&draft).into())
    }

    fn stands(lineage: Lineage) -> HistoryHead {
        let position = Position { incarnation: 2, revision: Revision(10) };
        HistoryHead { position, lineage, hash: Hash([9; 32]) }
    }

    #[test]
    fn only_the_next_entry_on_the_head_follows() {
        let (at, head) = (stands(HERE), Hash([9; 32]));
        assert!(check(head, 11, (2, HERE), at));
        assert!(check(head, 11, (3, HERE), at), "a new incarnation begins");
        assert!(!check(Hash([8; 32]), 11, (2, HERE), at), "another parent");
        assert!(!check(head, 12, (2, HERE), at), "a gap");
        assert!(!check(head, 10, (2, HERE), at), "said already");
        assert!(!check(head, 11, (1, HERE), at), "an old incarnation");
        assert!(check(head, 11, (4, HERE), at), "an incarnation may be left out");
        let beginning = HistoryHead::default();
        assert!(check(Hash::ZERO, 1, (1, Lineage::NONE), beginning), "the first");
        assert!(check(Hash::ZERO, 1, (1, HERE), beginning), "with its lineage");
        assert!(!check(Hash::ZERO, 1, (0, Lineage::NONE), beginning));
    }

    #[test]
    fn an_incarnation_keeps_its_lineage() {
        let head = Hash([9; 32]);
        assert!(
            check(head, 11, (2, HERE), stands(Lineage::NONE)),
            "it is named for the first time"
        );
        assert!(!check(head, 11, (2, Lineage(8)), stands(HERE)), "another restore of one backup");
        assert!(!check(head, 11, (2, Lineage::NONE), stands(HERE)), "a program that knows none");
        assert!(check(head, 11, (3, Lineage(8)), stands(HERE)), "another incarnation");
        assert!(check(head, 11, (2, Lineage::NONE), stands(Lineage::NONE)), "as it was before");
    }
}
