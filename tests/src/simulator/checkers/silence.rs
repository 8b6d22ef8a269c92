//! LIVE-1: a node that beats is never called silent or down; one that is not heard of is, within
//! bounds.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::{
    manager::ManagerProcess,
    world::{SimulatedWorld, happening::Occurrence},
};
use skep_proto::{
    Id, Timestamp, defaults,
    time::SECOND_NS,
    v1::{NodeState, event::Kind},
};
use std::collections::BTreeMap;

/// Messages are under way and timers are late for so long at most.
const SLACK_NS: u64 = SECOND_NS / 10;
/// A turn and its sync take so long at most.
const COMMIT_NS_MAX: u64 = 10 * SECOND_NS;

/// How often nodes are looked at.
const LOOK_NS: u64 = SECOND_NS / 20;

/// Compares what is said of nodes with what was heard of them.
#[derive(Default)]
pub(super) struct Silence {
    next_look: Timestamp,
    /// When each node last had a session, or a tenure began.
    had_session: BTreeMap<Id, Timestamp>,
    /// Since when a node that is not in the cluster has a session.
    strangers: BTreeMap<Id, Timestamp>,
}

fn patience_ns(world: &SimulatedWorld) -> u64 {
    defaults::heartbeat_period_ns(&world.settings.cluster) * defaults::HEARTBEAT_GRACE_PERIODS
}

/// When a node was last heard over an open session.
fn heard(world: &SimulatedWorld, node: Id) -> Option<(usize, Timestamp)> {
    let index = world.agents.iter().position(|agent| agent.node() == node)?;
    Some((index, world.heard[index]))
}

impl Checker for Silence {
    fn name(&self) -> &'static str {
        "LIVE-1"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, world: &SimulatedWorld) -> Check {
        if matches!(seen.kind, Kind::TenureBegun(_)) {
            self.had_session.clear();
        }
        let Kind::NodeDown(e) = seen.kind else { return Ok(()) };
        let node = Id::from_bytes(&e.node_id);
        let Some((index, at)) = heard(world, node) else { return Ok(()) };
        // What was heard after the decision does not count.
        let ago = seen.decided_at.since(at);
        if at <= seen.decided_at && ago + SLACK_NS < patience_ns(world) {
            let name = world.agents[index].name();
            return Err(format!("{name} is down {} ms after it was heard", ago / 1_000_000));
        }
        Ok(())
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        if matches!(happening, Occurrence::TenureBegan) {
            self.had_session.clear();
        }
        let Occurrence::CalledSilent { node } = happening else { return Ok(()) };
        let Some((index, at)) = heard(world, *node) else { return Ok(()) };
        let ago = world.now.since(at);
        if ago + SLACK_NS < patience_ns(world) {
            let name = world.agents[index].name();
            return Err(format!(
                "{name} is called silent {} ms after it was heard",
                ago / 1_000_000
            ));
        }
        Ok(())
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        if world.now < self.next_look {
            return Ok(());
        }
        self.next_look = world.now + LOOK_NS;
        let Some(manager) = &world.manager else {
            self.had_session.clear();
            return Ok(());
        };
        for (_, node) in manager.committed.nodes().iter().filter(|(_, node)| !node.removed) {
            let since = self.had_session.entry(node.id).or_insert(world.now);
            // One that comes back, or is down, counts from then on.
            if manager.conn_of(node.id).is_some() || node.state == NodeState::Down {
                *since = world.now;
            }
            let ago = world.now.since(*since);
            let patience_ns = match node.state {
                NodeState::Ready | NodeState::Down => patience_ns(world),
                NodeState::Disconnected | NodeState::Unknown => 2 * patience_ns(world),
            };
            if ago > patience_ns + COMMIT_NS_MAX {
                let (name, state, ago_ms) = (node.hostname(), node.state, ago / 1_000_000);
                return Err(format!("{name} counts as {state:?} {ago_ms} ms after its session"));
            }
        }
        self.strangers(world, manager)?;
        for (index, agent) in world.agents.iter().enumerate() {
            let open = manager.conn_of(agent.node()).is_some();
            let since = world.heard[index].max(world.greeted[index]);
            let ago = world.now.since(since);
            if open && ago > patience_ns(world) + SLACK_NS + COMMIT_NS_MAX {
                let name = agent.name();
                return Err(format!("{name} has not been heard for {} ms", ago / 1_000_000));
            }
        }
        Ok(())
    }
}

impl Silence {
    /// A node that was removed is sent away at once.
    fn strangers(&mut self, world: &SimulatedWorld, manager: &ManagerProcess) -> Check {
        let view = &manager.committed;
        for agent in &world.agents {
            let node = agent.node();
            let known = view.nodes().by_id(node).is_some_and(|(_, row)| !row.removed);
            if known || manager.conn_of(node).is_none() {
                self.strangers.remove(&node);
                continue;
            }
            let since = *self.strangers.entry(node).or_insert(world.now);
            if world.now.since(since) > SECOND_NS {
                let name = agent.name();
                return Err(format!("{name} was removed and keeps its session"));
            }
        }
        Ok(())
    }
}
