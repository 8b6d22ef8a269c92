//! What leaves the view.

use crate::telling::{Teller, check};
use skep_reconcilers::Brain;

#[test]
fn a_slot_keeps_its_newest_ends() {
    check(
        "given node n1 | history 2 | service web delay=0s
         run
         web.1 failed exit=1
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)
         run
         web.1 failed exit=2
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, attempt 2
         > placement: web.1#3 on n1 (0/0, failed 2 times, of 1)
         run
         web.1 failed exit=3
         > restart: web.1#3 wanted shutdown, ended
         > restart: web.1#4 created, attempt 3
         > placement: web.1#4 on n1 (0/0, failed 3 times, of 1)
         > history: web.1 reaped",
    );
}

#[test]
fn a_smaller_limit_is_applied_to_what_is_there() {
    check(
        "given node n1 | service web delay=0s
         run
         given web.1 failed exit=1
         run
         given web.1 failed exit=2
         run
         given web.1 failed exit=3
         history 1
         > history: web.1 reaped
         > history: web.1#2 reaped",
    );
}

#[test]
fn a_limit_of_nothing_keeps_a_finished_slots_only_task() {
    check(
        "given node n1 | history 0 | service web restart=none
         run
         web.1 complete
         > restart: web.1 wanted shutdown, ended",
    );
}

#[test]
fn a_slot_given_up_is_forgotten_once_it_has_ended() {
    check(
        "given node n1 | service web replicas=2 delay=0s
         run
         given web.2 failed exit=1
         run
         scale web 1
         > replicas: web.2#2 wanted remove, scaled down
         > history: web.2 reaped
         web.2 shutdown
         > history: web.2#2 reaped",
    );
}

#[test]
fn what_was_never_placed_counts_as_ended() {
    check(
        "given history 1 | service web
         update web image=two
         > rollout: web started
         > rollout: web.1 wanted shutdown, new spec
         > rollout: web.1#2 created
         > placement: web blocked: no suitable node: the cluster has no nodes
         update web image=three
         > rollout: web started
         > rollout: web.1#2 wanted shutdown, new spec
         > rollout: web.1#3 created
         > placement: web blocked: no suitable node: the cluster has no nodes
         > history: web.1 reaped",
    );
}

#[test]
fn a_task_that_still_runs_somewhere_is_kept() {
    check(
        "given node n1 | node n2 | history 0 | service web
         run
         given drain n1
         wait 1m
         > restart: web.1#2 wanted running, start
         web.1#1 shutdown
         > history: web.1 reaped",
    );
}

#[test]
fn a_slot_that_is_given_up_takes_its_past_along_at_once() {
    check(
        "given node n1 | service web replicas=2 delay=0s
         run
         given web.2 failed exit=1
         run
         scale web 1
         > replicas: web.2#2 wanted remove, scaled down
         > history: web.2 reaped",
    );
}

#[test]
fn a_successor_brings_its_own_limit() {
    check(
        "given node n1 | history 1 | service web max-attempts=3 delay=0s
         run
         given web.1 failed exit=1
         given web.1 failed exit=1
         run
         update web max-attempts=0
         > rollout: web started
         > rollout: web.1#3 wanted shutdown, new spec
         > rollout: web.1#4 created, held 0 ms
         > placement: web.1#4 on n1 (0/0, of 1)
         > history: web.1 reaped",
    );
}

#[test]
fn the_next_leader_forgets_the_past_of_a_slot_that_was_given_up() {
    let mut teller = Teller::new(Brain::new());
    teller.tell(
        "given node n1 | service web replicas=2 delay=0s
         run
         given web.2 failed exit=1
         run",
    );
    let said = teller.take_over("scale web 1 | web.2 wanted remove");
    assert_eq!(said, ["history: web.2 reaped"]);
}
