//! How often raft may end without an error of the disk. PURE.
//!
//! Such an end is a panic: a check of raft's found what must not be, as when a manager's disk was
//! set back behind what it had told the others. Once, a new start may help. Where it does not, each
//! further start would end alike, for ever.

use crate::LogFailure;
use std::time::Duration;

/// So many ends within [`PANICS_PERIOD`] stop the log, until a person has looked.
const PANICS_MAX: usize = 3;
/// Ends further apart than this have nothing to do with each other.
const PANICS_PERIOD: Duration = Duration::from_secs(60);

/// The newest ends of raft.
#[derive(Default)]
pub(super) struct RaftPanics {
    /// When they were, by a stopwatch.
    ends: Vec<Duration>,
}

impl RaftPanics {
    /// What is to be made of a failure at this time.
    pub(super) fn judge(&mut self, failure: LogFailure, now: Duration) -> LogFailure {
        let LogFailure::Panicked(cause) = &failure else { return failure };
        self.ends.retain(|end| now.saturating_sub(*end) < PANICS_PERIOD);
        self.ends.push(now);
        if self.ends.len() < PANICS_MAX {
            return failure;
        }
        let message = format!(
            "raft ended {PANICS_MAX} times within {} s, and not because of the disk ({}): the history \
             here may differ from that of the other managers. If they work, demote this manager, or \
             stop its daemon, wipe its state folder and let it join again; the daemon's log tells more",
            PANICS_PERIOD.as_secs(),
            cause.message(),
        );
        LogFailure::Halted(message.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raft_that_ends_again_and_again_is_not_started_for_ever() {
        let mut panics = RaftPanics::default();
        let mut ends = |at_s| {
            let judged =
                panics.judge(LogFailure::Panicked("raft ended".into()), Duration::from_secs(at_s));
            matches!(judged, LogFailure::Halted(_))
        };
        assert_eq!([0, 30, 60, 90, 119].map(&mut ends), [false, false, false, false, true]);
    }

    #[test]
    fn what_the_disk_refuses_is_tried_for_ever() {
        let mut panics = RaftPanics::default();
        for _ in 0..10 {
            let judged = panics.judge(LogFailure::Disk("full".into()), Duration::ZERO);
            assert_eq!(judged, LogFailure::Disk("full".into()));
        }
    }
}
