//! How often a node may say something that becomes a record. PURE.
//!
//! Each session and each change of a node's conditions is a record. An agent that breaks its stream
//! and comes back without end, or one in the wrong hands, would fill the managers' disks.

use skep_proto::{Id, Timestamp};
use std::collections::BTreeMap;

/// What a node may say at once; it is asked to wait with more.
pub(super) const NODE_RECORDS_BURST_MAX: u64 = 30;
/// After a burst a node may say one thing in so much time.
pub(super) const NODE_RECORD_PERIOD_NS: u64 = 2_000_000_000;

/// When each node that has spoken lately will have been silent long enough to say a whole burst
/// again.
#[derive(Default)]
pub(super) struct NodePaces(BTreeMap<Id, Timestamp>);

impl NodePaces {
    /// Whether a node may say one more thing now; if so it is counted.
    pub(super) fn may_speak(&mut self, node: Id, now: Timestamp) -> bool {
        let rested_at = self.0.entry(node).or_insert(now);
        let next = (*rested_at).max(now) + NODE_RECORD_PERIOD_NS;
        let is_within = next.since(now) <= NODE_RECORDS_BURST_MAX * NODE_RECORD_PERIOD_NS;
        if is_within {
            *rested_at = next;
        }
        is_within
    }

    /// Forgets those who have been silent long enough.
    pub(super) fn forget_rested(&mut self, now: Timestamp) {
        self.0.retain(|_, rested_at| *rested_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Id = Id(7);

    #[test]
    fn a_burst_is_let_through_and_then_one_in_each_period() {
        let mut paces = NodePaces::default();
        let start = Timestamp(1_000);
        let burst = (0..100).filter(|_| paces.may_speak(NODE, start)).count();
        assert_eq!(burst as u64, NODE_RECORDS_BURST_MAX);
        assert!(paces.may_speak(Id(8), start), "each node for itself");
        let later = start + NODE_RECORD_PERIOD_NS;
        assert_eq!([paces.may_speak(NODE, later), paces.may_speak(NODE, later)], [true, false]);
    }

    #[test]
    fn who_has_rested_long_enough_is_forgotten() {
        let mut paces = NodePaces::default();
        let start = Timestamp(1_000);
        paces.may_speak(NODE, start);
        paces.forget_rested(start + (NODE_RECORD_PERIOD_NS - 1));
        assert_eq!(paces.0.len(), 1);
        paces.forget_rested(start + NODE_RECORD_PERIOD_NS);
        assert_eq!(paces.0.len(), 0);
    }
}
