//! AGENT-10: an agent asks for a step of a task again only after it has heard what became of it.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_proto::Id;
use std::collections::BTreeMap;

/// A step that was asked for: its number, and the run of the agent's process that waits for it.
type AskedStep = (u64, u64);

/// Remembers the steps whose answer is awaited.
#[derive(Default)]
pub(super) struct Overlaps {
    awaited: BTreeMap<(usize, Id, &'static str), AskedStep>,
}

impl Checker for Overlaps {
    fn name(&self) -> &'static str {
        "AGENT-10"
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        if let Occurrence::StepAnswered { agent, task, ticket } = happening {
            let is_it = |key: &(usize, Id, &str), awaited: &AskedStep| {
                (key.0, key.1, awaited.0) == (*agent, *task, *ticket)
            };
            self.awaited.retain(|key, awaited| !is_it(key, awaited));
        }
        let Occurrence::StepAsked { agent, task, step, ticket } = happening else { return Ok(()) };
        let process = world.agents[*agent].process;
        let before = self.awaited.insert((*agent, *task, step), (*ticket, process));
        match before {
            Some((first, of)) if of == process => {
                let name = world.agents[*agent].name();
                Err(format!("{name} asks for {step} of {task} again, and has not heard of {first}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
