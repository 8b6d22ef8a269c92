//! Whether this manager may lead, as its log says, and what is told while it may not. PURE.

use super::{DriveCore, obstacle::Obstacle};
use crate::clock::Now;

impl<C> DriveCore<C> {
    /// The log does not let this manager lead (any more), and why.
    pub fn handle_deposed(&mut self, why: &str, now: Now) {
        self.obstruct(Obstacle::Log(why.to_owned()), now);
    }

    /// No manager leads, as far as this one knows.
    pub fn handle_leaderless(&mut self, now: Now) {
        self.obstruct(Obstacle::NoLeader, now);
    }

    /// Whether no manager leads, as far as this one knows.
    pub fn is_leaderless(&self) -> bool {
        self.leads.is_none() && self.obstacle == Obstacle::NoLeader
    }

    /// How long this manager has neither led nor followed, in nanoseconds.
    pub fn obstructed_ns(&self, now: Now) -> u64 {
        self.obstructed_since.map_or(0, |since| now.uptime.since(since))
    }

    /// Why nobody has decided what was asked here.
    pub(super) fn why_not_led(&self) -> String {
        match (&self.obstacle, &self.forwarding.untaken) {
            (Obstacle::OtherLeads, Some(why)) => {
                format!("{}, and took nothing: {why}", self.obstacle)
            }
            _ => self.obstacle.to_string(),
        }
    }

    pub(super) fn obstruct(&mut self, obstacle: Obstacle, now: Now) {
        self.leads = None;
        self.forwarding.has_leader = false;
        self.obstacle = obstacle;
        self.obstructed_since.get_or_insert(now.uptime);
        self.return_forwarded();
        self.close_tenure(now.uptime);
    }
}
