//! The leader's time, made so that it never goes back. PURE.
//!
//! Within a tenure it advances by the monotonic clock. Where it is ahead of the wall clock it goes at half speed
//! until they agree; where it is behind, at double speed: no step either way, so that durations in the log are true.

use skep_proto::{Timestamp, time::SECOND_NS};

/// A difference between log and wall clock at the start of a tenure that is recorded as a jump.
pub const JUMP_NS: u64 = 10 * SECOND_NS;

/// Time within one tenure.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    at: Timestamp,
    elapsed_ns: u64,
}

impl Clock {
    /// Begins a tenure. `last` is the newest record's time. The second value is the jump to be recorded, where the
    /// wall clock stands more than 10 s before the newest record.
    pub fn begin(last: Timestamp, wall: Timestamp) -> (Clock, Option<i64>) {
        let back = last.since(wall);
        let jump = (back > JUMP_NS).then(|| -(i64::try_from(back).unwrap_or(i64::MAX)));
        (Clock { at: last.max(wall), elapsed_ns: 0 }, jump)
    }

    /// The time now: `elapsed_ns` since the tenure began by the monotonic clock, `wall` by the wall clock.
    pub fn now(&mut self, elapsed_ns: u64, wall: Timestamp) -> Timestamp {
        let step = elapsed_ns.saturating_sub(self.elapsed_ns);
        self.elapsed_ns = self.elapsed_ns.max(elapsed_ns);
        let straight = self.at + step;
        self.at = if straight > wall {
            wall.max(self.at + step / 2)
        } else {
            wall.min(self.at + step.saturating_mul(2))
        };
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> u64 {
        seconds * SECOND_NS
    }

    #[test]
    fn with_a_good_wall_clock_both_agree() {
        let (mut clock, jump) = Clock::begin(Timestamp(s(90)), Timestamp(s(100)));
        assert_eq!(jump, None);
        assert_eq!(clock.now(s(1), Timestamp(s(101))), Timestamp(s(101)));
    }

    #[test]
    fn ahead_of_the_wall_clock_it_slows_and_never_stops() {
        let (mut clock, jump) = Clock::begin(Timestamp(s(200)), Timestamp(s(100)));
        assert_eq!(jump, Some(-(s(100) as i64)));
        assert_eq!(clock.now(s(10), Timestamp(s(110))), Timestamp(s(205)));
        assert_eq!(
            clock.now(s(10), Timestamp(s(50))),
            Timestamp(s(205)),
            "a step back of the wall changes nothing"
        );
        assert_eq!(clock.now(s(12), Timestamp(s(52))), Timestamp(s(206)));
    }

    #[test]
    fn behind_the_wall_clock_it_catches_up_without_a_step() {
        let (mut clock, _) = Clock::begin(Timestamp(s(1)), Timestamp(s(100)));
        assert_eq!(clock.now(s(2), Timestamp(s(1_000))), Timestamp(s(104)));
        assert_eq!(clock.now(s(3), Timestamp(s(105))), Timestamp(s(105)));
    }
}
