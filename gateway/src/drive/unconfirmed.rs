//! Reads that wait until the log confirms that their view is the newest. PURE.
//!
//! A disk that hangs gives no error, only no answer. A read that has waited long enough is answered
//! with what was committed before. It stays here until the log does answer, and while one stays too
//! long the log counts as silent: other reads need not wait then to find out the same.

use crate::clock::Uptime;
use skep_proto::time::SECOND_NS;
use std::collections::BTreeMap;

/// Longest wait of a read for the log's confirmation, and of `doctor` for the disk. After it a read
/// is answered with what was committed before, and says so; `doctor` reports a problem.
pub const CONFIRM_READ_NS_MAX: u64 = 3 * SECOND_NS / 2;

/// The reads that wait, by their numbers, and since when.
#[derive(Default, Debug)]
pub(super) struct UnconfirmedReads {
    waiting: BTreeMap<u64, Uptime>,
    next: u64,
}

impl UnconfirmedReads {
    /// A read begins to wait; it must be told when it ends. None where the log is silent.
    pub(super) fn begin(&mut self, now: Uptime) -> Option<u64> {
        if self.oldest_ns(now) >= CONFIRM_READ_NS_MAX {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, now);
        Some(number)
    }

    /// The log has answered a read, or nobody waits for it any more.
    pub(super) fn end(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// How long the oldest has waited, in nanoseconds.
    pub(super) fn oldest_ns(&self, now: Uptime) -> u64 {
        self.waiting.first_key_value().map_or(0, |(_, since)| now.since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Uptime {
        Uptime(ms * 1_000_000)
    }

    #[test]
    fn a_log_that_answers_makes_every_read_wait_for_its_own_answer() {
        let mut reads = UnconfirmedReads::default();
        for at in [0, 1_000, 60_000] {
            let read = reads.begin(ms(at)).unwrap();
            assert_eq!(reads.oldest_ns(ms(at + 5)), 5_000_000);
            reads.end(read);
            assert_eq!(reads.oldest_ns(ms(at + 6)), 0);
        }
    }

    #[test]
    fn while_one_read_has_waited_too_long_no_other_waits() {
        let mut reads = UnconfirmedReads::default();
        let first = reads.begin(ms(100)).unwrap();
        let second = reads.begin(ms(1_599)).expect("the first may still be answered");
        assert_eq!(reads.begin(ms(1_600)), None);
        assert_eq!(reads.begin(ms(90_000)), None);
        assert_eq!(reads.oldest_ns(ms(90_100)), 90_000_000_000);
        reads.end(second);
        assert_eq!(reads.begin(ms(90_200)), None, "the log has not answered the first");
        reads.end(first);
        assert!(reads.begin(ms(90_300)).is_some());
    }
}
