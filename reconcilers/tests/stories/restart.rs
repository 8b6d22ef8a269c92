//! Ended tasks and their successors.

use crate::telling::check;

#[test]
fn a_failed_task_is_replaced_in_its_slot() {
    check(
        "given node n1 | service web
         run
         web.1 failed exit=137
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 5000 ms, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)
         given wait 4s
         wait 1s
         > restart: web.1#2 wanted running, start",
    );
}

#[test]
fn a_crash_loop_waits_twice_as_long_each_time_up_to_five_minutes() {
    check(
        "given node n1 | history 1 | service web delay=100s
         run
         web.1 failed exit=1
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 100000 ms, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)
         given wait 100s
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 200000 ms, attempt 2
         > placement: web.1#3 on n1 (0/0, failed 2 times, of 1)
         > history: web.1 reaped
         given wait 200s
         web.1 failed exit=1
         > restart: web.1#3 wanted shutdown, ended
         > restart: web.1#4 created, held 300000 ms, attempt 3
         > placement: web.1#4 on n1 (0/0, failed 2 times, of 1)
         > history: web.1#2 reaped
         given wait 300s
         web.1 failed exit=1
         > restart: web.1#4 wanted shutdown, ended
         > restart: web.1#5 created, held 300000 ms, attempt 4
         > placement: web.1#5 on n1 (0/0, failed 2 times, of 1)
         > history: web.1#3 reaped",
    );
}

#[test]
fn ten_minutes_of_running_are_forgiveness() {
    check(
        "given node n1 | service web
         run
         given web.1 failed exit=1
         given wait 5s
         run
         given wait 599s
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 10000 ms, attempt 2
         > placement: web.1#3 on n1 (0/0, failed 1 times, of 1)
         given wait 10s
         run
         given wait 10m
         web.1 failed exit=1
         > restart: web.1#3 wanted shutdown, ended
         > restart: web.1#4 created, held 5000 ms, attempt 1
         > placement: web.1#4 on n1 (0/0, failed 1 times, of 1)",
    );
}

#[test]
fn an_orderly_end_is_no_failure() {
    check(
        "given node n1 | service web delay=1s
         run
         given wait 5s
         web.1 complete
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 1000 ms
         > placement: web.1#2 on n1 (0/0, of 1)
         given wait 1s
         run
         given wait 5s
         web.1 complete
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 1000 ms
         > placement: web.1#3 on n1 (0/0, of 1)",
    );
}

#[test]
fn on_failure_leaves_a_completed_task_alone() {
    check(
        "given node n1 | service web restart=on-failure delay=0s
         run
         web.1 failed exit=1
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)
         run
         web.1 complete
         > restart: web.1#2 wanted shutdown, ended",
    );
}

#[test]
fn none_means_one_attempt() {
    check(
        "given node n1 | service web restart=none
         run
         web.1 failed exit=1
         > restart: web.1 wanted shutdown, ended",
    );
}

#[test]
fn attempts_are_counted() {
    check(
        "given node n1 | history 0 | service web max-attempts=2 delay=1s
         run
         web.1 failed exit=1
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 1000 ms, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)
         given wait 1s
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 2000 ms, attempt 2
         > placement: web.1#3 on n1 (0/0, failed 2 times, of 1)
         given wait 2s
         web.1 failed exit=1
         > restart: web.1#3 wanted shutdown, ended
         given wait 1h",
    );
}

#[test]
fn attempts_are_counted_within_their_window() {
    check(
        "given node n1 | service web max-attempts=1 window=60s delay=1s
         run
         web.1 failed exit=1
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 1000 ms, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)
         given wait 1s
         run
         given wait 61s
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 2000 ms, attempt 2
         > placement: web.1#3 on n1 (0/0, failed 2 times, of 1)
         given wait 2s
         web.1 failed exit=1
         > restart: web.1#3 wanted shutdown, ended",
    );
}

#[test]
fn a_held_task_that_cannot_be_prepared_waits_for_its_hold_and_the_delay() {
    check(
        "given node n1 | service web delay=10s
         run
         given web.1 failed exit=1
         given wait 4s
         web.1 rejected error=image
         wait 25s
         wait 1s
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, attempt 2
         > placement: web.1#3 on n1 (0/0, failed 2 times, of 1)",
    );
}

#[test]
fn a_new_one_waits_for_the_old_ones_end_at_most_a_minute() {
    check(
        "given node n1 | node n2 | service web
         run
         drain n1
         > fitness: web.1 wanted shutdown, node drained
         > fitness: web.1#2 created, held 0 ms
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, ready 1
         given wait 59s
         wait 1s
         > restart: web.1#2 wanted running, start",
    );
}

#[test]
fn the_old_ones_end_lets_the_new_one_start() {
    check(
        "given node n1 | node n2 | service web
         run
         given drain n1
         web.1#1 shutdown
         > restart: web.1#2 wanted running, start",
    );
}

#[test]
fn the_old_ones_node_going_down_lets_the_new_one_start() {
    check(
        "given node n1 | node n2 | service web
         run
         given drain n1
         down n1
         > restart: web.1#2 wanted running, start",
    );
}

#[test]
fn an_end_while_nobody_led_is_answered_by_the_next_leader() {
    check(
        "given node n1 | service web
         run
         given wait 1s
         tenure | open n1 | web.1 failed exit=1
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 5000 ms, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)",
    );
}

#[test]
fn the_last_attempt_of_a_task_that_was_drained_counts_too() {
    check(
        "given node n1 | node n2 | service web max-attempts=1 delay=0s
         run
         drain n1
         > fitness: web.1 wanted shutdown, node drained
         > fitness: web.1#2 created, held 0 ms
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, ready 1
         web.1#1 shutdown
         > restart: web.1#2 wanted running, start
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended",
    );
}

#[test]
fn a_new_spec_begins_with_a_clean_slate() {
    check(
        "given node n1 | service web delay=0s
         run
         given web.1 failed exit=1
         given web.1 failed exit=1
         given update web image=two
         given web.1#3 shutdown
         web.1 failed exit=1
         > restart: web.1#4 wanted shutdown, ended
         > restart: web.1#5 created, attempt 1
         > rollout: web paused by web.1#4: task web.1 (ID) on n1 failed with exit code 1 before it ran
         > placement: web.1#5 on n1 (0/0, failed 1 times, of 1)",
    );
}

#[test]
fn two_slots_do_not_know_of_each_other() {
    check(
        "given node n1 | service web replicas=2 delay=1s
         run
         given web.1 failed exit=1
         given wait 1s
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 2000 ms, attempt 2
         > placement: web.1#3 on n1 (1/1, failed 2 times, of 1)
         web.2 failed exit=1
         > restart: web.2 wanted shutdown, ended
         > restart: web.2#2 created, held 1000 ms, attempt 1
         > placement: web.2#2 on n1 (1/1, failed 3 times, of 1)",
    );
}

#[test]
fn the_longest_delay_of_a_policy_is_kept() {
    check(
        "given node n1 | service web delay=20m
         run
         web.1 failed exit=1
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 1200000 ms, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)
         wait 20m
         > restart: web.1#2 wanted running, start
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 1200000 ms, attempt 2
         > placement: web.1#3 on n1 (0/0, failed 1 times, of 1)",
    );
}

#[test]
fn where_no_delay_is_asked_for_there_is_none() {
    check(
        "given node n1 | service web delay=0s
         run
         given web.1 failed exit=1
         given web.1 rejected error=image
         web.1 rejected error=image
         > restart: web.1#3 wanted shutdown, ended
         > restart: web.1#4 created, attempt 3
         > placement: web.1#4 on n1 (0/0, failed 3 times, of 1)",
    );
}

#[test]
fn a_loop_without_a_delay_waits_after_five_failures_in_a_row() {
    check(
        "given node n1 | history 1 | service web delay=0s
         run
         given web.1 failed exit=1
         given web.1 failed exit=1
         given web.1 failed exit=1
         given web.1 failed exit=1
         web.1 failed exit=1
         > restart: web.1#5 wanted shutdown, ended
         > restart: web.1#6 created, attempt 5
         > placement: web.1#6 on n1 (0/0, failed 2 times, of 1)
         > history: web.1#4 reaped
         web.1 failed exit=1
         > restart: web.1#6 wanted shutdown, ended
         > restart: web.1#7 created, held 1000 ms, attempt 6
         > placement: web.1#7 on n1 (0/0, failed 2 times, of 1)
         > history: web.1#5 reaped
         given wait 1s
         web.1 failed exit=1
         > restart: web.1#7 wanted shutdown, ended
         > restart: web.1#8 created, held 2000 ms, attempt 7
         > placement: web.1#8 on n1 (0/0, failed 2 times, of 1)
         > history: web.1#6 reaped
         given wait 2s
         run
         given wait 5s
         web.1 failed exit=1
         > restart: web.1#8 wanted shutdown, ended
         > restart: web.1#9 created, attempt 8
         > placement: web.1#9 on n1 (0/0, failed 2 times, of 1)
         > history: web.1#7 reaped",
    );
}

#[test]
fn a_program_that_ends_well_at_once_backs_off_too() {
    check(
        "given node n1 | service web delay=2s
         run
         given wait 4999ms
         web.1 complete
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 2000 ms, attempt 1
         > placement: web.1#2 on n1 (0/0, of 1)
         given wait 2s
         run
         web.1 complete
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 4000 ms, attempt 2
         > placement: web.1#3 on n1 (0/0, of 1)
         given wait 4s
         run
         given wait 5s
         web.1 complete
         > restart: web.1#3 wanted shutdown, ended
         > restart: web.1#4 created, held 2000 ms
         > placement: web.1#4 on n1 (0/0, of 1)",
    );
}

#[test]
fn the_monitor_time_of_the_spec_says_what_at_once_means() {
    check(
        "given node n1 | service web delay=2s monitor=30s
         run
         given wait 29s
         web.1 complete
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 2000 ms, attempt 1
         > placement: web.1#2 on n1 (0/0, of 1)",
    );
}

#[test]
fn a_task_that_its_node_rejects_is_tried_again_after_the_delay() {
    check(
        "given node n1 | service web
         web.1 rejected error=image
         given wait 4s
         wait 1s
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)
         web.1 rejected error=image
         given wait 9s
         wait 1s
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, attempt 2
         > placement: web.1#3 on n1 (0/0, failed 2 times, of 1)",
    );
}

#[test]
fn a_rejected_task_whose_slot_has_had_its_attempts_is_answered_at_once() {
    check(
        "given node n1 | service web restart=none
         web.1 rejected error=image
         > restart: web.1 wanted shutdown, ended",
    );
}

#[test]
fn a_rejected_task_can_be_scaled_away_while_it_waits() {
    check(
        "given node n1 | service web
         given web.1 rejected error=image
         scale web 0
         > replicas: web.1 wanted remove, scaled down
         > history: web.1 reaped
         wait 1h",
    );
}

#[test]
fn a_grace_period_longer_than_a_minute_is_respected() {
    check(
        "given node n1 | node n2 | service web grace=10m
         run
         drain n1
         > fitness: web.1 wanted shutdown, node drained
         > fitness: web.1#2 created, held 0 ms
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, ready 1
         wait 649s
         wait 1s
         > restart: web.1#2 wanted running, start",
    );
}

#[test]
fn a_task_waits_for_all_older_ones_of_its_slot() {
    check(
        "given node n1 | node n2 | node n3 | service web
         run
         given drain n1
         drain n2
         > fitness: web.1#2 wanted shutdown, node drained
         > fitness: web.1#3 created, held 0 ms
         > placement: web.1#3 on n3 (0/0, of 1)
         > placement: web explained: of 3, ready 2
         web.1#2 shutdown
         web.1#1 shutdown
         > restart: web.1#3 wanted running, start",
    );
}
