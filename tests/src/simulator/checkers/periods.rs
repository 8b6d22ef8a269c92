//! LIVE-3: each agent that has a session is told at once when the cluster has another heartbeat
//! period.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_gateway::sessions::Conn;
use skep_proto::{defaults::heartbeat_period_ns, v1::event::Kind};
use std::collections::BTreeSet;

/// Remembers who must be told in this step, and what.
#[derive(Default)]
pub(super) struct Periods {
    period_ns: u64,
    waiting: BTreeSet<Conn>,
}

impl Checker for Periods {
    fn name(&self) -> &'static str {
        "LIVE-3"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, world: &SimulatedWorld) -> Check {
        let (Kind::ClusterUpdated(e), Some(manager)) = (seen.kind, &world.manager) else {
            return Ok(());
        };
        let period_ns = heartbeat_period_ns(&e.spec.clone().unwrap_or_default());
        if period_ns != heartbeat_period_ns(&seen.before.cluster().spec) {
            let open = world.agents.iter().filter_map(|agent| manager.conn_of(agent.node()));
            (self.period_ns, self.waiting) = (period_ns, open.collect());
        }
        Ok(())
    }

    fn on_happening(&mut self, happening: &Occurrence, _world: &SimulatedWorld) -> Check {
        match happening {
            Occurrence::Sent { conn, period_ns: Some(told), .. } if *told == self.period_ns => {
                self.waiting.remove(conn);
            }
            Occurrence::Sent { conn, ends: Some(_), .. } | Occurrence::StreamFull { conn } => {
                self.waiting.remove(conn);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        let newest = world.manager.as_ref().map(|manager| &manager.committed.cluster().spec);
        let waiting = std::mem::take(&mut self.waiting);
        match waiting.first() {
            // Two changes may be committed in one step.
            Some(conn) if newest.map(|spec| heartbeat_period_ns(spec)) == Some(self.period_ns) => {
                Err(format!("stream {} is not told of another heartbeat period", conn.0))
            }
            Some(_) | None => Ok(()),
        }
    }
}
