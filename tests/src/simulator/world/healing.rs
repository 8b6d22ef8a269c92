//! After the faults: everything is repaired, and must come to rest as it was asked to be.

use super::{Event, World};
use crate::simulator::client::healthy_spec;
use skep_proto::{
    Id,
    time::SECOND_NS,
    v1::{Command, CommandId, NodeAvailability, UpdateNode, UpdateService, command::Action},
};

/// Virtual time in which everybody must have found each other again.
const REUNION_NS: u64 = 60 * SECOND_NS;

impl World {
    /// Faults end; every node is active; what can never run is replaced by what can.
    pub fn heal(&mut self) {
        self.faults = false;
        self.plan(0, Event::ManagerStarts);
        for index in 0..self.agents.len() {
            self.plan(0, Event::AgentStarts(index));
        }
        let limit = self.now + REUNION_NS;
        while self.now < limit && !self.is_reunited() {
            self.step();
        }
        self.repair();
    }

    fn is_reunited(&self) -> bool {
        self.manager.is_some()
            && self.agents.iter().all(|agent| agent.core.as_ref().is_some_and(|c| c.is_attached()))
    }

    fn repair(&mut self) {
        let Some(manager) = &self.manager else { return };
        let view = manager.committed.clone();
        let mut number = u64::MAX / 2;
        let mut actions = Vec::new();
        for (_, node) in view.nodes().iter().filter(|(_, node)| !node.removed) {
            let availability = Some(NodeAvailability::Active as i32);
            actions.push(Action::UpdateNode(UpdateNode {
                node: node.id.to_string(),
                availability,
                ..Default::default()
            }));
        }
        for (_, service) in view.services().iter().filter(|(_, service)| !service.removed) {
            actions.push(Action::UpdateService(Box::new(UpdateService {
                service: service.id.to_string(),
                version: service.version.0,
                spec: Some(healthy_spec(service.name(), service.replicas())),
            })));
        }
        for action in actions {
            number += 1;
            let id = Some(CommandId { stamp: u64::MAX, number });
            self.plan(1, Event::Command(Command { id, action: Some(action), ..Command::default() }));
        }
    }

    /// Everything that was asked for is so, and nothing is on its way.
    pub fn is_calm(&self) -> bool {
        self.unrest().is_empty()
    }

    /// What is not as it should be yet.
    pub fn unrest(&self) -> String {
        let Some(manager) = &self.manager else { return "no manager".into() };
        if !manager.is_idle() {
            return "the manager works".into();
        }
        if self.queue.values().any(|event| matches!(event, Event::Command(_))) {
            return "commands are on their way".into();
        }
        let view = &manager.committed;
        for (_, service) in view.services().iter() {
            if service.removed {
                return format!("service {} is being removed", service.name());
            }
            if u64::from(service.running_tasks) != service.replicas()
                || service.live_tasks != service.running_tasks
            {
                return format!(
                    "service {} wants {}, has {} live, {} running",
                    service.name(),
                    service.replicas(),
                    service.live_tasks,
                    service.running_tasks
                );
            }
        }
        let wanted: Vec<Id> =
            view.tasks().iter().filter(|(_, task)| task.is_live()).map(|(_, task)| task.id).collect();
        for agent in &self.agents {
            for (task, container) in &agent.containers {
                if view.tasks().find(*task).is_none() {
                    return format!(
                        "{} keeps what is left of {task}, which the view has forgotten",
                        agent.name()
                    );
                }
                let runs = container.started && container.ended.is_none();
                if runs && !wanted.contains(task) {
                    return format!("{} still runs {task}, which nobody wants", agent.name());
                }
            }
        }
        String::new()
    }
}
