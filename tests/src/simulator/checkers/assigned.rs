//! AGENT-1 and AGENT-2: a node has only what was assigned to it, and stops nothing that is wanted
//! of it.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_proto::Id;

/// Looks at each container that begins and at each stop.
pub(super) struct Assignments;

impl Checker for Assignments {
    fn name(&self) -> &'static str {
        "AGENT-1"
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        // What an agent was told is in the log, whether or not the manager lives.
        let Some(view) = world.manager.as_ref().map(|manager| manager.tip()) else { return Ok(()) };
        match happening {
            Occurrence::Began { agent, task } => {
                let Some((_, row)) = view.tasks().by_id(*task) else { return Ok(()) };
                let node = row.node.and_then(|node| view.nodes().get(node)).map(|node| node.id);
                let agent = &world.agents[*agent];
                if node.is_none() || node.unwrap_or(Id::NONE) != agent.node() {
                    return Err(format!(
                        "{} runs {task}, which is assigned to {node:?}",
                        agent.name()
                    ));
                }
            }
            Occurrence::StopAsked { agent, task } => {
                let row = view.tasks().by_id(*task).map(|(_, row)| row);
                if row.is_some_and(|row| row.is_wanted() && !row.has_ended()) {
                    let name = world.agents[*agent].name();
                    return Err(format!("(AGENT-2) {name} stops {task}, which is wanted"));
                }
            }
            Occurrence::Answered { .. }
            | Occurrence::CalledSilent { .. }
            | Occurrence::Turned { .. }
            | Occurrence::TenureBegan => {}
        }
        Ok(())
    }
}
