//! LIVE-2: an agent that has a session says something in each heartbeat period.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_proto::{Timestamp, defaults, time::SECOND_NS, v1::event::Kind};

/// A timer is late for so long at most.
const SLACK_NS: u64 = SECOND_NS / 10;

/// Remembers since when each agent has had its session.
#[derive(Default)]
pub(super) struct Beats {
    open_since: Vec<Timestamp>,
    /// The longest heartbeat period that the cluster has had: an agent hears late of another one.
    longest_ns: u64,
}

impl Checker for Beats {
    fn name(&self) -> &'static str {
        "LIVE-2"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        if let Kind::ClusterUpdated(e) = seen.kind {
            let period_ns = defaults::heartbeat_period_ns(&e.spec.clone().unwrap_or_default());
            self.longest_ns = self.longest_ns.max(period_ns);
        }
        Ok(())
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        let begins_with = defaults::heartbeat_period_ns(&world.settings.cluster);
        let period_ns = begins_with.max(self.longest_ns);
        self.open_since.resize(world.agents.len(), Timestamp::NEVER);
        for (index, agent) in world.agents.iter().enumerate() {
            let since = &mut self.open_since[index];
            if !agent.core.as_ref().is_some_and(|core| core.is_attached()) {
                *since = Timestamp::NEVER;
                continue;
            }
            if *since == Timestamp::NEVER {
                *since = world.now;
            }
            let ago = world.now.since(world.said[index].max(*since));
            if ago > period_ns + SLACK_NS {
                let name = agent.name();
                return Err(format!("{name} has said nothing for {} ms", ago / 1_000_000));
            }
        }
        Ok(())
    }
}
