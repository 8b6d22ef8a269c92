//! GATE-9: a stream that the hub holds is of a session, and a session of a stream; a node has one
//! at most.

use super::{Check, Checker};
use crate::simulator::world::SimulatedWorld;
use std::collections::BTreeSet;

/// Compares what the hub and its sessions hold.
pub(super) struct OneSession;

impl Checker for OneSession {
    fn name(&self) -> &'static str {
        "GATE-9"
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        let Some(manager) = &world.manager else { return Ok(()) };
        let (mut of_sessions, mut nodes) = (BTreeSet::new(), BTreeSet::new());
        for (conn, node) in manager.hub().sessions() {
            of_sessions.insert(conn);
            if !nodes.insert(node) {
                return Err(format!("node {node} has two sessions"));
            }
        }
        of_sessions.extend(manager.hub().joining());
        let streams: BTreeSet<_> = manager.hub().streams().collect();
        match streams.symmetric_difference(&of_sessions).next() {
            None => Ok(()),
            Some(conn) if streams.contains(conn) => {
                Err(format!("stream {} goes on, and its session has ended", conn.0))
            }
            Some(conn) => Err(format!("a session waits for stream {}, which has ended", conn.0)),
        }
    }
}
