//! What counts as an attempt, from when until when, and whose attempts are answered at all.

use crate::telling::check;

#[test]
fn a_failure_of_long_ago_is_forgotten_when_a_task_is_lost_with_its_node() {
    for (ran, successor) in [("599s", "held 5000 ms, attempt 1"), ("600s", "held 5000 ms")] {
        check(&format!(
            "given node n1 | service web
             run
             given web.1 failed exit=1
             given wait 5s
             run
             given node n2
             given wait {ran}
             rmnode n1
             > restart: web.1#2 wanted shutdown, ended
             > restart: web.1#3 created, {successor}
             > placement: web.1#3 on n2 (0/0, of 1)"
        ));
    }
}

#[test]
fn the_first_and_the_last_moment_of_a_window_count() {
    check(
        "given node n1 | service web max-attempts=1 window=60s delay=0s
         run
         given web.1 failed exit=1
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended",
    );
    check(
        "given node n1 | service web max-attempts=1 window=60s delay=0s
         run
         given web.1 failed exit=1
         run
         given wait 60s
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended",
    );
}

#[test]
fn a_held_task_that_has_to_leave_its_node_gives_its_hold_to_its_successor() {
    check(
        "given node n1 | service web delay=10s
         run
         given web.1 failed exit=1
         given wait 4s
         given node n2
         drain n1
         > fitness: web.1#2 wanted shutdown, node drained
         > fitness: web.1#3 created, held 6000 ms, attempt 1
         > placement: web.1#3 on n2 (0/0, of 1)
         > placement: web explained: of 2, ready 1",
    );
}

#[test]
fn tasks_of_a_parked_service_are_not_answered_and_those_of_others_are() {
    check(
        "given node n1 | service web delay=1s | service db delay=1s
         run
         given park web
         web.1 failed exit=1
         db.1 failed exit=1
         > restart: db.1 wanted shutdown, ended
         > restart: db.1#2 created, held 1000 ms, attempt 1
         > placement: db.1#2 on n1 (0/0, failed 1 times, of 1)",
    );
}
