//! Keeps true: each node that is to be a manager has a number in raft.
//!
//! The number is given here, in the log, so that none is ever given twice: a machine that lost its
//! log and comes back under its old number could give a vote twice. What raft makes of it is seen
//! by the leader, which changes raft's members and says so by `MembershipObserved`.

use crate::plan::{Plan, Reconciler, Turn};
use skep_projections::{Delta, NodeRow, View};
use skep_proto::{
    MANAGERS_LEVEL, Timestamp,
    v1::{self, NodeRole, RaftIdAssigned, event::Kind},
};

/// Gives new managers their numbers.
pub struct Roles;

impl Reconciler for Roles {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Roles
    }

    fn reconcile(&self, view: &View, delta: &Delta, _: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        let mut newest = view.newest_raft_id();
        let changed =
            delta.nodes.iter().filter_map(|index| Some((index, view.nodes().get(*index)?)));
        for (index, node) in changed.filter(|(_, node)| lacks_number(view, node)) {
            if plan.is_full() {
                plan.left.nodes.insert(*index);
                continue;
            }
            newest += 1;
            let assigned = RaftIdAssigned { node_id: node.id.to_bytes(), raft_id: newest };
            plan.decide(node.version, Kind::RaftIdAssigned(assigned));
        }
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let lacking = view.managers().filter(|(_, node)| lacks_number(view, node));
        let nodes = lacking.map(|(index, _)| index).collect();
        (Delta { nodes, ..Delta::default() }, None)
    }
}

/// Whether a node is to be a manager and has no number.
fn lacks_number(view: &View, node: &NodeRow) -> bool {
    view.level() >= MANAGERS_LEVEL
        && !node.removed
        && node.manager.is_none()
        && node.spec.desired_role() == NodeRole::Manager
        && view.parked(node.id).is_none()
}
