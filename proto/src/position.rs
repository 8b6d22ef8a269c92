//! Where in the history something stands.

use std::fmt;

/// A record's number: 1, 2, 3 … without gaps, the same on every manager for ever. 0 is before the
/// first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first record.
    pub const ZERO: Revision = Revision(0);

    /// The one after this.
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A revision within an incarnation. History that went back begins a new incarnation, so positions
/// order truly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Position {
    /// Counts restores and forced new clusters, from 1.
    pub incarnation: u64,
    /// The newest record that is included.
    pub revision: Revision,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ordered_by_their_incarnation_first() {
        let at = |incarnation, revision| Position { incarnation, revision: Revision(revision) };
        assert!(at(1, 9) < at(2, 1) && at(2, 1) < at(2, 2));
        assert_eq!(Revision::ZERO.next().next(), Revision(2));
        assert_eq!(at(2, 17).to_string(), "2.17");
    }
}
