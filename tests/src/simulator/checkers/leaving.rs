//! REC-12: after a turn that has left nothing undone, no task stays where it must leave: on a node
//! that is drained or down, or that no longer meets its constraints.

use super::{Check, Checker, placed::unmet};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_projections::{NodeRow, TaskRow, View};
use skep_proto::v1::{NodeAvailability, NodeState, TaskState};

/// Looks at the tip after each turn.
pub(super) struct Leaving;

impl Checker for Leaving {
    fn name(&self) -> &'static str {
        "REC-12"
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        let (Occurrence::Turned { more: false }, Some(manager)) = (happening, &world.manager)
        else {
            return Ok(());
        };
        let view = manager.tip();
        for (index, node) in view.nodes().iter().filter(|(_, node)| !node.removed) {
            for (_, task) in view.tasks_on(index) {
                let is_bound = task.is_live() && task.state >= TaskState::Assigned;
                if let Some(why) = must_leave(view, task, node).filter(|_| is_bound) {
                    let (id, name) = (task.id, node.hostname());
                    return Err(format!("task {id} stays on {name}, which {why}"));
                }
            }
        }
        Ok(())
    }
}

fn must_leave(view: &View, task: &TaskRow, node: &NodeRow) -> Option<String> {
    let service = view.services().get(task.service)?;
    if view.parked(service.id).is_some() || view.parked(task.id).is_some() {
        return None;
    }
    match (node.state, node.spec.availability()) {
        (NodeState::Down, _) => Some("is down".into()),
        (_, NodeAvailability::Drain) => Some("is drained".into()),
        (NodeState::Ready, NodeAvailability::Active) => {
            let unmet = unmet(view.spec_of(task)?, node)?;
            Some(format!("does not meet {unmet}"))
        }
        (NodeState::Ready, NodeAvailability::Pause)
        | (NodeState::Unknown | NodeState::Disconnected, _) => None,
    }
}
