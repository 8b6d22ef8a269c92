//! Which managers answer the leader, where that differs from what is recorded. PURE.
//!
//! People's changes of roles are judged by these records. So a manager that answers for a moment is
//! not recorded as back, and one that the leader has not had time to hear is not recorded as gone.

use super::steady::SteadyManagers;
use crate::admit::LeaderSight;
use skep_log::RaftMembers;
use skep_projections::View;
use std::time::Duration;

/// What is to be recorded, at this time in the leader's tenure.
pub(super) fn news(
    view: &View,
    members: &RaftMembers,
    steady: &SteadyManagers,
    now: Duration,
) -> Vec<LeaderSight> {
    if members.leader != Some(members.own) {
        // Others answer their leader, and it knows alone who does.
        return Vec::new();
    }
    let seen = view.managers().filter_map(|(_, row)| {
        let known = row.manager.filter(|known| members.voters.contains(&known.raft_id))?;
        let raft_id = known.raft_id;
        let answers = match raft_id == members.own {
            true => true,
            false => steady.answers(raft_id, now)?,
        };
        let node = row.id;
        (known.unreachable == answers).then_some(LeaderSight::Reach { node, raft_id, answers })
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::{World, id};

    #[test]
    fn a_manager_is_recorded_as_gone_and_as_back_when_that_lasts() {
        let mut world = World::of(
            "level 7 | node m1 role=manager | number m1 | votes m1 | node m2 role=manager | number m2
             votes m2 | node m3 role=manager | number m3 | follows m3",
        );
        let mut steady = SteadyManagers::default();
        let mut look = |world: &World, silent_s: Option<u64>, at_s| {
            let now = Duration::from_secs(at_s);
            let silent_for = silent_s.map(|s| (2, Duration::from_secs(s)));
            let members = RaftMembers {
                own: 1,
                leader: Some(1),
                voters: [1, 2].into(),
                followers: [3].into(),
                silent_for: silent_for.into_iter().collect(),
            };
            steady.look(&members, now);
            let told = news(&world.view, &members, &steady, now).into_iter().map(|seen| {
                let LeaderSight::Reach { node, raft_id: 2, answers } = seen else {
                    panic!("{seen:?}")
                };
                assert_eq!(node, id("node", "m2"));
                answers
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(look(&world, None, 0), [false; 0], "it may answer yet");
        assert_eq!(look(&world, None, 1), [false; 0]);
        assert_eq!(look(&world, None, 2), [false]);
        world.tell("unheard m2");
        assert_eq!(look(&world, None, 3), [false; 0], "that is known");
        assert_eq!(look(&world, Some(0), 10), [false; 0], "it answers, for now");
        assert_eq!(look(&world, Some(2), 12), [false; 0]);
        assert_eq!(look(&world, Some(0), 20), [false; 0]);
        assert_eq!(look(&world, Some(1), 25), [true], "it has for five seconds");
        world.tell("heard m2");
        assert_eq!(look(&world, Some(1), 26), [false; 0]);
        assert_eq!(look(&world, Some(2), 27), [false]);
    }

    #[test]
    fn a_manager_that_leads_answers_itself() {
        let world = World::of("level 7 | node m1 role=manager | number m1 | votes m1 | unheard m1");
        let mut members = RaftMembers { own: 1, voters: [1].into(), ..RaftMembers::default() };
        let told = |members: &RaftMembers| {
            news(&world.view, members, &SteadyManagers::default(), Duration::ZERO)
        };
        assert_eq!(told(&members).len(), 0, "it does not lead");
        members.leader = Some(1);
        assert!(matches!(
            told(&members)[..],
            [LeaderSight::Reach { raft_id: 1, answers: true, .. }]
        ));
    }
}
