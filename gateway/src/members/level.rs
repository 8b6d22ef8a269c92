//! When the cluster's feature level may be raised. PURE.
//!
//! A record of a level that a manager's program does not know halts that manager. So the level is
//! raised once every manager has said what its program knows: also one that has a number and is not
//! a member of raft yet.

use crate::admit::LeaderSight;
use skep_projections::View;
use skep_proto::FEATURE_LEVEL;

/// The managers that must say what they know, by their numbers; none where there is nothing to
/// raise.
pub(super) fn to_ask(view: &View, own: u64) -> Vec<u64> {
    if view.level() >= FEATURE_LEVEL {
        return Vec::new();
    }
    let numbers = view.managers().filter_map(|(_, row)| row.manager).map(|known| known.raft_id);
    numbers.filter(|raft_id| *raft_id != own).collect()
}

/// The level that all of them know, if it is a higher one. `told` is what the others have said, by
/// their numbers; `asked` the view in which they were found.
pub(super) fn raised(asked: &View, own: u64, told: &[(u64, u32)]) -> Option<LeaderSight> {
    let wanted = to_ask(asked, own);
    let is_told = |raft_id: &u64| told.iter().any(|(number, _)| number == raft_id);
    let level = told.iter().map(|(_, level)| *level).fold(FEATURE_LEVEL, u32::min);
    let newest_raft_id = asked.newest_raft_id();
    (level > asked.level() && wanted.iter().all(is_told))
        .then_some(LeaderSight::Level { level, newest_raft_id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::World;

    #[test]
    fn a_level_is_raised_to_what_every_manager_knows_and_not_before_all_have_said_it() {
        let mut world = World::of(
            "level 6 | node m1 role=manager | number m1 | node m2 role=manager | number m2
             node m3 role=manager | number m3 | node m4 role=manager | node n1",
        );
        assert_eq!(to_ask(&world.view, 1), [2, 3]);
        let level = |world: &World, told: &[(u64, u32)]| match raised(&world.view, 1, told) {
            Some(LeaderSight::Level { level, newest_raft_id: 3 }) => level,
            None => 0,
            other => panic!("{other:?}"),
        };
        let next = FEATURE_LEVEL;
        assert_eq!(level(&world, &[(2, next)]), 0, "3 has not said it");
        assert_eq!(level(&world, &[(2, next), (3, 0)]), 0, "3 is older than the question");
        assert_eq!(level(&world, &[(2, next), (3, 6)]), 0);
        assert_eq!(level(&world, &[(2, next), (3, next)]), next);
        assert_eq!(level(&world, &[(2, next + 1), (3, next + 2)]), next, "this program's own");
        world.tell(&format!("level {FEATURE_LEVEL}"));
        assert_eq!(to_ask(&world.view, 1), [0; 0]);
    }
}
