//! The end of all faults: everything starts again and nothing goes wrong any more. What has to be
//! found, finds itself.

use super::{LogTakes, SimulatedEvent, SimulatedWorld};
use crate::simulator::{engine::Weather, net::Direction, people::specs};
use skep_proto::{
    Timestamp,
    time::SECOND_NS,
    v1::{NodeAvailability, UpdateNode, UpdateService, command::Action},
};

impl SimulatedWorld {
    /// Faults end. Nothing is repaired: processes start again, as a supervisor would start them.
    pub fn calm_down(&mut self) {
        self.weather = Weather::Calm;
        self.free_share = 1.0;
        self.full_since = None;
        self.log_takes = LogTakes::Everything;
        self.tell_space();
        self.note(|| "the faults end".into());
        self.plan(0, SimulatedEvent::ManagerStarts);
        for index in 0..self.agents.len() {
            self.plan(SECOND_NS, SimulatedEvent::AgentStarts(index));
            self.plan(SECOND_NS, SimulatedEvent::AgentRejoins(index));
            self.plan(SECOND_NS, SimulatedEvent::Notices(index));
        }
        // Streams that are mute break in the end; those that are well are not touched.
        for conn in self.net.all() {
            for way in [Direction::ToManager, Direction::ToAgent] {
                if self.net.is_mute(conn, way) {
                    self.plan(SECOND_NS, SimulatedEvent::Breaks(conn));
                }
            }
        }
    }

    /// Somebody asks for what can certainly be had: every node active, every service healthy.
    pub fn ask_for_the_possible(&mut self) {
        let Some(manager) = &self.manager else { return };
        let view = manager.committed.clone();
        let mut actions = Vec::new();
        for (_, node) in view.nodes().iter().filter(|(_, node)| !node.removed) {
            let availability = Some(NodeAvailability::Active as i32);
            let node = node.id.to_string();
            actions.push(Action::UpdateNode(UpdateNode {
                node,
                availability,
                ..UpdateNode::default()
            }));
        }
        for (_, service) in view.services().iter().filter(|(_, service)| !service.removed) {
            actions.push(Action::UpdateService(Box::new(UpdateService {
                service: service.id.to_string(),
                version: service.version.0,
                spec: Some(specs::healthy(&service.spec)),
            })));
        }
        for action in actions {
            let command = self.people.ask_for_the_possible(action, &view);
            self.plan(1, SimulatedEvent::Command(Box::new(command)));
        }
    }

    /// When the newest record was decided, by the true time.
    pub fn newest_record_at(&self) -> Timestamp {
        self.disk.safe().last().map_or(Timestamp::NEVER, |written| written.decided_at)
    }

    /// What is still on its way, where something is.
    pub fn under_way(&self) -> Option<String> {
        let Some(manager) = &self.manager else { return Some("there is no manager".into()) };
        if !manager.is_idle() {
            return Some("the manager has work left".into());
        }
        if self.agenda.has_commands() || !self.people.are_content() {
            return Some("commands are not answered".into());
        }
        let away = self
            .agents
            .iter()
            .find(|agent| agent.core.as_ref().is_none_or(|core| !core.is_attached()));
        away.map(|agent| format!("{} has no session", agent.name()))
    }
}
