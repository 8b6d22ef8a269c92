//! Who is silent, and for how long.

use crate::telling::check;

#[test]
fn a_silent_node_is_down_at_once_and_its_tasks_move() {
    check(
        "given node n1 | node n2 | service web
         run
         silent n1
         > liveness: n1 down: no heartbeat came
         > fitness: web.1 wanted shutdown, node down
         > fitness: web.1#2 created, held 5000 ms
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, ready 1",
    );
}

#[test]
fn a_node_that_left_has_three_periods_to_come_back() {
    check(
        "given node n1
         close n1
         wait 14s
         wait 1s
         > liveness: n1 down: disconnected for 15 s
         open n1",
    );
}

#[test]
fn one_that_came_back_in_time_is_not_down() {
    check(
        "given node n1
         close n1
         wait 14s
         open n1
         wait 1h",
    );
}

#[test]
fn a_new_leader_waits_twice_as_long() {
    check(
        "given node n1 | node n2
         close n1
         wait 14s
         tenure
         wait 29s
         open n2
         wait 1s
         > liveness: n1 down: not heard of for 30 s",
    );
}

#[test]
fn each_new_leader_begins_to_wait_anew() {
    check(
        "given node n1
         tenure
         wait 29s
         tenure
         wait 29s
         wait 1s
         > liveness: n1 down: not heard of for 30 s",
    );
}

#[test]
fn after_a_day_the_tasks_are_lost() {
    check(
        "given node n1 | service web | service job restart=none
         run
         given down n1
         given wait 5s
         wait 23h
         wait 1h
         > liveness: web.1 orphaned
         > liveness: job.1 orphaned",
    );
}

#[test]
fn down_is_not_said_twice() {
    check(
        "given node n1
         close n1
         given wait 15s
         tenure
         wait 1h
         wait 25h",
    );
}

#[test]
fn a_node_that_never_came_is_down_after_the_longer_grace() {
    check(
        "node n1 away
         wait 29s
         wait 1s
         > liveness: n1 down: not heard of for 30 s",
    );
}

#[test]
fn silence_and_the_end_of_the_stream_are_one_death() {
    check(
        "given node n1 | node n2
         silent n1
         > liveness: n1 down: no heartbeat came
         close n1
         wait 1h",
    );
}

#[test]
fn one_clock_for_many_nodes() {
    check(
        "given node n1 | node n2 | node n3
         close n1
         wait 5s
         close n2
         wait 10s
         > liveness: n1 down: disconnected for 15 s
         wait 5s
         > liveness: n2 down: disconnected for 15 s
         close n3
         wait 15s
         > liveness: n3 down: disconnected for 15 s",
    );
}
