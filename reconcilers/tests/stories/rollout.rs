//! Moving to a new spec.

mod constraints;
mod policy;

use crate::telling::check;

#[test]
fn tasks_are_replaced_one_at_a_time() {
    check(
        "given node n1 | service web replicas=2
         run
         update web image=two
         > rollout: web started
         > rollout: web.1 wanted shutdown, new spec
         > rollout: web.1#2 created, held 0 ms
         > placement: web.1#2 on n1 (1/1, of 1)
         web.1#1 shutdown
         > restart: web.1#2 wanted running, start
         web.1 running
         given wait 4s
         wait 1s
         > rollout: web.2 wanted shutdown, new spec
         > rollout: web.2#2 created, held 0 ms
         > placement: web.2#2 on n1 (1/1, of 1)
         web.2#1 shutdown
         > restart: web.2#2 wanted running, start
         web.2 running
         given wait 4s
         wait 1s
         > rollout: web completed",
    );
}

#[test]
fn a_failure_before_it_ran_pauses() {
    check(
        "given node n1 | service web replicas=2
         run
         given update web image=two
         given web.1#1 shutdown
         web.1 rejected error=nosuchprogram
         > rollout: web paused by web.1#2: task web.1 (ID) on n1 was rejected before it ran: nosuchprogram
         wait 5s
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, attempt 1
         > placement: web.1#3 on n1 (1/1, failed 1 times, of 1)
         wait 1h",
    );
}

#[test]
fn a_failure_soon_after_pauses_and_names_the_exit_code() {
    check(
        "given node n1 | service web
         run
         given update web image=two
         run
         given wait 3s
         web.1 failed exit=3
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 5000 ms, attempt 1
         > rollout: web paused by web.1#2: task web.1 (ID) on n1 failed with exit code 3, 3.0 s after it began to run
         > placement: web.1#3 on n1 (0/0, failed 1 times, of 1)",
    );
}

#[test]
fn a_failure_later_does_not() {
    check(
        "given node n1 | service web
         run
         given update web image=two
         run
         wait 5s
         > rollout: web completed
         wait 1s
         web.1 failed exit=3
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 5000 ms, attempt 1
         > placement: web.1#3 on n1 (0/0, failed 1 times, of 1)",
    );
}

#[test]
fn a_new_update_starts_over() {
    check(
        "given node n1 | service web
         run
         given update web image=two
         given web.1#1 shutdown
         given web.1 failed exit=1
         update web image=three
         > rollout: web started
         > rollout: web.1#3 wanted shutdown, new spec
         > rollout: web.1#4 created, held 0 ms
         > placement: web.1#4 on n1 (0/0, of 1)",
    );
}

#[test]
fn a_second_update_waits_for_what_the_first_one_stops() {
    check(
        "given node n1 | service web
         run
         given update web image=two
         given update web image=three
         web.1#2 shutdown
         web.1#1 shutdown
         > restart: web.1#3 wanted running, start",
    );
}

#[test]
fn an_update_of_what_tasks_do_not_run_replaces_nothing() {
    check(
        "given node n1 | service web
         run
         update web label=a:b",
    );
}

#[test]
fn constraints_that_hold_already_replace_nothing() {
    check(
        "given node n1 label=zone:a | node n2 | service web
         given wait 1s
         run
         update web constraint=node.labels.zone==a",
    );
}

#[test]
fn a_spec_that_could_not_be_placed_is_replaced_by_one_that_can() {
    check(
        "node n1 | service web replicas=2 cpus=9
         > replicas: web.1 created
         > replicas: web.2 created
         > placement: web blocked: no suitable node: not enough free cpu, memory or other resources on 1 node
         update web cpus=1
         > rollout: web started
         > rollout: web.1 wanted shutdown, new spec
         > rollout: web.1#2 created
         > placement: web.1#2 on n1 (0/0, of 1)
         > placement: web blocked: no suitable node: not enough free cpu, memory or other resources on 1 node
         web.1 running
         wait 5s
         > rollout: web.2 wanted shutdown, new spec
         > rollout: web.2#2 created
         > placement: web.2#2 on n1 (1/1, of 1)
         web.2 running
         wait 5s
         > rollout: web completed",
    );
}

#[test]
fn a_new_spec_while_nothing_runs_converges() {
    check(
        "given node n1 | service web replicas=0
         update web image=two
         scale web 1
         > replicas: web.1 created
         > placement: web.1 on n1 (0/0, of 1)",
    );
}

#[test]
fn a_finished_task_is_run_again_with_a_new_spec() {
    check(
        "given node n1 | service web restart=none
         run
         given web.1 complete
         update web image=two
         > rollout: web started
         > rollout: web.1#2 created
         > placement: web.1#2 on n1 (0/0, of 1)",
    );
}

#[test]
fn a_drained_slot_is_not_done_twice() {
    check(
        "given node n1 | node n2 | service web
         run
         given drain n1
         update web image=two
         > rollout: web started
         > rollout: web.1#2 wanted shutdown, new spec
         > rollout: web.1#3 created, held 0 ms
         > placement: web.1#3 on n2 (0/0, of 1)
         > placement: web explained: of 2, ready 1
         web.1#1 shutdown
         web.1#2 shutdown
         > restart: web.1#3 wanted running, start",
    );
}

#[test]
fn removal_ends_it() {
    check(
        "given node n1 | service web replicas=2
         run
         given update web image=two
         remove web
         > replicas: web.1 wanted remove, service removed
         > replicas: web.1#2 wanted remove, service removed
         > replicas: web.2 wanted remove, service removed",
    );
}

#[test]
fn scaling_down_while_it_goes_on() {
    check(
        "given node n1 | service web replicas=3
         run
         given update web image=two
         scale web 1
         > replicas: web.1 wanted remove, scaled down
         > replicas: web.1#2 wanted remove, scaled down
         > replicas: web.3 wanted remove, scaled down
         > rollout: web.2 wanted shutdown, new spec
         > rollout: web.2#2 created, held 0 ms
         > placement: web.2#2 on n1 (0/0, of 1)
         run
         wait 5s
         > rollout: web completed",
    );
}

#[test]
fn a_failure_of_an_old_task_does_not_stop_it() {
    check(
        "given node n1 | service web replicas=3 delay=0s
         run
         given update web image=two
         web.3 failed exit=1
         > restart: web.3 wanted shutdown, ended
         > restart: web.3#2 created, attempt 1
         > placement: web.3#2 on n1 (2/2, failed 1 times, of 1)",
    );
}

#[test]
fn back_to_the_old_spec_leaves_the_old_tasks_alone() {
    check(
        "given node n1 | service web replicas=2 image=one
         run
         given update web image=two
         update web image=one
         > rollout: web started
         > rollout: web.1#2 wanted shutdown, new spec
         > rollout: web.1#3 created, held 0 ms
         > placement: web.1#3 on n1 (1/1, of 1)",
    );
}

#[test]
fn one_that_is_blocked_waits_and_goes_on() {
    check(
        "given node n1 cpus=1 | service web cpus=1
         run
         update web image=two
         > rollout: web started
         > rollout: web.1 wanted shutdown, new spec
         > rollout: web.1#2 created, held 0 ms
         > placement: web blocked: no suitable node: not enough free cpu, memory or other resources on 1 node
         web.1#1 shutdown
         > restart: web.1#2 wanted running, start
         > placement: web.1#2 on n1 (0/0, of 1)",
    );
}

#[test]
fn a_program_that_fails_after_a_moment_takes_one_slot_down() {
    check(
        "given node n1 | service web replicas=3
         run
         given update web image=two
         run
         given wait 3s
         web.1 failed exit=1
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 5000 ms, attempt 1
         > rollout: web paused by web.1#2: task web.1 (ID) on n1 failed with exit code 1, 3.0 s after it began to run
         > placement: web.1#3 on n1 (2/2, failed 1 times, of 1)
         wait 5s
         > restart: web.1#3 wanted running, start
         run
         wait 1h",
    );
}

#[test]
fn a_program_that_ends_well_at_once_fails_the_roll_out() {
    check(
        "given node n1 | service web replicas=2
         run
         given update web image=two
         run
         given wait 20ms
         web.1 complete exit=0
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 5000 ms, attempt 1
         > rollout: web paused by web.1#2: task web.1 (ID) on n1 ended with exit code 0, 20 ms after it began to run
         > placement: web.1#3 on n1 (1/1, of 1)",
    );
}

#[test]
fn work_that_ends_at_once_and_is_not_restarted_fails_it_too() {
    check(
        "given node n1 | service web replicas=2 restart=none
         run
         given update web image=two
         run
         web.1 complete exit=0
         > restart: web.1#2 wanted shutdown, ended
         > rollout: web paused by web.1#2: task web.1 (ID) on n1 ended with exit code 0, 0 ms after it began to run",
    );
}

#[test]
fn work_that_ends_after_its_monitor_time_is_done() {
    check(
        "given node n1 | service web replicas=2 restart=none
         run
         given update web image=two
         run
         given wait 5s
         run
         given wait 5s
         web.1#2 complete exit=0 | web.2#2 complete exit=0
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.2#2 wanted shutdown, ended",
    );
}

#[test]
fn the_spec_says_how_long_a_new_task_is_watched() {
    check(
        "given node n1 | service web replicas=2 monitor=30s
         run
         given update web image=two
         run
         wait 29s
         wait 1s
         > rollout: web.2 wanted shutdown, new spec
         > rollout: web.2#2 created, held 0 ms
         > placement: web.2#2 on n1 (1/1, of 1)
         run
         given wait 29s
         web.2 failed exit=9
         > restart: web.2#2 wanted shutdown, ended
         > restart: web.2#3 created, held 5000 ms, attempt 1
         > rollout: web paused by web.2#2: task web.2 (ID) on n1 failed with exit code 9, 29.0 s after it began to run
         > placement: web.2#3 on n1 (1/1, failed 1 times, of 1)",
    );
}

#[test]
fn later_slots_follow_as_soon_as_the_one_before_runs() {
    check(
        "given node n1 | service web replicas=3
         run
         given update web image=two
         run
         given wait 5s
         given web.2#1 shutdown
         web.2 running
         > rollout: web.3 wanted shutdown, new spec
         > rollout: web.3#2 created, held 0 ms
         > placement: web.3#2 on n1 (2/2, of 1)",
    );
}

#[test]
fn a_drained_node_in_the_middle_does_not_take_a_second_slot_down() {
    check(
        "given node n1 | node n2 | service web replicas=3
         run
         given update web image=two
         run
         given wait 5s
         given web.2#1 shutdown
         web.2 running | drain n1
         > fitness: web.3 wanted shutdown, node drained
         > fitness: web.3#2 created, held 0 ms
         > fitness: web.1#2 wanted shutdown, node drained
         > fitness: web.1#3 created, held 0 ms
         > placement: web.1#3 on n2 (1/1, of 1)
         > placement: web explained: of 2, ready 1
         > placement: web.3#2 on n2 (2/2, of 1)
         web.3#1 shutdown
         > restart: web.3#2 wanted running, start
         web.3 running
         web.1#2 shutdown
         > restart: web.1#3 wanted running, start
         web.1 running
         wait 5s
         > rollout: web.3#2 wanted shutdown, new spec
         > rollout: web.3#3 created, held 0 ms
         > placement: web.3#3 on n2 (2/2, of 1)",
    );
}

#[test]
fn an_old_task_that_ends_while_it_is_paused_comes_back_as_it_was() {
    let teller = check(
        "given node n1 | service web replicas=2 delay=1s
         run
         given update web image=two
         run
         given web.1 failed exit=1
         web.2 failed exit=1
         > restart: web.2 wanted shutdown, ended
         > restart: web.2#2 created, held 1000 ms, attempt 1
         > placement: web.2#2 on n1 (1/1, failed 1 times, of 1)",
    );
    let version =
        |task| teller.world.view.tasks().get(teller.world.task(task)).unwrap().spec_version;
    assert_eq!(version("web.2#2"), version("web.2#1"));
    assert!(version("web.1") > version("web.2"));
}

#[test]
fn it_is_not_complete_while_a_slot_does_not_run() {
    check(
        "given node n1 | service web replicas=2 delay=20s
         run
         given update web image=two
         run
         given wait 5s
         run
         given wait 2s
         web.1#2 failed exit=1
         > restart: web.1#2 wanted shutdown, ended
         > restart: web.1#3 created, held 20000 ms, attempt 1
         > placement: web.1#3 on n1 (1/1, failed 1 times, of 1)
         wait 10s
         given wait 10s
         web.1#3 running
         wait 5s
         > rollout: web completed",
    );
}

#[test]
fn one_that_is_scaled_away_in_the_middle_proves_nothing() {
    check(
        "given node n1 | service web replicas=3
         run
         given update web image=two
         run
         given scale web 2
         wait 5s
         > rollout: web.2 wanted shutdown, new spec
         > rollout: web.2#2 created, held 0 ms
         > placement: web.2#2 on n1 (1/1, of 1)",
    );
}

#[test]
fn a_roll_out_is_complete_although_nothing_is_left_of_the_old_spec() {
    check(
        "given node n1 | history 0 | service web
         run
         given update web image=two
         run
         wait 5s
         > rollout: web completed",
    );
}

#[test]
fn of_two_failures_the_first_one_is_named() {
    check(
        "given node n1 | service web replicas=3 monitor=10s
         run
         given update web image=two
         run
         given wait 10s
         run
         web.3#2 failed exit=3 | web.2#2 failed exit=2
         > restart: web.2#2 wanted shutdown, ended
         > restart: web.2#3 created, held 5000 ms, attempt 1
         > restart: web.3#2 wanted shutdown, ended
         > restart: web.3#3 created, held 5000 ms, attempt 1
         > rollout: web paused by web.3#2: task web.3 (ID) on n1 failed with exit code 3, 0 ms after it began to run
         > placement: web.2#3 on n1 (1/1, failed 2 times, of 1)
         > placement: web.3#3 on n1 (2/2, failed 2 times, of 1)",
    );
}
