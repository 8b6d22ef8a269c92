//! REC-3: no slot has two tasks desired to run, and no node is given more than it has.

use super::{Check, Checker};
use crate::simulator::{
    agent::NODE_CPUS,
    world::{SimulatedWorld, happening::Occurrence},
};
use skep_proto::v1::TaskState;
use std::collections::BTreeMap;

/// Looks at the tip after each turn.
pub(super) struct Owners;

impl Checker for Owners {
    fn name(&self) -> &'static str {
        "REC-3"
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        let (Occurrence::Turned { .. }, Some(manager)) = (happening, &world.manager) else {
            return Ok(());
        };
        let view = manager.tip();
        let mut owners = BTreeMap::new();
        let wanted = |desired: TaskState, ended: bool| desired == TaskState::Running && !ended;
        for (_, task) in
            view.tasks().iter().filter(|(_, task)| wanted(task.desired, task.has_ended()))
        {
            if let Some(other) = owners.insert((task.service, task.slot), task.id) {
                return Err(format!("slot {} is owned by {other} and by {}", task.slot, task.id));
            }
        }
        let mut ports = BTreeMap::new();
        for (index, node) in view.nodes().iter().filter(|(_, node)| !node.removed) {
            let cpus = node.description.resources.as_ref().map_or(0, |all| all.nano_cpus);
            // A machine that has become smaller keeps what it has until the tasks have left.
            let is_whole = cpus >= NODE_CPUS * 1_000_000_000;
            if is_whole && (node.free_nano_cpus() < 0 || node.free_memory_bytes() < 0) {
                return Err(format!("node {} is given more than it has", node.hostname()));
            }
            for (_, task) in view.tasks_on(index).filter(|(_, task)| !task.has_ended()) {
                let spec = view.spec_of(task);
                let endpoint = spec.and_then(|spec| spec.endpoint.as_ref());
                for port in endpoint.iter().flat_map(|endpoint| &endpoint.ports) {
                    let taken = ports.insert((index, port.published_port), task.id);
                    if let Some(other) = taken {
                        return Err(format!(
                            "port {} of {} is given to {other} and to {}",
                            port.published_port,
                            node.hostname(),
                            task.id
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}
