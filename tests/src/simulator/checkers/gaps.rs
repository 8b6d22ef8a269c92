//! AGENT-8: what an agent is sent follows what it was sent before. Streams lose nothing in the
//! middle, so an agent never finds a gap in its assignments.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};

/// What an agent says when it finds a gap.
const GAP: &str = "do not follow";

/// Looks at the streams that agents end by themselves.
pub(super) struct Gaps;

impl Checker for Gaps {
    fn name(&self) -> &'static str {
        "AGENT-8"
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        match happening {
            Occurrence::HungUp { agent, message } if message.contains(GAP) => {
                Err(format!("{} finds a gap: {message}", world.agents[*agent].name()))
            }
            _ => Ok(()),
        }
    }
}
