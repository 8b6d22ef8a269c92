//! Nodes for tasks, and reasons for none.

use crate::telling::check;

#[test]
fn tasks_spread_over_the_service_first_and_then_over_all() {
    check(
        "given node n1 | node n2 | node n3 | service a replicas=2
         service b replicas=4
         > replicas: b.1 created
         > replicas: b.2 created
         > replicas: b.3 created
         > replicas: b.4 created
         > placement: b.1 on n3 (0/0, of 3)
         > placement: b.2 on n1 (0/1, of 3)
         > placement: b.3 on n2 (0/1, of 3)
         > placement: b.4 on n3 (1/1, of 3)",
    );
}

#[test]
fn every_filter_explains_itself() {
    check(
        "given node away1 away | node busy cpus=1 | node bare features=none | node far label=zone:b
         given node arm arch=arm64 label=zone:a | node full label=zone:a | node good label=zone:a
         given service one constraint=node.hostname==full port=tcp:80
         service web replicas=2 cpus=2 port=tcp:80 constraint=node.labels.zone==a platform=linux/amd64
         > replicas: web.1 created
         > replicas: web.2 created
         > placement: web.1 on good (0/0, of 2)
         > placement: web blocked: no suitable node: constraint node.labels.zone==a not met by 2 nodes; host port in use on 2 nodes; not ready or not active: 1 node; the fake runtime of 1 node publishes no ports; another platform on 1 node",
    );
}

#[test]
fn a_volume_driver_is_looked_for_on_each_node() {
    check(
        "given node n1 | node n2 plugin=Volume:nfs:latest
         service web replicas=2 volume=nfs
         > replicas: web.1 created
         > replicas: web.2 created
         > placement: web.1 on n2 (0/0, of 1)
         > placement: web.2 on n2 (1/1, of 1)
         > placement: web explained: of 2, volume driver 1
         service db volume=ceph
         > replicas: db.1 created
         > placement: db blocked: no suitable node: a volume driver is missing on 2 nodes
         service local volume=local
         > replicas: local.1 created
         > placement: local.1 on n1 (0/0, of 2)",
    );
}

#[test]
fn without_nodes_it_waits_and_the_first_node_takes_it() {
    check(
        "service web
         > replicas: web.1 created
         > placement: web blocked: no suitable node: the cluster has no nodes
         node n1
         > placement: web.1 on n1 (0/0, of 1)",
    );
}

#[test]
fn room_that_becomes_free_is_taken() {
    check(
        "given node n1 cpus=1 | service a cpus=1
         run
         service b cpus=1
         > replicas: b.1 created
         > placement: b blocked: no suitable node: not enough free cpu, memory or other resources on 1 node
         remove a
         > replicas: a.1 wanted remove, service removed
         a.1 shutdown
         > placement: b.1 on n1 (0/0, of 1)
         > history: a.1 reaped",
    );
}

#[test]
fn at_most_so_many_replicas_a_node() {
    check(
        "given node n1 | node n2
         service web replicas=3 max-per-node=1
         > replicas: web.1 created
         > replicas: web.2 created
         > replicas: web.3 created
         > placement: web.1 on n1 (0/0, of 2)
         > placement: web.2 on n2 (0/0, of 2)
         > placement: web blocked: no suitable node: as many replicas as allowed already on 2 nodes
         node n3
         > placement: web.3 on n3 (0/0, of 3)",
    );
}

#[test]
fn tasks_of_two_versions_count_together_for_the_replicas_of_a_node() {
    check(
        "given service web replicas=2 max-per-node=1 | task web.1 | update web image=new | task web.2
         node n1
         > placement: web.2 on n1 (0/0, of 1)
         > placement: web blocked: no suitable node: as many replicas as allowed already on 1 node",
    );
}

#[test]
fn a_constraint_on_a_name_needs_no_look_at_the_others() {
    check(
        "given node n1 | node n2 | node n3
         service web constraint=node.hostname==n2
         > replicas: web.1 created
         > placement: web.1 on n2 (0/0, of 1)
         > placement: web explained: of 3, constraints 2
         service db constraint=node.hostname!=n1
         > replicas: db.1 created
         > placement: db.1 on n3 (0/0, of 2)
         > placement: db explained: of 3, constraints 1
         service gone constraint=node.hostname==n9
         > replicas: gone.1 created
         > placement: gone blocked: no suitable node: constraint node.hostname==n9 not met by 3 nodes
         service ip constraint=node.ip==10.9.0.0/16
         > replicas: ip.1 created
         > placement: ip blocked: no suitable node: constraint node.ip==10.9.0.0/16 not met by 3 nodes
         node n4 addr=10.9.1.1
         > placement: gone blocked: no suitable node: constraint node.hostname==n9 not met by 4 nodes
         > placement: ip.1 on n4 (0/0, of 3)
         > placement: ip explained: of 4, constraints 1",
    );
}

#[test]
fn a_node_on_which_it_keeps_failing_is_avoided() {
    check(
        "given node n1 | node n2 | history 9 | service web replicas=2 delay=0s
         run
         given web.1 failed exit=1
         given web.1 failed exit=1
         given web.1 failed exit=1
         given web.1 failed exit=1
         web.1 failed exit=1
         > restart: web.1#5 wanted shutdown, ended
         > restart: web.1#6 created, attempt 5
         > placement: web.1#6 on n2 (1/1, of 2)
         web.1 failed exit=1
         > restart: web.1#6 wanted shutdown, ended
         > restart: web.1#7 created, held 1000 ms, attempt 6
         > placement: web.1#7 on n2 (1/1, failed 1 times, of 2)",
    );
}

#[test]
fn two_in_one_turn_do_not_take_the_same_room() {
    check(
        "given node n1 memory=1g | node n2 memory=1g
         service a memory=600m | service b memory=600m | service c memory=600m
         > replicas: a.1 created
         > replicas: b.1 created
         > replicas: c.1 created
         > placement: a.1 on n1 (0/0, of 2)
         > placement: b.1 on n2 (0/0, of 2)
         > placement: c blocked: no suitable node: not enough free cpu, memory or other resources on 2 nodes",
    );
}

#[test]
fn a_paused_node_gets_nothing_and_an_activated_one_what_waits() {
    check(
        "given node n1 availability=pause
         service web
         > replicas: web.1 created
         > placement: web blocked: no suitable node: not ready or not active: 1 node
         activate n1
         > placement: web.1 on n1 (0/0, of 1)",
    );
}

#[test]
fn with_platform_names_of_either_kind() {
    check(
        "given node n1 arch=x86_64 | node n2 arch=aarch64
         service a platform=linux/arm64
         > replicas: a.1 created
         > placement: a.1 on n2 (0/0, of 1)
         > placement: a explained: of 2, platform 1
         service b platform=linux/amd64
         > replicas: b.1 created
         > placement: b.1 on n1 (0/0, of 1)
         > placement: b explained: of 2, platform 1",
    );
}

#[test]
fn each_node_is_counted_for_the_first_constraint_that_it_does_not_meet() {
    check(
        "given node n1 label=zone:a | node n2 label=disk:ssd | node n3 label=zone:a | node n4
         service web constraint=node.labels.zone==a constraint=node.labels.disk==ssd
         > replicas: web.1 created
         > placement: web blocked: no suitable node: constraint node.labels.disk==ssd not met by 2 nodes; constraint node.labels.zone==a not met by 2 nodes
         service one constraint=node.hostname!=n1 constraint=node.ip==10.9.0.0/16
         > replicas: one.1 created
         > placement: one blocked: no suitable node: constraint node.ip==10.9.0.0/16 not met by 3 nodes; constraint node.hostname!=n1 not met by 1 node",
    );
}

#[test]
fn an_unknown_key_matches_nobody() {
    check(
        "given node n1
         service a constraint=node.colour!=red
         > replicas: a.1 created
         > placement: a blocked: no suitable node: constraint node.colour!=red not met by 1 node",
    );
}

#[test]
fn by_id_engine_label_and_role() {
    check(
        "given node n1 | node n2 engine=gpu:yes | node n3 role=manager
         service a constraint=engine.labels.gpu==yes
         > replicas: a.1 created
         > placement: a.1 on n2 (0/0, of 1)
         > placement: a explained: of 3, constraints 2
         service b constraint=node.role==manager
         > replicas: b.1 created
         > placement: b.1 on n3 (0/0, of 1)
         > placement: b explained: of 3, constraints 2
         service c constraint=node.role!=manager
         > replicas: c.1 created
         > placement: c.1 on n1 (0/0, of 2)
         > placement: c explained: of 3, constraints 1",
    );
}

#[test]
fn an_explanation_is_said_once_and_again_when_it_changed() {
    check(
        "given node n1 | node n2 away
         service a
         > replicas: a.1 created
         > placement: a.1 on n1 (0/0, of 1)
         > placement: a explained: of 2, ready 1
         scale a 2
         > replicas: a.2 created
         > placement: a.2 on n1 (1/1, of 1)
         node n3 away
         scale a 3
         > replicas: a.3 created
         > placement: a.3 on n1 (2/2, of 1)
         > placement: a explained: of 3, ready 2",
    );
}

#[test]
fn room_goes_to_whoever_was_first_in_line() {
    check(
        "given node n1 cpus=1 | service a cpus=1
         run
         given service b cpus=1 | service c cpus=1
         given scale a 0
         a.1 shutdown
         > placement: b.1 on n1 (0/0, of 1)
         > history: a.1 reaped",
    );
}

#[test]
fn a_node_with_a_problem_gets_no_new_tasks_and_keeps_its_old_ones() {
    check(
        "given node n1 | service a
         run
         conditions n1 engine
         service b
         > replicas: b.1 created
         > placement: b blocked: no suitable node: a problem such as an unreachable engine keeps new tasks from 1 node
         conditions n1 list
         conditions n1 pull
         > placement: b.1 on n1 (0/1, of 1)
         conditions n1",
    );
}

#[test]
fn a_reason_that_was_about_tasks_which_found_a_node_is_replaced_by_that_of_the_others() {
    check(
        "given node n1 cpus=2 | service a cpus=2
         run
         given service web replicas=2 cpus=8
         given update web cpus=2
         given remove a
         a.1 shutdown
         > placement: web.1#2 on n1 (0/0, of 1)
         > history: a.1 reaped
         > placement: web blocked: no suitable node: not enough free cpu, memory or other resources on 1 node",
    );
}

#[test]
fn an_explanation_is_renewed_when_it_was_about_another_number_of_nodes() {
    check(
        "given node n1 plugin=Volume:ceph:latest | node n2
         given service web volume=ceph
         given node n3 plugin=Volume:ceph:latest
         scale web 2
         > replicas: web.2 created
         > placement: web.2 on n3 (0/0, of 2)
         > placement: web explained: of 3, volume driver 1",
    );
}
