//! Times as the log keeps them: nanoseconds since the Unix epoch, handed in, never read from a
//! clock here.

use std::{fmt, ops};

/// One second in nanoseconds.
pub const SECOND_NS: u64 = 1_000_000_000;
/// One day in nanoseconds.
pub const DAY_NS: u64 = 86_400 * SECOND_NS;

/// Nanoseconds since the Unix epoch, UTC. 0 is "never".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// No time at all.
    pub const NEVER: Timestamp = Timestamp(0);

    /// Nanoseconds from `earlier` to this; 0 when that is not earlier.
    pub fn since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads RFC 3339, with any offset.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let at: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(at.as_nanosecond()).ok().map(Timestamp)
    }
}

impl ops::Add<u64> for Timestamp {
    type Output = Timestamp;
    /// This plus so many nanoseconds; stays at the end of time rather than wrapping.
    fn add(self, ns: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(ns))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with as many digits as are not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_nanosecond(i128::from(self.0)).map_err(|_| fmt::Error)?;
        fmt::Display::fmt(&at, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_from_a_later_moment_is_none_and_time_ends_without_wrapping() {
        assert_eq!(Timestamp(9).since(Timestamp(4)), 5);
        assert_eq!(Timestamp(4).since(Timestamp(9)), 0);
        assert_eq!(Timestamp(4) + 5, Timestamp(9));
        assert_eq!(Timestamp(4) + u64::MAX, Timestamp(u64::MAX));
    }

    #[test]
    fn text_round_trips_to_the_nanosecond() {
        let at = Timestamp(1_795_267_201_123_456_789);
        assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        assert_eq!(
            Timestamp::parse("2026-11-21T14:00:00+01:00"),
            Timestamp::parse("2026-11-21T13:00:00Z")
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
