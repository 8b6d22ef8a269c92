//! REC-3: no slot has two tasks desired to run, and no node is given more than it has.

use crate::simulator::world::World;
use skep_proto::v1::TaskState;
use std::collections::BTreeMap;

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some(manager) = &world.manager else { return Ok(()) };
    let view = manager.tip();
    let mut owners = BTreeMap::new();
    for (_, task) in
        view.tasks().iter().filter(|(_, task)| task.desired == TaskState::Running && !task.has_ended())
    {
        if let Some(other) = owners.insert((task.service, task.slot), task.id) {
            return Err(format!("REC-3: slot {} is owned by {other} and by {}", task.slot, task.id));
        }
    }
    for (_, node) in view.nodes().iter().filter(|(_, node)| !node.removed) {
        if node.free_nano_cpus() < 0 || node.free_memory_bytes() < 0 {
            return Err(format!("REC-3: node {} is given more than it has", node.hostname()));
        }
    }
    Ok(())
}
