//! GATE-6: a message for a node's agent goes to the stream of the node's session, and its caller is
//! told at once whether there is one.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use std::collections::BTreeMap;

/// Remembers which messages were given in the step.
#[derive(Default)]
pub(super) struct Orders {
    /// Message → the agent that it is for.
    given: BTreeMap<u64, usize>,
}

impl Checker for Orders {
    fn name(&self) -> &'static str {
        "GATE-6"
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        match happening {
            Occurrence::OrderGiven { number, agent } => {
                self.given.insert(*number, *agent);
            }
            Occurrence::OrderAnswered { number, told } => {
                let agent = self.given.remove(number);
                let agent = agent.ok_or_else(|| format!("nobody gave message {number}"))?;
                let of = told.and_then(|conn| world.net.get(conn)).map(|stream| stream.agent);
                if of.is_some_and(|of| of != agent) {
                    return Err(format!("a message for agent {agent} went to agent {of:?}"));
                }
                let node = world.agents[agent].node();
                let attached = world.manager.as_ref().and_then(|manager| manager.conn_of(node));
                if told.is_none() && attached.is_some() {
                    return Err(format!("agent {agent} has a session and got no message"));
                }
            }
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
            | Occurrence::WentOn
            | Occurrence::CalledSilent { .. }
            | Occurrence::TenureBegan
            | Occurrence::Turned { .. } => {}
        }
        Ok(())
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        let given = std::mem::take(&mut self.given);
        match given.first_key_value() {
            Some((number, agent)) if world.manager.is_some() => {
                Err(format!("nobody answers message {number} for agent {agent}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
