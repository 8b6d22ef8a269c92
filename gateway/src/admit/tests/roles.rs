//! Who becomes a manager, and who ceases to be one.

use super::*;
use skep_proto::v1::RemoveNode;

/// A founder that leads, with its port open; two workers that could be managers.
const FOUNDED: &str = "level 6 | node m1 role=manager | tenure m1 | open m1 | number m1 | votes m1
    port m1 | node n1 | certify n1 | node n2 | certify n2";
/// Three managers that vote, and a worker.
const THREE: &str = "level 6 | node m1 role=manager | node m2 role=manager | node m3 role=manager
    tenure m1 | open m1 | open m2 | open m3 | number m1 | number m2 | number m3
    votes m1 | votes m2 | votes m3 | port m1 | node n1 | certify n1";

fn world(story: &str, more: &str) -> World {
    World::of(&format!("{story} | {more}"))
}

fn to_be(world: &World, node: &str, role: NodeRole) -> Result<Admitted, Refusal> {
    command(world, node_update(node, |update| update.role = Some(role as i32)))
}

fn promoted(world: &World, node: &str) -> Result<Admitted, Refusal> {
    to_be(world, node, NodeRole::Manager)
}

fn demoted(world: &World, node: &str) -> Result<Admitted, Refusal> {
    to_be(world, node, NodeRole::Worker)
}

/// It is refused as a matter of the cluster's state, and again with the same words.
fn stays(found: impl Fn() -> Result<Admitted, Refusal>, message: &str, hint: &str) {
    for _ in 0..2 {
        refused(found(), RefusalCode::Precondition, message, hint);
    }
}

#[test]
fn a_role_is_changed_from_feature_level_6_on() {
    let at = |level| {
        let story = FOUNDED.replace("level 6", &format!("level {level}"));
        World::of(&story)
    };
    let message =
        "a manager of this cluster is older and can't read the records of further managers";
    let hint = "upgrade every manager first";
    let older = at(5);
    stays(|| promoted(&older, "n1"), message, hint);
    stays(|| demoted(&older, "m1"), message, hint);
    assert_eq!(kinds(demoted(&older, "n1")), [""; 0], "it is one already");
    assert_eq!(kinds(promoted(&older, "m1")), [""; 0], "it is one already");

    let admitted = promoted(&at(6), "n1").expect("it is admitted");
    let [(_, Kind::NodeUpdated(e))] = &admitted.events[..] else { panic!("{admitted:?}") };
    let role = |spec: &Option<NodeSpec>| spec.as_ref().map(NodeSpec::desired_role);
    let roles = (role(&e.before), role(&e.spec));
    assert_eq!(roles, (Some(NodeRole::Worker), Some(NodeRole::Manager)));
    assert_eq!(admitted.warnings, [""; 0]);
}

#[test]
fn a_manager_needs_a_certificate() {
    let message = "node n3 has no certificate, which a manager is known by";
    let hint = "start its daemon with this version: it gets one when it connects";
    let without = world(FOUNDED, "node n3");
    stays(|| promoted(&without, "n3"), message, hint);
    assert_eq!(kinds(promoted(&world(FOUNDED, "node n3 | certify n3"), "n3")), ["node_updated"]);
}

#[test]
fn a_machine_that_is_away_is_promoted_with_a_warning() {
    for (state, word) in
        [("close n1", "disconnected"), ("down n1", "down"), ("silent n1", "silent")]
    {
        let admitted = promoted(&world(FOUNDED, state), "n1").expect("it is admitted");
        let warning = format!("node n1 is {word}: it becomes a manager when it is back");
        assert_eq!((admitted.warnings, admitted.events.len()), (vec![warning], 1));
    }
    let admitted = promoted(&world(FOUNDED, "tenure m1"), "n1").expect("it is admitted");
    let warning = "node n1 is not heard of yet: it becomes a manager when it is back";
    assert_eq!(admitted.warnings, [warning]);
}

#[test]
fn the_first_manager_must_be_reached_by_the_second() {
    let message = "another manager could not reach this one: its port is closed";
    let hint = "`skep cluster init --advertise-addr ADDRESS` opens it";
    let closed = World::of(&FOUNDED.replace("port m1", ""));
    stays(|| promoted(&closed, "n1"), message, hint);
    let mut opened = closed;
    opened.tell("port m1");
    assert_eq!(kinds(promoted(&opened, "n1")), ["node_updated"]);
}

#[test]
fn a_cluster_has_so_many_managers_at_most() {
    let with = |managers: usize| {
        let more = (2..=managers).map(|n| format!("node m{n} role=manager"));
        world(FOUNDED, &more.collect::<Vec<_>>().join(" | "))
    };
    assert_eq!(kinds(promoted(&with(14), "n1")), ["node_updated"]);
    let message = "the cluster has 15 managers, the most that may be";
    let hint = "seven survive the loss of three, and more only make the cluster slower";
    let mut full = with(15);
    refused(promoted(&full, "n1"), RefusalCode::Exhausted, message, hint);
    full.tell("demote m9");
    assert_eq!(kinds(promoted(&full, "n1")), ["node_updated"], "m9 never had a number");
    let mut full = with(15);
    full.tell("number m9 | votes m9 | demote m9");
    refused(promoted(&full, "n1"), RefusalCode::Exhausted, message, hint);
    full.tell("leaves m9");
    assert_eq!(kinds(promoted(&full, "n1")), ["node_updated"]);
}

#[test]
fn a_demotion_is_taken_back_as_long_as_the_node_is_a_member_of_raft() {
    for steps in ["demote m3", "demote m3 | follows m3"] {
        let mut world = world(THREE, steps);
        assert_eq!(kinds(promoted(&world, "m3")), ["node_updated"], "{steps}");
        world.tell("silent m3");
        let admitted = promoted(&world, "m3").expect("it is admitted");
        let warning = "node m3 is silent: it becomes a manager when it is back";
        assert_eq!(admitted.warnings, [warning]);
    }
    let mut world = world(THREE, "promote n1 | number n1 | demote n1");
    stays(|| promoted(&world, "n1"), "node n1 is being demoted", "try again in a moment");
    world.tell("leaves n1");
    assert_eq!(kinds(promoted(&world, "n1")), ["node_updated"]);
}

const LAST: &str = "attempting to demote the last manager of the cluster";
const LAST_HINT: &str =
    "promote another node first, and wait until `skep node ls` shows it as Reachable";

#[test]
fn the_last_manager_stays_one() {
    let alone = world(FOUNDED, "");
    stays(|| demoted(&alone, "m1"), LAST, LAST_HINT);
    let unseen = World::of("level 6 | node m1 role=manager | tenure m1 | open m1");
    stays(|| demoted(&unseen, "m1"), LAST, LAST_HINT);
    let unled = World::of("level 6 | node m1 role=manager");
    stays(|| demoted(&unled, "m1"), LAST, LAST_HINT);
    for steps in ["promote n1", "promote n1 | number n1", "promote n1 | number n1 | follows n1"] {
        let joining = world(FOUNDED, steps);
        let message = "node m1 is the only manager that votes: n1 can't yet";
        let hint = "wait until `skep node ls` shows another one as Reachable";
        stays(|| demoted(&joining, "m1"), message, hint);
    }
    let two = world(FOUNDED, "promote n1 | number n1 | votes n1");
    assert_eq!(kinds(demoted(&two, "m1")), ["node_updated"], "also the leader");
    assert_eq!(kinds(demoted(&two, "n1")), ["node_updated"]);
}

#[test]
fn a_promotion_is_taken_back_freely_before_there_is_a_vote() {
    for steps in ["promote n1", "promote n1 | number n1", "promote n1 | number n1 | follows n1"] {
        let world = world(THREE, &format!("{steps} | down m2 | down m3"));
        assert_eq!(kinds(demoted(&world, "n1")), ["node_updated"], "{steps}");
    }
    let world = world(THREE, "promote n1 | number n1 | votes n1 | down m2 | down m3");
    assert!(demoted(&world, "n1").is_err(), "it votes");
}

#[test]
fn a_majority_of_the_managers_that_remain_is_ready() {
    let hint = "wait until they are back, or demote those that are away first";
    let message = |node: &str, away: &str| {
        format!(
            "without node {node} the cluster would have 2 managers and need 2 of them, and 1 would \
             be ready: {away}"
        )
    };
    for (state, word) in [("down", "down"), ("close", "disconnected"), ("silent", "silent")] {
        let world = world(THREE, &format!("{state} m2"));
        let away = format!("node m2 is {word}");
        stays(|| demoted(&world, "m3"), &message("m3", &away), hint);
        stays(|| demoted(&world, "m1"), &message("m1", &away), hint);
        assert_eq!(kinds(demoted(&world, "m2")), ["node_updated"], "the one that is away");
    }
    let begun = world(THREE, "tenure m1 | open m1");
    stays(|| demoted(&begun, "m2"), &message("m2", "node m3 is not heard of yet"), hint);

    let four = format!("{THREE} | promote n1 | number n1 | votes n1");
    assert_eq!(kinds(demoted(&world(&four, "down m2"), "m3")), ["node_updated"], "2 of 3");
    let message = "without node m1 the cluster would have 3 managers and need 2 of them, and 1 would \
                   be ready: node m2 is down, node m3 is down";
    let halved = world(&four, "down m2 | down m3");
    stays(|| demoted(&halved, "m1"), message, hint);
    // Those that only follow count for nothing.
    let follower = world(THREE, "promote n1 | number n1 | follows n1 | down m2");
    assert!(demoted(&follower, "m3").is_err());
}

#[test]
fn managers_that_do_not_answer_the_leader_are_not_counted_on() {
    let mut world = world(&THREE.replace("level 6", "level 7"), "down m2");
    assert_eq!(kinds(demoted(&world, "m3")), ["node_updated"], "m2 answers, without its agent");
    world.tell("open m2 | unheard m2");
    let hint = "wait until they are back, or demote those that are away first";
    let message = |node: &str| {
        format!(
            "without node {node} the cluster would have 2 managers and need 2 of them, and 1 would \
             be ready: node m2 is not answering the leader"
        )
    };
    stays(|| demoted(&world, "m3"), &message("m3"), hint);
    stays(|| demoted(&world, "m1"), &message("m1"), hint);
    assert_eq!(kinds(demoted(&world, "m2")), ["node_updated"], "the one that is away");
    world.tell("unheard m1");
    assert_eq!(kinds(demoted(&world, "m2")), ["node_updated"], "a leader answers itself");
    world.tell("heard m1 | heard m2 | demote m3 | unheard m2");
    let waits = "that waits until a majority of the others answers: node m2 is not answering the \
                 leader; `skep node promote m3` takes the demotion back";
    stays(|| demoted(&world, "m2"), "another manager is being demoted: m3", waits);
    let remove = RemoveNode { node: "m3".into(), force: true };
    let refusal = command(&world, Action::RemoveNode(remove)).unwrap_err();
    assert_eq!(refusal.hint, format!("it is being demoted: {waits}"));
    world.tell("promote m3");
    assert_eq!(kinds(demoted(&world, "m2")), ["node_updated"], "then the other one may go");
}

#[test]
fn managers_are_demoted_one_after_the_other() {
    let four = format!("{THREE} | promote n1 | number n1 | votes n1");
    let mut world = world(&four, "demote m3");
    let hint = "try again in a moment";
    stays(|| demoted(&world, "m2"), "another manager is being demoted: m3", hint);
    assert_eq!(kinds(demoted(&world, "m3")), [""; 0], "it is asked for already");
    world.tell("leaves m3");
    assert_eq!(kinds(demoted(&world, "m2")), ["node_updated"]);
}

#[test]
fn a_manager_is_demoted_before_it_is_removed() {
    let mut world = world(THREE, "promote n1 | close n1 | close m3");
    let remove = |world: &World, node: &str, force| {
        command(world, Action::RemoveNode(RemoveNode { node: node.into(), force }))
    };
    let message = |node: &str| {
        format!(
            "node {node} is a cluster manager and is a member of the raft cluster. It must be \
             demoted to worker before removal"
        )
    };
    for (node, force) in [("m3", false), ("m3", true), ("n1", false), ("m1", true)] {
        let hint = format!("`skep node demote {node}`");
        stays(|| remove(&world, node, force), &message(node), &hint);
    }
    world.tell("demote m3 | demote n1");
    assert_eq!(kinds(remove(&world, "n1", false)), ["node_removed"], "it never had a number");
    let hint = "it is being demoted: try again in a moment";
    stays(|| remove(&world, "m3", true), &message("m3"), hint);
    world.tell("leaves m3");
    assert_eq!(kinds(remove(&world, "m3", false)), ["node_removed"]);
}
