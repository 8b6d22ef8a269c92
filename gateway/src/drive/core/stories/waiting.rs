//! How long requests wait, in what number, and what they hear when nobody decides them.

use super::super::{
    queue,
    world::{DriveWorld, LEADING, check},
};

#[test]
fn without_a_leader_people_are_refused_after_five_seconds_and_machines_go_on_waiting() {
    check(
        "a: create web
         s: join n1
         next -> in 5000 ms
         later 4000
         b: create db
         later 1000 -> a=refused(this manager does not lead)
         next -> in 4000 ms
         later 4000 -> b=refused(this manager does not lead)
         next -> never
         lead 1
         turn -> p1 cluster_created feature_level_raised tenure_begun node_joined certificate_issued
         commit -> show 5, s=done 4",
    );
}

#[test]
fn a_command_that_took_effect_when_it_was_sent_before_is_not_refused_when_it_waits_too_long() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    world.play(
        "a: create web #7
         turn -> p2 service_created task_created placement_blocked
         commit -> show 6, a=done 4
         depose
         a: create web #7
         b: create db #8
         later 5000 -> a=done 4, b=refused(this manager does not lead)",
    );
}

#[test]
fn it_is_known_how_long_the_log_has_confirmed_nothing() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    assert_eq!(world.core.unconfirmed_ns(world.now()), 0);
    world.play(
        "a: create web
         turn -> p2 service_created task_created placement_blocked
         later 3000",
    );
    assert_eq!(world.core.unconfirmed_ns(world.now()), 3_000_000_000);
    world.play("commit -> show 6, a=done 4");
    assert_eq!(world.core.unconfirmed_ns(world.now()), 0);
}

#[test]
fn one_request_alone_may_be_decided_by_who_brings_it() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    assert!(!world.core.is_lone_request(), "nobody asks");
    world.play("a: create web");
    assert!(world.core.is_lone_request());
    world.play("b: create db");
    assert!(!world.core.is_lone_request(), "two of them are one turn");
    world.play(
        "turn -> p2 2xservice_created 2xtask_created 2xplacement_blocked
         c: create third",
    );
    assert!(!world.core.is_lone_request(), "an entry is in flight");
}

#[test]
fn what_did_not_fit_into_a_turn_comes_first_in_the_next_one() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    world.bytes = crate::turn::ENTRY_BYTES_MAX / 2;
    world.play(
        "a: create a
         b: create b
         c: create c
         begin
         d: create d
         end -> p2 2xservice_created 2xtask_created 2xplacement_blocked
         turn -> p3 2xservice_created 2xtask_created 2xplacement_blocked
         commit -> show 9, a=done 4, b=done 5
         commit -> show 15, c=done 10, d=done 11",
    );
}

#[test]
fn too_many_commands_are_refused_as_busy_while_machines_may_still_wait() {
    let mut world = DriveWorld::new();
    for _ in 0..8_192 {
        world.play("a: create web");
    }
    world.play(
        "b: create web -> b=refused(the manager is busy)
         s: join n1",
    );
}

#[test]
fn requests_are_bounded_by_their_bytes_too() {
    let mut world = DriveWorld::new();
    world.bytes = (64 << 20) / 2;
    world.play(
        "a: create a
         b: create b
         c: create c -> c=refused(the manager is busy)
         later 5000 -> a=refused(this manager does not lead), b=refused(this manager does not lead)
         d: create d",
    );
    assert_eq!(queue::COMMAND_WAIT_NS_MAX, 5_000_000_000);
}

#[test]
fn safe_mode_accepts_nothing_and_never_leads() {
    let mut world = DriveWorld::in_safe_mode();
    world.play(
        "a: create web -> a=refused(the manager runs in safe mode)
         s: join n1 -> s=refused(the manager runs in safe mode)
         lead 1
         turn -> no turn
         next -> never",
    );
}

#[test]
fn a_stop_answers_all_who_wait_and_lets_what_is_in_flight_be_committed() {
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         b: create db
         s: join n1
         stop -> b=refused(the manager is stopping), s=refused(the manager is stopping)
         c: create late -> c=refused(the manager is stopping)
         turn -> no turn
         next -> in 1000 ms
         commit -> show 6, a=done 4, stopped"
    ));
}

#[test]
fn a_stop_does_not_wait_longer_than_a_second_for_the_log() {
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         stop
         later 999
         later 1 -> a=unknown, stopped"
    ));
}

#[test]
fn a_stop_during_a_turn_lets_the_turn_be_committed() {
    check(&format!(
        "{LEADING}
         a: create web
         begin
         stop
         end -> p2 service_created task_created placement_blocked
         commit -> show 6, a=done 4, stopped"
    ));
}

#[test]
fn a_manager_without_work_stops_at_once() {
    check("stop -> stopped");
}
