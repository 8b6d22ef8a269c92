//! Stories about the drive: what happens, and what it does then.

mod disk;
mod forwarding;
mod idle;
mod log_failures;
mod several;
mod standstill;
mod waiting;

use super::world::{DriveWorld, LEADING, check};

#[test]
fn a_command_is_answered_when_its_entry_is_committed_and_visible() {
    check(&format!(
        "{LEADING}
         a: create web
         turn -> p2 service_created task_created placement_blocked
         later 20
         apply
         announce -> show 6, a=done 4"
    ));
}

#[test]
fn refusals_and_repeated_commands_wait_for_what_they_were_decided_on() {
    check(&format!(
        "{LEADING}
         a: create web #1
         turn -> p2 service_created task_created placement_blocked
         b: create web #1
         turn
         c: scale web 1 #2
         turn
         d: create web #3
         turn -> p3 command_refused
         apply
         announce -> show 6, a=done 4, b=done 4, c=same 6
         commit -> show 7, d=refused(a service named \"web\" exists already)"
    ));
}

#[test]
fn what_rests_on_nothing_in_flight_is_answered_at_once() {
    check(&format!(
        "{LEADING}
         a: create web #1
         turn -> p2 service_created task_created placement_blocked
         commit -> show 6, a=done 4
         b: create web #1
         turn -> b=done 4"
    ));
}

#[test]
fn an_answer_that_recorded_nothing_does_not_overtake_a_view_that_is_not_yet_visible() {
    check(&format!(
        "{LEADING}
         a: create web #1
         turn -> p2 service_created task_created placement_blocked
         apply
         b: create web #1
         turn
         announce -> show 6, a=done 4, b=done 4"
    ));
}

#[test]
fn requests_come_in_while_a_turn_runs_and_belong_to_the_next_one() {
    check(&format!(
        "{LEADING}
         a: create web
         begin
         b: create db
         turn -> no turn
         end -> p2 service_created task_created placement_blocked
         turn -> p3 service_created task_created placement_blocked
         commit -> show 6, a=done 4
         commit -> show 9, b=done 7"
    ));
}

#[test]
fn eight_entries_are_in_flight_at_most() {
    let mut story = LEADING.to_owned();
    for number in 2..10 {
        story += &format!(
            "a: create s{number}
             turn -> p{number} service_created task_created placement_blocked\n"
        );
    }
    story += "b: create last
         turn -> no turn
         next -> in 5000 ms
         commit -> show 6, a=done 4
         turn -> p10 service_created task_created placement_blocked";
    check(&story);
}

#[test]
fn a_first_tenure_creates_the_cluster_once_and_each_tenure_begins_once() {
    check(
        "a: create web
         turn -> no turn
         lead 1
         turn -> p1 cluster_created feature_level_raised tenure_begun service_created task_created placement_blocked
         turn -> no turn
         commit -> show 6, a=done 4
         lead 1
         turn -> no turn
         depose
         lead 3
         turn -> p2 tenure_begun
         commit -> show 7",
    );
}

#[test]
fn a_recovered_log_begins_its_incarnation_once() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    world.play(
        "depose
         lead 2 begins 2
         turn -> p2 incarnation_begun tenure_begun
         fail
         later 250
         turn -> p3 incarnation_begun tenure_begun
         commit -> show 5
         depose
         lead 3 begins 2
         turn -> p4 tenure_begun",
    );
    assert_eq!(world.core.committed().position().incarnation, 2);
}

#[test]
fn an_entry_is_cut_at_its_bound_and_the_next_turn_goes_on() {
    check(&format!(
        "{LEADING}
         a: create web 5000
         turn -> p2 service_created 2048xtask_created placement_blocked 2046xtask_created
         turn -> p3 906xtask_created
         turn -> no turn
         commit -> show 4099, a=done 4
         commit -> show 5005"
    ));
}

#[test]
fn a_new_tip_finds_the_work_that_a_cut_entry_left() {
    check(&format!(
        "{LEADING}
         a: create web 5000
         turn -> p2 service_created 2048xtask_created placement_blocked 2046xtask_created
         commit -> show 4099, a=done 4
         depose
         lead 2
         turn -> p3 tenure_begun 906xtask_created"
    ));
}

#[test]
fn a_wall_clock_that_is_set_is_recorded_and_changes_no_wait() {
    for (step, told) in [("3600", 3600), ("-3600", -3600), ("60", 60), ("-60", -60)] {
        let mut world = DriveWorld::new();
        world.play(&format!(
            "{LEADING}
             later 1000
             time -> 1.0 s
             wall {step}
             later 1000
             time -> 2.0 s
             turn -> p2 clock_jumped
             commit -> show 4
             later 10000
             look
             time -> 12.0 s
             turn -> no turn"
        ));
        let skew_s = world.core.skew(world.now()) as f64 / 1e9;
        assert!((skew_s + f64::from(told)).abs() < 0.1, "{step}: {skew_s}");
    }
}

#[test]
fn a_tenure_that_begins_with_the_wall_clock_far_behind_says_so_once() {
    check(&format!(
        "{LEADING}
         later 1000
         depose
         wall -100
         lead 2
         turn -> p2 tenure_begun clock_jumped
         commit -> show 5
         later 2000
         time -> 3.0 s
         turn -> no turn"
    ));
}

#[test]
fn a_deadline_in_the_past_does_not_spin() {
    check(&format!(
        "{LEADING}
         overslept
         next -> in 100 ms
         turn -> no turn
         later 100
         next -> now
         turn
         next -> never"
    ));
}
