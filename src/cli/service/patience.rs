//! How long a command waits for a service. PURE: times are handed in, counted from the command's
//! beginning.
//!
//! Without a limit of the caller's, waiting goes on as long as there is progress: a long pull is no
//! failure. Progress is counted so that it must end: a slot that comes further than it ever was, or
//! one more that is settled. A service whose tasks start and end for ever moves all the time and
//! makes no progress.

use super::verdict::ServiceProgress;
use std::{collections::BTreeMap, time::Duration};

/// Longest time without progress, or in trouble, where the caller gave no limit.
pub(super) const STANDSTILL_LIMIT: Duration = Duration::from_secs(60);

/// When tasks have run for `steady`, if they were seen `age` old at `seen_at`.
pub(super) fn steady_at(seen_at: Duration, age: Duration, steady: Duration) -> Duration {
    seen_at + steady.saturating_sub(age)
}

/// When waiting ends without success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WaitLimit {
    /// So long after the command's beginning, whatever happens.
    After(Duration),
    /// When nothing has come further for [`STANDSTILL_LIMIT`].
    Standstill,
    /// Never.
    Never,
}

/// What is remembered between two looks at a service.
#[derive(Debug)]
pub(super) struct WaitDeadline {
    limit: WaitLimit,
    advanced_at: Duration,
    trouble_since: Option<Duration>,
    settled_most: u64,
    slots_fewest: usize,
    reached: BTreeMap<u64, (i32, u64)>,
}

impl WaitDeadline {
    /// Begins to wait.
    pub(super) fn new(limit: WaitLimit, now: Duration) -> WaitDeadline {
        WaitDeadline {
            limit,
            advanced_at: now,
            trouble_since: None,
            settled_most: 0,
            slots_fewest: usize::MAX,
            reached: BTreeMap::new(),
        }
    }

    /// Takes a look.
    pub(super) fn take(&mut self, picture: &ServiceProgress, now: Duration) {
        if self.has_advanced(picture) {
            self.advanced_at = now;
        }
        self.trouble_since = picture.in_trouble().then(|| self.trouble_since.unwrap_or(now));
    }

    /// When waiting ends without success.
    pub(super) fn ends_at(&self) -> Option<Duration> {
        match self.limit {
            WaitLimit::After(at) => Some(at),
            WaitLimit::Standstill => {
                let since = self
                    .trouble_since
                    .map_or(self.advanced_at, |since| since.min(self.advanced_at));
                Some(since + STANDSTILL_LIMIT)
            }
            WaitLimit::Never => None,
        }
    }

    fn has_advanced(&mut self, picture: &ServiceProgress) -> bool {
        let mut advanced =
            picture.settled > self.settled_most || picture.slots.len() < self.slots_fewest;
        self.settled_most = self.settled_most.max(picture.settled);
        self.slots_fewest = self.slots_fewest.min(picture.slots.len());
        for slot in &picture.slots {
            let best = self.reached.entry(slot.number).or_default();
            if slot.reached > *best {
                *best = slot.reached;
                advanced = true;
            }
        }
        advanced
    }
}

#[cfg(test)]
mod tests {
    use super::{super::verdict::SlotProgress, *};
    use skep_proto::v1::Task;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn picture(reached: i32, bytes: u64) -> ServiceProgress {
        let slot = SlotProgress {
            number: 1,
            task: Task::default(),
            settled: false,
            failures: 0,
            failed: None,
            pull: None,
            reached: (reached, bytes),
        };
        ServiceProgress { wanted: 1, slots: vec![slot], ..ServiceProgress::default() }
    }

    #[test]
    fn a_pull_that_goes_on_is_waited_for() {
        let mut patience = WaitDeadline::new(WaitLimit::Standstill, at(0));
        for second in (0..300).step_by(50) {
            patience.take(&picture(320, second), at(second));
            assert_eq!(patience.ends_at(), Some(at(second) + STANDSTILL_LIMIT));
        }
    }

    #[test]
    fn starting_and_ending_for_ever_is_no_progress() {
        let mut patience = WaitDeadline::new(WaitLimit::Standstill, at(0));
        for second in 0..100 {
            patience.take(&picture(if second % 2 == 0 { 512 } else { 64 }, 0), at(second));
        }
        assert_eq!(patience.ends_at(), Some(STANDSTILL_LIMIT));
    }

    #[test]
    fn one_more_settled_and_one_slot_less_are_progress_and_the_same_again_is_not() {
        let mut patience = WaitDeadline::new(WaitLimit::Standstill, at(0));
        let seen = |settled, slots: usize| {
            let one = picture(512, 0).slots.remove(0);
            ServiceProgress {
                wanted: 3,
                settled,
                slots: vec![one; slots],
                ..ServiceProgress::default()
            }
        };
        let looks = [(1, 3, true), (2, 3, true), (1, 3, false), (2, 3, false), (2, 2, true)];
        let mut last = at(0);
        for (second, (settled, slots, is_progress)) in (10..).zip(looks) {
            patience.take(&seen(settled, slots), at(second));
            last = if is_progress { at(second) } else { last };
            assert_eq!(patience.ends_at(), Some(last + STANDSTILL_LIMIT), "{settled} {slots}");
        }
        patience.take(&seen(2, 3), at(20));
        assert_eq!(patience.ends_at(), Some(last + STANDSTILL_LIMIT), "it was there before");
    }

    #[test]
    fn a_limit_of_the_callers_holds_whatever_happens() {
        let mut patience = WaitDeadline::new(WaitLimit::After(at(40)), at(0));
        (0..100).for_each(|second| patience.take(&picture(320, second), at(second)));
        assert_eq!(patience.ends_at(), Some(at(40)));
        assert_eq!(WaitDeadline::new(WaitLimit::Never, at(0)).ends_at(), None);
    }

    #[test]
    fn trouble_that_lasts_ends_the_waiting_although_other_things_move() {
        let mut patience = WaitDeadline::new(WaitLimit::Standstill, at(0));
        for second in 10..50 {
            let blocked = ServiceProgress { blocked: "no node".into(), ..picture(320, second) };
            patience.take(&blocked, at(second));
        }
        assert_eq!(patience.ends_at(), Some(at(10) + STANDSTILL_LIMIT));
        patience.take(&picture(320, 50), at(50));
        assert_eq!(patience.ends_at(), Some(at(50) + STANDSTILL_LIMIT));
    }

    #[test]
    fn a_task_is_believed_when_it_has_run_long_enough_by_the_clock_that_stamped_it() {
        assert_eq!(steady_at(at(3), at(0), at(2)), at(5));
        assert_eq!(steady_at(at(4), at(1), at(2)), at(5), "a later look changes nothing");
        assert_eq!(steady_at(at(3), at(3_600), at(2)), at(3), "what ran before is believed");
    }
}
