//! A hundred services of a hundred replicas at once, on nodes whose agents only answer: `burst
//! [NODES]`.
//!
//! Through the real turn and the real log, synced; no gRPC and no containers. Prints Markdown rows:
//! the time until all is accepted, expanded, placed and synced; the log that a task's whole life
//! costs; and a restart with all of it.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::{Result, bail, ensure};
use skep_gateway::{
    admit::{CertificateAsked, CertificateClaim, MachineRequest, Newcomer, Request, TaskReport},
    drive::{Drive, DriveState, ManagerIdentity, NoLeaderLink},
    metrics::MetricCounters,
    turn::Answer,
};
use skep_log::{Config, Log};
use skep_projections::{View, trust::IssuedCertificate};
use skep_proto::{Id, Timestamp, author, v1};
use std::{env, path::Path, sync::Arc, thread::JoinHandle, time};

const SERVICES: usize = 100;
const REPLICAS: u64 = 100;
const MANAGER: Id = Id(42);

struct BurstCluster {
    drive: Drive,
    log: Arc<Log>,
    turns: JoinHandle<()>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let nodes: u128 = env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(100);
    let dir = env::temp_dir().join(format!("skep-burst-{}", std::process::id()));
    let cluster = open(&dir).await?;
    for node in 1..=nodes {
        cluster.join(Id(1_000 + node)).await?;
    }
    let empty = cluster.log.space().log_bytes;
    println!("| what | measured |\n|---|---|");

    let begun = time::Instant::now();
    let creating = (0..SERVICES).map(|number| cluster.command(create(number)));
    for created in futures::future::join_all(creating).await {
        created?;
    }
    // A turn that fills an entry goes on in the next one: the answers are there before the last
    // task is placed.
    let assigned = SERVICES * REPLICAS as usize;
    let mut published = cluster.drive.published();
    let all_placed =
        |view: &View| view.tasks().len() == assigned && view.pending().next().is_none();
    published.wait_for(|newest| all_placed(&newest.view)).await?;
    println!(
        "| {SERVICES} × {REPLICAS} tasks accepted, expanded, placed on {nodes} nodes, synced | {:?} |",
        begun.elapsed()
    );

    cluster.report(&[v1::TaskState::Preparing, v1::TaskState::Running]).await?;
    cluster.close().await;
    let begun = time::Instant::now();
    let cluster = open(&dir).await?;
    println!("| restart with {assigned} tasks, to reads and writes | {:?} |", begun.elapsed());
    for node in 1..=nodes {
        cluster.session(Id(1_000 + node)).await?;
    }
    cluster.report(&[v1::TaskState::Complete]).await?;
    for number in 0..SERVICES {
        cluster
            .command(v1::command::Action::RemoveService(v1::RemoveService {
                service: name(number),
            }))
            .await?;
    }
    let mut published = cluster.drive.published();
    published.wait_for(|newest| newest.view.tasks().is_empty()).await?;
    let life = (cluster.log.space().log_bytes - empty) / assigned as u64;
    println!("| log of a task's whole life (created, placed, 3 reports, reaped) | {life} B |");
    cluster.close().await;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Opens the log and waits until a write goes through.
async fn open(dir: &Path) -> Result<BurstCluster> {
    std::fs::create_dir_all(dir)?;
    let genesis = v1::ClusterSpec::default();
    let identity =
        ManagerIdentity { node: MANAGER, code_version: "burst".into(), genesis, safe_mode: false };
    let state = DriveState::new(identity, Arc::new(MetricCounters::default()));
    let log = Arc::new(Log::open(Config::new(dir.join("log"), MANAGER), state.fold()).await?);
    let (drive, turns) = Drive::start(log.clone(), state, Arc::new(NoLeaderLink));
    let cluster = BurstCluster { drive, log, turns };
    let wait = time::Instant::now();
    while cluster.drive.newest().view.cluster().id.is_none()
        || !cluster.log.status().borrow().leader
    {
        ensure!(wait.elapsed() < time::Duration::from_secs(10), "no leader");
        tokio::time::sleep(time::Duration::from_millis(1)).await;
    }
    cluster.drive.read().await;
    Ok(cluster)
}

impl BurstCluster {
    async fn ask(&self, request: Request) -> Result<()> {
        let alice =
            author::person(v1::Person { uid: 1000, name: "alice".into(), ..v1::Person::default() });
        match self.drive.ask(alice, request, 128).await {
            Answer::Accepted { .. } => Ok(()),
            Answer::Refused(refusal) => bail!("{}", refusal.message),
            Answer::Unknown(why) => bail!(why),
        }
    }

    async fn command(&self, action: v1::command::Action) -> Result<()> {
        self.ask(Request::Command(v1::Command { action: Some(action), ..v1::Command::default() }))
            .await
    }

    async fn join(&self, node: Id) -> Result<()> {
        let newcomer = Newcomer { spec: v1::NodeSpec::default(), description: description(node) };
        let certificate = IssuedCertificate {
            role: v1::NodeRole::Worker,
            serial: [1; 16],
            not_before: Timestamp(1),
            not_after: Timestamp(2),
        };
        let claim = CertificateClaim::Newcomer(newcomer.into());
        let asked = CertificateAsked { node, key_hash: [1; 32], claim, certificate };
        self.ask(Request::Machine(MachineRequest::Certify(Box::new(asked)))).await?;
        self.session(node).await
    }

    async fn session(&self, node: Id) -> Result<()> {
        self.ask(Request::Machine(MachineRequest::Open {
            node,
            session: 7,
            description: description(node).into(),
            conditions: Vec::new(),
            address: String::new(),
            manager: Id::NONE,
        }))
        .await
    }

    /// Every node says of all its tasks that they are in these states, one after the other.
    async fn report(&self, states: &[v1::TaskState]) -> Result<()> {
        for state in states {
            let view = self.drive.newest().view.clone();
            let reports = view.nodes().iter().map(|(node_idx, node)| {
                let seen = |id: Id| v1::TaskObserved {
                    task_id: id.to_bytes(),
                    state: *state as i32,
                    ..Default::default()
                };
                let tasks = view.tasks_on(node_idx).map(|(_, task)| seen(task.id)).collect();
                let tasks = TaskReport::read_all(tasks);
                self.ask(Request::Machine(MachineRequest::Report { node: node.id, tasks }))
            });
            for reported in futures::future::join_all(reports).await {
                reported?;
            }
        }
        Ok(())
    }

    async fn close(self) {
        self.drive.stop();
        // A thread that panicked has said so.
        self.turns.join().ok();
        Log::clone(&self.log).close().await;
    }
}

fn name(number: usize) -> String {
    format!("service{number}")
}

fn create(number: usize) -> v1::command::Action {
    let container = v1::ContainerSpec { image: "run".into(), ..v1::ContainerSpec::default() };
    let restart = v1::RestartPolicy {
        condition: v1::RestartCondition::None as i32,
        ..v1::RestartPolicy::default()
    };
    v1::command::Action::CreateService(Box::new(v1::CreateService {
        spec: Some(v1::ServiceSpec {
            annotations: Some(v1::Annotations { name: name(number), ..v1::Annotations::default() }),
            task: Some(v1::TaskSpec {
                runtime: Some(v1::task_spec::Runtime::Container(container)),
                restart: Some(restart),
                ..v1::TaskSpec::default()
            }),
            mode: Some(v1::ServiceMode {
                mode: Some(v1::service_mode::Mode::Replicated(v1::Replicated {
                    replicas: REPLICAS,
                })),
            }),
            ..v1::ServiceSpec::default()
        }),
    }))
}

fn description(node: Id) -> v1::NodeDescription {
    v1::NodeDescription {
        hostname: format!("node{}", node.0),
        platform: Some(v1::Platform { architecture: "amd64".into(), os: "linux".into() }),
        resources: Some(v1::Resources {
            nano_cpus: 64_000_000_000,
            memory_bytes: 1 << 38,
            generic: Vec::new(),
        }),
        features: vec![1, 11],
        ..v1::NodeDescription::default()
    }
}
