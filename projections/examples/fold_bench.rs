//! What folding costs: records a second, bytes a task, snapshots, and how the cost grows.
//!
//! `cargo run --release -p skep-projections --example fold_bench [TASKS [WORD]]`: only what
//! contains the word. One thread; each figure is the best of many, since neighbours on the machine
//! only ever add.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a measurement needs a clock"
)]

use prost::Message;
use skep_projections::{Stamp, View, fixture, snapshot};
use skep_proto::{
    Id, Revision, author, event,
    v1::{
        ContainerStatus, NodeJoined, NodeSpec, Reconciler, Record, ServiceCreated, SessionOpened,
        TaskAssigned, TaskCreated, TaskDesired, TaskObserved, TaskState, event::Kind,
    },
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

const ROUNDS: u32 = 15;
const TASKS_PER_SERVICE: u64 = 100;
const SEEN: [TaskState; 5] = [
    TaskState::Accepted,
    TaskState::Preparing,
    TaskState::Ready,
    TaskState::Starting,
    TaskState::Running,
];

struct Counting;
static LIVE: AtomicU64 = AtomicU64::new(0);
static TOTAL: AtomicU64 = AtomicU64::new(0);
#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator; counters are all that is added.
#[allow(unsafe_code, reason = "an allocator that counts can be written in no other way")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // One thread: no need for what a locked instruction costs.
        LIVE.store(LIVE.load(Relaxed) + layout.size() as u64, Relaxed);
        TOTAL.store(TOTAL.load(Relaxed) + layout.size() as u64, Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.store(LIVE.load(Relaxed) - layout.size() as u64, Relaxed);
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Ids as random as real ones.
fn id(kind: u64, n: u64) -> Id {
    let mix = |x: u64| {
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d049bb133111eb);
        x ^ (x >> 31)
    };
    let seed = kind.wrapping_mul(0x9e3779b97f4a7c15).wrapping_add(n);
    Id(u128::from(mix(seed)) << 64 | u128::from(mix(seed ^ 0xabcdef)))
}

struct FoldRun {
    view: View,
}

impl FoldRun {
    fn tell(&mut self, record: &Record) {
        let revision = self.view.position().revision.next();
        let stamp = Stamp { revision, at: fixture::BEGINNING + revision.0 * 1000, incarnation: 1 };
        self.view.apply(stamp, record).expect("known kinds");
    }

    fn replay(&mut self, record: &Record) {
        let revision = self.view.position().revision.next();
        let stamp = Stamp { revision, at: fixture::BEGINNING + revision.0 * 1000, incarnation: 1 };
        self.view.replay(stamp, record).expect("known kinds");
    }

    fn say(&mut self, kind: Kind) {
        self.tell(&Record {
            author: Some(author::manager(Id(7))),
            event: Some(event::event(kind)),
            ..Record::default()
        });
    }
}

fn nodes_of(tasks: u64) -> u64 {
    (tasks / 20).max(10)
}

fn cluster(tasks: u64) -> FoldRun {
    let mut fold = FoldRun { view: View::default() };
    for n in 0..nodes_of(tasks) {
        let description = Some(fixture::node_description(&format!("node-{n}")));
        let node_id = id(1, n).to_bytes();
        fold.say(Kind::NodeJoined(Box::new(NodeJoined {
            node_id: node_id.clone(),
            spec: Some(NodeSpec::default()),
            description,
            ..Default::default()
        })));
        fold.say(Kind::SessionOpened(Box::new(SessionOpened {
            node_id,
            session: n + 1,
            ..SessionOpened::default()
        })));
    }
    fold
}

fn create_services(fold: &mut FoldRun, tasks: u64) {
    for n in 0..tasks.div_ceil(TASKS_PER_SERVICE) {
        let (service_id, spec) =
            (id(2, n).to_bytes(), Some(fixture::service_spec(&format!("service-{n}"))));
        fold.say(Kind::ServiceCreated(Box::new(ServiceCreated { service_id, spec })));
    }
}

fn encoded(kind: Kind) -> Vec<u8> {
    Record {
        author: Some(author::reconciler(Reconciler::Placement)),
        event: Some(event::event(kind)),
        ..Record::default()
    }
    .encode_to_vec()
}

fn creation(view: &View, n: u64) -> Vec<u8> {
    let service_id = id(2, n / TASKS_PER_SERVICE).to_bytes();
    let (_, row) = view.services().by_id(Id::from_bytes(&service_id)).expect("it was created");
    let (task_id, spec_version) = (id(3, n).to_bytes(), row.spec_version.0);
    let (slot, desired) = (n % TASKS_PER_SERVICE + 1, TaskState::Running as i32);
    encoded(Kind::TaskCreated(TaskCreated {
        task_id,
        service_id,
        slot,
        spec_version,
        desired,
        ..Default::default()
    }))
}

fn assignment(tasks: u64, n: u64) -> Vec<u8> {
    let (task_id, node_id) = (id(3, n).to_bytes(), id(1, n % nodes_of(tasks)).to_bytes());
    encoded(Kind::TaskAssigned(TaskAssigned { task_id, node_id, ..Default::default() }))
}

/// One observation as an agent sends it, encoded.
fn observation(tasks: u64, n: u64, state: TaskState) -> Vec<u8> {
    let started = state >= TaskState::Starting;
    let container = started.then(|| ContainerStatus {
        container_ref: format!("{:024x}", n),
        pid: if state >= TaskState::Running { n as i32 } else { 0 },
        exit_code: (state >= TaskState::Complete).then_some(0),
        ..ContainerStatus::default()
    });
    let seen = TaskObserved {
        task_id: id(3, n).to_bytes(),
        state: state as i32,
        observed_at: fixture::BEGINNING.0 + n,
        container,
        ..Default::default()
    };
    let author = Some(author::node(id(1, n % nodes_of(tasks))));
    Record { author, event: Some(event::event(Kind::TaskObserved(seen))), ..Record::default() }
        .encode_to_vec()
}

/// Prints the best of many runs, and gives back the nanoseconds of each of so many.
fn best(what: &str, count: u64, mut run: impl FnMut() -> u64) -> Option<f64> {
    if std::env::args().nth(2).is_some_and(|only| !what.contains(&only)) {
        return None;
    }
    let best = (0..ROUNDS).map(|_| run()).min().unwrap_or(0);
    let each = best as f64 / count as f64;
    println!("{what:<58} {each:>9.0} ns  {:>10.0} /s", 1e9 / each);
    Some(each)
}

fn fold_all(base: &View, encoded: &[Vec<u8>]) -> (u64, FoldRun) {
    // Decoded, so that nothing is shared with the base: as a replay has it.
    let mut fold =
        FoldRun { view: snapshot::decode(&snapshot::encode(base)).expect("what was encoded") };
    let nanos = timed(|| {
        for bytes in encoded {
            fold.replay(&Record::decode(&bytes[..]).expect("what was encoded"));
        }
    });
    (nanos, fold)
}

fn main() {
    let tasks: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10_000);
    println!("{tasks} tasks, {} services, {} nodes", tasks / TASKS_PER_SERVICE, nodes_of(tasks));
    let mut fold = cluster(tasks);
    create_services(&mut fold, tasks);
    let created: Vec<_> = (0..tasks).map(|n| creation(&fold.view, n)).collect();
    let assigned: Vec<_> = (0..tasks).map(|n| assignment(tasks, n)).collect();
    best("decode and fold a creation", tasks, || fold_all(&fold.view, &created).0);
    let before = LIVE.load(Relaxed);
    created
        .iter()
        .for_each(|bytes| fold.tell(&Record::decode(&bytes[..]).expect("what was encoded")));
    best("decode and fold an assignment", tasks, || fold_all(&fold.view, &assigned).0);
    assigned
        .iter()
        .for_each(|bytes| fold.tell(&Record::decode(&bytes[..]).expect("what was encoded")));
    println!("bytes a task, assigned: {}", (LIVE.load(Relaxed) - before) / tasks);
    // Tasks in an order that is not the order of anything in the view.
    let order: Vec<u64> = (0..tasks).map(|n| n * 7919 % tasks).collect();
    let lives: Vec<_> = SEEN
        .iter()
        .flat_map(|state| order.iter().map(|n| observation(tasks, *n, *state)))
        .collect();
    let decode = || {
        timed(|| {
            let known =
                |bytes: &&Vec<u8>| Record::decode(&bytes[..]).is_ok_and(|r| r.author.is_some());
            assert_eq!(lives.iter().filter(known).count(), lives.len());
        })
    };
    let decoded = best("decode an observation", lives.len() as u64, decode);
    let folded =
        best("decode and fold an observation, accepted … running", lives.len() as u64, || {
            fold_all(&fold.view, &lives).0
        });
    if let (Some(decoded), Some(folded)) = (decoded, folded) {
        println!("folding beside bare decoding: {:.2} of its rate", decoded / folded);
    }
    let assigned = LIVE.load(Relaxed);
    for bytes in &lives {
        fold.tell(&Record::decode(&bytes[..]).expect("what was encoded"));
    }
    println!(
        "bytes a task more, running with a container: {}",
        (LIVE.load(Relaxed) - assigned) / tasks
    );
    let ends: Vec<_> = order.iter().map(|n| observation(tasks, *n, TaskState::Complete)).collect();
    best("decode and fold an end", tasks, || fold_all(&fold.view, &ends).0);
    turns(&fold, tasks, &order);
    let bytes = snapshot::encode(&fold.view);
    println!("snapshot: {} bytes a task", bytes.len() as u64 / tasks);
    best("snapshot encode, each task", tasks, || timed(|| drop(snapshot::encode(&fold.view))));
    best("snapshot decode, each task", tasks, || {
        timed(|| drop(snapshot::decode(&bytes).expect("what was encoded")))
    });
    let start = LIVE.load(Relaxed);
    let anew = snapshot::decode(&bytes).expect("what was encoded");
    println!(
        "bytes a task and its share of nodes and services, decoded: {}",
        (LIVE.load(Relaxed) - start) / tasks
    );
    assert_eq!(anew.digest(), fold.view.digest());
    assert_eq!(anew.position().revision, Revision(fold.view.position().revision.0));
}

/// The commit path: a reader holds the view of the turn before while one record is folded in.
fn turns(fold: &FoldRun, tasks: u64, order: &[u64]) {
    let wanted = |n: u64| {
        Kind::TaskDesired(TaskDesired {
            task_id: id(3, n).to_bytes(),
            desired: TaskState::Shutdown as i32,
            reason: 2,
        })
    };
    let count = order.len().min(20_000);
    let mut bytes = 0;
    best("a turn of one record (clone, then stop a task)", count as u64, || {
        let mut fold = FoldRun { view: fold.view.clone() };
        let allocated = TOTAL.load(Relaxed);
        let mut held = fold.view.clone();
        let nanos = timed(|| {
            for n in &order[..count] {
                held = fold.view.clone();
                fold.say(wanted(*n));
            }
        });
        assert!(held.position() < fold.view.position() && tasks > 0);
        bytes = (TOTAL.load(Relaxed) - allocated) / count as u64;
        nanos
    });
    println!("bytes allocated by such a turn: {bytes}");
}

fn timed(run: impl FnOnce()) -> u64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as u64
}
