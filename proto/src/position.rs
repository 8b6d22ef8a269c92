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

/// An incarnation's random mark: two restores of one backup count to the same number, and are two
/// histories all the same. 0 is none: below feature level 3 it was not recorded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Lineage(pub u64);

impl Lineage {
    /// None is known.
    pub const NONE: Lineage = Lineage(0);

    /// The one that these random bytes name; never none.
    pub fn from_random(bytes: [u8; 8]) -> Lineage {
        Lineage(u64::from_be_bytes(bytes).max(1))
    }

    /// As JSON has it: empty where it is none.
    pub fn to_json(self) -> String {
        if self.is_none() { String::new() } else { self.to_string() }
    }

    /// Whether it is none.
    pub fn is_none(self) -> bool {
        self == Lineage::NONE
    }
}

impl fmt::Display for Lineage {
    /// 16 lower-case hexadecimal digits; `unknown` where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { f.write_str("unknown") } else { write!(f, "{:016x}", self.0) }
    }
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

    #[test]
    fn a_lineage_is_never_none_by_chance() {
        assert!(Lineage::default().is_none());
        assert!(!Lineage::from_random([0; 8]).is_none());
        assert_eq!(
            Lineage::from_random([0, 0, 0, 0, 0, 0, 0xab, 0xcd]).to_string(),
            "000000000000abcd"
        );
        assert_eq!(Lineage::NONE.to_string(), "unknown");
    }
}
