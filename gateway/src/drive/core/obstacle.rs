//! Why this manager does not lead. PURE.

use super::DriveCore;
use crate::clock::{Now, Uptime};
use std::fmt;

/// What is told where no manager leads, as far as this one knows.
pub const NO_LEADER: &str = "no majority of the managers answers this one";

/// Why this manager does not lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It has just been started.
    NotElected,
    /// Another manager leads.
    OtherLeads,
    /// Nobody leads, as far as it knows.
    NoLeader,
    /// Its log says that it can't, and why.
    Log(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Obstacle::NotElected => "this manager does not lead",
            Obstacle::OtherLeads => "another manager leads",
            Obstacle::NoLeader => NO_LEADER,
            Obstacle::Log(why) => why,
        })
    }
}

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
        self.obstructed_since.map_or(0, |since: Uptime| now.uptime.since(since))
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
