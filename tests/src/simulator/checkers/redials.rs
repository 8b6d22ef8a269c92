//! AGENT-11: an agent whose session lived comes back at once when its stream is gone; only tries in
//! vain make it wait longer.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_agent::core::link::REDIAL_DELAY_NS_MIN;
use skep_proto::{
    Timestamp, defaults,
    time::SECOND_NS,
    v1::{TurnedCode, event::Kind},
};

/// A timer is late for so long at most.
const SLACK_NS: u64 = SECOND_NS / 10;

/// One agent's sessions.
#[derive(Clone, Copy, Default)]
struct Dialing {
    /// The run of its process.
    process: u64,
    /// Since when it has its session.
    attached_since: Option<Timestamp>,
    /// It must dial again until then.
    due: Option<Timestamp>,
    /// The cluster does not want it any more: it ends.
    ends: bool,
}

/// Remembers who must dial again.
#[derive(Default)]
pub(super) struct Redials {
    agents: Vec<Dialing>,
    /// The longest heartbeat period that the cluster has had: a session lived if it was longer.
    longest_ns: u64,
}

impl Checker for Redials {
    fn name(&self) -> &'static str {
        "AGENT-11"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        if let Kind::ClusterUpdated(e) = seen.kind {
            let period_ns = defaults::heartbeat_period_ns(&e.spec.clone().unwrap_or_default());
            self.longest_ns = self.longest_ns.max(period_ns);
        }
        Ok(())
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        self.agents.resize(world.agents.len(), Dialing::default());
        if let Occurrence::Dialed { agent } = happening {
            self.agents[*agent].due = None;
        }
        let Occurrence::Sent { conn, ends: Some(code), .. } = happening else { return Ok(()) };
        let is_for_good = matches!(code, TurnedCode::NodeRemoved | TurnedCode::WrongKey);
        if let Some(stream) = world.net.get(*conn).filter(|_| is_for_good) {
            self.agents[stream.agent].ends = true;
        }
        Ok(())
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        let begins_with = defaults::heartbeat_period_ns(&world.settings.cluster);
        let lives_ns = begins_with.max(self.longest_ns) + SLACK_NS;
        self.agents.resize(world.agents.len(), Dialing::default());
        for (index, agent) in world.agents.iter().enumerate() {
            let dialing = &mut self.agents[index];
            let Some(core) = agent.core.as_ref().filter(|_| dialing.process == agent.process)
            else {
                *dialing = Dialing { process: agent.process, ..Dialing::default() };
                continue;
            };
            dialing.ends |= agent.leaves;
            if core.is_attached() {
                dialing.attached_since.get_or_insert(world.now);
                dialing.due = None;
            } else if let Some(since) = dialing.attached_since.take()
                && world.now.since(since) > lives_ns
                && !dialing.ends
            {
                dialing.due = Some(world.now + REDIAL_DELAY_NS_MIN + SLACK_NS);
            }
            if dialing.due.is_some_and(|due| due < world.now) && !dialing.ends {
                let name = agent.name();
                return Err(format!("{name} had a session that lived, and does not dial again"));
            }
        }
        Ok(())
    }
}
