//! Sessions that the log has at this manager, and that it does not hold. PURE.
//!
//! A manager that was started again has forgotten its agents, and one that has turned an agent away
//! may have asked for its session just before. Such an agent comes back within seconds, if its
//! machine lives; else nobody would ever say that the node is silent.

use super::{Sessions, overdue::OverdueSessions};
use skep_projections::{NodeRow, View};
use skep_proto::{Id, Timestamp, defaults, v1::NodeState};

/// What a manager that has just been started finds: all are looked at when it first looks at all.
pub(super) fn recorded_at(own: Id, view: &View) -> OverdueSessions {
    let mut unheld = OverdueSessions::default();
    let rows = view.nodes().iter().map(|(_, row)| row).filter(|row| is_open_at(own, row));
    rows.for_each(|row| unheld.note(Timestamp::NEVER, row.id, row.session));
    unheld
}

fn is_open_at(own: Id, row: &NodeRow) -> bool {
    let is_here = !own.is_none() && row.session_manager == own;
    is_here && !row.removed && !row.silent && row.state == NodeState::Ready
}

impl Sessions {
    /// Three periods without a sign of life.
    pub(super) fn grace_ns(&self) -> u64 {
        self.period_ns * defaults::HEARTBEAT_GRACE_PERIODS
    }

    /// A node has changed: its session may be one that nobody holds.
    pub(super) fn note_unheld(&mut self, row: &NodeRow, now: Timestamp) {
        let held = self.by_node.get(&row.id).and_then(|conn| self.conns.get(conn));
        let is_held = held.is_some_and(|session| session.number == row.session);
        if is_open_at(self.own, row) && !is_held {
            self.unheld.note_once(now + self.grace_ns(), row.id, row.session);
        } else {
            self.unheld.forget(row.id);
        }
    }
}
