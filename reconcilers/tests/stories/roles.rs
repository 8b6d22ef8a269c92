//! Numbers in raft for nodes that are to be managers.

use crate::telling::{ROOM, Teller, check};
use skep_proto::v1::{RaftIdAssigned, Record, event::Kind};
use skep_reconcilers::{Brain, Settled};

#[test]
fn a_node_that_is_promoted_is_given_a_number_once() {
    check(
        "level 6
         node m1 role=manager
         > roles: m1 is number 1 in raft
         node n1
         promote n1
         > roles: n1 is number 2 in raft
         follows n1
         votes n1
         label n1 zone:a | close n1
         open n1 | votes m1",
    );
}

#[test]
fn two_that_are_promoted_in_one_turn_have_different_numbers() {
    check(
        "given level 6 | node m1 role=manager | node n1 | node n2
         promote n2 | promote n1
         > roles: n1 is number 2 in raft
         > roles: n2 is number 3 in raft",
    );
}

#[test]
fn below_its_feature_level_nobody_is_given_a_number() {
    check(
        "level 5
         node m1 role=manager
         label m1 zone:a",
    );
}

#[test]
fn the_leader_that_raises_the_level_numbers_the_first_manager() {
    let mut teller = check("given level 5 | node m1 role=manager | node n1");
    let said = teller.take_over("level 6 | tenure m1");
    assert_eq!(said, ["roles: m1 is number 1 in raft"]);
    assert_eq!(teller.take_over("tenure m1"), [""; 0]);
}

#[test]
fn one_that_is_demoted_first_is_given_none_and_a_number_is_never_given_again() {
    check(
        "given level 6 | node m1 role=manager | node n1 | node n2
         promote n1 | demote n1
         promote n1
         > roles: n1 is number 2 in raft
         votes n1
         demote n1
         leaves n1
         promote n1
         > roles: n1 is number 3 in raft
         demote n1
         rmnode n1
         promote n2
         > roles: n2 is number 4 in raft",
    );
}

/// It would come back under its number, of which its machine may have lost the log.
#[test]
fn one_that_is_promoted_again_before_it_is_out_keeps_its_number_and_gets_another_one_after() {
    check(
        "given level 6 | node m1 role=manager | node n1
         promote n1
         > roles: n1 is number 2 in raft
         votes n1
         demote n1
         promote n1
         leaves n1
         > roles: n1 is number 3 in raft",
    );
}

#[test]
fn a_removed_node_is_given_none() {
    check(
        "given level 6 | node m1 role=manager | node n1
         promote n1 | rmnode n1",
    );
}

#[test]
fn a_new_leader_finds_those_that_have_none() {
    let mut teller = check("given level 6 | node m1 role=manager | node n1 | node n2 | node n3");
    let said = teller.take_over("promote n3 | promote n1 | promote n2 | number n2 | tenure m1");
    assert_eq!(said, ["roles: n1 is number 3 in raft", "roles: n3 is number 4 in raft"]);
}

fn numbers(settled: &Settled) -> Vec<u64> {
    let number = |record: &Record| match record.event.as_ref().and_then(|event| event.kind.as_ref())
    {
        Some(Kind::RaftIdAssigned(RaftIdAssigned { raft_id, .. })) => *raft_id,
        other => panic!("{other:?}"),
    };
    settled.records.iter().map(number).collect()
}

#[test]
fn what_a_full_entry_leaves_goes_on_in_the_next_one() {
    let mut teller = Teller::new(Brain::new());
    let nodes = (1..=7).map(|n| format!("node m{n} role=manager")).collect::<Vec<_>>().join(" | ");
    let delta = teller.world.tell(&format!("level 6 | {nodes}"));
    let (mut settled, mut entries) = (teller.settle(delta, 2), Vec::new());
    while !settled.records.is_empty() {
        entries.push(numbers(&settled));
        settled = teller.settle(settled.left, 2);
    }
    assert!(entries.len() > 1 && entries[0].len() < 7, "{entries:?}");
    assert_eq!(entries.concat(), [1, 2, 3, 4, 5, 6, 7]);
    let settled = teller.settle(settled.left, ROOM);
    assert!(settled.records.is_empty() && teller.left_undone().is_empty());
}
