//! What the drive tells its shell and its readers: when it wants to be called, what time it is in
//! the log, and how the log stands. PURE.

use super::{DriveCore, tenure::LeaderTenure, time};
use crate::clock::{Now, Uptime};
use skep_projections::View;
use skep_proto::Timestamp;

impl<C> DriveCore<C> {
    /// When [`DriveCore::handle_timeout`] wants to be called, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Uptime> {
        let wake = self.turn_due();
        let may_begin = self.tenure.is_none() && self.may_lead() && !self.flight.awaits_log();
        let retry = may_begin.then_some(self.retry_at);
        let stop = self.stops_at.filter(|_| !self.is_stopped());
        let look = self.presence.due(&self.committed).filter(|_| self.tenure.is_some());
        let forwarding = self.forwarding_due();
        let lost = self.lost_lead_deadline();
        [wake, retry, stop, look, forwarding, lost, self.queue.deadline(), self.flight.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When the next turn is due if nobody asks.
    pub fn turn_due(&self) -> Option<Uptime> {
        let may_turn = self.tenure.as_ref().filter(|tenure| self.may_turn(tenure));
        may_turn.and_then(LeaderTenure::deadline)
    }

    /// Whether one request waits, and nothing is in flight that it could wait for.
    pub fn is_lone_request(&self) -> bool {
        self.queue.len() == 1 && self.flight.is_empty()
    }

    /// How long the log has had an entry without confirming it, in nanoseconds.
    pub fn unconfirmed_ns(&self, now: Now) -> u64 {
        self.flight.unconfirmed_since().map_or(0, |since| now.uptime.since(since))
    }

    /// The manager that leads has this time.
    pub fn handle_leader_time(&mut self, at: Timestamp, now: Now) {
        self.followed.note(at, now.uptime);
    }

    /// The log's time now: the tenure's, or where another manager leads, the one that it said.
    pub fn log_time(&mut self, now: Now) -> Timestamp {
        let committed = self.committed.at();
        let at = match &mut self.tenure {
            Some(tenure) => tenure.advance(now),
            None => self.followed.time(now.uptime).unwrap_or(committed),
        };
        at.max(committed)
    }

    /// How far the log's time is ahead of the wall clock, in nanoseconds; negative where it is
    /// behind.
    pub fn skew(&mut self, now: Now) -> i64 {
        time::difference(self.log_time(now), now.wall)
    }

    /// The committed view.
    pub fn committed(&self) -> &View {
        &self.committed
    }

    /// Whether nothing waits, nothing is in flight, and no work is left for the next turn.
    pub fn is_idle(&self, now: Now) -> bool {
        self.queue.is_empty()
            && self.flight.is_empty()
            && self.forwarding.is_idle()
            && self.unproved.is_empty()
            && !self.is_in_turn()
            && !self.wants_turn(now)
    }

    /// Whether it was started to serve reads alone.
    pub fn is_in_safe_mode(&self) -> bool {
        self.identity.safe_mode
    }

    /// Why commands are refused, or some of them; nothing when all are accepted.
    pub fn limit(&self) -> Option<String> {
        if self.identity.safe_mode {
            return Some(
                "the manager runs in safe mode: it serves reads and accepts nothing".into(),
            );
        }
        self.free.limit(&self.of_this_manager())
    }

    /// " of NODE" where there are several managers; nothing where there is no other.
    pub(super) fn of_this_manager(&self) -> String {
        let view = &self.committed;
        let own = view.nodes().by_id(self.identity.node).map(|(_, row)| row.hostname());
        match own.filter(|_| view.managers().count() > 1) {
            Some(hostname) => format!(" of {hostname}"),
            None => String::new(),
        }
    }
}
