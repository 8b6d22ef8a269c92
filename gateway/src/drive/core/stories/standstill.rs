//! What a manager that was suspended does about nodes that could not reach it meanwhile.

use super::super::world::{DriveWorld, LEADING};

/// A manager that waits for a node: in half a heartbeat period it looks at the clock.
fn waiting() -> DriveWorld {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    world.play(
        "s: join n1
         turn -> p2 node_joined certificate_issued
         commit -> show 5, s=done 4
         next -> in 2500 ms",
    );
    world
}

/// So many looks in time.
fn looks(world: &mut DriveWorld, looks: u32) {
    for _ in 0..looks {
        world.play("later 2500\n turn -> no turn");
    }
}

#[test]
fn time_in_which_the_manager_stood_still_does_not_count_against_a_node_that_is_away() {
    let mut world = waiting();
    looks(&mut world, 4);
    world.play(
        "later 60000
         turn -> no turn
         later 250
         turn -> p3 tenure_begun
         commit -> show 6",
    );
    looks(&mut world, 11);
    world.play("later 2500\n later 100\n turn -> p4 node_down");
}

#[test]
fn a_manager_that_is_a_little_late_goes_on_as_before() {
    let mut world = waiting();
    looks(&mut world, 9);
    world.play(
        "later 7500\n later 100\n turn -> p3 node_down\n commit -> show 6\n later 3600000\n turn -> no turn",
    );
}

#[test]
fn a_command_that_comes_first_after_the_standstill_is_decided_in_the_new_tenure() {
    let mut world = waiting();
    world.play(
        "suspended 60000
         a: create web
         turn -> no turn
         later 250
         turn -> p3 tenure_begun service_created task_created placement_blocked
         commit -> show 9, a=done 7",
    );
}

#[test]
fn a_node_counts_as_away_as_soon_as_that_is_in_flight() {
    let mut world = DriveWorld::new();
    world.play(LEADING);
    world.play(
        "s: join n1
         turn -> p2 node_joined certificate_issued
         suspended 60000
         commit -> show 5, s=done 4
         later 250
         turn -> p3 tenure_begun",
    );
}

#[test]
fn a_request_of_a_machine_that_comes_first_after_the_standstill_ends_the_tenure() {
    let mut world = waiting();
    world.play(
        "suspended 60000
         s: join n2
         next -> in 250 ms
         later 250
         turn -> p3 tenure_begun",
    );
}
