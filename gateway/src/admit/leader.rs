//! What the leader sees of the managers, itself too. PURE.
//!
//! It may look again before its last word is committed, so a word that is no news changes nothing.

use super::Admitted;
use skep_projections::{View, node::ManagerNumber};
use skep_proto::{
    FEATURE_LEVEL, Id, REACH_LEVEL,
    v1::{
        FeatureLevelRaised, ManagerReachObserved, MembershipObserved, RaftMembership, event::Kind,
    },
};

/// One thing that it sees.
#[derive(Clone, Debug)]
pub enum LeaderSight {
    /// What a manager is in raft.
    Membership {
        /// The manager's own node.
        node: Id,
        /// Its number in raft.
        raft_id: u64,
        /// What it is.
        membership: RaftMembership,
    },
    /// Whether a manager answers.
    Reach {
        /// The manager's own node.
        node: Id,
        /// Its number in raft.
        raft_id: u64,
        /// It does.
        answers: bool,
    },
    /// The programs of all managers, up to the one with this number, know this feature level.
    Level {
        /// The level.
        level: u32,
        /// The newest number when they were asked. Of a manager with a later one nobody knows it.
        newest_raft_id: u64,
    },
}

impl LeaderSight {
    /// What it is called where requests are counted, and what it is about.
    pub(super) fn key(&self) -> (&'static str, String) {
        match self {
            LeaderSight::Membership { node, .. } => ("membership", node.to_string()),
            LeaderSight::Reach { node, .. } => ("reach", node.to_string()),
            LeaderSight::Level { .. } => ("level", String::new()),
        }
    }

    pub(super) fn admit(&self, view: &View) -> Admitted {
        let (node, kind) = match self {
            LeaderSight::Membership { node, raft_id, membership } => {
                (*node, member(view, *node, *raft_id, *membership))
            }
            LeaderSight::Reach { node, raft_id, answers } => {
                let (raft_id, answers) = (*raft_id, *answers);
                let observed = ManagerReachObserved { node_id: node.to_bytes(), raft_id, answers };
                (*node, reach(view, *node, observed))
            }
            LeaderSight::Level { level, newest_raft_id } => {
                (Id::NONE, raised(view, *level, *newest_raft_id))
            }
        };
        kind.map_or_else(|| Admitted::unchanged(node), |kind| Admitted::one(node, kind))
    }
}

/// What is known of a manager, unless it has another number by now.
fn known(view: &View, node: Id, raft_id: u64) -> Option<ManagerNumber> {
    let row = view.nodes().by_id(node).map(|(_, row)| row).filter(|row| !row.removed);
    row.and_then(|row| row.manager).filter(|known| known.raft_id == raft_id)
}

fn member(view: &View, node: Id, raft_id: u64, membership: RaftMembership) -> Option<Kind> {
    let known = known(view, node, raft_id)?;
    let is_news = known.membership != membership || membership == RaftMembership::None;
    let (node_id, membership) = (node.to_bytes(), membership as i32);
    let observed = MembershipObserved { node_id, raft_id, membership };
    is_news.then_some(Kind::MembershipObserved(observed))
}

fn reach(view: &View, node: Id, observed: ManagerReachObserved) -> Option<Kind> {
    let known = known(view, node, observed.raft_id)?;
    let is_news = view.level() >= REACH_LEVEL && known.unreachable == observed.answers;
    is_news.then_some(Kind::ManagerReachObserved(observed))
}

fn raised(view: &View, level: u32, newest_raft_id: u64) -> Option<Kind> {
    let is_news = level > view.level() && level <= FEATURE_LEVEL;
    let is_of_all = view.newest_raft_id() == newest_raft_id;
    let raised = FeatureLevelRaised { level, lineage: 0 };
    (is_news && is_of_all).then_some(Kind::FeatureLevelRaised(raised))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::{World, id};

    fn told(world: &World, sight: &LeaderSight) -> usize {
        sight.admit(&world.view).events.len()
    }

    #[test]
    fn what_the_leader_sees_is_recorded_once_and_from_its_level_on() {
        let mut world = World::of("level 6 | node m1 role=manager | number m1 | votes m1");
        let reach =
            |raft_id, answers| LeaderSight::Reach { node: id("node", "m1"), raft_id, answers };
        assert_eq!(told(&world, &reach(1, false)), 0, "below level 7");
        world.tell("level 7");
        assert_eq!(told(&world, &reach(1, false)), 1);
        assert_eq!(told(&world, &reach(1, true)), 0, "it is not known to be away");
        assert_eq!(told(&world, &reach(2, false)), 0, "another number");
        world.tell("unheard m1");
        assert_eq!(told(&world, &reach(1, false)), 0);
        assert_eq!(told(&world, &reach(1, true)), 1);
    }

    #[test]
    fn the_level_is_raised_once_all_managers_are_known_to_know_it() {
        let mut world = World::of("level 6 | node m1 role=manager | number m1");
        let level = |level, newest_raft_id| LeaderSight::Level { level, newest_raft_id };
        assert_eq!(told(&world, &level(7, 1)), 1);
        assert_eq!(told(&world, &level(6, 1)), 0, "it is that already");
        assert_eq!(told(&world, &level(FEATURE_LEVEL + 1, 1)), 0, "this program does not know it");
        world.tell("node m2 role=manager | number m2");
        assert_eq!(told(&world, &level(7, 1)), 0, "a manager was not asked");
        assert_eq!(told(&world, &level(7, 2)), 1);
    }
}
