//! Sessions at machines that are no managers any more. PURE.
//!
//! Who was a manager tells its agents to go elsewhere, unless it died before. Then nobody is left
//! who would say that those nodes are silent.

use skep_projections::{NodeRow, View};
use skep_proto::{Id, defaults, v1::NodeState};
use std::{collections::BTreeMap, time::Duration};

/// Between two looks at all nodes.
const ORPHANS_LOOK_PERIOD: Duration = Duration::from_secs(5);

/// The sessions of which nobody tells, by node and number, with the time when that was first seen.
#[derive(Default)]
pub(super) struct OrphanedSessions {
    seen: BTreeMap<(Id, u64), Duration>,
    looked_at: Option<Duration>,
}

impl OrphanedSessions {
    /// Those that had time enough to begin again at a manager, at this time by a stopwatch. Each
    /// that lives does.
    pub(super) fn overdue(&mut self, view: &View, now: Duration) -> Vec<(Id, u64)> {
        if self.looked_at.is_some_and(|at| now.saturating_sub(at) < ORPHANS_LOOK_PERIOD) {
            return Vec::new();
        }
        self.looked_at = Some(now);
        let period_ns = defaults::heartbeat_period_ns(&view.cluster().spec);
        let grace = Duration::from_nanos(period_ns * defaults::HEARTBEAT_GRACE_PERIODS);
        let is_manager = |id| {
            let row = view.nodes().by_id(id).map(|(_, row)| row);
            row.is_some_and(|row| !row.removed && row.manager.is_some())
        };
        let is_orphan = |row: &&NodeRow| {
            let is_open = !row.removed && !row.silent && row.state == NodeState::Ready;
            is_open && !row.session_manager.is_none() && !is_manager(row.session_manager)
        };
        let rows = view.nodes().iter().map(|(_, row)| row);
        let now_orphans = rows.filter(is_orphan).map(|row| (row.id, row.session));
        let before = std::mem::take(&mut self.seen);
        self.seen =
            now_orphans.map(|key| (key, before.get(&key).copied().unwrap_or(now))).collect();
        let is_due = |since: &Duration| now.saturating_sub(*since) >= grace;
        self.seen.iter().filter(|(_, since)| is_due(since)).map(|(key, _)| *key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::{World, id};
    use skep_proto::v1::{SessionOpened, event::Kind};

    #[test]
    fn a_session_at_a_former_manager_is_over_unless_it_begins_elsewhere_in_time() {
        let mut world = World::of(
            "level 6 | node m1 role=manager | number m1 | node m2 role=manager | number m2 | node n1",
        );
        let open = |world: &mut World, session, manager| {
            world.record(Kind::SessionOpened(Box::new(SessionOpened {
                node_id: id("node", "n1").to_bytes(),
                session,
                manager_id: id("node", manager).to_bytes(),
                ..SessionOpened::default()
            })));
        };
        open(&mut world, 7, "m2");
        let mut orphans = OrphanedSessions::default();
        let at = Duration::from_secs;
        assert_eq!(orphans.overdue(&world.view, at(0)), [], "that manager tells of it");
        world.tell("leaves m2");
        assert_eq!(orphans.overdue(&world.view, at(10)), []);
        assert_eq!(orphans.overdue(&world.view, at(24)), [], "not for three periods");
        assert_eq!(orphans.overdue(&world.view, at(29)), [(id("node", "n1"), 7)]);
        open(&mut world, 8, "m2");
        assert_eq!(orphans.overdue(&world.view, at(34)), [], "another session has its own time");
        open(&mut world, 9, "m1");
        assert_eq!(orphans.overdue(&world.view, at(99)), []);
    }
}
