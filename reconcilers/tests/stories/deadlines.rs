//! When the next turn is wanted although nothing happens, and what a new leader finds undone.

use crate::telling::{Teller, check};
use skep_reconcilers::Brain;

/// The same deadline for one that follows the story and for one that only just woke up.
fn wakes(story: &str) -> Option<u64> {
    let teller = check(story);
    if let Some(at) = teller.wake_at {
        assert_eq!(Brain::new().wake_at(&teller.world.view), Some(at));
    }
    teller.wakes_in_ms()
}

/// What a leader says that takes over after the last line of the story.
fn taken_over(story: &str, last: &str) -> Vec<String> {
    let mut teller = Teller::new(Brain::new());
    teller.tell(story);
    teller.take_over(last)
}

#[test]
fn where_nothing_waits_there_is_no_deadline() {
    assert_eq!(wakes("given node n1 | service web\n run"), None);
}

#[test]
fn a_held_task_starts_when_its_delay_is_over() {
    let story = "given node n1 | service web delay=7s
         run
         given web.1 failed exit=1
         given wait 2s";
    assert_eq!(wakes(story), Some(5_000));
    assert_eq!(wakes(&format!("{story}\n given wait 5s")), None);
}

#[test]
fn of_two_held_tasks_the_earlier_one_counts() {
    let story = "given node n1 | service slow delay=30s | service web delay=7s
         run
         given slow.1 failed exit=1
         given web.1 failed exit=1";
    assert_eq!(wakes(story), Some(7_000));
    assert_eq!(wakes(&format!("{story}\n given wait 7s")), Some(23_000));
}

#[test]
fn a_task_that_waits_for_the_one_before_waits_no_longer_than_its_limit() {
    let story = "given node n1 | node n2 | service web grace=20s
         run
         given drain n1
         given wait 1s";
    assert_eq!(wakes(story), Some(69_000));
}

#[test]
fn a_held_task_whose_time_has_come_may_still_wait_for_the_one_before() {
    let story = "given node n1 | node n2 | service web replicas=2 grace=20s delay=3s
         run
         given drain n1
         given web.2#1 failed exit=1
         given wait 3s";
    assert_eq!(wakes(story), Some(67_000));
}

#[test]
fn a_task_that_its_node_rejected_is_answered_after_the_delay() {
    let story = "given node n1 | service web delay=9s
         given web.1 rejected error=image
         given wait 4s";
    assert_eq!(wakes(story), Some(5_000));
}

#[test]
fn each_state_of_a_node_has_its_own_patience() {
    assert_eq!(wakes("given heartbeat 2s | node n1 \n given close n1"), Some(6_000));
    assert_eq!(
        wakes("given heartbeat 2s | node n1 \n given tenure \n given wait 1s"),
        Some(11_000)
    );
    let day_ms = 24 * 3_600 * 1_000;
    assert_eq!(wakes("given node n1 \n given down n1 \n given wait 1s"), Some(day_ms - 1_000));
    assert_eq!(wakes("given node n1 \n given down n1 \n given wait 24h"), None);
}

#[test]
fn of_several_nodes_the_one_counts_whose_patience_ends_first() {
    let story = "given node n1 | node n2 | node n3
         given down n1
         given wait 1s
         given close n2
         given wait 2s
         given close n3";
    assert_eq!(wakes(story), Some(13_000));
    assert_eq!(wakes(&format!("{story}\n given wait 13s")), Some(2_000));
}

#[test]
fn a_roll_out_goes_on_when_its_first_task_has_been_watched() {
    let story = "given node n1 | service web replicas=2 monitor=8s
         run
         given update web image=two
         run
         given wait 3s";
    assert_eq!(wakes(story), Some(5_000));
    let second = "given wait 5s
         run
         given wait 1s";
    assert_eq!(wakes(&format!("{story}\n{second}")), Some(7_000));
    assert_eq!(wakes(&format!("{story}\n{second}\n given wait 7s")), None);
}

#[test]
fn of_two_roll_outs_the_earlier_one_counts() {
    let story = "given node n1 | service slow monitor=30s | service web monitor=8s
         run
         given update slow image=two
         given update web image=two
         run";
    assert_eq!(wakes(story), Some(8_000));
    assert_eq!(wakes(&format!("{story}\n given wait 8s")), Some(22_000));
}

#[test]
fn a_node_that_was_drained_while_nobody_led_is_emptied() {
    assert_eq!(
        taken_over("given node n1 | node n2 | service web \n run", "drain n1"),
        [
            "fitness: web.1 wanted shutdown, node drained",
            "fitness: web.1#2 created, held 0 ms",
            "placement: web.1#2 on n2 (0/0, of 1)",
            "placement: web explained: of 2, ready 1",
        ]
    );
}

#[test]
fn ended_tasks_that_are_too_many_leave_the_view_whoever_leads() {
    let story = "given node n1 | service web delay=0s
         run
         given web.1 failed exit=1
         given web.1 failed exit=1";
    assert_eq!(taken_over(story, "history 1"), ["history: web.1 reaped"]);
}

#[test]
fn a_slot_that_was_given_up_is_forgotten_whoever_leads() {
    let story = "given node n1 | service web replicas=2 delay=0s
         run
         given web.2 failed exit=1
         run";
    let last = "scale web 1 | web.2#2 wanted remove";
    assert_eq!(taken_over(story, last), ["history: web.2 reaped"]);
}
