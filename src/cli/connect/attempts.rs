//! When a command is sent again, and when the program gives up. PURE: the time that has passed is
//! handed in.
//!
//! A command has an id, and the same id takes effect once. So where nobody can say whether a
//! command was done, asking again is safe, and the answer is that of the first time. What people
//! must never be advised is to repeat it by hand: that would be another id, and another effect.

use std::time::Duration;

/// Pause before the first repetition; it doubles with each.
const ATTEMPT_DELAY_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two attempts.
const ATTEMPT_DELAY_MAX: Duration = Duration::from_secs(2);
/// How long a manager that went away may take to come back; then the outcome stays unknown.
const AWAY_LIMIT: Duration = Duration::from_secs(10);
/// How long a manager may take over one command without going away; then the outcome stays unknown.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The repetitions of one command.
#[derive(Debug)]
pub(super) struct Attempts {
    limit: Duration,
    first_failure: Option<Duration>,
    pause: Duration,
}

impl Attempts {
    /// `limit` is how long the command may take at most.
    pub(super) fn new(limit: Duration) -> Attempts {
        Attempts { limit: limit.min(ANSWER_LIMIT), first_failure: None, pause: ATTEMPT_DELAY_MIN }
    }

    /// How long an attempt that begins now may take.
    pub(super) fn patience(&self, passed: Duration) -> Duration {
        self.ends_at().saturating_sub(passed)
    }

    /// An attempt ended without a known outcome: how long to pause before the next, or nothing to
    /// give up.
    pub(super) fn again(&mut self, passed: Duration) -> Option<Duration> {
        self.first_failure.get_or_insert(passed);
        let pause = self.pause;
        self.pause = (pause * 2).min(ATTEMPT_DELAY_MAX);
        (passed + pause < self.ends_at()).then_some(pause)
    }

    fn ends_at(&self) -> Duration {
        self.first_failure.map_or(self.limit, |failed| self.limit.min(failed + AWAY_LIMIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_their_bound_and_end_with_the_patience() {
        let mut attempts = Attempts::new(60 * SECOND);
        let mut passed = Duration::ZERO;
        let mut pauses = Vec::new();
        while let Some(pause) = attempts.again(passed) {
            passed += pause;
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
    }

    #[test]
    fn a_command_takes_no_longer_than_it_may() {
        let mut attempts = Attempts::new(3 * SECOND);
        assert_eq!(attempts.patience(Duration::ZERO), 3 * SECOND);
        assert_eq!(attempts.again(3 * SECOND), None);
        assert_eq!(Attempts::new(60 * SECOND).patience(SECOND), ANSWER_LIMIT - SECOND);
    }

    #[test]
    fn nothing_is_sent_again_when_the_pause_takes_all_the_time_that_is_left() {
        let mut attempts = Attempts::new(3 * SECOND);
        assert_eq!(attempts.again(3 * SECOND - ATTEMPT_DELAY_MIN), None);
        let mut attempts = Attempts::new(3 * SECOND);
        let before = 3 * SECOND - ATTEMPT_DELAY_MIN - Duration::from_nanos(1);
        assert_eq!(attempts.again(before), Some(ATTEMPT_DELAY_MIN));
    }

    #[test]
    fn a_manager_that_comes_back_late_is_waited_for_from_the_first_failure_on() {
        let mut attempts = Attempts::new(ANSWER_LIMIT);
        assert!(attempts.again(15 * SECOND).is_some());
        assert_eq!(attempts.patience(20 * SECOND), 5 * SECOND);
    }
}
