//! Views and members of raft, and what comes next.

use super::*;
use skep_projections::fixture::{World, id};
use skep_proto::v1::{
    MembershipObserved, NodeSpec, NodeUpdated, PortOpened, RaftIdAssigned, SessionOpened,
    event::Kind,
};

/// Nodes m1, m2, m3 that are managers with the numbers 1, 2, 3 and votes; n1 is a worker.
fn world() -> World {
    let mut world = World::of("node m1 | node m2 | node m3 | node n1");
    for (raft_id, name) in [(1, "m1"), (2, "m2"), (3, "m3")] {
        promote(&mut world, name, raft_id);
        observe(&mut world, name, raft_id, RaftMembership::Votes);
    }
    world
}

fn role(world: &mut World, name: &str, role: NodeRole) {
    let spec = Some(NodeSpec { desired_role: role as i32, ..NodeSpec::default() });
    let node_id = id("node", name).to_bytes();
    world.record(Kind::NodeUpdated(NodeUpdated { node_id, spec, ..NodeUpdated::default() }));
}

/// It is to be a manager, has a number, and its port is recorded.
fn promote(world: &mut World, name: &str, raft_id: u64) {
    role(world, name, NodeRole::Manager);
    let node_id = id("node", name).to_bytes();
    world.record(Kind::RaftIdAssigned(RaftIdAssigned { node_id: node_id.clone(), raft_id }));
    let address = format!("10.0.0.{raft_id}:2377");
    let (listen_address, advertise_address) = (address.clone(), address);
    world.record(Kind::PortOpened(PortOpened { node_id, listen_address, advertise_address }));
}

fn observe(world: &mut World, name: &str, raft_id: u64, membership: RaftMembership) {
    let (node_id, membership) = (id("node", name).to_bytes(), membership as i32);
    world.record(Kind::MembershipObserved(MembershipObserved { node_id, raft_id, membership }));
}

fn raft(own: u64, voters: &[u64], followers: &[u64]) -> RaftMembers {
    let others = voters.iter().chain(followers).filter(|raft_id| **raft_id != own);
    RaftMembers {
        own,
        leader: Some(own),
        voters: voters.iter().copied().collect(),
        followers: followers.iter().copied().collect(),
        silent_for: others.map(|raft_id| (*raft_id, Duration::from_millis(*raft_id))).collect(),
    }
}

/// The first step.
fn told(world: &World, members: &RaftMembers) -> String {
    all_told(world, members).into_iter().next().unwrap_or_else(|| "-".into())
}

fn all_told(world: &World, members: &RaftMembers) -> Vec<String> {
    let told = |step| match step {
        MemberStep::Record { raft_id, membership, .. } => {
            format!("record {raft_id} {membership:?}")
        }
        MemberStep::HandOver { to } => format!("hand over to {to}"),
        MemberStep::Change(MemberChange::Add { raft_id, address, .. }) => {
            format!("add {raft_id} at {address}")
        }
        MemberStep::Change(MemberChange::Promote { raft_id }) => format!("promote {raft_id}"),
        MemberStep::Change(MemberChange::Demote { raft_id }) => format!("demote {raft_id}"),
        MemberStep::Change(MemberChange::Remove { raft_id }) => format!("remove {raft_id}"),
    };
    steps(&world.view, members).into_iter().map(told).collect()
}

#[test]
fn a_manager_that_never_answers_keeps_no_other_from_being_taken_in() {
    let mut world = world();
    promote(&mut world, "n1", 4);
    observe(&mut world, "n1", 4, RaftMembership::Follows);
    world.tell("node n2");
    promote(&mut world, "n2", 5);
    let members = raft(1, &[1, 2, 3], &[4]);
    assert_eq!(all_told(&world, &members), ["promote 4", "add 5 at 10.0.0.5:2377"]);
    role(&mut world, "m3", NodeRole::Worker);
    let steps = ["demote 3", "promote 4", "add 5 at 10.0.0.5:2377"];
    assert_eq!(all_told(&world, &members), steps);
}

#[test]
fn a_new_manager_is_taken_in_step_by_step_and_each_step_is_recorded() {
    let mut world = world();
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[])), "-");
    role(&mut world, "n1", NodeRole::Manager);
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[])), "-", "it has no number yet");
    let node_id = id("node", "n1").to_bytes();
    world.record(Kind::RaftIdAssigned(RaftIdAssigned { node_id: node_id.clone(), raft_id: 4 }));
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[])), "-", "nothing listens there yet");
    let (listen_address, advertise_address) = ("0.0.0.0:2377".into(), "10.0.0.4:2377".into());
    world.record(Kind::PortOpened(PortOpened { node_id, listen_address, advertise_address }));
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[])), "add 4 at 10.0.0.4:2377");
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[4])), "record 4 Follows");
    observe(&mut world, "n1", 4, RaftMembership::Follows);
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[4])), "promote 4");
    assert_eq!(told(&world, &raft(1, &[1, 2, 3, 4], &[])), "record 4 Votes");
    observe(&mut world, "n1", 4, RaftMembership::Votes);
    assert_eq!(told(&world, &raft(1, &[1, 2, 3, 4], &[])), "-");
}

#[test]
fn a_manager_that_is_to_be_none_is_taken_out_step_by_step() {
    let mut world = world();
    role(&mut world, "m2", NodeRole::Worker);
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[])), "demote 2");
    assert_eq!(told(&world, &raft(1, &[1, 3], &[2])), "record 2 Follows");
    observe(&mut world, "m2", 2, RaftMembership::Follows);
    assert_eq!(told(&world, &raft(1, &[1, 3], &[2])), "remove 2");
    assert_eq!(told(&world, &raft(1, &[1, 3], &[])), "record 2 None");
    observe(&mut world, "m2", 2, RaftMembership::None);
    assert_eq!(told(&world, &raft(1, &[1, 3], &[])), "-");
    promote(&mut world, "m2", 4);
    assert_eq!(told(&world, &raft(1, &[1, 3], &[])), "add 4 at 10.0.0.4:2377", "a new number");
}

#[test]
fn the_leader_hands_over_before_it_is_taken_out_to_the_one_that_answered_last() {
    let mut world = world();
    role(&mut world, "m1", NodeRole::Worker);
    let mut members = raft(1, &[1, 2, 3], &[]);
    assert_eq!(told(&world, &members), "hand over to 2");
    members.silent_for.insert(2, Duration::from_secs(9));
    assert_eq!(told(&world, &members), "hand over to 3");
    assert_eq!(told(&world, &raft(3, &[1, 2, 3], &[])), "demote 1");
    let alone = told(&world, &raft(1, &[1], &[]));
    assert_eq!(alone, "record 2 None", "there is nobody to hand over to");
}

#[test]
fn a_promotion_that_is_taken_back_gives_its_number_up() {
    let mut world = world();
    promote(&mut world, "n1", 4);
    role(&mut world, "n1", NodeRole::Worker);
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[])), "record 4 None");
    observe(&mut world, "n1", 4, RaftMembership::None);
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[])), "-");
    assert_eq!(told(&world, &raft(1, &[1, 2, 3], &[4])), "remove 4", "it was added all the same");
}

#[test]
fn a_member_whose_number_the_log_has_not_given_is_left_alone() {
    let world = World::of("node m1");
    assert_eq!(told(&world, &raft(1, &[1], &[])), "-");
}

#[test]
fn sessions_at_a_manager_that_is_silent_for_as_long_as_a_node_may_be_are_abandoned() {
    let mut world = world();
    for (name, session) in [("m2", 7), ("n1", 8)] {
        world.record(Kind::SessionOpened(Box::new(SessionOpened {
            node_id: id("node", name).to_bytes(),
            session,
            manager_id: id("node", "m2").to_bytes(),
            ..SessionOpened::default()
        })));
    }
    let mut members = raft(1, &[1, 2, 3], &[]);
    let abandoned = |world: &World, members: &RaftMembers| {
        let mut sessions = abandoned_sessions(&world.view, members);
        sessions.sort_unstable_by_key(|(_, session)| *session);
        sessions
    };
    members.silent_for.insert(2, Duration::from_millis(14_999));
    assert_eq!(abandoned(&world, &members), []);
    members.silent_for.insert(2, Duration::from_secs(15));
    let both = [(id("node", "m2"), 7), (id("node", "n1"), 8)];
    assert_eq!(abandoned(&world, &members), both);
    world.tell("silent n1");
    assert_eq!(abandoned(&world, &members), both[..1], "it is known already");
}
