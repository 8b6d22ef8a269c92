//! What goes wrong, and who asks for what, as the dice say.

use super::{Event, World};
use skep_gateway::sessions::Conn;
use skep_proto::time::SECOND_NS;

impl World {
    /// Something goes wrong, or somebody asks for something; and again later.
    pub(super) fn fault(&mut self) {
        if !self.faults {
            return;
        }
        match self.dice.below(20) {
            0 => self.crash_manager(),
            1 | 2 => self.crash_agent(),
            3 | 4 => {
                let streams = self.net.all();
                if let Some(conn) = streams.get(self.dice.below(streams.len() as u64) as usize) {
                    self.cut(*conn);
                }
            }
            5 => self.ask_again(),
            _ => self.somebody_asks(),
        }
        let pause = self.dice.below(SECOND_NS);
        self.plan(pause, Event::Fault);
    }

    fn crash_manager(&mut self) {
        let Some(manager) = self.manager.take() else { return };
        self.crashes.0 += 1;
        let kept = self.dice.below(self.disk.unsynced() as u64 + 1) as usize;
        let lost = self.disk.lose_unsynced(kept);
        self.trace.push(format!("               manager crashes, {lost} entries lost"));
        for number in manager.abandoned() {
            if let Some(again) = self.clients.again(number) {
                self.plan(2 * SECOND_NS, Event::Command(again));
            }
        }
        for conn in self.net.all() {
            if let Some(stream) = self.net.cut(conn) {
                self.plan(SECOND_NS / 100, Event::AgentHearsCut(stream.agent, stream.line));
            }
        }
        let pause = self.dice.below(10 * SECOND_NS);
        self.plan(pause, Event::ManagerStarts);
    }

    fn crash_agent(&mut self) {
        let index = self.dice.below(self.agents.len() as u64) as usize;
        if self.agents[index].core.is_none() {
            return;
        }
        self.crashes.1 += 1;
        self.trace.push(format!("               agent {index} crashes"));
        self.agents[index].crash(&mut self.dice);
        self.drop_stream(index);
        let pause = self.dice.below(20 * SECOND_NS);
        self.plan(pause, Event::AgentStarts(index));
    }

    fn cut(&mut self, conn: Conn) {
        if let Some(stream) = self.net.cut(conn) {
            self.plan(SECOND_NS / 100, Event::AgentHearsCut(stream.agent, stream.line));
            self.plan(SECOND_NS / 10, Event::ManagerHearsCut(conn));
        }
    }

    fn somebody_asks(&mut self) {
        let Some(manager) = &self.manager else { return };
        let view = manager.committed.clone();
        let version = |name: &str| {
            view.service_named(name)
                .and_then(|place| view.services().get(place))
                .map_or(0, |row| row.version.0)
        };
        let nodes: Vec<String> = view
            .nodes()
            .iter()
            .filter(|(_, node)| !node.removed)
            .map(|(_, node)| node.id.to_string())
            .collect();
        let command = self.clients.ask(&mut self.dice, version, &nodes);
        self.plan(1, Event::Command(command));
    }

    /// Somebody who lost an answer sends the same command again.
    fn ask_again(&mut self) {
        let numbers: Vec<u64> = self.clients.told().map(|(number, _)| number).collect();
        let pick = self.dice.below(numbers.len() as u64) as usize;
        if let Some(again) = numbers.get(pick).and_then(|number| self.clients.again(*number)) {
            self.plan(1, Event::Command(again));
        }
    }
}
