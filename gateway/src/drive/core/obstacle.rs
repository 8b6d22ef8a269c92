//! Why this manager does not lead. PURE.

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
