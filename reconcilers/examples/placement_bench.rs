//! How fast placement decides, in memory: `placement_bench [tasks]`, or `placement_bench NODES
//! one-off|grouped TASKS` for one case alone, as callgrind wants it.
//!
//! One-off: each task is a service of its own. Grouped: services of 100 tasks that reserve CPU and
//! memory and have a constraint. "plan" is the deciding alone, "settle" applies the decisions to
//! the tip too.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a bench measures time and reads its arguments"
)]

use skep_projections::{Delta, Stamp, TaskIdx, View};
use skep_proto::{
    Id, Revision, Timestamp, event,
    v1::{
        Annotations, ContainerSpec, NodeDescription, NodeJoined, NodeSpec,
        Placement as PlacementSpec, Platform, Record, Replicated, ResourceRequirements, Resources,
        ServiceCreated, ServiceMode, ServiceSpec, SessionOpened, TaskCreated, TaskSpec, TaskState,
        event::Kind, service_mode::Mode, task_spec::Runtime,
    },
};
use skep_reconcilers::{Brain, Entropy, Reconciler, Turn, placement::Placement};
use std::time::Instant;

/// Tasks that one turn has room for.
const TURN_TASKS: usize = 4_000;
const GROUP: usize = 100;

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    OneOff,
    Grouped,
}

struct Bench {
    view: View,
    entropy: Entropy,
    now: Timestamp,
}

impl Bench {
    fn new(nodes: usize) -> Bench {
        let entropy = Entropy::new([1; 32]);
        let mut bench = Bench { view: View::default(), entropy, now: Timestamp(1_000_000_000) };
        for n in 0..nodes {
            bench.join(n);
        }
        bench
    }

    fn record(&mut self, kind: Kind) -> Delta {
        let revision = self.view.position().revision.next();
        let record = Record { event: Some(event::event(kind)), ..Record::default() };
        let stamp = Stamp { revision, at: self.now, incarnation: 1 };
        self.view.apply(stamp, &record).expect("a known kind")
    }

    fn join(&mut self, n: usize) {
        let id = self.entropy.id().to_bytes();
        let mut spec = NodeSpec::default();
        let labels = [
            ("zone".to_owned(), format!("z{}", n % 5)),
            ("disk".to_owned(), ["ssd", "hdd"][n % 2].to_owned()),
        ];
        spec.annotations =
            Some(Annotations { name: String::new(), labels: labels.into_iter().collect() });
        let description = NodeDescription {
            hostname: format!("node-{n}"),
            platform: Some(Platform { architecture: "amd64".into(), os: "linux".into() }),
            resources: Some(Resources {
                nano_cpus: 64_000_000_000,
                memory_bytes: 256 << 30,
                generic: Vec::new(),
            }),
            features: (1..14).collect(),
            ..NodeDescription::default()
        };
        let (spec, description) = (Some(spec), Some(description));
        self.record(Kind::NodeJoined(Box::new(NodeJoined {
            node_id: id.clone(),
            spec,
            description,
            secret_hash: id.clone(),
        })));
        self.record(Kind::SessionOpened(Box::new(SessionOpened {
            node_id: id,
            session: 1,
            ..SessionOpened::default()
        })));
    }

    /// Creates services and pending tasks for one turn.
    fn ask(&mut self, shape: Shape, tasks: usize) -> Delta {
        let mut delta = Delta::default();
        let each = if shape == Shape::OneOff { 1 } else { GROUP };
        for _ in 0..tasks / each {
            let service = self.entropy.id();
            let spec = Some(spec(shape, service, each));
            self.record(Kind::ServiceCreated(Box::new(ServiceCreated {
                service_id: service.to_bytes(),
                spec,
            })));
            let version = self.view.position().revision.0;
            for slot in 1..=each {
                let created = TaskCreated {
                    task_id: self.entropy.id().to_bytes(),
                    service_id: service.to_bytes(),
                    slot: slot as u64,
                    spec_version: version,
                    desired: TaskState::Running as i32,
                    ..TaskCreated::default()
                };
                delta.merge(&self.record(Kind::TaskCreated(created)));
            }
        }
        delta
    }
}

fn spec(shape: Shape, name: Id, replicas: usize) -> ServiceSpec {
    let container = ContainerSpec { image: "app".into(), ..ContainerSpec::default() };
    let mut task = TaskSpec { runtime: Some(Runtime::Container(container)), ..TaskSpec::default() };
    if shape == Shape::Grouped {
        let reservations =
            Resources { nano_cpus: 100_000_000, memory_bytes: 64 << 20, generic: Vec::new() };
        let resources = ResourceRequirements {
            reservations: Some(reservations),
            ..ResourceRequirements::default()
        };
        task.resources = Some(resources);
        let constraints = vec!["node.labels.disk==ssd".into()];
        task.placement = Some(PlacementSpec { constraints, ..PlacementSpec::default() });
    }
    ServiceSpec {
        annotations: Some(Annotations { name: format!("s{name}"), ..Annotations::default() }),
        task: Some(task),
        mode: Some(ServiceMode {
            mode: Some(Mode::Replicated(Replicated { replicas: replicas as u64 })),
        }),
        ..ServiceSpec::default()
    }
}

/// Nanoseconds for each decision: deciding alone, and with applying.
fn run(nodes: usize, shape: Shape, tasks: usize) -> (f64, f64) {
    let mut bench = Bench::new(nodes);
    let brain = Brain::of(vec![Box::new(Placement)]);
    let (mut plan_ns, mut settle_ns, mut decided) = (0, 0, 0);
    for _ in 0..tasks.div_ceil(TURN_TASKS) {
        let delta = bench.ask(shape, TURN_TASKS);
        let turn = Turn { now: bench.now, entropy: bench.entropy.clone() };
        let began = Instant::now();
        let plan =
            std::hint::black_box(Placement.reconcile(&bench.view, &delta, &turn, usize::MAX));
        plan_ns += began.elapsed().as_nanos();
        let began = Instant::now();
        let settled = brain.settle(&mut bench.view, delta, &turn, usize::MAX);
        settle_ns += began.elapsed().as_nanos();
        // Each service of the grouped ones also explains itself once.
        decided += TURN_TASKS;
        assert_eq!(settled.records.len(), plan.decisions.len());
        assert!(plan.decisions.len() >= TURN_TASKS);
    }
    let index = TaskIdx(0);
    assert!(bench.view.tasks().get(index).is_some_and(|task| task.node.is_some()));
    assert_ne!(bench.view.position().revision, Revision::ZERO);
    wake_up(&mut bench);
    (plan_ns as f64 / decided as f64, settle_ns as f64 / decided as f64)
}

/// A new leader looks for unfinished work where there is none.
fn wake_up(bench: &mut Bench) {
    let brain = Brain::new();
    let turn = Turn { now: bench.now, entropy: bench.entropy.clone() };
    let began = Instant::now();
    let found = brain.resume(&bench.view);
    let settled = brain.settle(&mut bench.view, found, &turn, usize::MAX);
    assert_eq!(settled.records.len(), 0);
    println!("{:>8} ms to find that nothing is left to do", began.elapsed().as_millis());
}

/// Deciding alone, once, for the counting of instructions.
fn once(nodes: usize, shape: Shape, tasks: usize) -> usize {
    let mut bench = Bench::new(nodes);
    let delta = bench.ask(shape, tasks);
    let turn = Turn { now: bench.now, entropy: bench.entropy.clone() };
    decide(&bench.view, &delta, &turn)
}

/// What callgrind is told to count.
#[inline(never)]
fn decide(view: &View, delta: &Delta, turn: &Turn) -> usize {
    std::hint::black_box(Placement.reconcile(view, delta, turn, usize::MAX)).decisions.len()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, or: usize| arguments.get(at).and_then(|word| word.parse().ok()).unwrap_or(or);
    if arguments.len() == 3 {
        let shape = if arguments[1] == "grouped" { Shape::Grouped } else { Shape::OneOff };
        println!("{} decisions", once(number(0, 1_000), shape, number(2, 1_000)));
        return;
    }
    println!(
        "{:>8} {:>8} {:>12} {:>12} {:>14}",
        "nodes", "shape", "plan ns", "settle ns", "decisions/s"
    );
    for nodes in [1_000, 100_000] {
        for (name, shape) in [("one-off", Shape::OneOff), ("grouped", Shape::Grouped)] {
            let (plan, settle) = run(nodes, shape, number(0, 20_000));
            println!("{nodes:>8} {name:>8} {plan:>12.0} {settle:>12.0} {:>14.0}", 1e9 / plan);
        }
    }
}
