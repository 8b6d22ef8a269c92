//! What reading costs: the cluster at a past revision of a long log, and a list of ten thousand
//! tasks.
//!
//! `cargo run --release -p skep-gateway --example read_bench [RECORDS [TASKS]]`. A log of so many
//! records, in which tasks of 100 services end and are replaced again and again, is written to a
//! folder in /var/tmp and read back.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use prost::Message as _;
use skep_gateway::{
    history::{Past, PastError, names, select::Selection, tell::RecordFeed, why},
    show::list,
};
use skep_log::{Config, Draft, Entry, Fold, Frozen, Halt, Hash, Log, RestoreError, seal};
use skep_projections::{Delta, View, apply::Stamp, fixture, snapshot};
use skep_proto::{Id, Lineage, Position, Revision, Timestamp, author, event, time::SECOND_NS, v1};
use std::{
    collections::VecDeque,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

const SERVICES: u64 = 100;
const NODES: u64 = 100;
const ENTRY_RECORDS: usize = 100;
/// Entries proposed before the first of them is awaited.
const IN_FLIGHT: usize = 64;

struct FoldedView(View);

impl Fold for FoldedView {
    fn apply(&mut self, entry: &Arc<Entry>) -> Result<(), Halt> {
        let halt = |message: String| Halt { message };
        for (revision, record) in entry.decode().map_err(|error| halt(error.to_string()))? {
            let stamp = Stamp { revision, at: entry.at(), incarnation: entry.header.incarnation };
            self.0
                .apply_into(stamp, &record, &mut Delta::default())
                .map_err(|error| halt(error.message))?;
        }
        Ok(())
    }

    fn announce(&mut self) {}

    fn freeze(&self) -> Frozen {
        let view = self.0.clone();
        Box::new(move || snapshot::encode(&view))
    }

    fn restore(&mut self, _: Position, _: Hash, bytes: &[u8]) -> Result<(), RestoreError> {
        self.0 =
            snapshot::decode(bytes).map_err(|error| RestoreError::damaged(error.to_string()))?;
        Ok(())
    }
}

fn record(by: v1::Reconciler, kind: v1::event::Kind) -> v1::Record {
    v1::Record {
        author: Some(author::reconciler(by)),
        event: Some(event::event(kind)),
        ..v1::Record::default()
    }
}

/// An id that looks random and is the same in each run.
fn id(kind: u64, number: u64) -> Id {
    let mixed = (number + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(17)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    Id(u128::from(mixed) << 64 | u128::from(kind) << 48 | u128::from(number))
}

fn beginning(services: u64) -> Vec<v1::Record> {
    let mut records = vec![
        record(
            v1::Reconciler::Unspecified,
            v1::event::Kind::TenureBegun(v1::TenureBegun { term: 1, code_version: "bench".into() }),
        ),
        record(
            v1::Reconciler::Unspecified,
            v1::event::Kind::ClusterCreated(Box::new(v1::ClusterCreated {
                cluster_id: Id(1).to_bytes(),
                spec: Some(v1::ClusterSpec::default()),
            })),
        ),
    ];
    for n in 0..NODES {
        let node_id = id(1, n).to_bytes();
        let description = Some(fixture::node_description(&format!("n{n}")));
        let joined = v1::NodeJoined {
            node_id: node_id.clone(),
            description,
            spec: Some(v1::NodeSpec::default()),
            ..v1::NodeJoined::default()
        };
        records.push(record(
            v1::Reconciler::Unspecified,
            v1::event::Kind::NodeJoined(Box::new(joined)),
        ));
        let session = n + 1;
        let opened = v1::SessionOpened { node_id, session, ..v1::SessionOpened::default() };
        records.push(record(
            v1::Reconciler::Unspecified,
            v1::event::Kind::SessionOpened(Box::new(opened)),
        ));
    }
    for n in 0..services {
        let spec = Some(fixture::service_spec(&format!("s{n}")));
        let created = v1::ServiceCreated { service_id: id(2, n).to_bytes(), spec };
        records.push(record(
            v1::Reconciler::Unspecified,
            v1::event::Kind::ServiceCreated(Box::new(created)),
        ));
    }
    records
}

/// The whole life of one task up to its running, in place of one that has failed and leaves the
/// view.
fn life(number: u64, slot: u64, replaced: Option<u64>) -> Vec<v1::Record> {
    let (task_id, service) = (id(3, number).to_bytes(), slot % SERVICES);
    let node_id = id(1, (number * 7) % NODES).to_bytes();
    let mut records = Vec::with_capacity(10);
    let seen = |task_id: &bytes::Bytes, state: v1::TaskState| {
        let seen = v1::TaskObserved {
            task_id: task_id.clone(),
            state: state as i32,
            ..v1::TaskObserved::default()
        };
        v1::Record {
            author: Some(author::node(id(1, (number * 7) % NODES))),
            ..record(v1::Reconciler::Unspecified, v1::event::Kind::TaskObserved(seen))
        }
    };
    let old = replaced.map(|old| id(3, old).to_bytes());
    if let Some(old) = &old {
        records.push(seen(old, v1::TaskState::Failed));
        let (desired, reason) = (v1::TaskState::Shutdown as i32, v1::DesireReason::Ended as i32);
        records.push(record(
            v1::Reconciler::Restart,
            v1::event::Kind::TaskDesired(v1::TaskDesired { task_id: old.clone(), desired, reason }),
        ));
    }
    let created = v1::TaskCreated {
        task_id: task_id.clone(),
        service_id: id(2, service).to_bytes(),
        slot: slot / SERVICES + 1,
        spec_version: 3 + 2 * NODES + service,
        desired: v1::TaskState::Running as i32,
        replaces_id: old.clone().unwrap_or_default(),
        ..v1::TaskCreated::default()
    };
    records.push(record(v1::Reconciler::Replicas, v1::event::Kind::TaskCreated(created)));
    let assigned = v1::TaskAssigned {
        task_id: task_id.clone(),
        node_id,
        candidates: NODES as u32,
        ..v1::TaskAssigned::default()
    };
    records.push(record(v1::Reconciler::Placement, v1::event::Kind::TaskAssigned(assigned)));
    records.extend(
        [v1::TaskState::Preparing, v1::TaskState::Starting, v1::TaskState::Running]
            .map(|state| seen(&task_id, state)),
    );
    records.extend(old.map(|task_id| {
        record(
            v1::Reconciler::History,
            v1::event::Kind::TaskReaped(v1::TaskReaped {
                task_id,
                service_id: id(2, service).to_bytes(),
            }),
        )
    }));
    records
}

async fn write(log: &Log, records: u64, tasks: u64) -> Result<(), Box<dyn Error>> {
    let (mut parent, mut next, mut number) = (Hash::ZERO, 1, 0);
    let mut waiting = beginning(SERVICES);
    let mut standing: Vec<Option<u64>> = vec![None; tasks as usize];
    let mut in_flight = VecDeque::new();
    while next <= records {
        while waiting.len() < ENTRY_RECORDS {
            let slot = number % tasks;
            waiting.extend(life(number, slot, standing[slot as usize].replace(number)));
            number += 1;
        }
        let later = waiting.split_off(ENTRY_RECORDS.min(waiting.len()));
        let entry = seal(&Draft {
            parent,
            incarnation: 1,
            first_revision: Revision(next),
            at: Timestamp(fixture::BEGINNING.0 + next * SECOND_NS / 100),
            feature_level: 1,
            code_version: "bench".into(),
            lineage: Lineage::NONE,
            made_from: None,
            records: std::mem::replace(&mut waiting, later).into_iter().collect(),
        });
        (parent, next) = (entry.hash, next + entry.records.len() as u64);
        in_flight.push_back(log.propose(entry));
        if in_flight.len() > IN_FLIGHT
            && let Some(oldest) = in_flight.pop_front()
        {
            oldest.await?;
        }
    }
    for proposal in in_flight {
        proposal.await?;
    }
    Ok(())
}

fn say(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!("{what}: median {median:.1?}, worst {worst:.1?} of {}", times.len());
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let result = work();
    (started.elapsed(), result)
}

fn read(past: &Past, newest: Revision) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    for n in 0..40u64 {
        let revision = Revision(1 + (n * 7_919_171) % newest.0);
        // A handle of its own, so that nothing is remembered from the one before.
        let (took, view) = timed(|| Past::new(past.history().clone()).view_at(revision));
        assert_eq!(view?.position().revision, revision);
        times.push(took);
    }
    say("a past view", times);
    let view = past.view_at(newest)?;
    eprintln!("at the end: {} tasks", view.tasks().len());
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..20 {
        let (took, encoded) = timed(|| {
            let tasks =
                list::tasks(&view, &v1::ListRequest::default()).expect("nothing is filtered");
            v1::TaskList { tasks, revision: newest.0, answered_at: 0 }.encode_to_vec()
        });
        bytes = encoded.len();
        times.push(took);
    }
    say(&format!("a list of {} tasks, encoded to {bytes} bytes", view.tasks().len()), times);
    let (took, ids) = timed(|| names::named(past, "s7"));
    eprintln!("the first question for a name: {took:.1?}, {} found", ids?.len());
    let mut times = Vec::new();
    for service in 7..27 {
        let (took, told) = timed(|| newest_of(past, &view, &format!("s{service}"), newest));
        assert_eq!(told?, 20);
        times.push(took);
    }
    eprintln!("the log of a service, newest 20, the first one: {:.1?}", times[0]);
    say("the log of a service, newest 20, of other services", times.split_off(1));
    let (took, why) = timed(|| why::why(past, &view, "s7.1"));
    eprintln!("why: {took:.1?}: {}", why?.verdict);
    Ok(())
}

/// Reads the newest 20 records of a service; answers how many there were.
fn newest_of(past: &Past, view: &View, service: &str, newest: Revision) -> Result<u32, PastError> {
    let request =
        v1::LogRequest { objects: vec![service.into()], tail: 20, ..v1::LogRequest::default() };
    let mut told = 0;
    let selection = Selection::of(&request, past, view)?;
    RecordFeed::new(past.clone(), view, selection).tell(view, Revision(1), newest, 20, |_| {
        told += 1;
        true
    })?;
    Ok(told)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(1_000_000), |word| word.parse())?;
    let tasks: u64 = arguments.next().map_or(Ok(10_000), |word| word.parse())?;
    let dir = tempfile::tempdir_in("/var/tmp")?;
    let config = Config { min_free: 0.0, ..Config::new(dir.path(), Id(1)) };
    let log = Log::open(config, FoldedView(View::default())).await?;
    let started = Instant::now();
    write(&log, records, tasks).await?;
    eprintln!("{records} records written in {:.1?}", started.elapsed());
    let past = Past::new(log.history());
    let newest = past.newest().revision;
    tokio::task::spawn_blocking(move || read(&past, newest).map_err(|error| error.to_string()))
        .await??;
    log.close().await;
    Ok(())
}
