//! Placement against a scheduler that looks at every node for every task.
//!
//! The naive one needs no classes, heaps or overlays: it filters and sorts all nodes, places one
//! task, and starts again. Both must choose the same node for every task, and count the same.

use crate::telling::ROOM;
use proptest::prelude::*;
use skep_projections::{NodeRow, View, fixture::World};
use skep_proto::{
    Id,
    constraint::Constraint,
    v1::{PublishMode, ServiceSpec, event::Kind},
};
use skep_reconcilers::{Brain, Entropy, Turn};
use std::collections::BTreeMap;

/// What a node has left and runs, as the naive scheduler keeps it.
#[derive(Clone)]
struct OracleMachine {
    row: NodeRow,
    id: String,
    load: u32,
    cpus: i64,
    memory: i64,
    ports: Vec<u32>,
    of_service: BTreeMap<Id, u32>,
}

fn machines(view: &View) -> Vec<OracleMachine> {
    let mut machines: Vec<_> = view.nodes().iter().filter(|(_, row)| row.is_placeable()).collect();
    machines.sort_by_key(|(index, _)| *index);
    let machine = |(index, row): (skep_projections::NodeIdx, &NodeRow)| {
        let mut of_service = BTreeMap::new();
        for (_, task) in view.tasks_on(index).filter(|(_, task)| task.is_live()) {
            let service = view.services().get(task.service).expect("a task has a service").id;
            *of_service.entry(service).or_default() += 1;
        }
        OracleMachine {
            row: row.clone(),
            id: row.id.to_string(),
            load: row.live_tasks,
            cpus: row.free_nano_cpus(),
            memory: row.free_memory_bytes(),
            ports: row.host_ports.iter().map(|(_, port)| *port).collect(),
            of_service,
        }
    };
    machines.into_iter().map(machine).collect()
}

fn reserved(spec: &ServiceSpec) -> (i64, i64) {
    let resources = spec.task.as_ref().and_then(|task| task.resources.as_ref());
    resources
        .and_then(|r| r.reservations.as_ref())
        .map_or((0, 0), |r| (r.nano_cpus, r.memory_bytes))
}

fn ports(spec: &ServiceSpec) -> Vec<u32> {
    let all = spec.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
    all.filter(|port| port.publish_mode() == PublishMode::Host)
        .map(|port| port.published_port)
        .collect()
}

fn fits(view: &View, machine: &OracleMachine, service: Id, spec: &ServiceSpec) -> bool {
    let placement = spec.task.as_ref().and_then(|task| task.placement.clone()).unwrap_or_default();
    let class = view.class(machine.row.class).expect("a node that counts has a class");
    let subject = machine.row.subject(&machine.id, &class.key);
    let constraints =
        placement.constraints.iter().map(|text| Constraint::parse(text).expect("a good one"));
    let platform = |p: &skep_proto::v1::Platform| {
        (p.os.is_empty() || p.os == class.key.machine.os)
            && (p.architecture.is_empty() || p.architecture == class.key.machine.arch)
    };
    let (cpus, memory) = reserved(spec);
    let max = placement.max_replicas_per_node;
    constraints.into_iter().all(|constraint| constraint.admits(&subject))
        && (placement.platforms.is_empty() || placement.platforms.iter().any(platform))
        && (ports(spec).is_empty() || class.key.machine.features.contains(&5))
        && (cpus == 0 || cpus <= machine.cpus)
        && (memory == 0 || memory <= machine.memory)
        && !ports(spec).iter().any(|port| machine.ports.contains(port))
        && (max == 0 || u64::from(machine.of_service.get(&service).copied().unwrap_or(0)) < max)
}

/// Indexes the tasks one by one; answers the node of each, or none.
fn naive(view: &View) -> BTreeMap<Id, Option<Id>> {
    let mut machines = machines(view);
    let mut answer = BTreeMap::new();
    for (service, version, task) in view.pending() {
        let row = view.services().get(service).expect("a task has a service");
        let spec = row.spec_at(version).expect("a spec that tasks refer to");
        let fit = machines.iter_mut().filter(|machine| fits(view, machine, row.id, spec));
        let of = |machine: &OracleMachine| machine.of_service.get(&row.id).copied().unwrap_or(0);
        let best = fit
            .enumerate()
            .min_by_key(|(nth, machine)| (of(machine), machine.load, *nth))
            .map(|(_, m)| m);
        let task = view.tasks().get(task).expect("a pending task").id;
        answer.insert(task, best.as_ref().map(|machine| machine.row.id));
        if let Some(machine) = best {
            let (cpus, memory) = reserved(spec);
            machine.load += 1;
            machine.cpus -= cpus;
            machine.memory -= memory;
            machine.ports.extend(ports(spec));
            *machine.of_service.entry(row.id).or_default() += 1;
        }
    }
    answer
}

const NODES: [&str; 6] =
    ["", "cpus=1", "label=zone:a", "label=zone:a memory=2g", "arch=arm64", "features=none"];
const SPECS: [&str; 10] = [
    "",
    "cpus=0.5",
    "cpus=1 memory=1g",
    "port=tcp:80",
    "port=tcp:81 cpus=0.2",
    "constraint=node.labels.zone==a",
    "constraint=node.labels.zone!=a memory=3g",
    "max-per-node=1",
    "constraint=node.hostname!=n1",
    "platform=linux/amd64 max-per-node=2 cpus=0.1",
];

/// A cluster whose tasks have all been created and none of the new ones placed.
fn world(nodes: &[u8], before: &[(u8, u8)], services: &[(u8, u8)]) -> World {
    let mut world = World::empty();
    for (n, kind) in nodes.iter().enumerate() {
        world.tell(&format!("node n{n} {}", NODES[usize::from(*kind) % NODES.len()]));
    }
    if !before.is_empty() {
        world.tell("service old");
    }
    for (slot, (node, _)) in before.iter().enumerate() {
        let node = usize::from(*node) % nodes.len();
        world.tell(&format!("task old.{} on n{node} running", slot + 1));
    }
    for (s, (spec, tasks)) in services.iter().enumerate() {
        world.tell(&format!("service s{s} {}", SPECS[usize::from(*spec) % SPECS.len()]));
        for slot in 1..=tasks % 8 {
            world.tell(&format!("task s{s}.{slot}"));
        }
        // Some of the service is there already.
        if tasks % 3 == 0 {
            world.tell(&format!("task s{s}.9 on n{}", usize::from(*tasks) % nodes.len()));
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn placement_chooses_what_the_naive_scheduler_chooses(
        nodes in proptest::collection::vec(any::<u8>(), 1..9),
        before in proptest::collection::vec(any::<(u8, u8)>(), 0..12),
        services in proptest::collection::vec(any::<(u8, u8)>(), 1..8),
    ) {
        let mut world = world(&nodes, &before, &services);
        let expected = naive(&world.view);
        let brain = Brain::of(vec![Box::new(skep_reconcilers::placement::Placement)]);
        let turn = Turn { now: world.now, entropy: Entropy::new([3; 32]) };
        let found = brain.resume(&world.view);
        let settled = brain.settle(&mut world.view, found, &turn, ROOM);
        let mut chosen: BTreeMap<Id, Option<Id>> = expected.keys().map(|task| (*task, None)).collect();
        for record in settled.records {
            if let Some(Kind::TaskAssigned(assigned)) = record.event.and_then(|event| event.kind) {
                chosen.insert(Id::from_bytes(&assigned.task_id), Some(Id::from_bytes(&assigned.node_id)));
            }
        }
        prop_assert_eq!(chosen, expected);
    }
}
