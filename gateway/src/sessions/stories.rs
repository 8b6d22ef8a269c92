//! Stories about sessions: what agents, the turn and time do, and what the sessions do then.

mod joins;
mod parts;
mod silence;

use super::{
    entry, pace,
    world::{AHEAD, SessionsWorld, check},
};
use skep_proto::{Id, v1};

#[test]
fn a_node_that_comes_back_under_another_name_is_told_whose_tasks_move() {
    let mut world =
        SessionsWorld::of("member a | service db constraint=node.hostname==a | service web");
    world.act("a hello hostname=b");
    let warned = world.act("commit");
    let expected = "warning: the host name of this node changed from a to b: constraints on \
                    node.hostname move or end tasks of db";
    assert!(warned.contains(expected), "{warned}");
    assert!(!warned.contains("web"), "{warned}");
}

#[test]
fn labels_given_at_a_later_start_are_not_ignored_in_silence() {
    let mut world = SessionsWorld::of("member a");
    world.act("a hello label=zone:b");
    let warned = world.act("commit");
    let expected = "warning: --label changes nothing on a node that has joined already; use \
                    `skep node update --label-add zone=b a`";
    assert!(warned.contains(expected), "{warned}");
}

#[test]
fn a_newer_stream_of_the_same_process_takes_over_and_one_of_another_waits() {
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         a hello -> a1 turned SUPERSEDED, a1 closed, ask open
         commit -> a2 welcome 5000, a2 set
         a hello new-process -> a3 turned CLAIMED, a3 closed",
    );
}

#[test]
fn a_node_that_opens_sessions_without_end_is_asked_to_wait() {
    let mut world = SessionsWorld::of("member a | member b");
    let said: Vec<String> = (0..40).map(|_| world.act("a hello")).collect();
    let opened = said.iter().filter(|said| said.ends_with("ask open")).count();
    assert_eq!(opened as u64, pace::NODE_RECORDS_BURST_MAX);
    assert_eq!(said[39], "a40 turned RETRY, a40 closed");
    assert_eq!(world.act("b hello"), "ask open", "others do not wait for it");
    world.act("commit");
    world.act("later 2000");
    assert!(world.act("a hello").ends_with("ask open"), "a moment later it may");
}

#[test]
fn a_node_whose_conditions_change_without_end_comes_back_with_the_newest() {
    let mut world = SessionsWorld::of("member a");
    world.act("a hello");
    world.act("commit");
    let told = |world: &mut SessionsWorld| world.act("a conditions engine");
    let said: Vec<String> = (1..pace::NODE_RECORDS_BURST_MAX).map(|_| told(&mut world)).collect();
    assert!(said.iter().all(|said| said == "ask 1 conditions"), "{said:?}");
    assert_eq!(told(&mut world), "a1 turned RETRY, a1 closed, ask close");
}

#[test]
fn a_session_that_the_log_knows_to_be_followed_by_another_ends() {
    let mut world = SessionsWorld::of("member a");
    world.act("a hello");
    world.act("commit");
    // Another manager's session, as its record tells.
    assert_eq!(world.act("tell open a"), "a1 turned SUPERSEDED, a1 closed");
    assert_eq!(world.sessions.open_sessions(), 0);
    assert_eq!(world.act("later 60000"), "-", "nothing is measured any more");
}

#[test]
fn what_came_with_a_snapshot_reaches_the_agents_that_it_concerns() {
    check(
        "member a | member b | service web replicas=3 | task web.1 on a | task web.2 on a",
        "a hello -> ask open
         b hello -> ask open
         commit -> a1 welcome 5000, a1 set {web} web.1=RUNNING* web.2=RUNNING*, b1 welcome 5000, b1 set
         snapshot task web.3 on b | web.1 wanted shutdown | web.2 shutdown | reap web.2 -> a1 change 12>18 web.1=SHUTDOWN gone-, b1 change 13>18 {web} web.3=RUNNING*
         snapshot rmnode b | tenure -> b1 turned NODE_REMOVED, b1 closed, ask open",
    );
}

#[test]
fn a_report_is_acknowledged_when_it_is_committed() {
    check(
        "member a | service web replicas=2 | task web.1 on a | task web.2 on a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set {web} web.1=RUNNING* web.2=RUNNING*
         a report web.1=RUNNING -> ask report of 1
         a report web.2=FAILED -> ask report of 1
         commit -> a1 ack 1, a1 ack 2",
    );
}

#[test]
fn a_report_before_the_welcome_is_left_out_and_comes_again() {
    check(
        "member a | service web replicas=1 | task web.1 on a",
        "a hello -> ask open
         a report web.1=RUNNING -> -
         commit -> a1 welcome 5000, a1 set {web} web.1=RUNNING*
         a hello-again -> -
         a chunk -> -",
    );
}

#[test]
fn what_is_refused_or_unknown_starts_the_session_over() {
    for verdict in ["refuse", "unknown"] {
        check(
            "member a | service web replicas=1 | task web.1 on a",
            &format!(
                "a hello -> ask open
                 {verdict} -> a1 turned RETRY, a1 closed, ask close
                 commit -> -
                 a hello -> ask open
                 commit -> a2 welcome 5000, a2 set {{web}} web.1=RUNNING*
                 a report web.1=RUNNING -> ask report of 1
                 {verdict} -> a2 turned RETRY, a2 closed, ask close
                 {verdict} -> -
                 x join -> ask join worker
                 {verdict} -> x1 turned RETRY, x1 closed"
            ),
        );
    }
}

#[test]
fn an_answer_that_comes_after_its_stream_has_gone_says_nothing() {
    for verdict in ["commit", "refuse", "unknown"] {
        check(
            "member a | service web replicas=1 | task web.1 on a",
            &format!(
                "a hello -> ask open
                 a gone -> ask close
                 {verdict} -> -
                 a hello -> ask open
                 commit -> a2 welcome 5000, a2 set {{web}} web.1=RUNNING*
                 a report web.1=RUNNING -> ask report of 1
                 a gone -> ask close
                 {verdict} -> -"
            ),
        );
    }
}

#[test]
fn changes_go_to_their_node_and_only_what_is_new() {
    check(
        "member a | member b | service web replicas=2 | task web.1 on a",
        "a hello -> ask open
         b hello -> ask open
         commit -> a1 welcome 5000, a1 set {web} web.1=RUNNING*, b1 welcome 5000, b1 set
         tell web.1 running -> -
         tell task web.2 on b -> b1 change 11>14 {web} web.2=RUNNING*
         tell web.1 wanted shutdown -> a1 change 10>15 web.1=SHUTDOWN
         tell web.1 shutdown -> -
         tell reap web.1 -> a1 change 15>17 gone-
         tell service db -> -",
    );
}

#[test]
fn an_agent_that_comes_back_hears_what_it_missed() {
    let mut world =
        SessionsWorld::of("member a | service web replicas=3 | task web.1 on a | task web.2 on a");
    world.act("a hello");
    world.act("commit");
    let heard = world.cluster.view.position().revision;
    world.act("a gone");
    world.act("commit");
    world.act("tell web.2 running | task web.3 on a | web.1 wanted shutdown | web.1 shutdown | reap web.1");
    let now = world.cluster.view.position().revision;
    world.act(&format!("a hello at=1.{heard}"));
    assert_eq!(
        world.act("commit"),
        format!(
            "a2 welcome 5000, a2 change {heard}>{} {{web}} web.2=RUNNING* web.3=RUNNING* gone-",
            now.next()
        ),
    );
}

#[test]
fn an_agent_that_missed_nothing_hears_its_position() {
    let mut world = SessionsWorld::of("member a | service web replicas=1 | task web.1 on a");
    world.act("a hello");
    world.act("commit");
    let heard = world.cluster.view.position().revision;
    world.act(&format!("a hello at=1.{heard}"));
    assert_eq!(world.act("commit"), format!("a2 welcome 5000, a2 change {heard}>{}", heard.next()));
}

#[test]
fn a_position_that_is_unknown_too_old_or_ahead() {
    let given = "member a | service web replicas=1 | task web.1 on a";
    for position in ["0.0", "1.1"] {
        let mut world = SessionsWorld::of(given);
        assert_eq!(world.act(&format!("a hello at={position}")), "ask open", "{position}");
        assert_eq!(
            world.act("commit"),
            "a1 welcome 5000, a1 set {web} web.1=RUNNING*",
            "{position}"
        );
    }
    check(given, "a hello at=1.99 -> a1 turned RETRY, a1 closed");
    check(given, "a hello at=2.1 -> a1 turned OTHER_HISTORY, a1 closed");
}

#[test]
fn an_agent_that_follows_another_history_is_turned_away_until_a_manager_has_it() {
    let given = "member a | level 3";
    check(given, "a hello at=1/9.1 -> a1 turned OTHER_HISTORY, a1 closed");
    check(given, "a hello at=2/3.1 -> a1 turned OTHER_HISTORY, a1 closed");
    check(given, "a hello at=1/3.1 -> ask open");
    check(given, "a hello at=1.1 -> ask open");
    check("member a", "a hello at=1/9.1 -> ask open");
}

#[test]
fn both_histories_are_named_to_an_agent_that_follows_another_one() {
    let told = |incarnation, lineage| {
        let hello = v1::Hello { incarnation, lineage, ..v1::Hello::default() };
        let view = skep_projections::fixture::World::of("node a | level 3").view;
        entry::other_history(&hello, &view).unwrap_or_default()
    };
    let claimed = told(1, 9);
    let named = ["incarnation 1", "lineage 0000000000000009", "lineage 0000000000000003"];
    assert!(named.iter().all(|word| claimed.contains(word)), "{claimed}");
    let left = told(4, 9);
    let named = ["incarnation 4", "incarnation 1", "lineage 0000000000000009"];
    assert!(named.iter().all(|word| left.contains(word)), "{left}");
    assert_eq!(told(1, 3), "");
    assert_eq!(told(0, 0), "", "its very first session");
}

#[test]
fn a_node_that_is_removed_is_told_and_one_that_was_may_not_return() {
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         tell rmnode a -> a1 turned NODE_REMOVED, a1 closed
         a hello -> a2 turned NODE_REMOVED, a2 closed",
    );
    check(
        "member a | member b | service web replicas=1 | task web.1 on a",
        "a hello -> ask open
         b hello -> ask open
         commit -> a1 welcome 5000, a1 set {web} web.1=RUNNING*, b1 welcome 5000, b1 set
         tell rmnode b | node c -> b1 turned NODE_REMOVED, b1 closed
         tell rmnode a -> a1 turned NODE_REMOVED, a1 closed",
    );
    // In the very entry that opens its session; without tasks, and with one.
    for given in ["member a", "member a | service web replicas=1 | task web.1 on a"] {
        check(
            given,
            "a hello -> ask open
             commit rmnode a -> a1 turned NODE_REMOVED, a1 closed
             a hello -> a2 turned NODE_REMOVED, a2 closed",
        );
    }
}

#[test]
fn a_new_tenure_hears_of_every_session() {
    check(
        "member a | member b",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         b hello -> ask open
         tell tenure -> ask open
         commit -> b1 welcome 5000, b1 set
         tell drain a -> -",
    );
}

#[test]
fn conditions_are_told_with_the_session_and_whenever_they_change() {
    let mut world = SessionsWorld::of("member a");
    let conditions = |world: &SessionsWorld| {
        let (_, row) = world
            .cluster
            .view
            .nodes()
            .by_id(skep_projections::fixture::id("node", "a"))
            .expect("a node");
        (row.conditions.len(), row.is_placeable())
    };
    assert_eq!(world.act("a hello conditions=engine"), "ask open with 1 conditions");
    assert_eq!(world.act("commit"), "a1 welcome 5000, a1 set");
    assert_eq!(conditions(&world), (1, false));
    assert_eq!(world.act("a conditions pull"), "ask 1 conditions");
    world.act("commit");
    assert_eq!(conditions(&world), (1, true));
    assert_eq!(world.act("tell tenure"), "ask open with 1 conditions", "the newest ones");
    world.act("commit");
    assert_eq!(world.act("a conditions"), "ask 0 conditions");
    world.act("commit");
    assert_eq!(conditions(&world), (0, true));
}

#[test]
fn conditions_before_the_welcome_are_told_with_it() {
    check(
        "member a",
        "a hello -> ask open
         a conditions engine -> -
         tell tenure -> -
         commit -> a1 welcome 5000, a1 set
         tell tenure -> ask open with 1 conditions",
    );
}

#[test]
fn a_new_heartbeat_period_reaches_agents_and_measures_silence_from_then_on() {
    let mut world = SessionsWorld::of("member a | member b");
    world.act("a hello");
    world.act("commit");
    world.act("b hello");
    world.act("later 14000");
    let heard = world.act("tell heartbeat 20s");
    assert_eq!(heard, "a1 period 20000", "b is not open yet, and its welcome will say so");
    assert_eq!(world.act("commit"), "b1 welcome 20000, b1 set");
    assert_eq!(world.act("later 59999"), "-");
    assert_eq!(
        world.act("later 1"),
        "a1 turned RETRY, a1 closed, ask silent, b1 turned RETRY, b1 closed, ask silent"
    );
    world.act("commit");
    world.act("a hello");
    world.act("commit");
    assert_eq!(world.act("tell heartbeat 2s"), "a2 period 2000");
    assert_eq!(world.act("later 5999"), "-");
    assert_eq!(world.act("later 1"), "a2 turned RETRY, a2 closed, ask silent");
}

#[test]
fn a_manager_that_stops_tells_every_agent_and_records_nothing() {
    check(
        "member a | member b",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         b hello -> ask open
         stopping -> a1 turned STOPPING, a1 closed, b1 turned STOPPING, b1 closed
         a gone -> -
         commit -> -
         a hello -> a2 turned STOPPING, a2 closed
         later 60000 -> -",
    );
}

#[test]
fn a_session_is_found_by_its_node_while_it_is_open() {
    let mut world = SessionsWorld::of("member a");
    let node = skep_projections::fixture::id("node", "a");
    world.act("a hello");
    assert_eq!((world.sessions.conn_of(node), world.sessions.open_sessions()), (None, 0));
    world.act("commit");
    assert_eq!(
        (world.sessions.conn_of(node), world.sessions.open_sessions()),
        (Some(super::Conn(1)), 1)
    );
    world.act("a gone");
    assert_eq!((world.sessions.conn_of(node), world.sessions.open_sessions()), (None, 0));
    assert_eq!(world.sessions.conn_of(Id(1)), None);
}
