//! What we add to an engine's own create and start: `containers SKEP DOCKER_HOST [PAIRS]`. Markdown
//! rows to stdout.
//!
//! One container: from `CreateService` to a task that is seen running, all of it committed, beside
//! create and start by the engine's own interface. Fifty: a service of fifty replicas beside the
//! engine driven directly, with as many calls at once as suited it best in rounds of their own. The
//! two ways take turns on one engine, and both ask for the same container: with the labels, the
//! stop timeout and the bounded log that a task's container has.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::{Context, Result};
use bollard::{models, query_parameters};
use futures::{StreamExt, TryStreamExt, stream};
use skep_proto::v1::{
    Annotations, ContainerSpec, CreateService, NetworkAttachment, RemoveService, Replicated,
    ServiceMode, ServiceSpec, TaskSpec, WatchServiceRequest, command::Action,
    control_client::ControlClient, service_mode::Mode, task_spec::Runtime,
};
use skep_tests::duel::{median, skep::Skep};
use std::{
    env,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Replicas of the larger service.
const MANY: usize = 50;
/// Calls at once that the engine is driven with; those count that are fastest in the median of
/// their rounds.
const AT_ONCE: [usize; 3] = [4, 8, 16];
/// Rounds with each number of calls at once.
const TRIAL_ROUNDS: usize = 3;
/// Pairs of the larger service.
const ROUNDS: usize = 7;
/// Ended by SIGKILL, so that ending costs nothing that is measured.
const ENDED_BY: &str = "SIGKILL";

struct Sides {
    skep: Skep,
    engine: bollard::Docker,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let usage = "usage: containers SKEP DOCKER_HOST [PAIRS]";
    let (program, host) =
        (PathBuf::from(arguments.first().context(usage)?), arguments.get(1).context(usage)?);
    let pairs: usize = arguments.get(2).and_then(|word| word.parse().ok()).unwrap_or(20);
    let dir = env::temp_dir().join(format!("skep-containers-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let engine = bollard::Docker::connect_with_unix(host, 60, bollard::API_DEFAULT_VERSION)?
        .negotiate_version()
        .await?;
    let skep = Skep::start(&program, &dir, &["--runtime", "docker", "--docker-host", host]).await?;
    let sides = Sides { skep, engine };
    println!("| what | through skep | engine alone | |\n|---|---|---|---|");
    sides.one(pairs).await?;
    sides.many().await?;
    drop(sides);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

impl Sides {
    async fn one(&self, pairs: usize) -> Result<()> {
        let (mut ours, mut bare, mut more) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..pairs {
            // Whoever goes second finds the caches warm: so they take turns.
            let (one, two) = if pair % 2 == 0 {
                let one = self.through_us(1).await?;
                (one, self.directly(1, 1).await?)
            } else {
                let two = self.directly(1, 1).await?;
                (self.through_us(1).await?, two)
            };
            ours.push(one);
            bare.push(two);
            more.push(one - two);
        }
        println!(
            "| one container, median of {pairs} pairs | {:.0} ms | {:.0} ms | {:+.1} ms, median of the differences |",
            median(ours),
            median(bare),
            median(more)
        );
        Ok(())
    }

    async fn many(&self) -> Result<()> {
        let mut best = (f64::INFINITY, 0);
        for at_once in AT_ONCE {
            let mut took = Vec::new();
            for _ in 0..TRIAL_ROUNDS {
                took.push(self.directly(MANY, at_once).await?);
            }
            let took = median(took);
            if took < best.0 {
                best = (took, at_once);
            }
        }
        let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let (one, two) = if round % 2 == 0 {
                let one = self.through_us(MANY).await?;
                (one, self.directly(MANY, best.1).await?)
            } else {
                let two = self.directly(MANY, best.1).await?;
                (self.through_us(MANY).await?, two)
            };
            ours.push(one);
            bare.push(two);
            ratios.push(one / two);
        }
        println!(
            "| {MANY} containers, median of {ROUNDS} pairs, the engine with {} calls at once | {:.0} ms | {:.0} ms | × {:.2} |",
            best.1,
            median(ours),
            median(bare),
            median(ratios)
        );
        Ok(())
    }

    /// From the command to all tasks running, milliseconds.
    async fn through_us(&self, replicas: usize) -> Result<f64> {
        let begun = Instant::now();
        self.skep.submit(vec![create(replicas as u64)]).await?;
        let request =
            WatchServiceRequest { service: "bench".into(), ..WatchServiceRequest::default() };
        let mut states =
            ControlClient::new(self.skep.channel(0)).watch_service(request).await?.into_inner();
        loop {
            let state = states.message().await?.context("the service is gone")?;
            let status = state.service.and_then(|service| service.status).unwrap_or_default();
            if status.running_tasks == replicas as u64 {
                break;
            }
        }
        let took = milliseconds(begun.elapsed());
        self.skep
            .submit(vec![Action::RemoveService(RemoveService { service: "bench".into() })])
            .await?;
        self.until_nothing_is_left().await?;
        Ok(took)
    }

    /// The same by the engine's own interface.
    async fn directly(&self, containers: usize, at_once: usize) -> Result<f64> {
        let begun = Instant::now();
        let made = stream::iter(0..containers).map(|number| self.create_and_start(number));
        let made: Vec<String> = made.buffer_unordered(at_once).try_collect().await?;
        let took = milliseconds(begun.elapsed());
        for id in made {
            let options = query_parameters::RemoveContainerOptions {
                force: true,
                v: true,
                ..Default::default()
            };
            self.engine.remove_container(&id, Some(options)).await?;
        }
        Ok(took)
    }

    async fn create_and_start(&self, number: usize) -> Result<String> {
        let log = [("max-size", "10m"), ("max-file", "3")];
        let host = models::HostConfig {
            network_mode: Some("host".into()),
            log_config: Some(models::HostConfigLogConfig {
                typ: Some("json-file".into()),
                config: Some(log.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            }),
            ..models::HostConfig::default()
        };
        let labels = ["", ".id", ".name", ".node", ".service", ".of"]
            .map(|end| (format!("bench.bare.task{end}"), "x".repeat(25)));
        let body = models::ContainerCreateBody {
            image: Some("busybox".into()),
            cmd: Some(command()),
            stop_signal: Some(ENDED_BY.into()),
            stop_timeout: Some(10),
            labels: Some(labels.into()),
            host_config: Some(host),
            ..models::ContainerCreateBody::default()
        };
        let options = query_parameters::CreateContainerOptions {
            name: Some(format!("bare-{number}")),
            ..Default::default()
        };
        let made = self.engine.create_container(Some(options), body).await?;
        self.engine
            .start_container(&made.id, None::<query_parameters::StartContainerOptions>)
            .await?;
        Ok(made.id)
    }

    async fn until_nothing_is_left(&self) -> Result<()> {
        let all = || query_parameters::ListContainersOptions { all: true, ..Default::default() };
        while !self.engine.list_containers(Some(all())).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

fn create(replicas: u64) -> Action {
    let container = ContainerSpec {
        image: "busybox".into(),
        args: command(),
        stop_signal: ENDED_BY.into(),
        ..ContainerSpec::default()
    };
    let networks =
        vec![NetworkAttachment { target: "host".into(), ..NetworkAttachment::default() }];
    let spec = ServiceSpec {
        annotations: Some(Annotations { name: "bench".into(), ..Annotations::default() }),
        task: Some(TaskSpec {
            runtime: Some(Runtime::Container(container)),
            networks,
            ..TaskSpec::default()
        }),
        mode: Some(ServiceMode { mode: Some(Mode::Replicated(Replicated { replicas })) }),
        ..ServiceSpec::default()
    };
    Action::CreateService(Box::new(CreateService { spec: Some(spec) }))
}

fn command() -> Vec<String> {
    ["sleep", "1000"].map(str::to_owned).to_vec()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
