//! Slots: as many as wanted, lowest numbers first, the right ones given up.

use crate::telling::check;

#[test]
fn a_created_service_has_its_tasks_on_nodes_in_the_same_turn() {
    check(
        "given node n1 | node n2
         service web replicas=3
         > replicas: web.1 created
         > replicas: web.2 created
         > replicas: web.3 created
         > placement: web.1 on n1 (0/0, of 2)
         > placement: web.2 on n2 (0/0, of 2)
         > placement: web.3 on n1 (1/1, of 2)",
    );
}

#[test]
fn a_slot_whose_task_ends_when_its_attempts_are_forgotten_gets_another_one() {
    check(
        "given node n1 | node n2 | service web max-attempts=1 window=60s delay=1s
         run
         given web.1 failed exit=1
         given wait 1s
         run
         drain n1
         > fitness: web.1#2 wanted shutdown, node drained
         given wait 61s
         web.1 shutdown
         > replicas: web.1#3 created
         > placement: web.1#3 on n2 (0/0, of 1)
         > placement: web explained: of 2, ready 1",
    );
}

#[test]
fn lowest_free_slots_are_filled_first() {
    check(
        "given node n1 | service web replicas=3
         run
         given scale web 1
         scale web 3
         > replicas: web.2#2 created, held 0 ms
         > replicas: web.3#2 created, held 0 ms
         > placement: web.2#2 on n1 (1/1, of 1)
         > placement: web.3#2 on n1 (2/2, of 1)
         web.3#1 shutdown
         > restart: web.3#2 wanted running, start",
    );
}

#[test]
fn the_node_with_most_of_the_service_loses_first() {
    check(
        "given node n1 | service web replicas=2
         given node n2 | scale web 3
         run
         scale web 1
         > replicas: web.2 wanted remove, scaled down
         > replicas: web.3 wanted remove, scaled down",
    );
}

#[test]
fn what_serves_nobody_goes_before_what_serves() {
    check(
        "given node n1 cpus=2 | service web replicas=2 cpus=1
         run
         given scale web 3
         scale web 2
         > replicas: web.3 wanted remove, scaled down
         > history: web.3 reaped",
    );
}

#[test]
fn a_task_that_does_not_run_goes_before_one_that_does() {
    check(
        "given node n1 | node n2 | service web replicas=2
         given web.2 running
         scale web 1
         > replicas: web.1 wanted remove, scaled down",
    );
}

#[test]
fn a_slot_whose_task_was_rejected_goes_before_what_runs() {
    check(
        "given node n1 | node n2 | service web replicas=3
         given web.1 running | web.3 running | web.2 rejected error=image
         scale web 2
         > replicas: web.2 wanted remove, scaled down
         > history: web.2 reaped",
    );
}

#[test]
fn scaling_to_nothing_and_back() {
    check(
        "given node n1 | service web replicas=2
         run
         given scale web 0
         run
         scale web 1
         > replicas: web.1#2 created
         > placement: web.1#2 on n1 (0/0, of 1)",
    );
}

#[test]
fn a_removed_service_takes_its_tasks_along() {
    check(
        "given node n1 | service web replicas=2
         run
         remove web
         > replicas: web.1 wanted remove, service removed
         > replicas: web.2 wanted remove, service removed
         web.1 shutdown
         > history: web.1 reaped
         web.2 shutdown
         > history: web.2 reaped",
    );
}

#[test]
fn a_service_removed_in_the_turn_of_its_end_leaves_nothing() {
    check(
        "given node n1 | service web
         run
         web.1 failed exit=1 | remove web
         > history: web.1 reaped",
    );
}

#[test]
fn a_finished_slot_counts_and_is_given_up_first() {
    check(
        "given node n1 | service web replicas=2 restart=none
         run
         web.2 complete
         > restart: web.2 wanted shutdown, ended
         scale web 1
         > replicas: web.2 wanted remove, scaled down
         > history: web.2 reaped
         scale web 2
         > replicas: web.2#2 created
         > placement: web.2#2 on n1 (1/1, of 1)",
    );
}

#[test]
fn removed_before_it_was_placed() {
    check(
        "service web replicas=2
         > replicas: web.1 created
         > replicas: web.2 created
         > placement: web blocked: no suitable node: the cluster has no nodes
         remove web
         > replicas: web.1 wanted remove, service removed
         > replicas: web.2 wanted remove, service removed
         > history: web.1 reaped
         > history: web.2 reaped",
    );
}

#[test]
fn a_new_spec_with_another_number_does_both() {
    check(
        "given node n1 | service web replicas=2
         run
         update web replicas=3 image=two
         > replicas: web.3 created
         > rollout: web started
         > placement: web.3 on n1 (2/2, of 1)
         web.3 running
         wait 5s
         > rollout: web.1 wanted shutdown, new spec
         > rollout: web.1#2 created, held 0 ms
         > placement: web.1#2 on n1 (2/2, of 1)",
    );
}

#[test]
fn a_lost_slot_is_given_up_before_one_that_serves() {
    check(
        "given node n1 | node n2 | service web replicas=2
         run
         given drain n1
         scale web 1
         > replicas: web.1 wanted remove, scaled down
         > replicas: web.1#2 wanted remove, scaled down
         web.1#1 shutdown
         > history: web.1 reaped",
    );
}

#[test]
fn many_slots_leave_the_cluster_balanced() {
    check(
        "given node n1 | node n2 | node n3 | service web replicas=9
         run
         scale web 3
         > replicas: web.9 wanted remove, scaled down
         > replicas: web.8 wanted remove, scaled down
         > replicas: web.7 wanted remove, scaled down
         > replicas: web.6 wanted remove, scaled down
         > replicas: web.5 wanted remove, scaled down
         > replicas: web.4 wanted remove, scaled down",
    );
}

#[test]
fn a_slot_that_has_had_its_attempts_is_given_up_like_any_other() {
    check(
        "given node n1 | service web replicas=2 max-attempts=1 delay=0s
         run
         given web.2 failed exit=1
         given web.2 failed exit=1
         scale web 1
         > replicas: web.2#2 wanted remove, scaled down
         > history: web.2 reaped
         > history: web.2#2 reaped",
    );
}

#[test]
fn pending_tasks_of_a_parked_service_wait() {
    check(
        "given service web | service db
         given park web
         node n1
         > placement: db.1 on n1 (0/0, of 1)
         release web
         > placement: web.1 on n1 (0/1, of 1)",
    );
}
