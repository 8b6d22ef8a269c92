//! Whether this manager may lead, as its log says, and what is told while it may not. PURE.

use super::{DriveCore, obstacle::Obstacle};
use crate::{
    clock::{Now, Uptime},
    turn::Answer,
};
use skep_proto::time::SECOND_NS;

/// People wait so long for what was in flight when the lead was lost and nobody leads instead: then
/// its outcome is unknown.
const LOST_LEAD_NS_MAX: u64 = 2 * SECOND_NS;
/// How long there must have been no leader before that is told of: elections are over before.
const LEADERLESS_AFTER_NS: u64 = 2 * SECOND_NS;

impl<C> DriveCore<C> {
    /// The log does not let this manager lead (any more), and why.
    pub fn handle_deposed(&mut self, why: &str, now: Now) {
        self.obstruct(Obstacle::Log(why.to_owned()), now);
    }

    /// No manager leads, as far as this one knows.
    pub fn handle_leaderless(&mut self, now: Now) {
        self.obstruct(Obstacle::NoLeader, now);
    }

    /// Whether no manager leads, as far as this one knows, for longer than an election takes.
    pub fn is_leaderless(&self, now: Now) -> bool {
        let nobody_leads = self.leads.is_none() && self.obstacle == Obstacle::NoLeader;
        nobody_leads && self.obstructed_ns(now) >= LEADERLESS_AFTER_NS
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

    /// When people have waited long enough for what was in flight when the lead was lost.
    pub(super) fn lost_lead_deadline(&self) -> Option<Uptime> {
        let lost_at = self.obstructed_since.filter(|_| self.leads.is_none())?;
        self.flight.deadline().map(|_| lost_at + LOST_LEAD_NS_MAX)
    }

    pub(super) fn give_up_people(&mut self, now: Uptime) {
        if self.lost_lead_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        for held in self.flight.people() {
            let why = "no majority had confirmed it when this manager lost the lead";
            self.answer_held(held, Answer::Unknown(why.into()));
        }
    }

    pub(super) fn obstruct(&mut self, obstacle: Obstacle, now: Now) {
        self.leads = None;
        self.forwarding.has_leader = false;
        self.obstacle = obstacle;
        self.obstructed_since.get_or_insert(now.uptime);
        self.give_up_proofs();
        self.return_forwarded();
        self.close_tenure(now.uptime);
    }
}
