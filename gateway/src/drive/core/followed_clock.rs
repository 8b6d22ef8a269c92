//! The log's time at a manager that does not lead. PURE.
//!
//! The leader's clock says it. Between two words of the leader it goes on by a stopwatch: "5
//! minutes ago" must be right at each manager, also while nothing happens in the cluster.

use crate::clock::Uptime;
use skep_proto::Timestamp;

/// The newest time that was heard, and when.
#[derive(Clone, Copy, Default)]
pub(super) struct FollowedClock {
    heard: Option<(Timestamp, Uptime)>,
}

impl FollowedClock {
    /// A record or the leader has this time. What came late says nothing.
    pub(super) fn note(&mut self, at: Timestamp, uptime: Uptime) {
        if self.time(uptime).is_none_or(|known| at > known) {
            self.heard = Some((at, uptime));
        }
    }

    /// The time now; none where nothing was heard.
    pub(super) fn time(&self, uptime: Uptime) -> Option<Timestamp> {
        self.heard.map(|(at, since)| Timestamp(at.0.saturating_add(uptime.since(since))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_between_two_words_and_never_back() {
        let mut clock = FollowedClock::default();
        assert_eq!(clock.time(Uptime(5)), None);
        clock.note(Timestamp(100), Uptime(5));
        assert_eq!(clock.time(Uptime(25)), Some(Timestamp(120)));
        clock.note(Timestamp(110), Uptime(25));
        assert_eq!(clock.time(Uptime(30)), Some(Timestamp(125)), "that word came late");
        clock.note(Timestamp(200), Uptime(30));
        assert_eq!(clock.time(Uptime(31)), Some(Timestamp(201)));
    }
}
