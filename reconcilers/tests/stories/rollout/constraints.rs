//! Roll-outs whose new spec tasks meet already, or do not meet.

use super::*;

pub(super) fn versions(teller: &crate::telling::Teller) -> Vec<bool> {
    let view = &teller.world.view;
    let service = view.services().get(teller.world.service("web")).expect("it was created");
    view.tasks_of(teller.world.service("web"))
        .map(|(_, task)| task.spec_version == service.spec_version)
        .collect()
}

#[test]
fn tasks_that_meet_new_constraints_already_are_up_to_date_at_once() {
    let teller = check(
        "given node n1 label=zone:a | node n2 | service web replicas=2 constraint=node.labels.zone==a
         run
         update web constraint=node.hostname==n1",
    );
    assert_eq!(versions(&teller), [true, true]);
}

#[test]
fn tasks_that_do_not_meet_new_constraints_move_one_by_one() {
    let teller = check(
        "given node n1 | node n2 | service web replicas=3
         run
         update web constraint=node.hostname==n1
         > rollout: web started
         > rollout: web.2 wanted shutdown, new spec
         > rollout: web.2#2 created, held 0 ms
         > placement: web.2#2 on n1 (2/2, of 1)
         > placement: web explained: of 2, constraints 1",
    );
    assert_eq!(versions(&teller), [true, false, true, true]);
}

#[test]
fn a_task_is_judged_by_the_constraints_that_its_service_has_now() {
    check(
        "given node n1 label=zone:a | node n2 label=zone:a | service web
         run
         given update web constraint=node.labels.zone==a
         label n1 zone:b
         > fitness: web.1 rejected: node n1 no longer meets its constraints
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 10000 ms, attempt 1
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, constraints 1",
    );
}

#[test]
fn the_spec_of_before_takes_its_tasks_back() {
    let teller = check(
        "given node n1 | service web replicas=2 image=one
         run
         given update web image=two
         given web.1#1 shutdown
         given update web image=one
         run
         wait 5s
         > rollout: web completed",
    );
    assert_eq!(versions(&teller), [true, false, true, true]);
}

#[test]
fn new_credentials_leave_tasks_that_have_their_image() {
    let teller = check(
        "given node n1 | service web replicas=3
         given web.1 running | web.2 preparing | web.3 ready
         given wait 1s
         update web credentials=c1
         > rollout: web started
         web.3 running
         > rollout: web.2 wanted shutdown, new spec
         > rollout: web.2#2 created, held 0 ms
         > placement: web.2#2 on n1 (2/2, of 1)",
    );
    assert_eq!(versions(&teller), [true, false, true, true]);
}
