//! When an edit that came too late is tried again.
//!
//! Each try needs the version that it read to be still the newest. Of twenty people who edit one
//! service at once one wins each round, so the others must come back often enough, and not all at
//! the same moment.

use crate::cli::fail::CliError;
use std::time::{Duration, Instant};

/// Most tries of one edit. Then the refusal stands, which names who was faster.
const EDIT_TRIES_MAX: u32 = 100;
/// Longest time for all of them.
const EDIT_TRIES_LIMIT: Duration = Duration::from_secs(30);
/// Longest pause before the first repetition; it grows by as much with each, up to ten times.
const EDIT_DELAY_STEP_MAX: Duration = Duration::from_millis(20);

/// The tries of one edit, by the clock.
pub(crate) struct EditTries {
    edits: Edits,
    began: Instant,
}

impl EditTries {
    /// The first one. `limit` is how long the command may take.
    pub(crate) fn begin(limit: Option<Duration>) -> EditTries {
        EditTries { edits: Edits::new(limit), began: Instant::now() }
    }

    /// Somebody was faster: waits until the next try, or gives up with this refusal.
    pub(crate) async fn pause(&mut self, refused: CliError) -> Result<(), CliError> {
        let pause = self.edits.again(self.began.elapsed(), dice()).ok_or(refused)?;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Numbers that differ between processes which run at the same time. Nothing secret depends on
/// them.
fn dice() -> u64 {
    crate::cli::now().0 ^ u64::from(std::process::id()).rotate_left(32)
}

/// The tries of one edit. The time that has passed and the random numbers are handed in.
#[derive(Debug)]
struct Edits {
    limit: Duration,
    tries: u32,
}

impl Edits {
    /// `limit` is how long the command may take.
    fn new(limit: Option<Duration>) -> Edits {
        Edits {
            limit: limit.map_or(EDIT_TRIES_LIMIT, |limit| limit.min(EDIT_TRIES_LIMIT)),
            tries: 1,
        }
    }

    /// Somebody was faster: how long to pause before the next try, or nothing to give up.
    fn again(&mut self, passed: Duration, dice: u64) -> Option<Duration> {
        if self.tries >= EDIT_TRIES_MAX || passed >= self.limit {
            return None;
        }
        let widest = EDIT_DELAY_STEP_MAX * self.tries.min(10);
        self.tries += 1;
        // A process's clock is no good dice in its low digits; multiplying spreads them over all.
        let share = dice.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Some(widest.mul_f64(share as f64 / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_tried_again_for_a_bounded_number_of_times() {
        let mut edits = Edits::new(None);
        let pauses: Vec<_> = std::iter::from_fn(|| edits.again(Duration::ZERO, u64::MAX)).collect();
        assert_eq!(pauses.len() as u32, EDIT_TRIES_MAX - 1);
        assert!(pauses.iter().all(|pause| *pause <= EDIT_DELAY_STEP_MAX * 10));
    }

    #[test]
    fn an_edit_ends_with_its_time() {
        let mut edits = Edits::new(Some(Duration::from_secs(1)));
        assert!(edits.again(Duration::from_millis(999), 7).is_some());
        assert_eq!(edits.again(Duration::from_secs(1), 7), None);
        assert_eq!(Edits::new(Some(Duration::MAX)).again(EDIT_TRIES_LIMIT, 7), None);
    }

    #[test]
    fn two_who_were_too_late_do_not_come_back_together() {
        let pause = |dice| Edits::new(None).again(Duration::ZERO, dice);
        assert_ne!(pause(1_000_000), pause(1_000_001));
    }
}
