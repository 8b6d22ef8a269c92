//! The fence (PURE): an entry does something only where it follows on the head.
//!
//! An old leader's late proposal names a parent that is no longer the head. It is committed by raft
//! like any other and does nothing, on every manager alike.

use crate::{Entry, chain::Hash};
use skep_proto::Position;

/// Whether `entry` is the next one of a history that stands at `position` with `head` as its newest
/// hash.
///
/// An incarnation is kept, or a later one begins. One may be left out: a recovery whose incarnation
/// was lost with what it wrote must not begin the same one again. A history without records has
/// none yet, and begins with any.
pub(crate) fn follows(entry: &Entry, position: Position, head: Hash) -> bool {
    let incarnation = entry.header.incarnation;
    entry.parent() == head
        && entry.first() == position.revision.next()
        && incarnation > 0
        && incarnation >= position.incarnation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chain, testing::draft};
    use skep_proto::Revision;

    fn check(parent: Hash, first: u64, incarnation: u64, stands: Position, head: Hash) -> bool {
        let draft = chain::Draft { incarnation, ..draft(parent, first, 2) };
        follows(&chain::seal(&draft).into(), stands, head)
    }

    #[test]
    fn only_the_next_entry_on_the_head_follows() {
        let head = Hash([9; 32]);
        let stands = Position { incarnation: 2, revision: Revision(10) };
        assert!(check(head, 11, 2, stands, head));
        assert!(check(head, 11, 3, stands, head), "a new incarnation begins");
        assert!(!check(Hash([8; 32]), 11, 2, stands, head), "another parent");
        assert!(!check(head, 12, 2, stands, head), "a gap");
        assert!(!check(head, 10, 2, stands, head), "said already");
        assert!(!check(head, 11, 1, stands, head), "an old incarnation");
        assert!(check(head, 11, 4, stands, head), "an incarnation may be left out");
        assert!(check(Hash::ZERO, 1, 1, Position::default(), Hash::ZERO), "the first");
        assert!(!check(Hash::ZERO, 1, 0, Position::default(), Hash::ZERO));
    }
}
