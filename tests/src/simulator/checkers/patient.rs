//! AGENT-7: an agent that asks its runtime again waits longer each time; it never spins.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_proto::{Id, Timestamp, time::SECOND_NS};
use std::collections::BTreeMap;

/// The same step of the same task is asked for so often at most.
const STEPS_MAX: u32 = 20;
/// Within this time.
const WINDOW_NS: u64 = 5 * SECOND_NS;

/// Counts the steps of each task.
#[derive(Default)]
pub(super) struct Patient {
    counts: BTreeMap<(usize, Id, &'static str), (Timestamp, u32)>,
}

impl Checker for Patient {
    fn name(&self) -> &'static str {
        "AGENT-7"
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        let Occurrence::StepAsked { agent, task, step, .. } = happening else { return Ok(()) };
        let count = self.counts.entry((*agent, *task, step)).or_insert((world.now, 0));
        if world.now.since(count.0) > WINDOW_NS {
            *count = (world.now, 0);
        }
        count.1 += 1;
        if count.1 > STEPS_MAX {
            let name = world.agents[*agent].name();
            return Err(format!("{name} asks for {step} of {task} again and again"));
        }
        Ok(())
    }
}
