//! Stories about assignments that come in parts, and about services that are described once.

use super::super::world::{AgentWorld, check};
use skep_proto::Id;
use std::sync::Arc;

#[test]
fn a_set_in_parts_counts_when_its_last_part_is_there() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 part:0+ a=RUNNING -> part 0 taken
         set 1.5 part:1+ b=RUNNING -> part 1 taken
         set 1.5 part:2 c=RUNNING -> prepare a, prepare b, prepare c, report a=PREPARING b=PREPARING c=PREPARING
         break -> -
         attach -> dial, hello 1.5, report a=PREPARING b=PREPARING c=PREPARING",
    );
}

#[test]
fn a_set_that_breaks_off_in_the_middle_changes_nothing() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 a=RUNNING b=RUNNING -> prepare a, prepare b, report a=PREPARING b=PREPARING
         set 1.9 part:0+ c=RUNNING -> part 0 taken
         break -> -
         attach -> dial, hello 1.5, report a=PREPARING b=PREPARING
         set 1.9 part:0+ a=RUNNING -> part 0 taken
         set 1.9 part:1 c=RUNNING -> stop b, prepare c
         prepared a -> start a",
    );
}

#[test]
fn a_part_that_comes_twice_is_an_echo_and_one_that_is_missing_starts_the_session_again() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 part:0+ a=RUNNING -> part 0 taken
         set 1.5 part:0+ a=RUNNING -> -
         set 1.5 part:1 b=RUNNING -> prepare a, prepare b, report a=PREPARING b=PREPARING
         set 1.5 part:1 b=RUNNING -> -
         change 1.5>7 part:0+ c=RUNNING -> part 0 taken
         change 1.5>7 part:2 d=RUNNING -> hang-up",
    );
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 part:1 a=RUNNING -> hang-up",
    );
}

#[test]
fn a_service_is_described_once_in_a_stream_and_known_after_a_restart() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         set 1.5 {web} a=RUNNING{web} b=RUNNING{web} -> prepare a, prepare b, report a=PREPARING b=PREPARING
         change 1.5>6 c=RUNNING{web} -> prepare c
         restart -> list
         listed -> prepare a, prepare b, prepare c
         attach -> dial, hello 1.6, report a=PREPARING b=PREPARING c=PREPARING
         change 1.6>7 d=RUNNING{web} -> hang-up
         attach -> dial, hello 1.6, report a=PREPARING b=PREPARING c=PREPARING
         change 1.6>7 {web} d=RUNNING{web} -> prepare d",
    );
}

#[test]
fn tasks_of_one_service_share_its_spec_also_after_a_restart() {
    let mut world = AgentWorld::new();
    for line in ["attach", "listed", "set 1.5 {web} a=RUNNING{web} b=RUNNING{web}"] {
        world.act(line);
    }
    let share = |world: &AgentWorld| {
        let tasks = &world.core.work.as_ref().expect("it has joined").tasks;
        let [a, b] = ['a', 'b'].map(|letter| &tasks[&Id(u128::from(u32::from(letter)))].workload);
        assert_eq!((a.service_name.as_str(), a.service_id), ("web", b.service_id));
        Arc::ptr_eq(&a.spec, &b.spec)
    };
    assert!(share(&world));
    world.act("restart");
    assert!(share(&world));
}

#[test]
fn a_new_heartbeat_period_counts_at_once() {
    check(
        "attach -> dial, hello 0.0, joined, list
         listed -> -
         period 1000 -> -
         later 990 -> -
         later 20 -> beat
         later 980 -> -
         later 30 -> beat
         period 60000 -> -
         later 1000 -> beat
         later 59000 -> -
         later 1100 -> beat",
    );
}
