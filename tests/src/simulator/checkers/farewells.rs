//! GATE-10: a stream whose queue is full ends, and nothing more is sent on it; a manager that is
//! stopped says so on each stream of a session.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_gateway::sessions::Conn;
use skep_proto::v1::TurnedCode;
use std::collections::BTreeSet;

/// Remembers which streams must get no message any more, and which must get one in this step.
#[derive(Default)]
pub(super) struct Farewells {
    full: BTreeSet<Conn>,
    waiting: BTreeSet<Conn>,
}

impl Checker for Farewells {
    fn name(&self) -> &'static str {
        "GATE-10"
    }

    fn on_happening(&mut self, happening: &Occurrence, _world: &SimulatedWorld) -> Check {
        let conn = match happening {
            Occurrence::Sent { conn, ends, .. } => {
                if *ends == Some(TurnedCode::Stopping) {
                    self.waiting.remove(conn);
                }
                conn
            }
            Occurrence::StreamFull { conn } => {
                self.waiting.remove(conn);
                conn
            }
            Occurrence::Stopping { streams } => {
                self.waiting.extend(streams);
                return Ok(());
            }
            _ => return Ok(()),
        };
        if self.full.contains(conn) {
            return Err(format!("stream {} took no message, and is sent another one", conn.0));
        }
        if matches!(happening, Occurrence::StreamFull { .. }) {
            self.full.insert(*conn);
        }
        Ok(())
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        if let Some(conn) = self.waiting.pop_first() {
            return Err(format!("the manager is stopped and does not say so on stream {}", conn.0));
        }
        let Some(manager) = &world.manager else { return Ok(()) };
        match manager.hub().streams().find(|conn| self.full.contains(conn)) {
            Some(conn) => Err(format!("stream {} took no message and goes on", conn.0)),
            None => Ok(()),
        }
    }
}
