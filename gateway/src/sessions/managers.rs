//! What agents are told of the managers, and of their own node's part among them. PURE.
//!
//! An agent that loses its manager goes to another one of this list, so it must have it before. And
//! a node hears here that it is to become a manager, or is one no more.

use super::{Conn, Sessions};
use skep_projections::{Delta, NodeRow, View};
use skep_proto::{
    Id, Lineage, Position, Revision,
    v1::{ClusterManagers, ManagerAddress, NodeRole, to_agent},
};

/// What all agents are told alike.
#[derive(Clone, PartialEq, Default)]
pub(super) struct KnownManagers {
    addresses: Vec<ManagerAddress>,
    lineage: Lineage,
}

impl KnownManagers {
    pub(super) fn of(view: &View) -> KnownManagers {
        let stays = |row: &NodeRow| row.spec.desired_role() == NodeRole::Manager;
        let reached = view.managers().filter(|(_, row)| stays(row)).filter_map(|(_, row)| {
            let address = row.port.as_deref()?.advertise.clone();
            Some(ManagerAddress { node_id: row.id.to_bytes(), address })
        });
        KnownManagers { addresses: reached.collect(), lineage: view.lineage() }
    }

    /// For the agent of this node.
    fn told(&self, row: &NodeRow) -> ClusterManagers {
        let raft_id = row.manager.map_or(0, |manager| manager.raft_id);
        let (managers, role) = (self.addresses.clone(), row.spec.desired_role);
        if managers.is_empty() && role == NodeRole::Worker as i32 && raft_id == 0 {
            return ClusterManagers::default();
        }
        ClusterManagers {
            managers,
            role,
            raft_id,
            lineage: self.lineage.0,
            ..ClusterManagers::default()
        }
    }
}

impl Sessions {
    /// Tells those agents for which something has changed.
    pub(super) fn tell_managers(&mut self, view: &View, delta: &Delta) {
        if delta.nodes.is_empty() && !delta.cluster {
            return;
        }
        let now = KnownManagers::of(view);
        let nodes: Vec<Id> = if now == self.managers {
            let changed = delta.nodes.iter().filter_map(|index| view.nodes().get(*index));
            changed.map(|row| row.id).collect()
        } else {
            self.managers = now;
            self.by_node.keys().copied().collect()
        };
        for node in nodes {
            if let Some(conn) = self.conn_of(node) {
                self.tell_managers_to(conn, view);
            }
        }
    }

    /// Tells one agent, if it does not know yet.
    pub(super) fn tell_managers_to(&mut self, conn: Conn, view: &View) {
        let Some(session) = self.conns.get_mut(&conn) else { return };
        let Some((_, row)) = view.nodes().by_id(session.node) else { return };
        let told = self.managers.told(row);
        if session.managers != told {
            session.managers = told.clone();
            let Position { incarnation, revision: Revision(revision) } = view.position();
            let told = ClusterManagers { incarnation, revision, ..told };
            self.send(conn, to_agent::Message::Managers(told));
        }
    }
}
