//! AGENT-9: an agent keeps a report until the log has what it says. Whatever an agent has seen of
//! its tasks, and the committed view does not say, is still to be sent or to be acknowledged.

use super::{Check, Checker};
use crate::simulator::world::SimulatedWorld;
use skep_proto::v1::TaskState;

/// Looks at each agent after each step.
pub(super) struct HeldReports;

impl Checker for HeldReports {
    fn name(&self) -> &'static str {
        "AGENT-9"
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        let Some(manager) = &world.manager else { return Ok(()) };
        let view = &manager.committed;
        for agent in world.agents.iter().filter(|agent| !agent.has_dropped) {
            let Some(core) = &agent.core else { continue };
            let Some(node) = view.nodes().find(agent.node()) else { continue };
            for (id, state, _) in core.tasks().filter(|(_, state, _)| *state > TaskState::Assigned)
            {
                let Some((_, row)) = view.tasks().by_id(id) else { continue };
                let is_news = row.node == Some(node) && !row.has_ended() && row.state < state;
                if is_news && !core.has_to_report(id) {
                    let (name, known) = (agent.name(), row.state);
                    return Err(format!(
                        "{name} knows that {id} is {state:?} and does not report it; the log has {known:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}
