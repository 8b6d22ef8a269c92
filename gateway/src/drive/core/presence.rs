//! Notices that the manager stood still, as a suspended process or a sleeping machine does. PURE.
//!
//! The agent of a node that is away comes back by itself, if somebody listens. Time in which the
//! manager did not listen must not count against such a node. So while a node is away, the manager
//! looks at the clock often; a look that comes much too late shows that it stood still.

use crate::clock::Uptime;
use skep_projections::View;
use skep_proto::{defaults::heartbeat_period_ns, v1::NodeState};

/// How often in one heartbeat period the clock is looked at while a node is away.
const AWAY_LOOKS_PER_PERIOD: u64 = 2;

/// When the manager was surely there.
#[derive(Default, Debug)]
pub(super) struct Presence {
    /// The newest look, where a node was away then.
    seen_at: Option<Uptime>,
}

impl Presence {
    /// When the next look is due; never while no node is away.
    pub(super) fn due(&self, view: &View) -> Option<Uptime> {
        let pause_ns = heartbeat_period_ns(&view.cluster().spec) / AWAY_LOOKS_PER_PERIOD;
        self.seen_at.map(|at| at + pause_ns)
    }

    /// Looks at the clock. Says for how long the manager stood still, in nanoseconds, where that is
    /// more than a heartbeat period.
    pub(super) fn look(&mut self, view: &View, now: Uptime) -> Option<u64> {
        let missed_ns = self.due(view).map_or(0, |due| now.since(due));
        let is_away = |state| view.nodes_away(state).next().is_some();
        let some_away = is_away(NodeState::Disconnected) || is_away(NodeState::Unknown);
        self.seen_at = some_away.then_some(now);
        (missed_ns > heartbeat_period_ns(&view.cluster().spec)).then_some(missed_ns)
    }
}
