//! GATE-8: no more entries are in flight than the bound allows; the next turn waits.

use super::{Check, Checker};
use crate::simulator::world::SimulatedWorld;
use skep_gateway::drive::core::IN_FLIGHT_MAX;

/// Counts the entries of the tenure that goes on.
pub(super) struct InFlight;

impl Checker for InFlight {
    fn name(&self) -> &'static str {
        "GATE-8"
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        let Some(manager) = &world.manager else { return Ok(()) };
        match manager.proposals_in_flight() {
            0..=IN_FLIGHT_MAX => Ok(()),
            count => Err(format!("{count} entries are in flight; at most {IN_FLIGHT_MAX} may be")),
        }
    }
}
