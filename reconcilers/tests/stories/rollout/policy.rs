//! Updates of the restart policy alone: tasks run on, and the next end is answered by the new one.

use super::{constraints::versions, *};

#[test]
fn a_new_restart_policy_replaces_no_task() {
    let teller = check(
        "given node n1 | level 2 | service web replicas=2
         run
         update web restart=none",
    );
    assert_eq!(versions(&teller), [true, true]);
}

#[test]
fn at_feature_level_1_a_new_restart_policy_replaces_tasks() {
    check(
        "given node n1 | service web
         run
         update web restart=none
         > rollout: web started
         > rollout: web.1 wanted shutdown, new spec
         > rollout: web.1#2 created, held 0 ms
         > placement: web.1#2 on n1 (0/0, of 1)",
    );
}

#[test]
fn the_next_end_is_answered_by_the_new_policy() {
    check(
        "given node n1 | level 2 | service web delay=1s
         run
         given wait 10s
         given update web delay=30s
         web.1 failed
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 30000 ms, attempt 1
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)
         run
         given wait 40s
         run
         given update web restart=none
         web.1#2 failed
         > restart: web.1#2 wanted shutdown, ended",
    );
}

#[test]
fn a_slot_that_was_done_goes_on_when_the_new_policy_allows_it() {
    check(
        "given node n1 | level 2 | service web restart=none
         run
         given web.1 failed
         update web restart=any
         > replicas: web.1#2 created
         > placement: web.1#2 on n1 (0/0, failed 1 times, of 1)",
    );
}

#[test]
fn a_new_policy_beside_constraints_that_hold_replaces_nothing_either() {
    let teller = check(
        "given node n1 | level 2 | service web replicas=2
         run
         update web delay=1s
         update web constraint=node.hostname==n1
         update web delay=2s constraint=node.role==worker",
    );
    assert_eq!(versions(&teller), [true, true]);
}

#[test]
fn a_new_policy_in_the_middle_of_a_roll_out_leaves_what_is_up_to_date() {
    let teller = check(
        "given node n1 | level 2 | service web replicas=3 image=one
         run
         given wait 60s
         given update web image=two
         run
         update web delay=1s
         > rollout: web started
         > rollout: web.2 wanted shutdown, new spec
         > rollout: web.2#2 created, held 0 ms
         > placement: web.2#2 on n1 (2/2, of 1)
         run",
    );
    assert_eq!(versions(&teller), [false, true, false, true, false]);
}
