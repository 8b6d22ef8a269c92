//! The time that a leader gives its records.
//!
//! It starts at the wall clock's time, or at the newest record's where that is later, and then
//! advances by the monotonic clock. So the difference of two times of one tenure is a true
//! duration, and every deadline that the view holds as a time in the log comes after the wait that
//! a stopwatch shows, whatever happens to the wall clock meanwhile. Where log and wall clock
//! differ, the log's time approaches the wall clock as slowly as the kernel slews its own clock:
//! too slowly to be noticed in a wait.

use crate::clock::{Now, Uptime};
use skep_proto::{Timestamp, time::SECOND_NS};

/// Difference between log and wall clock that is recorded: at the start of a tenure when the wall
/// clock is so far behind the newest record, within a tenure when somebody sets the wall clock by
/// so much.
pub const CLOCK_JUMP_NS_MIN: u64 = 10 * SECOND_NS;

/// One nanosecond in so many is added or left out while log and wall clock differ: 500 parts in a
/// million.
const SLEW_DIVISOR: u64 = 2_000;

/// The time within one tenure.
#[derive(Clone, Copy, Debug)]
pub struct LogClock {
    at: Timestamp,
    /// The newest reading.
    read: Now,
}

/// A step of the wall clock, in nanoseconds; backward steps are negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallStep(pub i64);

impl LogClock {
    /// Begins a tenure. `last` is the newest record's time.
    pub fn begin(last: Timestamp, now: Now) -> (LogClock, Option<WallStep>) {
        let behind = WallStep(difference(now.wall, last));
        let step = (last.since(now.wall) > CLOCK_JUMP_NS_MIN).then_some(behind);
        (LogClock { at: last.max(now.wall), read: now }, step)
    }

    /// Goes on in a later tenure of the same process, which still has the stopwatch: a step of the
    /// wall clock in between changes no wait. `last` is the newest record's time.
    pub fn resume(mut self, last: Timestamp, now: Now) -> (LogClock, Option<WallStep>) {
        let (_, step) = self.advance(now);
        self.at = self.at.max(last);
        (self, step)
    }

    /// The time now, and the step of the wall clock since the last call where it was a large one.
    pub fn advance(&mut self, now: Now) -> (Timestamp, Option<WallStep>) {
        let passed = now.uptime.since(self.read.uptime);
        let expected = self.read.wall + passed;
        let step = WallStep(difference(now.wall, expected));
        let straight = self.at + passed;
        let slew = (passed / SLEW_DIVISOR).min(straight.0.abs_diff(now.wall.0));
        self.at = if straight > now.wall { Timestamp(straight.0 - slew) } else { straight + slew };
        self.read = Now { uptime: self.read.uptime.max(now.uptime), wall: now.wall };
        (self.at, (step.0.unsigned_abs() > CLOCK_JUMP_NS_MIN).then_some(step))
    }

    /// The newest time that [`LogClock::advance`] gave.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// When the log will have reached this time, by the monotonic clock; by the slowest rate, so
    /// never too early.
    pub fn uptime_of(&self, at: Timestamp) -> Uptime {
        let wait = at.since(self.at);
        self.read.uptime + wait + wait.div_ceil(SLEW_DIVISOR - 1)
    }
}

/// Nanoseconds from `b` to `a`.
pub(super) fn difference(a: Timestamp, b: Timestamp) -> i64 {
    let apart = i64::try_from(a.0.abs_diff(b.0)).unwrap_or(i64::MAX);
    if a >= b { apart } else { -apart }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clocks so many milliseconds after the start, with a wall clock that shows so many
    /// seconds.
    fn read(ms: u64, wall_s: u64) -> Now {
        Now { uptime: Uptime(ms * 1_000_000), wall: Timestamp(wall_s * SECOND_NS) }
    }

    fn s(seconds: u64) -> Timestamp {
        Timestamp(seconds * SECOND_NS)
    }

    #[test]
    fn with_a_good_wall_clock_both_agree() {
        let (mut clock, step) = LogClock::begin(s(90), read(0, 100));
        assert_eq!(step, None);
        assert_eq!(clock.advance(read(1_000, 101)), (s(101), None));
        assert_eq!(clock.advance(read(61_000, 161)), (s(161), None));
    }

    #[test]
    fn a_log_ahead_of_the_wall_clock_is_recorded_and_goes_at_the_true_rate() {
        let (mut clock, step) = LogClock::begin(s(200), read(0, 100));
        assert_eq!(step, Some(WallStep(-100_000_000_000)));
        let (at, step) = clock.advance(read(16_000, 116));
        assert_eq!((at, step), (Timestamp(s(216).0 - 8_000_000), None), "8 ms short after 16 s");
    }

    #[test]
    fn a_step_of_the_wall_clock_is_told_once_and_changes_no_duration() {
        for wall in [1_000, 5] {
            let (mut clock, _) = LogClock::begin(s(50), read(0, 100));
            let (before, _) = clock.advance(read(1_000, 101));
            let (after, step) = clock.advance(read(2_000, wall));
            assert_eq!(step, Some(WallStep((wall as i64 - 102) * SECOND_NS as i64)));
            assert!(after.since(before).abs_diff(SECOND_NS) <= SECOND_NS / 1_000, "{wall}");
            let (again, step) = clock.advance(read(3_000, wall + 1));
            assert_eq!(step, None);
            assert!(again.since(after).abs_diff(SECOND_NS) <= SECOND_NS / 1_000, "{wall}");
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_between_two_tenures_changes_no_duration() {
        for wall in [4_000, 5] {
            let (mut clock, _) = LogClock::begin(s(50), read(0, 100));
            let (before, _) = clock.advance(read(1_000, 101));
            let (resumed, step) = clock.resume(before, read(4_000, wall));
            assert_eq!(step, Some(WallStep((wall as i64 - 104) * SECOND_NS as i64)));
            assert!(
                resumed.at().since(before).abs_diff(3 * SECOND_NS) <= SECOND_NS / 100,
                "{wall}"
            );
        }
        let (clock, _) = LogClock::begin(s(50), read(0, 100));
        let (resumed, _) = clock.resume(s(900), read(1_000, 101));
        assert_eq!(resumed.at(), s(900), "another manager's records are later");
    }

    #[test]
    fn a_small_difference_is_slewed_away_from_both_sides_and_never_overshot() {
        for start in [99_999_999_000, 100_000_001_000] {
            let (mut clock, _) = LogClock::begin(Timestamp(start), read(0, 99));
            let (at, _) = clock.advance(read(1_000, 101));
            assert_eq!(at, s(101), "{start}");
        }
    }

    #[test]
    fn it_never_goes_back_even_when_both_clocks_do() {
        let (mut clock, _) = LogClock::begin(s(10), read(5_000, 100));
        let (before, _) = clock.advance(read(6_000, 101));
        let (after, _) = clock.advance(read(5_500, 1));
        assert!(after >= before);
    }

    #[test]
    fn a_deadline_is_never_looked_at_before_the_log_has_reached_it() {
        let (mut clock, _) = LogClock::begin(s(200), read(0, 100));
        let due = clock.uptime_of(s(210));
        assert!(due.0 - 10 * SECOND_NS < SECOND_NS / 100, "{due:?}");
        let wall = s(100) + due.0;
        assert!(clock.advance(Now { uptime: due, wall }).0 >= s(210));
        assert_eq!(clock.uptime_of(s(1)), clock.uptime_of(s(2)), "what has passed is due at once");
    }
}
