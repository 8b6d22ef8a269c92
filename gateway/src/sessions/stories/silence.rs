//! Stories about agents that say nothing, and about a manager that does not listen.

use super::*;
use crate::sessions::Conn;

#[test]
fn heartbeats_keep_a_session_and_silence_ends_it() {
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         later 14000 -> -
         a beat -> -
         later 14000 -> -
         a pull -> -
         later 14999 -> -
         later 1 -> a1 turned RETRY, a1 closed, ask silent
         commit -> -
         later 60000 -> -",
    );
}

#[test]
fn a_stream_that_was_never_welcomed_is_silent_too() {
    check(
        "member a",
        "a hello -> ask open
         later 15000 -> a1 turned RETRY, a1 closed, ask silent
         commit -> -
         a hello -> ask open",
    );
}

#[test]
fn an_agent_that_was_overdue_when_its_stream_ended_is_silent_three_periods_after_it_was_heard() {
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         later 8000 -> -
         a gone -> ask close
         commit -> -
         later 6999 -> -
         later 1 -> ask silent
         commit -> -
         later 60000 -> -",
    );
    // One that was heard of in time has three periods from the end of its stream.
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         later 5000 -> -
         a gone -> ask close
         commit -> -
         later 60000 -> -",
    );
    // It came back on another stream.
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         later 8000 -> -
         a gone -> ask close
         commit -> -
         a hello -> ask open
         commit -> a2 welcome 5000, a2 set
         later 10000 -> -",
    );
    // The manager stood still: the agent could not come back.
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         later 8000 -> -
         a gone -> ask close
         commit -> -
         suspended 30000 -> -
         later 60000 -> -",
    );
}

#[test]
fn time_in_which_the_manager_was_suspended_is_not_an_agents_silence() {
    for first_heard in ["later 0", "a beat", "b hello", "tell drain b"] {
        let mut world = SessionsWorld::of("member a | member b");
        world.act("a hello");
        world.act("commit");
        world.act("later 4000");
        world.act("suspended 18000");
        let answer = world.act(first_heard);
        assert!(!answer.contains("a1 closed"), "{first_heard}: {answer}");
        assert_eq!(
            world.sessions.conn_of(skep_projections::fixture::id("node", "a")),
            Some(Conn(1))
        );
    }
    // It has listened for 4 s before, and for 2.5 s until it would have looked again.
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         later 4000 -> -
         suspended 18000 -> -
         later 0 -> -
         later 8499 -> -
         later 1 -> a1 turned RETRY, a1 closed, ask silent",
    );
    // An agent that was nearly silent has one more period: its messages may be unread.
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         later 14999 -> -
         suspended 3600000 -> -
         later 0 -> -
         later 4999 -> -
         later 1 -> a1 turned RETRY, a1 closed, ask silent",
    );
}

#[test]
fn the_next_look_is_soon_or_when_the_first_agent_may_be_silent() {
    let mut world = SessionsWorld::of("member a | member b");
    assert_eq!(world.sessions.poll_timeout(), None);
    world.act("a hello");
    let look = world.sessions.poll_timeout().expect("a deadline");
    world.act("later 1000");
    world.act("b hello");
    assert_eq!(world.sessions.poll_timeout(), Some(look + 1_000_000_000), "half a period later");
    world.act("later 13000");
    world.act("a beat");
    world.act("later 1000");
    let silent_at = look + 13_500_000_000;
    assert_eq!(world.sessions.poll_timeout(), Some(silent_at), "b may be silent before");
}

#[test]
fn a_manager_without_word_of_a_leader_for_one_period_sends_its_agents_away() {
    check(
        "member a | member b",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         missing -> -
         later 4999 -> -
         missing -> -
         later 1 -> -
         missing -> a1 turned RETRY, a1 closed
         b hello -> b1 turned RETRY, b1 closed
         heard -> -
         b hello -> ask open
         later 9999 -> -
         later 1 -> ask silent",
    );
}

#[test]
fn word_of_a_leader_in_time_keeps_the_agents() {
    check(
        "member a",
        "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         missing -> -
         later 4000 -> -
         heard -> -
         later 4000 -> -
         missing -> -
         later 4000 -> -
         missing -> -",
    );
}

#[test]
fn a_session_that_a_manager_has_forgotten_is_silent_unless_its_agent_comes_back() {
    let begun = "a hello -> ask open
         commit -> a1 welcome 5000, a1 set
         restart -> -";
    check(
        "level 6 | member a",
        &format!(
            "{begun}
         later 14999 -> -
         later 1 -> ask silent
         commit -> -
         later 60000 -> -"
        ),
    );
    // The manager stood still: the agent could not come back.
    check(
        "level 6 | member a",
        &format!(
            "{begun}
         later 8000 -> -
         suspended 30000 -> -
         later 14999 -> -
         later 2 -> ask silent"
        ),
    );
    let mut world = SessionsWorld::of("level 6 | member a");
    for step in ["a hello", "commit", "restart", "later 8000", "a hello", "commit", "later 4000"] {
        world.act(step);
    }
    let told: Vec<String> =
        ["a beat", "later 9000"].map(|step| world.act(step)).into_iter().collect();
    assert!(told.iter().all(|told| !told.contains("silent")), "{told:?}");
}

#[test]
fn a_manager_without_a_leader_says_nothing_of_agents_that_outlives_the_tenure() {
    let mut world = SessionsWorld::of("level 6 | member a");
    for step in ["a hello", "commit", "missing", "later 5000", "missing"] {
        world.act(step);
    }
    let told = world.act("later 10000");
    assert!(told.contains("ask silent"), "{told}");
    world.act("tell tenure a");
    let told = world.act("commit");
    let row = world.cluster.view.nodes().get(world.cluster.node("a")).expect("it is there").state;
    assert_eq!(row, skep_proto::v1::NodeState::Unknown, "its grace has begun anew: {told}");
}
