//! Named things that nodes have and tasks reserve, host ports, and what is said of nodes that a
//! constraint leaves out.

use crate::telling::check;

#[test]
fn named_things_are_given_out_until_none_is_left() {
    check(
        "given node n1 generic=gpu:2 generic=fpga:1 | node n2 generic=gpu:1 | node n3
         service web replicas=4 generic=gpu:1
         > replicas: web.1 created
         > replicas: web.2 created
         > replicas: web.3 created
         > replicas: web.4 created
         > placement: web.1 on n1 (0/0, of 3)
         > placement: web.2 on n2 (0/0, of 3)
         > placement: web.3 on n1 (1/1, of 2)
         > placement: web blocked: no suitable node: not enough free cpu, memory or other resources on 3 nodes",
    );
}

#[test]
fn named_things_of_ended_tasks_are_free_again_and_others_are_not_touched() {
    check(
        "given node n1 generic=gpu:2 generic=fpga:1 | service web replicas=2 generic=gpu:1 delay=0s
         run
         service chip generic=fpga:1
         > replicas: chip.1 created
         > placement: chip.1 on n1 (0/2, of 1)
         service late generic=gpu:1
         > replicas: late.1 created
         > placement: late blocked: no suitable node: not enough free cpu, memory or other resources on 1 node
         scale web 1
         > replicas: web.2 wanted remove, scaled down
         web.2 shutdown
         > placement: late.1 on n1 (0/2, of 1)
         > history: web.2 reaped",
    );
}

#[test]
fn more_of_a_named_thing_than_a_node_has_is_refused() {
    check(
        "given node n1 generic=gpu:2
         service web generic=gpu:3
         > replicas: web.1 created
         > placement: web blocked: no suitable node: not enough free cpu, memory or other resources on 1 node
         service web2 generic=gpu:2
         > replicas: web2.1 created
         > placement: web2.1 on n1 (0/0, of 1)",
    );
}

#[test]
fn ports_that_the_engine_chooses_do_not_collide() {
    check(
        "given node n1
         service web replicas=2 port=tcp:0
         > replicas: web.1 created
         > replicas: web.2 created
         > placement: web.1 on n1 (0/0, of 1)
         > placement: web.2 on n1 (1/1, of 1)",
    );
}

#[test]
fn a_constraint_that_names_a_node_leaves_the_others_out_and_is_counted_once() {
    check(
        "given node n1 | node n2 | node n3 away
         service web constraint=node.hostname==n1 platform=linux/arm64
         > replicas: web.1 created
         > placement: web blocked: no suitable node: not ready or not active: 1 node; constraint node.hostname==n1 not met by 1 node; another platform on 1 node",
    );
}

#[test]
fn another_node_without_room_is_worth_saying() {
    check(
        "given node n1 | service web cpus=9
         node n2
         > placement: web blocked: no suitable node: not enough free cpu, memory or other resources on 2 nodes",
    );
}
