//! LIVE-3: each agent that has a session is told soon when the cluster has another heartbeat
//! period.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_gateway::sessions::Conn;
use skep_proto::{defaults::heartbeat_period_ns, v1::event::Kind};
use std::collections::BTreeSet;

/// Steps in which an agent must be told: a manager that has stood still has more to do at once.
const STEPS_MAX: usize = 50;

/// Remembers who must be told, and what.
#[derive(Default)]
pub(super) struct Periods {
    period_ns: u64,
    waiting: BTreeSet<Conn>,
    /// Steps since the period changed.
    steps: usize,
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
            (self.period_ns, self.waiting, self.steps) = (period_ns, open.collect(), 0);
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
        if self.waiting.is_empty() {
            return Ok(());
        }
        let Some(manager) = &world.manager else {
            self.waiting.clear();
            return Ok(());
        };
        // Another change may follow, and a session may end.
        if heartbeat_period_ns(&manager.committed.cluster().spec) == self.period_ns {
            let open = world.agents.iter().filter_map(|agent| manager.conn_of(agent.node()));
            let open: BTreeSet<Conn> = open.collect();
            self.waiting.retain(|conn| open.contains(conn));
        } else {
            self.waiting.clear();
        }
        self.steps += 1;
        match self.waiting.first() {
            Some(conn) if self.steps > STEPS_MAX => {
                Err(format!("stream {} is not told of another heartbeat period", conn.0))
            }
            Some(_) | None => Ok(()),
        }
    }
}
