//! Commands on their way to the manager, and answers on their way back.

use super::{Occurrence, SimulatedEvent, SimulatedWorld};
use skep_gateway::{admit::Request, turn};
use skep_proto::{time::SECOND_NS, v1::Command};

/// Somebody whose answer is lost tries again after this time.
const AGAIN_NS: u64 = 2 * SECOND_NS;

impl SimulatedWorld {
    pub(super) fn command(&mut self, mut command: Command) {
        turn::bind(&mut command);
        let number = command.id.map_or(0, |id| id.number);
        let clocks = self.clocks();
        match &mut self.manager {
            Some(manager) => {
                self.people.sent(number, self.now);
                manager.ask(number, Request::Command(command), clocks);
            }
            None => self.plan(SECOND_NS, SimulatedEvent::Command(Box::new(command))),
        }
    }

    /// Those who were answered hear it; who was told "unknown" asks again under the same id.
    pub(super) fn hear_answers(&mut self) {
        let mut again = Vec::new();
        for happening in &self.happenings {
            if let Occurrence::Answered { number, answer, .. } = happening {
                again.extend(self.people.hear(*number, answer));
            }
        }
        for command in again {
            self.plan(AGAIN_NS, SimulatedEvent::Command(Box::new(command)));
        }
    }

    /// The manager that had commands has died: their askers try again.
    pub(super) fn ask_again(&mut self) {
        let numbers: Vec<u64> = self.people.waiting().map(|(number, _)| number).collect();
        for number in numbers {
            if let Some(command) = self.people.lost(number) {
                self.plan(AGAIN_NS, SimulatedEvent::Command(Box::new(command)));
            }
        }
    }
}
