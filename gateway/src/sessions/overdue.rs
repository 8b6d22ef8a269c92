//! Agents whose stream ended when their heartbeat was overdue already. PURE.
//!
//! A machine that stands still answers nothing, so its connection is given up after a while, and
//! before its silence counts if the heartbeat period is long. The end of such a stream says nothing
//! new: the node is silent three periods after it was last heard of, and not three periods after
//! the end of its stream.

use skep_proto::{Id, Timestamp};
use std::collections::BTreeMap;

/// Sessions by when they count as silent. Each leaves it by then, so there is no more than one for
/// each stream that ended within three periods.
#[derive(Default)]
pub(super) struct OverdueSessions(BTreeMap<(Timestamp, Id), u64>);

impl OverdueSessions {
    pub(super) fn note(&mut self, silence_at: Timestamp, node: Id, session: u64) {
        self.0.insert((silence_at, node), session);
    }

    pub(super) fn first(&self) -> Option<Timestamp> {
        self.0.first_key_value().map(|((at, _), _)| *at)
    }

    /// A session that is silent by now, and its node.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<(Id, u64)> {
        let first = self.0.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((_, node), session) = first.remove_entry();
        Some((node, session))
    }

    /// The node is heard of again, on another stream.
    pub(super) fn forget(&mut self, node: Id) {
        self.0.retain(|(_, overdue), _| *overdue != node);
    }

    /// The manager itself stood still, and these agents could not come back; or periods are longer
    /// now. Each has three periods from the end of its stream after all.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }
}
