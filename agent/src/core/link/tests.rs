//! What the link does, step by step.

use super::*;
use std::collections::BTreeSet;

#[test]
fn a_copy_of_a_node_says_which_node_and_what_to_do() {
    let identity = NodeIdentity { node_id: Id(7), ..NodeIdentity::default() };
    let mut link = ManagerLink::new(identity, 7);
    link.on_described(NodeDescription::default(), Timestamp(1));
    link.poll();
    link.on_connected(Default::default(), Vec::new(), Timestamp(2));
    link.poll();
    let message = "another agent process holds this node's session".to_owned();
    let code = TurnedCode::Claimed.into();
    assert_eq!(link.on_turned(&Turned { code, message, ..Turned::default() }, Timestamp(3)), None);
    let expected = format!(
        "another agent process holds this node's session (node {}): the folder `agent` of one of \
         the two was copied; stop that process, or start this one with another --state-dir to \
         join as a new node",
        Id(7)
    );
    assert_eq!(link.poll(), Some(LinkCall::HangUp { line: 1, message: expected }));
}

#[test]
fn only_the_newest_stream_counts_and_only_while_it_may_stand() {
    let mut link = ManagerLink::new(NodeIdentity::default(), 7);
    assert!(!link.is_current(0), "nothing was dialed");
    link.on_described(NodeDescription::default(), Timestamp(1));
    assert_eq!(link.poll(), Some(LinkCall::Dial { line: 1, candidate: ManagerCandidate::First }));
    assert!(link.is_current(1));
    assert!(!link.is_current(0) && !link.is_current(2));
    link.on_broken(Timestamp(2));
    assert!(!link.is_current(1), "it broke");
    link.on_time(Timestamp(2) + REDIAL_DELAY_NS_MAX);
    assert_eq!(link.poll(), Some(LinkCall::Dial { line: 2, candidate: ManagerCandidate::First }));
    assert!(link.is_current(2) && !link.is_current(1));
    link.halt("removed");
    assert!(!link.is_current(2), "there is no other after this");
}

#[test]
fn each_stage_has_its_time_and_a_beat_makes_the_next_wait_short_again() {
    let mut link = ManagerLink::new(NodeIdentity::default(), 7);
    assert_eq!(link.poll_timeout(), None, "nobody has said what this node is");
    link.on_described(NodeDescription::default(), Timestamp(1));
    let mut waits = Vec::new();
    let mut now = Timestamp(1);
    for _ in 0..6 {
        link.on_broken(now);
        let until = link.poll_timeout().expect("it dials again");
        waits.push(until.since(now));
        now = until;
        link.on_time(now);
    }
    assert_eq!(link.poll_timeout(), Some(now + WELCOME_LIMIT_NS));
    assert!(waits[5] > 8 * REDIAL_DELAY_NS_MIN, "they grow: {waits:?}");
    let halves = (0..).map(|doublings| (REDIAL_DELAY_NS_MIN / 2) << doublings);
    let by_chance: BTreeSet<u64> =
        waits.iter().zip(halves).map(|(wait, half)| wait - half).collect();
    assert_eq!(by_chance.len(), 6, "each wait is half of its limit and a part by chance");
    link.on_connected(Default::default(), Vec::new(), now);
    assert_eq!(link.poll_timeout(), Some(now + WELCOME_LIMIT_NS));
    let period_ns = 2 * BEAT_PERIOD_NS_MIN;
    let welcome =
        Welcome { node_id: Id(7).to_bytes(), heartbeat_period_ns: period_ns, ..Welcome::default() };
    link.on_welcome(&welcome, now);
    while link.poll().is_some() {}
    for beat in 1..3 {
        now = now + period_ns;
        assert_eq!(link.poll_timeout(), Some(now));
        link.on_time(now);
        let sent = from_agent::Message::Heartbeat(Heartbeat { beat });
        let sent = FromAgent { message: Some(sent) };
        assert_eq!(link.poll(), Some(LinkCall::Send(Box::new(sent))));
    }
    link.on_broken(now);
    let until = link.poll_timeout().expect("it dials again");
    assert!(until.since(now) <= REDIAL_DELAY_NS_MIN);
    link.on_time(until);
    link.on_time(until + WELCOME_LIMIT_NS);
    assert!(!link.is_current(7), "nobody answered");
    assert!(matches!(link.stage, LinkStage::Resting { .. }));
}
