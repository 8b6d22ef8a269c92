//! Who becomes a node, and who comes back as one.

use super::{SessionsWorld, check};
use crate::sessions::Conn;
use skep_projections::fixture::MANAGER;
use skep_proto::v1::{NodeRemoved, event::Kind};

#[test]
fn a_new_agent_gets_a_certificate_opens_its_session_and_gets_its_set() {
    for way in ["", " token"] {
        check(
            "service web replicas=1",
            &format!(
                "a join{way} -> ask join worker
                 commit -> a1 certified as worker, a1 closed
                 a hello named -> ask open
                 commit -> a2 welcome 5000, a2 set
                 a gone -> ask close
                 commit -> -"
            ),
        );
    }
}

#[test]
fn an_agent_whose_certificate_was_lost_is_the_same_node_when_it_asks_again() {
    let mut world = SessionsWorld::of("");
    for _ in 0..2 {
        world.act("a join");
        assert!(world.act("commit").contains("certified as worker"));
        assert_eq!(world.cluster.view.nodes().len(), 1);
    }
}

#[test]
fn a_member_that_has_lost_its_certificate_gets_another_one_for_its_key_alone() {
    check(
        "member a",
        "a join node=a -> ask again
         commit -> a1 certified as worker, a1 closed
         a join node=a key=b -> ask again
         commit -> a2 turned WRONG_KEY, a2 closed
         c join node=c -> ask again
         commit -> c1 turned NODE_REMOVED, c1 closed",
    );
}

#[test]
fn a_member_comes_back_with_its_key_alone() {
    check(
        "member a | service web replicas=1 | task web.1 on a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set {web} web.1=RUNNING*
         b hello -> b1 turned NODE_REMOVED, b1 closed
         b hello key=a -> b2 turned NODE_REMOVED, b2 closed",
    );
    check(
        "member a",
        "a hello key=b -> a1 turned WRONG_KEY, a1 closed
         a beat -> -
         a gone -> -",
    );
}

#[test]
fn a_node_that_this_history_has_never_known_does_not_hear_that_it_was_removed() {
    check(
        "level 5 | member a",
        "b hello -> b1 turned OTHER_HISTORY, b1 closed
         c join node=c -> ask again
         commit -> c1 turned RETRY, c1 closed",
    );
    check(
        "level 5 | member a | rmnode a",
        "a hello -> a1 turned NODE_REMOVED, a1 closed
         a join node=a -> ask again
         commit -> a2 turned NODE_REMOVED, a2 closed",
    );
}

#[test]
fn the_key_of_a_removed_node_does_not_join_again_whatever_token_it_has() {
    let mut world = SessionsWorld::of("level 5");
    world.act("a join token");
    assert_eq!(world.act("commit"), "a1 certified as worker, a1 closed");
    let node = world.cluster.view.nodes().iter().next().expect("it has joined").1.id;
    world.cluster.record(Kind::NodeRemoved(NodeRemoved { node_id: node.to_bytes(), force: true }));
    assert_eq!(world.act("a join token"), "ask join worker");
    assert_eq!(world.act("commit"), "a2 turned NODE_REMOVED, a2 closed");
    world.act("a join token key=new");
    assert_eq!(world.act("commit"), "a3 certified as worker, a3 closed");
}

#[test]
fn a_session_says_where_its_agent_connects_from() {
    for (level, hello, address) in [
        (4, "a hello from=10.0.0.7", ""),
        (5, "a hello from=10.0.0.7", "10.0.0.7"),
        (5, "a hello", ""),
    ] {
        let mut world = SessionsWorld::of(&format!("level {level} | member a"));
        world.act(hello);
        world.act("commit");
        let row = world.cluster.view.nodes().iter().next().expect("node a").1;
        assert_eq!(&*row.address, address, "{hello} at level {level}");
    }
}

#[test]
fn a_manager_that_is_behind_ends_nobodys_tasks() {
    check("", "a hello at=1.99 -> a1 turned RETRY, a1 closed");
    check("", "a hello at=9.1 -> a1 turned OTHER_HISTORY, a1 closed");
}

#[test]
fn an_agent_of_before_there_were_certificates_exchanges_its_secret() {
    check(
        "veteran a | service web replicas=1 | task web.1 on a",
        "a join secret=b -> ask exchange
         commit -> a1 turned NODE_REMOVED, a1 closed
         a join secret=a -> ask exchange
         commit -> a2 certified as worker, a2 closed
         a hello -> ask open
         commit -> a3 welcome 5000, a3 set {web} web.1=RUNNING*
         x join secret=a -> ask exchange
         commit -> x1 turned WRONG_KEY, x1 closed",
    );
}

#[test]
fn a_certificate_whose_record_was_lost_is_believed_by_its_signature() {
    check(
        "veteran a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set",
    );
}

#[test]
fn the_managers_own_agent_joins_as_the_managers_node_and_takes_it_back_under_another_key() {
    let mut world = SessionsWorld::of("");
    assert_eq!(world.act("m join embedded"), "ask own");
    assert_eq!(world.act("commit"), "m1 certified as manager, m1 closed");
    assert!(world.cluster.view.nodes().find(MANAGER).is_some());
    assert_eq!(world.act("m hello"), "ask open");
    assert_eq!(world.act("commit"), "m2 welcome 5000, m2 managers [] number 0, m2 set");
    assert_eq!(world.sessions.conn_of(MANAGER), Some(Conn(2)));
    world.act("m gone");
    world.act("commit");
    assert_eq!(world.act("m join embedded key=new"), "ask own");
    assert_eq!(world.act("commit"), "m3 certified as manager, m3 closed");
    assert_eq!(world.act("m hello"), "m4 turned WRONG_KEY, m4 closed");
    assert_eq!(world.act("m hello key=new"), "ask open");
    assert_eq!(world.act("commit"), "m5 welcome 5000, m5 managers [] number 0, m5 set");
}

#[test]
fn a_node_that_joins_under_a_host_name_in_use_is_warned_once() {
    let mut world = SessionsWorld::of("member a");
    let a = world.cluster.view.nodes().iter().next().expect("node a").1.id;
    assert_eq!(world.act("b join hostname=a"), "ask join worker");
    let warned = format!(
        "b1 certified as worker warning: node {a} has the host name a too: until one of them is \
         renamed, commands must name them by id, b1 closed"
    );
    assert_eq!(world.act("commit"), warned);
    assert_eq!(world.act("b join hostname=a"), "ask join worker");
    assert_eq!(world.act("commit"), "b2 certified as worker, b2 closed");
}

#[test]
fn a_join_that_is_refused_or_unknown_says_what_the_agent_should_do() {
    check(
        "member a",
        "b join -> ask join worker
         refuse -> b1 turned RETRY, b1 closed
         b join -> ask join worker
         unknown -> b2 turned RETRY, b2 closed
         b join hostname=\u{1} -> ask join worker
         commit -> b3 turned RETRY, b3 closed
         b join -> ask join worker
         b gone -> -
         commit -> -
         b join -> ask join worker
         stopping -> b5 turned STOPPING, b5 closed
         commit -> -
         b join -> b6 turned STOPPING, b6 closed",
    );
}

#[test]
fn nobody_outside_takes_the_managers_node() {
    check(
        "member m",
        "x join -> ask join worker
         commit -> x1 certified as worker, x1 closed
         x hello node=m -> x2 turned WRONG_KEY, x2 closed
         m hello -> ask open
         n hello node=m key=m new-process -> n1 turned CLAIMED, n1 closed",
    );
}
