//! Nodes that become managers and cease to be ones: which records are news, and what the view says
//! then.

use skep_projections::{
    View,
    fixture::{World, id},
    node::ManagerNumber,
    snapshot,
};
use skep_proto::{
    Id,
    v1::{
        ManagerReachObserved, MembershipObserved, RaftIdAssigned, RaftMembership, SessionOpened,
        event::Kind,
    },
};

/// Two that are to be managers, the first with its number; and a worker.
const BEGUN: &str =
    "level 6 | node m1 role=manager | node m2 role=manager | node n1 | number m1 | votes m1";

/// Adds a record; says whether it was set aside.
fn is_set_aside(world: &mut World, kind: Kind) -> bool {
    let before = world.view.set_aside();
    world.record(kind);
    check(&world.view);
    world.view.set_aside() > before
}

/// The indexes are those of the rows, and a snapshot holds all of it.
fn check(view: &View) {
    assert_eq!(view.faults(), Vec::<String>::new());
    assert_eq!(view.digest(), view.recomputed_digest());
    let read = snapshot::decode(&snapshot::encode(view)).expect("it is a snapshot");
    assert_eq!((read.digest(), read.newest_raft_id()), (view.digest(), view.newest_raft_id()));
    assert_eq!(managers(&read), managers(view));
    assert_eq!(read.faults(), Vec::<String>::new());
}

/// Those that count among the managers, each with its number and what it is in raft.
fn managers(view: &View) -> Vec<String> {
    let mut told: Vec<String> = view
        .managers()
        .map(|(_, row)| match row.manager {
            None => row.hostname().to_owned(),
            Some(ManagerNumber { raft_id, membership, unreachable }) => {
                let word = membership.as_str_name().trim_start_matches("RAFT_MEMBERSHIP_");
                let reach = if unreachable { " unreachable" } else { "" };
                format!("{} {raft_id} {}{reach}", row.hostname(), word.to_lowercase())
            }
        })
        .collect();
    told.sort();
    told
}

fn assigned(node: &str, raft_id: u64) -> Kind {
    Kind::RaftIdAssigned(RaftIdAssigned { node_id: id("node", node).to_bytes(), raft_id })
}

fn seen(node: &str, raft_id: u64, membership: RaftMembership) -> Kind {
    let (node_id, membership) = (id("node", node).to_bytes(), membership as i32);
    Kind::MembershipObserved(MembershipObserved { node_id, raft_id, membership })
}

#[test]
fn a_node_is_among_the_managers_from_its_promotion_until_it_is_out_of_raft() {
    let mut world = World::of(BEGUN);
    for (statement, expected) in [
        ("", &["m1 1 votes", "m2"][..]),
        ("promote n1", &["m1 1 votes", "m2", "n1"]),
        ("demote m2", &["m1 1 votes", "n1"]),
        ("number n1", &["m1 1 votes", "n1 2 none"]),
        ("follows n1", &["m1 1 votes", "n1 2 follows"]),
        ("votes n1", &["m1 1 votes", "n1 2 votes"]),
        ("demote n1", &["m1 1 votes", "n1 2 votes"]),
        ("follows n1", &["m1 1 votes", "n1 2 follows"]),
        ("leaves n1", &["m1 1 votes"]),
        ("promote n1", &["m1 1 votes", "n1"]),
        ("number n1", &["m1 1 votes", "n1 3 none"]),
        ("label n1 zone:b", &["m1 1 votes", "n1 3 none"]),
        ("close n1 | down n1", &["m1 1 votes", "n1 3 none"]),
        ("rmnode n1", &["m1 1 votes"]),
    ] {
        world.tell(statement);
        check(&world.view);
        assert_eq!(managers(&world.view), expected, "{statement}");
    }
    assert_eq!(world.view.newest_raft_id(), 3, "also after the node is gone");
}

#[test]
fn a_removed_node_leaves_the_managers_also_while_a_task_holds_its_row() {
    let mut world = World::of(BEGUN);
    world.tell("service web | task web.1 on m2 running | number m2 | votes m2 | rmnode m2");
    check(&world.view);
    assert!(world.view.nodes().by_id(id("node", "m2")).is_some(), "its row stays");
    assert_eq!(managers(&world.view), ["m1 1 votes"]);
    assert!(is_set_aside(&mut world, assigned("m2", 3)));
    assert!(is_set_aside(&mut world, seen("m2", 2, RaftMembership::None)));
}

#[test]
fn a_number_is_the_next_one_and_given_to_a_node_without_one() {
    for (node, raft_id, fits) in [
        ("m2", 2, true),
        ("m2", 1, false),
        ("m2", 3, false),
        ("m2", 0, false),
        ("m2", u64::MAX, false),
        // Whether it is still to be a manager was the question of who gave the number.
        ("n1", 2, true),
        ("m1", 2, false),
        ("m1", 1, false),
        ("nobody", 2, false),
    ] {
        let mut world = World::of(BEGUN);
        assert_eq!(!is_set_aside(&mut world, assigned(node, raft_id)), fits, "{node} {raft_id}");
        assert_eq!(world.view.newest_raft_id(), if fits { 2 } else { 1 }, "{node} {raft_id}");
    }
}

#[test]
fn a_membership_is_seen_of_the_number_that_the_node_has_and_once() {
    use RaftMembership::{Follows, None as Outside, Votes};
    for (node, raft_id, membership, fits) in [
        ("m1", 1, Votes, false),
        ("m1", 1, Follows, true),
        ("m1", 1, Outside, true),
        ("m1", 2, Follows, false),
        ("m1", 0, Outside, false),
        ("m2", 2, Votes, true),
        // It has been out all the time, and gives its number up.
        ("m2", 2, Outside, true),
        ("m2", 1, Votes, false),
        ("n1", 0, Outside, false),
        ("n1", 1, Votes, false),
        ("nobody", 1, Votes, false),
    ] {
        let mut world = World::of(&format!("{BEGUN} | number m2"));
        let found = !is_set_aside(&mut world, seen(node, raft_id, membership));
        assert_eq!(found, fits, "{node} {raft_id} {membership:?}");
    }
    let mut world = World::of(&format!("{BEGUN} | leaves m1"));
    for membership in [Outside, Follows, Votes] {
        assert!(is_set_aside(&mut world, seen("m1", 1, membership)), "the number was given up");
    }
    assert!(is_set_aside(&mut world, assigned("m1", 1)), "nor is it given again");
    assert!(!is_set_aside(&mut world, assigned("m1", 2)));
}

#[test]
fn a_session_names_the_manager_that_holds_it() {
    let mut world = World::of(BEGUN);
    let holder = |world: &World| {
        world.view.nodes().get(world.node("n1")).expect("it is there").session_manager
    };
    assert_eq!(holder(&world), Id::NONE);
    for (session, manager) in [(7, id("node", "m1")), (8, id("node", "m2")), (9, Id::NONE)] {
        let opened = SessionOpened {
            node_id: id("node", "n1").to_bytes(),
            session,
            manager_id: manager.to_bytes(),
            ..SessionOpened::default()
        };
        assert!(!is_set_aside(&mut world, Kind::SessionOpened(Box::new(opened))));
        assert_eq!(holder(&world), manager);
        let read = snapshot::decode(&snapshot::encode(&world.view)).expect("it is a snapshot");
        let (_, row) = read.nodes().by_id(id("node", "n1")).expect("it is there");
        assert_eq!(row.session_manager, manager);
    }
}

#[test]
fn a_change_of_a_manager_names_the_node_as_changed() {
    let mut world = World::of(BEGUN);
    let index = world.node("m2");
    for statement in ["number m2", "follows m2", "votes m2", "leaves m2"] {
        let delta = world.tell(statement);
        assert_eq!(delta.nodes.into_iter().collect::<Vec<_>>(), [index], "{statement}");
        let row = world.view.nodes().get(index).expect("it is there");
        assert_eq!(row.last_revision, world.view.position().revision, "{statement}");
        assert!(row.version < row.last_revision, "nobody's wish has changed");
    }
}

#[test]
fn a_manager_is_seen_to_be_away_under_its_number_and_once() {
    let reach = |node: &str, raft_id, answers| {
        let node_id = id("node", node).to_bytes();
        Kind::ManagerReachObserved(ManagerReachObserved { node_id, raft_id, answers })
    };
    let mut world = World::of(BEGUN);
    for (node, raft_id, answers, fits, expected) in [
        ("m1", 1, true, false, "m1 1 votes"),
        ("m1", 2, false, false, "m1 1 votes"),
        ("m2", 0, false, false, "m1 1 votes"),
        ("nobody", 1, false, false, "m1 1 votes"),
        ("m1", 1, false, true, "m1 1 votes unreachable"),
        ("m1", 1, false, false, "m1 1 votes unreachable"),
        ("m1", 1, true, true, "m1 1 votes"),
    ] {
        let found = !is_set_aside(&mut world, reach(node, raft_id, answers));
        assert_eq!(found, fits, "{node} {raft_id} {answers}");
        assert_eq!(managers(&world.view), [expected, "m2"]);
    }
    // With its vote it loses nothing of that; with its number it does.
    world.tell("unheard m1 | demote m1 | follows m1");
    check(&world.view);
    assert_eq!(managers(&world.view), ["m1 1 follows unreachable", "m2"]);
    world.tell("leaves m1 | promote m1 | number m1");
    assert_eq!(managers(&world.view), ["m1 2 none", "m2"]);
}
