//! Clusters that nobody thought of: random happenings, and what must be true after every turn.
//!
//! Each turn also passes through the teller's own checks: silence, and nothing that only the
//! brain's past could tell.

use crate::telling::{ROOM, Teller};
use proptest::prelude::*;
use skep_projections::{Delta, TaskRow, View};
use skep_proto::{
    defaults,
    v1::{NodeAvailability, NodeState, PublishMode, ServiceSpec, TaskState},
};
use skep_reconcilers::Brain;
use std::collections::BTreeMap;

const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];
const SERVICES: [&str; 3] = ["a", "b", "c"];
const SPECS: [&str; 12] = [
    "replicas=3",
    "replicas=2 cpus=1.5 delay=0s",
    "replicas=4 memory=3g",
    "replicas=2 port=tcp:80",
    "replicas=3 max-per-node=1 delay=1s",
    "replicas=2 constraint=node.labels.zone==a",
    "replicas=2 restart=none",
    "replicas=3 restart=on-failure delay=0s",
    "replicas=2 max-attempts=2 delay=0s",
    "replicas=1 platform=linux/arm64",
    "replicas=5 image=two cpus=1",
    "replicas=2 constraint=node.hostname!=n2 delay=20s",
];
const WAITS: [&str; 6] = ["0s", "1s", "5s", "20s", "61s", "11m"];
const SEEN: [&str; 6] = ["preparing", "ready", "running", "complete", "failed exit=1", "shutdown"];

/// Three numbers that choose what happens.
type GeneratedChoice = (u8, u8, u8);

fn pick<'a>(among: &[&'a str], by: u8) -> &'a str {
    among[usize::from(by) % among.len()]
}

/// A statement that fits the view as it is; none where this choice does not.
fn statement(teller: &Teller, (what, which, how): GeneratedChoice) -> Option<String> {
    let view = &teller.world.view;
    let (node, service) = (pick(&NODES, which), pick(&SERVICES, which));
    let known_node = view.nodes_named(node).next().and_then(|index| view.nodes().get(index));
    let known_service = view.service_named(service);
    match what % 16 {
        0..=1 if known_node.is_none() => {
            let extra = pick(&["", "cpus=2", "memory=4g label=zone:a", "arch=arm64", "away"], how);
            let free = view.nodes().by_id(skep_projections::fixture::id("node", node)).is_none();
            free.then(|| format!("node {node} {extra}"))
        }
        2..=3 if known_service.is_none() => {
            let free =
                view.services().by_id(skep_projections::fixture::id("service", service)).is_none();
            free.then(|| format!("service {service} {}", pick(&SPECS, how)))
        }
        2 => Some(format!("update {service} {}", pick(&SPECS, how))),
        3 => Some(format!("scale {service} {}", how % 6)),
        4 => known_service.map(|_| format!("remove {service}")).filter(|_| how % 4 == 0),
        5 => known_node
            .map(|_| format!("{} {node}", pick(&["drain", "pause", "activate", "activate"], how))),
        6 => known_node.map(|_| format!("label {node} zone:{}", pick(&["a", "b"], how))),
        7 => {
            let open = known_node
                .filter(|row| row.session != 0 && row.state != NodeState::Down && !row.silent)?;
            let word = if open.state == NodeState::Ready {
                pick(&["close", "silent"], how)
            } else {
                "open"
            };
            Some(format!("{word} {node}"))
        }
        8 => known_node.filter(|row| row.state != NodeState::Ready).map(|_| format!("open {node}")),
        9 => known_node.map(|_| format!("rmnode {node}")).filter(|_| how % 8 == 0),
        10 => Some(format!("wait {}", pick(&WAITS, how))),
        11 => (how % 8 == 0).then(|| "tenure".to_owned()),
        12 => (how % 4 == 0).then(|| format!("history {}", which % 4)),
        13.. => seen(teller, which, how),
        0..=1 => None,
    }
}

fn seen(teller: &Teller, which: u8, how: u8) -> Option<String> {
    let view = &teller.world.view;
    let placed: Vec<_> =
        view.tasks().iter().filter(|(_, task)| task.node.is_some() && !task.has_ended()).collect();
    let (index, task) = placed.get(usize::from(which) % placed.len().max(1))?;
    let state = pick(&SEEN, how);
    let forward = match state {
        "preparing" => task.state < TaskState::Preparing,
        "ready" => task.state < TaskState::Ready,
        "running" => task.state < TaskState::Running && task.desired == TaskState::Running,
        _ => true,
    };
    let name = teller.world.task_name(*index);
    let name = if name.contains('#') { name } else { format!("{name}#1") };
    forward.then(|| format!("{name} {state}"))
}

fn reserved(spec: &ServiceSpec) -> (i64, i64) {
    let resources = spec.task.as_ref().and_then(|task| task.resources.as_ref());
    resources
        .and_then(|r| r.reservations.as_ref())
        .map_or((0, 0), |r| (r.nano_cpus, r.memory_bytes))
}

fn ports(spec: &ServiceSpec) -> Vec<u32> {
    let ports = spec.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
    let mut ports: Vec<u32> = ports
        .filter(|port| port.publish_mode() == PublishMode::Host)
        .map(|port| port.published_port)
        .collect();
    ports.dedup();
    ports
}

/// No node is given more than it has.
fn check_nodes(view: &View) {
    for (index, node) in view.nodes().iter() {
        let taking: Vec<&TaskRow> =
            view.tasks_on(index).map(|(_, task)| task).filter(|task| !task.has_ended()).collect();
        let specs: Vec<_> = taking.iter().filter_map(|task| view.spec_of(task)).collect();
        let (cpus, memory) =
            specs.iter().map(|spec| reserved(spec)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let has = node.description.resources.as_ref().expect("fixtures' nodes have resources");
        assert!(
            cpus <= has.nano_cpus && memory <= has.memory_bytes,
            "{} is over-full",
            node.hostname()
        );
        let mut taken: Vec<u32> = specs.iter().flat_map(|spec| ports(spec)).collect();
        let count = taken.len();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), count, "a port of {} is taken twice", node.hostname());
        let drained = node.spec.availability() == NodeAvailability::Drain;
        if drained || node.state == NodeState::Down || node.removed {
            assert!(
                !taking.iter().any(|task| task.is_wanted()),
                "{} should be empty",
                node.hostname()
            );
        }
    }
}

/// Each slot has one owner, and each service the slots it wants; what is not placed has a reason.
fn check_services(view: &View) {
    let limit = defaults::task_history_limit(&view.cluster().spec).expect("a limit");
    for (index, service) in view.services().iter() {
        let mut slots: BTreeMap<u32, Vec<&TaskRow>> = BTreeMap::new();
        for (_, task) in view.tasks_of(index) {
            slots.entry(task.slot).or_default().push(task);
        }
        let wanted = |tasks: &Vec<&TaskRow>| tasks.iter().filter(|task| task.is_wanted()).count();
        assert!(
            slots.values().all(|tasks| wanted(tasks) <= 1),
            "two owners of a slot of {}",
            service.name()
        );
        let taken = slots.values().filter(|tasks| wanted(tasks) == 1).count() as u64;
        assert!(taken <= service.replicas(), "{} has more than it wants", service.name());
        let restart = service.spec.task.as_ref().map(defaults::restart).expect("a task spec");
        let always =
            restart.condition == skep_proto::v1::RestartCondition::Any && restart.max_attempts == 0;
        if always && service.specs.len() == 1 && !service.removed {
            assert_eq!(taken, service.replicas(), "{} has less than it wants", service.name());
        }
        let ended = |tasks: &Vec<&TaskRow>| tasks.iter().filter(|task| task.has_ended()).count();
        // Where attempts are counted, those are kept too: never more than two here.
        assert!(
            slots.values().all(|tasks| ended(tasks) <= limit.max(3)),
            "{} remembers too much",
            service.name()
        );
        let waits = view.pending_of(index).next().is_some();
        assert_eq!(waits, service.blocked.is_some(), "{} waits without a reason", service.name());
    }
}

/// What happens in one turn each.
fn play(turns: &[Vec<GeneratedChoice>], room: usize) -> Teller {
    let mut teller = Teller::new(Brain::new());
    for choices in turns {
        let mut delta = Delta::default();
        for choice in choices {
            if let Some(statement) = statement(&teller, *choice) {
                delta.merge(&teller.world.tell(&statement));
            }
        }
        if room == ROOM {
            teller.turn(delta);
        } else {
            let mut rest = teller.settle(delta, room);
            for _ in 0..10_000 {
                if rest.left.is_empty() {
                    break;
                }
                rest = teller.settle(rest.left, room);
            }
            assert!(rest.left.is_empty(), "a cut turn must come to an end");
            assert_eq!(teller.left_undone(), [], "a new leader finds what was left undone");
        }
        assert_eq!(teller.world.view.faults(), Vec::<String>::new(), "an index went astray");
        check_nodes(&teller.world.view);
        check_services(&teller.world.view);
    }
    teller
}

fn turns() -> impl Strategy<Value = Vec<Vec<GeneratedChoice>>> {
    proptest::collection::vec(proptest::collection::vec(any::<GeneratedChoice>(), 1..4), 1..40)
}

// A tenth of the usual 256 cases each: each plays some sixty turns and counts every index again
// after each of them. PROPTEST_CASES asks for more.
proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_cluster_is_in_order_after_the_turn(turns in turns()) {
        play(&turns, ROOM);
    }

    #[test]
    fn however_turns_are_cut_the_cluster_is_in_order_in_the_end(turns in turns(), room in 1usize..9) {
        play(&turns, room);
    }

    #[test]
    fn the_same_story_gives_the_same_records(turns in turns()) {
        let (one, two) = (play(&turns, ROOM), play(&turns, ROOM));
        prop_assert_eq!(one.world.view.digest(), two.world.view.digest());
        prop_assert_eq!(one.world.records, two.world.records);
    }
}
