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

/// After a change of the heartbeat period either one may count for so long.
const PERIOD_CHANGE_NS: u64 = 60 * SECOND_NS;

/// Compares what is said of nodes with what was heard of them.
#[derive(Default)]
pub(super) struct Silence {
    next_look: Timestamp,
    /// The heartbeat periods that the cluster had, newest last, and since when.
    periods: Vec<(Timestamp, u64)>,
    /// When each node last had a session, or a tenure began.
    had_session: BTreeMap<Id, Timestamp>,
    /// Since when a node that is not in the cluster has a session.
    strangers: BTreeMap<Id, Timestamp>,
}

impl Silence {
    /// The shortest and the longest heartbeat period that may count now.
    fn periods_ns(&self, world: &SimulatedWorld) -> (u64, u64) {
        let begins_with = defaults::heartbeat_period_ns(&world.settings.cluster);
        let newest = self.periods.last().map_or(begins_with, |(_, period_ns)| *period_ns);
        let mut before = begins_with;
        let (mut shortest, mut longest) = (newest, newest);
        for (since, period_ns) in &self.periods {
            if world.now.since(*since) < PERIOD_CHANGE_NS {
                (shortest, longest) = (shortest.min(before), longest.max(before));
            }
            before = *period_ns;
        }
        (shortest, longest)
    }

    /// How long a node that says nothing is waited for, at least.
    fn patience_ns_min(&self, world: &SimulatedWorld) -> u64 {
        self.periods_ns(world).0 * defaults::HEARTBEAT_GRACE_PERIODS
    }

    /// And at most: with each change of the period it has the whole time once more.
    fn patience_ns_max(&self, world: &SimulatedWorld) -> u64 {
        let of_now = |(since, _): &&(Timestamp, u64)| world.now.since(*since) < PERIOD_CHANGE_NS;
        let changes = self.periods.iter().filter(of_now).count() as u64;
        self.periods_ns(world).1 * defaults::HEARTBEAT_GRACE_PERIODS * (1 + changes)
    }
}

/// Whether the manager's process stood still so lately that nothing was heard since.
fn has_just_stood_still(world: &SimulatedWorld, at: Timestamp, period_ns: u64) -> bool {
    let went_on_at = world.went_on_at;
    went_on_at != Timestamp::NEVER
        && at >= went_on_at
        && at.since(went_on_at) + SLACK_NS < period_ns
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
        if let Kind::ClusterUpdated(e) = seen.kind {
            let spec = e.spec.clone().unwrap_or_default();
            self.periods.push((world.now, defaults::heartbeat_period_ns(&spec)));
        }
        let Kind::NodeDown(e) = seen.kind else { return Ok(()) };
        let node = Id::from_bytes(&e.node_id);
        let Some((index, at)) = heard(world, node) else { return Ok(()) };
        if has_just_stood_still(world, seen.decided_at, self.periods_ns(world).0) {
            let name = world.agents[index].name();
            return Err(format!("{name} is declared down because the manager stood still"));
        }
        // What was heard after the decision does not count.
        let ago = seen.decided_at.since(at);
        let name = world.agents[index].name();
        if at <= seen.decided_at && ago + SLACK_NS < self.patience_ns_min(world) {
            return Err(format!("{name} is down {} ms after it was heard", ago / 1_000_000));
        }
        Ok(())
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        if matches!(happening, Occurrence::TenureBegan | Occurrence::WentOn) {
            self.had_session.clear();
        }
        let Occurrence::CalledSilent { node } = happening else { return Ok(()) };
        let Some((index, at)) = heard(world, *node) else { return Ok(()) };
        let ago = world.now.since(at);
        let name = world.agents[index].name();
        if has_just_stood_still(world, world.now, self.periods_ns(world).0) {
            return Err(format!("{name} is called silent because the manager stood still"));
        }
        if ago + SLACK_NS < self.patience_ns_min(world) {
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
        if world.stands_still() {
            return Ok(());
        }
        let patience_ns = self.patience_ns_max(world);
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
                NodeState::Ready | NodeState::Down => patience_ns,
                NodeState::Disconnected | NodeState::Unknown => 2 * patience_ns,
            };
            if ago > patience_ns + COMMIT_NS_MAX {
                let (name, state, ago_ms) = (node.hostname(), node.state, ago / 1_000_000);
                return Err(format!("{name} counts as {state:?} {ago_ms} ms after its session"));
            }
        }
        self.strangers(world, manager)?;
        for (index, agent) in world.agents.iter().enumerate() {
            let open = manager.conn_of(agent.node()).is_some();
            let since = world.heard[index].max(world.greeted[index]).max(world.went_on_at);
            let ago = world.now.since(since);
            if open && ago > patience_ns + SLACK_NS + COMMIT_NS_MAX {
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
