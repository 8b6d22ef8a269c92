//! Assignments to many sessions at once: `fanout SKEP [FEW] [MANY]`. Markdown rows to stdout.
//!
//! A real daemon, and agents that only listen, each with a certificate, a connection over mutual
//! TLS and a session of its own. First a burst: how many assignments a second reach a thousand
//! sessions, from the first command on, everything decided and synced. Then single services, one
//! task each, with few sessions and with a hundred times as many: what one such record costs the
//! daemon must not grow with those that it does not concern.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::{Context, Result, ensure};
use skep_proto::v1::{
    self, command, dispatcher_client, from_agent, service_mode, task_spec::Runtime, to_agent,
};
use skep_tests::duel::{median, skep::Skep};
use skep_tests::machine;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use std::{env, path, time::Duration, time::Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Sessions of the burst.
const SESSIONS: usize = 1_000;
/// Services of the burst, and their replicas.
const SERVICES: usize = 100;
const REPLICAS: u64 = 1_000;
/// Services of one task, for the cost of a record: so many that snapshots, which come in steps, are
/// in it as they are in a long life.
const SINGLES: usize = 20_000;
/// Rounds of them, with few sessions and with many in turn.
const ROUNDS: usize = 3;
/// Commands of one message.
const TOGETHER: usize = 100;
/// Sessions that are opened before their welcomes are waited for: the manager refuses streams where
/// too many wait for their hello, and these agents do not come again.
const GREETED_TOGETHER: usize = 1_000;
/// Where the daemon's door is.
const DOOR: &str = "127.0.0.1:2377";
/// So long that no heartbeat is due while it is measured.
const FLAGS: [&str; 4] = ["--runtime", "process", "--heartbeat-period", "300s"];

/// What the listening agents have heard.
#[derive(Default)]
struct AssignmentsHeard {
    welcomes: AtomicUsize,
    assignments: AtomicUsize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let program =
        path::PathBuf::from(arguments.first().context("usage: fanout SKEP [FEW] [MANY]")?);
    let number = |at: usize, default: usize| {
        arguments.get(at).and_then(|w| w.parse().ok()).unwrap_or(default)
    };
    let (few, many) = (number(1, 100), number(2, 10_000));
    println!("| what | measured |\n|---|---|");
    burst(&program).await?;
    let (mut cheap, mut dear, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (one, other) = (singly(&program, few).await?, singly(&program, many).await?);
        cheap.push(one);
        dear.push(other);
        ratios.push(other / one);
    }
    println!("| CPU of one service of one task, {few} sessions | {:.1} µs |", median(cheap));
    println!("| the same, {many} sessions | {:.1} µs, × {:.2} |", median(dear), median(ratios));
    Ok(())
}

async fn burst(program: &path::Path) -> Result<()> {
    let (dir, skep, heard, _open) = start(program, SESSIONS).await?;
    let cpu = skep.server.cpu()?;
    let begun = Instant::now();
    skep.submit((0..SERVICES).map(|number| create(number, REPLICAS)).collect()).await?;
    let all = SERVICES * REPLICAS as usize;
    until(&heard.assignments, all).await?;
    let took = begun.elapsed().as_secs_f64();
    let cpu = (skep.server.cpu()? - cpu).as_secs_f64();
    println!(
        "| {all} assignments decided, synced and heard by {SESSIONS} sessions | {took:.2} s, {:.0} a second, {:.1} µs of CPU each |",
        all as f64 / took,
        cpu * 1e6 / all as f64
    );
    drop(skep);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// The daemon's CPU for a service of one task, microseconds.
async fn singly(program: &path::Path, sessions: usize) -> Result<f64> {
    let (dir, skep, heard, _open) = start(program, sessions).await?;
    let cpu = skep.server.cpu()?;
    for first in (0..SINGLES).step_by(TOGETHER) {
        skep.submit((first..first + TOGETHER).map(|number| create(number, 1)).collect()).await?;
    }
    until(&heard.assignments, SINGLES).await?;
    let cpu = (skep.server.cpu()? - cpu).as_secs_f64();
    drop(skep);
    std::fs::remove_dir_all(&dir)?;
    Ok(cpu * 1e6 / SINGLES as f64)
}

type FanoutDaemon = (path::PathBuf, Skep, Arc<AssignmentsHeard>, Vec<mpsc::Sender<v1::FromAgent>>);

/// A daemon and so many open sessions; its own node takes no tasks.
async fn start(program: &path::Path, sessions: usize) -> Result<FanoutDaemon> {
    let dir = env::temp_dir().join(format!("skep-fanout-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let skep = Skep::start(program, &dir, &FLAGS).await?;
    let availability = Some(v1::NodeAvailability::Drain as i32);
    skep.submit(vec![command::Action::UpdateNode(v1::UpdateNode {
        node: "bench".into(),
        availability,
        ..v1::UpdateNode::default()
    })])
    .await?;
    let listen_address = DOOR.to_owned();
    let asked = v1::ChoosePortRequest { listen_address, ..v1::ChoosePortRequest::default() };
    let mut membership = v1::membership_client::MembershipClient::new(skep.channel(0));
    let chosen = membership.choose_port(asked).await?.into_inner();
    skep.submit(vec![command::Action::OpenPort(v1::OpenPort {
        node_id: chosen.node_id.clone(),
        listen_address: chosen.listen_address.clone(),
        advertise_address: chosen.advertise_address.clone(),
    })])
    .await?;
    membership.await_port(chosen).await?;
    let heard = Arc::new(AssignmentsHeard::default());
    let mut open = Vec::with_capacity(sessions);
    for number in 0..sessions {
        open.push(attach(&skep, number, heard.clone()).await?);
        if open.len().is_multiple_of(GREETED_TOGETHER) {
            until(&heard.welcomes, open.len()).await?;
        }
    }
    until(&heard.welcomes, sessions).await?;
    Ok((dir, skep, heard, open))
}

/// Opens a session and listens. It lasts as long as what is returned.
async fn attach(
    skep: &Skep,
    number: usize,
    heard: Arc<AssignmentsHeard>,
) -> Result<mpsc::Sender<v1::FromAgent>> {
    let (send, receive) = mpsc::channel(1);
    let joined =
        machine::TestMachine::join_over(skep.channel(number), description(number), "").await?;
    let hello = v1::Hello {
        process: 1,
        description: Some(description(number)),
        spec: Some(v1::NodeSpec::default()),
        ..v1::Hello::default()
    };
    send.send(v1::FromAgent { message: Some(from_agent::Message::Hello(hello)) }).await?;
    let channel = joined.connect(&machine::Destination::Door(DOOR.parse()?)).await?;
    let mut client = dispatcher_client::DispatcherClient::new(channel);
    tokio::spawn(async move {
        let Ok(stream) = client.attach(ReceiverStream::new(receive)).await else { return };
        let mut stream = stream.into_inner();
        while let Ok(Some(message)) = stream.message().await {
            note(&heard, &message);
        }
    });
    Ok(send)
}

fn note(heard: &AssignmentsHeard, message: &v1::ToAgent) {
    match &message.message {
        Some(to_agent::Message::Welcome(_)) => drop(heard.welcomes.fetch_add(1, Relaxed)),
        Some(to_agent::Message::Assignments(assignments)) => {
            let new = assignments.changed.iter().filter(|changed| changed.task.is_some()).count();
            heard.assignments.fetch_add(new, Relaxed);
        }
        Some(
            to_agent::Message::Turned(_)
            | to_agent::Message::Ack(_)
            | to_agent::Message::Logs(_)
            | to_agent::Message::Cancel(_)
            | to_agent::Message::Certified(_)
            | to_agent::Message::HeartbeatPeriod(_)
            | to_agent::Message::Managers(_),
        )
        | None => {}
    }
}

async fn until(count: &AtomicUsize, wanted: usize) -> Result<()> {
    let begun = Instant::now();
    while count.load(Relaxed) < wanted {
        let heard = count.load(Relaxed);
        ensure!(begun.elapsed() < Duration::from_secs(120), "only {heard} of {wanted} were heard");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

fn create(number: usize, replicas: u64) -> command::Action {
    let container = v1::ContainerSpec { image: "run".into(), ..v1::ContainerSpec::default() };
    command::Action::CreateService(Box::new(v1::CreateService {
        spec: Some(v1::ServiceSpec {
            annotations: Some(v1::Annotations {
                name: format!("service{number}"),
                ..v1::Annotations::default()
            }),
            task: Some(v1::TaskSpec {
                runtime: Some(Runtime::Container(container)),
                ..v1::TaskSpec::default()
            }),
            mode: Some(v1::ServiceMode {
                mode: Some(service_mode::Mode::Replicated(v1::Replicated { replicas })),
            }),
            ..v1::ServiceSpec::default()
        }),
    }))
}

fn description(number: usize) -> v1::NodeDescription {
    v1::NodeDescription {
        hostname: format!("node{number}"),
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
