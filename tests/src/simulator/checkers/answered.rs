//! GATE-4: every call ends. A command that a living manager has is answered soon, whatever the
//! answer is.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_proto::{Timestamp, time::SECOND_NS};

/// A command is answered within this time after it came, or after the newest tenure began.
const ANSWER_NS_MAX: u64 = 30 * SECOND_NS;

/// Remembers since when nothing has hindered the manager.
#[derive(Default)]
pub(super) struct Answered {
    unhindered_since: Timestamp,
}

impl Checker for Answered {
    fn name(&self) -> &'static str {
        "GATE-4"
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        match happening {
            Occurrence::TenureBegan | Occurrence::WentOn => self.unhindered_since = world.now,
            Occurrence::Answered { .. }
            | Occurrence::Began { .. }
            | Occurrence::StopAsked { .. }
            | Occurrence::StepAsked { .. }
            | Occurrence::HungUp { .. }
            | Occurrence::StepAnswered { .. }
            | Occurrence::Dialed { .. }
            | Occurrence::Sent { .. }
            | Occurrence::StreamFull { .. }
            | Occurrence::Stopping { .. }
            | Occurrence::CalledSilent { .. }
            | Occurrence::OrderGiven { .. }
            | Occurrence::OrderAnswered { .. }
            | Occurrence::Turned { .. } => {}
        }
        Ok(())
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        if world.manager.is_none() || world.stands_still() {
            return Ok(());
        }
        if world.now.since(self.unhindered_since) < ANSWER_NS_MAX {
            return Ok(());
        }
        let late =
            world.people.waiting().find(|(_, since)| world.now.since(*since) > ANSWER_NS_MAX);
        match late {
            Some((number, _)) => Err(format!("command {number} has had no answer for 30 s")),
            None => Ok(()),
        }
    }
}
