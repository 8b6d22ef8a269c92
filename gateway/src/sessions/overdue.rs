//! Agents whose stream ended when their heartbeat was overdue already. PURE.
//!
//! A machine that stands still answers nothing, so its connection is given up after a while, and
//! before its silence counts if the heartbeat period is long. The end of such a stream says nothing
//! new: the node is silent three periods after it was last heard of, and not three periods after
//! the end of its stream.

use skep_proto::{Id, Timestamp};
use std::collections::BTreeMap;

/// Sessions by when they count as silent: one of each node at most.
#[derive(Default)]
pub(super) struct OverdueSessions {
    by_time: BTreeMap<(Timestamp, Id), u64>,
    by_node: BTreeMap<Id, Timestamp>,
}

impl OverdueSessions {
    pub(super) fn note(&mut self, silence_at: Timestamp, node: Id, session: u64) {
        self.forget(node);
        self.by_time.insert((silence_at, node), session);
        self.by_node.insert(node, silence_at);
    }

    /// The same, unless this session is noted already.
    pub(super) fn note_once(&mut self, silence_at: Timestamp, node: Id, session: u64) {
        let noted = self.by_node.get(&node).and_then(|at| self.by_time.get(&(*at, node)));
        if noted != Some(&session) {
            self.note(silence_at, node, session);
        }
    }

    pub(super) fn first(&self) -> Option<Timestamp> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// A session that is silent by now, and its node.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<(Id, u64)> {
        let first = self.by_time.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((_, node), session) = first.remove_entry();
        self.by_node.remove(&node);
        Some((node, session))
    }

    /// The node is heard of again, on another stream.
    pub(super) fn forget(&mut self, node: Id) {
        if let Some(at) = self.by_node.remove(&node) {
            self.by_time.remove(&(at, node));
        }
    }

    /// Each of them has until then at least.
    pub(super) fn postpone(&mut self, silence_at: Timestamp) {
        for ((_, node), session) in std::mem::take(&mut self.by_time) {
            self.by_time.insert((silence_at, node), session);
            self.by_node.insert(node, silence_at);
        }
    }

    /// The manager itself stood still, and these agents could not come back; or periods are longer
    /// now. Each has three periods from the end of its stream after all.
    pub(super) fn forget_all(&mut self) {
        self.by_time.clear();
        self.by_node.clear();
    }
}
