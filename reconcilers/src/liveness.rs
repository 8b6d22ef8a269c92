//! Keeps true: silent nodes are declared down, and in the end their tasks lost.
//!
//! Heartbeats never reach the view, only their absence does. A node whose agent went silent is down
//! at once; one whose stream ended has three heartbeat periods to come back, and one that a new
//! leader has not heard of yet has six, since its agent must find the leader first. What ran on a
//! node that is down for a day is given up.

use crate::plan::{Plan, Reconciler, Turn, earlier};
use skep_projections::{Delta, NodeIdx, NodeRow, View};
use skep_proto::{
    Timestamp,
    defaults::{HEARTBEAT_GRACE_PERIODS, heartbeat_period_ns},
    time::SECOND_NS,
    v1::{self, NodeDown, NodeState, TaskOrphaned, event::Kind},
};

/// Heartbeat periods that a node has to report after a tenure began.
pub const TENURE_GRACE_PERIODS: u64 = 2 * HEARTBEAT_GRACE_PERIODS;
/// After so long a silence the tasks of a node count as lost for good.
pub const LOST_AFTER_NS: u64 = 24 * 3_600 * SECOND_NS;

/// Declares silent nodes down, and later lost.
pub struct Liveness;

impl Reconciler for Liveness {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Liveness
    }

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        for index in &delta.nodes {
            let Some(node) = view.nodes().get(*index).filter(|node| !node.removed) else {
                continue;
            };
            if plan.is_full() {
                plan.left.nodes.insert(*index);
            } else if node.silent {
                down(node, "no heartbeat came".into(), &mut plan);
            } else if deadline(view, node).is_some_and(|deadline| deadline <= turn.now) {
                give_up(view, (*index, node), turn.now, &mut plan);
            }
        }
        plan.wake_at = next_deadline(view, turn.now);
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let nodes = view.silent().chain(due_by(view, view.at())).collect();
        (Delta { nodes, ..Delta::default() }, next_deadline(view, view.at()))
    }

    fn due(&self, view: &View, now: Timestamp) -> Delta {
        Delta { nodes: due_by(view, now).collect(), ..Delta::default() }
    }
}

/// States in which time counts against a node.
const AWAY: [NodeState; 3] = [NodeState::Disconnected, NodeState::Unknown, NodeState::Down];

/// How long a node may stay so before something follows.
fn patience_ns(view: &View, state: NodeState) -> Option<u64> {
    let period = heartbeat_period_ns(&view.cluster().spec);
    match state {
        NodeState::Ready => None,
        NodeState::Disconnected => Some(period.saturating_mul(HEARTBEAT_GRACE_PERIODS)),
        NodeState::Unknown => Some(period.saturating_mul(TENURE_GRACE_PERIODS)),
        NodeState::Down => Some(LOST_AFTER_NS),
    }
}

/// When the node's patience ends. For one that was away when a new tenure began it starts again.
fn deadline(view: &View, node: &NodeRow) -> Option<Timestamp> {
    patience_ns(view, node.state).map(|patience| node.state_at + patience)
}

fn due_by(view: &View, now: Timestamp) -> impl Iterator<Item = NodeIdx> + '_ {
    AWAY.into_iter().flat_map(move |state| {
        let patience = patience_ns(view, state).unwrap_or(u64::MAX);
        view.nodes_away(state)
            .take_while(move |(since, _)| *since + patience <= now)
            .map(|(_, node)| node)
    })
}

/// The next time at which a node's patience ends.
fn next_deadline(view: &View, now: Timestamp) -> Option<Timestamp> {
    let next = |state| {
        let patience = patience_ns(view, state)?;
        let later = view.nodes_away_since(state, Timestamp(now.0.saturating_sub(patience)));
        later.map(|(since, _)| since + patience).find(|deadline| *deadline > now)
    };
    AWAY.into_iter().fold(None, |found, state| earlier(found, next(state)))
}

fn give_up(view: &View, (index, node): (NodeIdx, &NodeRow), now: Timestamp, plan: &mut Plan) {
    let away_ns = now.since(node.state_at);
    match node.state {
        NodeState::Ready => {}
        NodeState::Disconnected => {
            down(node, format!("disconnected for {}", seconds(away_ns)), plan)
        }
        NodeState::Unknown => down(node, format!("not heard of for {}", seconds(away_ns)), plan),
        NodeState::Down => {
            for (_, task) in view.tasks_on(index).filter(|(_, task)| !task.has_ended()) {
                if plan.is_full() {
                    plan.left.nodes.insert(index);
                    return;
                }
                let orphaned = TaskOrphaned { task_id: task.id.to_bytes() };
                plan.decide(node.last_revision, Kind::TaskOrphaned(orphaned));
            }
        }
    }
}

fn down(node: &NodeRow, message: String, plan: &mut Plan) {
    plan.decide(
        node.last_revision,
        Kind::NodeDown(NodeDown { node_id: node.id.to_bytes(), message }),
    );
}

fn seconds(ns: u64) -> String {
    let tenths = ns / (SECOND_NS / 10);
    if tenths.is_multiple_of(10) {
        format!("{} s", tenths / 10)
    } else {
        format!("{}.{} s", tenths / 10, tenths % 10)
    }
}
