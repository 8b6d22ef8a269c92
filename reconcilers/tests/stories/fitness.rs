//! Tasks leave nodes that are not for them any more.

use crate::telling::check;
use skep_projections::fixture::{id, node_description};
use skep_proto::v1::{Resources, SessionOpened, event::Kind};

#[test]
fn a_drained_node_is_emptied_at_once() {
    check(
        "given node n1 | node n2 | service web replicas=2
         run
         drain n1
         > fitness: web.1 wanted shutdown, node drained
         > fitness: web.1#2 created, held 0 ms
         > placement: web.1#2 on n2 (1/1, of 1)
         > placement: web explained: of 2, ready 1",
    );
}

#[test]
fn a_down_node_is_emptied_after_the_delay() {
    check(
        "given node n1 | node n2 | service web delay=3s
         run
         down n1
         > fitness: web.1 wanted shutdown, node down
         > fitness: web.1#2 created, held 3000 ms
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, ready 1
         wait 3s
         > restart: web.1#2 wanted running, start",
    );
}

#[test]
fn a_removed_nodes_tasks_are_replaced() {
    check(
        "given node n1 | node n2 | service web
         run
         rmnode n1
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 5000 ms
         > placement: web.1#2 on n2 (0/0, of 1)",
    );
}

#[test]
fn a_paused_node_keeps_its_tasks() {
    check(
        "given node n1 | service web
         run
         pause n1
         label n1 zone:b
         scale web 2
         > replicas: web.2 created
         > placement: web blocked: no suitable node: not ready or not active: 1 node",
    );
}

#[test]
fn a_task_whose_constraint_no_longer_holds_is_rejected() {
    check(
        "given node n1 label=zone:a | node n2 label=zone:a | service web constraint=node.labels.zone==a
         run
         label n1 zone:b
         > fitness: web.1 rejected: node n1 no longer meets its constraints
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 10000 ms, attempt 1
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, constraints 1",
    );
}

#[test]
fn the_successor_of_a_rejected_task_waits_until_that_has_stopped() {
    check(
        "given node n1 label=zone:a | node n2 label=zone:a
         given service web constraint=node.labels.zone==a delay=0s grace=3s
         run
         label n1 zone:b
         > fitness: web.1 rejected: node n1 no longer meets its constraints
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 3000 ms, attempt 1
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, constraints 1
         wait 3s
         > restart: web.1#2 wanted running, start",
    );
}

#[test]
fn a_node_unknown_at_a_tenures_beginning_is_left_alone() {
    check(
        "given node n1 | node n2 | service web replicas=2
         run
         tenure
         wait 1s",
    );
}

#[test]
fn tasks_of_a_service_with_one_attempt_are_not_replaced() {
    check(
        "given node n1 | node n2 | service web restart=none
         run
         drain n1
         > fitness: web.1 wanted shutdown, node drained",
    );
}

#[test]
fn a_pause_and_a_return_move_nothing() {
    check(
        "given node n1 cpus=2 | service web replicas=2 cpus=1
         run
         given pause n1
         activate n1",
    );
}

#[test]
fn tasks_wait_when_nobody_else_takes_them() {
    check(
        "given node n1 | service web
         run
         drain n1
         > fitness: web.1 wanted shutdown, node drained
         > fitness: web.1#2 created, held 0 ms
         > placement: web blocked: no suitable node: not ready or not active: 1 node
         web.1#1 shutdown
         > restart: web.1#2 wanted running, start
         activate n1
         > placement: web.1#2 on n1 (0/0, of 1)",
    );
}

#[test]
fn a_node_that_comes_back_after_it_was_down_stops_what_was_moved() {
    check(
        "given node n1 | node n2 | service web delay=0s
         run
         down n1
         > fitness: web.1 wanted shutdown, node down
         > fitness: web.1#2 created
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, ready 1
         open n1
         web.1#1 shutdown",
    );
}

#[test]
fn a_drained_node_that_goes_down_moves_nothing_twice() {
    check(
        "given node n1 | node n2 | service web
         run
         given drain n1
         down n1
         > restart: web.1#2 wanted running, start
         open n1
         activate n1",
    );
}

#[test]
fn a_node_that_shrank_keeps_its_oldest_tasks() {
    let mut teller = check("given node n1 | node n2 cpus=1 | service web replicas=3 cpus=1");
    teller.world.tell("web.1 running | web.2 running | web.3 running");
    let mut description = node_description("n1");
    description.resources =
        Some(Resources { nano_cpus: 1_000_000_000, memory_bytes: 8 << 30, generic: Vec::new() });
    let (node_id, description) = (id("node", "n1").to_bytes(), Some(description));
    let delta = teller.world.record(Kind::SessionOpened(Box::new(SessionOpened {
        node_id,
        session: 9,
        description,
        ..SessionOpened::default()
    })));
    let said = teller.turn(delta);
    assert_eq!(
        said,
        [
            "fitness: web.3 rejected: node n1 has no room for its reservation",
            "restart: web.3 wanted shutdown, ended",
            "restart: web.3#2 created, held 10000 ms, attempt 1",
            "placement: web blocked: no suitable node: not enough free cpu, memory or other resources on 2 nodes",
        ]
    );
}

#[test]
fn a_node_that_is_paused_or_away_keeps_tasks_whose_constraint_no_longer_holds() {
    check(
        "given node n1 label=zone:a | node n2 label=zone:a
         given service web constraint=node.labels.zone==a
         run
         given pause n1
         label n1 zone:b
         given label n1 zone:a
         given activate n1
         given close n1
         label n1 zone:b
         open n1
         > fitness: web.1 rejected: node n1 no longer meets its constraints
         > restart: web.1 wanted shutdown, ended
         > restart: web.1#2 created, held 10000 ms, attempt 1
         > placement: web.1#2 on n2 (0/0, of 1)
         > placement: web explained: of 2, constraints 1",
    );
}

#[test]
fn tasks_of_a_parked_service_stay_on_a_drained_node() {
    check(
        "given node n1 label=zone:a | node n2 label=zone:a
         given service web constraint=node.labels.zone==a | service db
         run
         given park web
         drain n2
         > fitness: db.1 wanted shutdown, node drained
         > fitness: db.1#2 created, held 0 ms
         > placement: db.1#2 on n1 (0/1, of 1)
         > placement: db explained: of 2, ready 1
         drain n1
         > fitness: db.1#2 wanted shutdown, node drained
         > fitness: db.1#3 created, held 0 ms
         > placement: db blocked: no suitable node: not ready or not active: 2 nodes
         activate n1
         > placement: db.1#3 on n1 (0/1, of 1)
         label n1 zone:b",
    );
}

#[test]
fn a_parked_task_stays_on_a_drained_node() {
    check(
        "given node n1 | node n2 | service web
         run
         given park web.1
         drain n1",
    );
}

#[test]
fn a_parked_node_is_left_alone_and_others_are_not() {
    check(
        "given node n1 | node n2 | node n3 | service web replicas=2
         run
         given park n1
         down n1
         down n2
         > fitness: web.2 wanted shutdown, node down
         > fitness: web.2#2 created, held 5000 ms
         > placement: web.2#2 on n3 (0/0, of 1)
         > placement: web explained: of 3, ready 2",
    );
}

#[test]
fn a_service_that_is_removed_gets_no_successor_on_the_way() {
    check(
        "given node n1 | node n2 | service web
         run
         remove web | drain n1
         > fitness: web.1 wanted shutdown, node drained
         > replicas: web.1 wanted remove, service removed",
    );
}
