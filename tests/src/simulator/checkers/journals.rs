//! AGENT-12: an agent that starts again on its whole journal goes on where it was: with the same
//! tasks, what it had seen of them and what is wanted of them.

use super::{Check, Checker};
use crate::simulator::world::SimulatedWorld;

/// Asks each agent whether it has forgotten something.
pub(super) struct Journals;

impl Checker for Journals {
    fn name(&self) -> &'static str {
        "AGENT-12"
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        let forgot = world.agents.iter().find_map(|agent| {
            agent.forgot.as_ref().map(|what| format!("{} has forgotten {what}", agent.name()))
        });
        forgot.map_or(Ok(()), Err)
    }
}
