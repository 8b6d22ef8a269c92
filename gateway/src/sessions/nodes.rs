//! Sessions whose nodes have changed: removed, gone from the view, or open elsewhere. PURE.

use super::{Conn, Sessions, turned};
use skep_projections::{Delta, NodeRow, View};
use skep_proto::v1::{NodeState, TurnedCode};

/// The message to an agent whose node was removed.
const REMOVED: &str = "this node was removed from the cluster";

impl Sessions {
    /// Ends the sessions of nodes that have left the view: a removed node without tasks does, and
    /// another node may have its row by now.
    pub(super) fn leave_vanished(&mut self, view: &View, delta: &Delta) {
        let rows = || delta.nodes.iter().map(|index| view.nodes().get(*index));
        if !rows().any(|row| row.is_none_or(|row| row.created.0 > self.committed)) {
            return;
        }
        let vanished = |conn: &Conn| {
            let session = self.conns.get(conn)?;
            (session.open && view.nodes().find(session.node).is_none()).then_some(*conn)
        };
        for conn in self.by_node.values().filter_map(vanished).collect::<Vec<_>>() {
            self.dismiss(conn);
        }
    }

    /// Ends the session of a node that was removed.
    pub(super) fn dismiss(&mut self, conn: Conn) {
        self.turn_away(conn, turned(TurnedCode::NodeRemoved, REMOVED));
        self.forget(conn);
    }

    pub(super) fn node_changed(&mut self, node: &NodeRow) {
        let Some(conn) = self.by_node.get(&node.id).copied() else { return };
        let Some(session) = self.conns.get(&conn).filter(|s| s.open) else { return };
        if node.removed {
            self.dismiss(conn);
        } else if node.session != session.number && node.state == NodeState::Ready {
            self.turn_away(conn, turned(TurnedCode::Superseded, "the node has a newer session"));
            self.forget(conn);
        }
    }
}
