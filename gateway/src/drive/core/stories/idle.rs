//! When the drive is idle, and what it says of commands that it refuses.

use super::super::world::{DriveWorld, LEADING, check};
use crate::turn::Seeds;
use skep_proto::{Timestamp, time::SECOND_NS};

#[test]
fn it_is_idle_when_nothing_waits_runs_or_is_in_flight() {
    let is_idle = |world: &DriveWorld| world.core.is_idle(world.now());
    let mut world = DriveWorld::new();
    assert!(is_idle(&world));
    world.play("a: create early");
    assert!(!is_idle(&world), "a command waits, although nobody leads");
    let mut world = DriveWorld::new();
    world.play("lead 1");
    assert!(!is_idle(&world), "the tenure's own records are to be written");
    let mut world = DriveWorld::new();
    world.play(LEADING);
    assert!(is_idle(&world));
    world.play("a: create web\n begin");
    assert!(!is_idle(&world), "a turn runs");
    world.play("end -> p2 service_created task_created placement_blocked");
    assert!(!is_idle(&world), "an entry is in flight");
    world.play("commit -> show 6, a=done 4");
    assert!(is_idle(&world));
}

#[test]
fn why_commands_are_refused_is_said_for_as_long_as_they_are() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    assert_eq!(world.core.limit(), None);
    world.play("free 4.9");
    let limit = world.core.limit().expect("additions are refused");
    assert!(limit.starts_with("the disk of the log is nearly full: 4.9 % is free"), "{limit}");
    world.play("free 0.9");
    let limit = world.core.limit().expect("all commands are refused");
    assert!(limit.starts_with("the disk of the log is full: 0.9 % is free"), "{limit}");
    world.play("free 50");
    assert_eq!(world.core.limit(), None);
    let limit = DriveWorld::in_safe_mode().core.limit();
    assert!(limit.is_some_and(|limit| limit.contains("safe mode")));
}

#[test]
fn to_ask_for_what_there_is_already_adds_nothing_to_a_nearly_full_disk() {
    check(&format!(
        "{LEADING}
         a: create web 2
         turn -> p2 service_created 2xtask_created placement_blocked
         commit -> show 7, a=done 4
         free 4.9
         a: scale web 2
         turn -> a=same 7"
    ));
}

#[test]
fn commands_that_waited_too_long_are_refused_whenever_that_is_noticed() {
    check(
        "a: create web
         later 3000
         b: create db
         later 4000 -> a=refused(this manager does not lead)
         later 60000 -> b=refused(this manager does not lead)",
    );
}

#[test]
fn without_a_leader_commands_wait_and_that_is_said() {
    let is_told = |world: &DriveWorld| world.core.is_leaderless(world.now());
    let mut world = DriveWorld::new();
    world.play(LEADING);
    assert!(!is_told(&world));
    world.play("leaderless\n a: create web\n later 1999");
    assert!(!is_told(&world), "an election may be under way");
    world.play("later 1");
    assert!(is_told(&world));
    world.play("later 3000 -> a=refused(no majority of the managers answers this one)");
    assert_eq!(world.core.obstructed_ns(world.now()), 5 * SECOND_NS);
    for (step, told) in [("follow", false), ("leaderless\n later 2000", true), ("depose", false)] {
        world.play(step);
        assert_eq!(is_told(&world), told, "{step}");
    }
    world.play("leaderless\n later 2000\n lead 7");
    assert!(!is_told(&world));
}

#[test]
fn what_is_in_flight_when_the_lead_is_lost_is_unknown_to_people_after_two_seconds() {
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         leaderless
         later 1999
         later 1 -> a=unknown
         commit -> show 6"
    ));
}

#[test]
fn the_logs_time_goes_on_at_a_manager_that_does_not_lead() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    world.play("follow\n later 60000");
    let at = world.core.committed().at();
    let now = world.now();
    assert_eq!(world.core.log_time(now).since(at), 60 * SECOND_NS);
    world.core.handle_leader_time(Timestamp(at.0 + 90 * SECOND_NS), now);
    world.play("later 1000");
    let now = world.now();
    assert_eq!(world.core.log_time(now).since(at), 91 * SECOND_NS, "the leader has said so");
}

#[test]
fn a_turn_says_what_it_decides_and_what_came_of_it() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    world.play("a: create web");
    let job = world
        .core
        .begin_turn(world.now(), Seeds { ids: [9; 32], salts: [9; 32] })
        .expect("a command waits");
    assert_eq!(job.requests(), 1);
    let done = job.run();
    assert_eq!((done.records(), done.has_more(), done.answers().count()), (3, false, 1));
    assert_eq!(done.tip().position().revision.0, 6);
}
