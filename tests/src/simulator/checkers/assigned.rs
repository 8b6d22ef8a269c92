//! AGENT-1 and AGENT-2: a node runs only what was assigned to it, and stops nothing that is wanted of it.

use crate::simulator::world::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    let view = world.manager.as_ref().map(|manager| manager.tip().clone());
    for agent in &mut world.agents {
        let stopped = std::mem::take(&mut agent.stopped);
        let Some(view) = &view else {
            continue;
        };
        for task in stopped {
            let row = view.tasks().by_id(task).map(|(_, row)| row);
            if row.is_some_and(|row| row.is_wanted() && !row.has_ended()) {
                return Err(format!("AGENT-2: {} stops {task}, which is wanted", agent.name()));
            }
        }
        for task in agent.containers.keys() {
            let Some((_, row)) = view.tasks().by_id(*task) else { continue };
            let node = row.node.and_then(|place| view.nodes().get(place)).map(|node| node.id);
            if node != Some(agent.node()) {
                return Err(format!("AGENT-1: {} has {task}, which is assigned to {node:?}", agent.name()));
            }
        }
    }
    Ok(())
}
