//! What the Docker runtime adds to the engine's own create and start.
//!
//! Both ways run alternately on one engine, so that the machine's moods hit both: `prepare` and `start` of
//! the runtime, and the bare calls of the same client library. Prints the medians, and the median of the
//! pairs' differences.
//!
//! ```text
//! scripts/engine start /tmp/e --own-network
//! cargo run --release -p skep-agent --example start_cost -- unix:///tmp/e/docker.sock 30
//! scripts/engine stop /tmp/e
//! ```

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]
#![allow(clippy::print_stdout, reason = "it is run by hand, and this is what it is run for")]

use bollard::{
    API_DEFAULT_VERSION, Docker,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptions, InspectContainerOptions, RemoveContainerOptions, StartContainerOptions,
    },
};
use skep_agent::runtime::{Runtime, Workload, docker::DockerRuntime};
use skep_proto::{
    Id,
    v1::{ContainerSpec, NetworkAttachment, TaskSpec, task_spec::Runtime as Kind},
};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let host = args.next().unwrap_or_else(|| "unix:///var/run/docker.sock".into());
    let pairs: u128 = args.next().and_then(|count| count.parse().ok()).unwrap_or(30);
    let state = std::env::temp_dir().join(format!("skep-start-cost-{}", std::process::id()));
    let runtime = DockerRuntime::open(&state, &host)?;
    let client = Docker::connect_with_unix(&host, 20, API_DEFAULT_VERSION)?.negotiate_version().await?;
    runtime.describe().await?;
    let (mut ours, mut bare, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        // Whoever goes second finds the caches warm: so they take turns.
        let (one, two) = if pair % 2 == 0 {
            let one = through_runtime(&runtime, Id(1 + pair)).await?;
            (one, driven_directly(&client, pair).await?)
        } else {
            let two = driven_directly(&client, pair).await?;
            (through_runtime(&runtime, Id(1 + pair)).await?, two)
        };
        ours.push(milliseconds(one));
        bare.push(milliseconds(two));
        more.push(milliseconds(one) - milliseconds(two));
    }
    println!("pairs {pairs}");
    println!("runtime prepare + start, median ms  {:8.2}", median(&mut ours));
    println!("bare create + start, median ms      {:8.2}", median(&mut bare));
    println!("median of the differences, ms       {:8.2}", median(&mut more));
    std::fs::remove_dir_all(state)?;
    Ok(())
}

async fn through_runtime(runtime: &DockerRuntime, task: Id) -> Outcome<Duration> {
    let args = ["sleep", "1000"].map(str::to_owned).to_vec();
    let container = ContainerSpec { image: "busybox".into(), args, ..ContainerSpec::default() };
    let networks = vec![NetworkAttachment { target: "host".into(), ..NetworkAttachment::default() }];
    let spec = TaskSpec { runtime: Some(Kind::Container(container)), networks, ..TaskSpec::default() };
    let work =
        Workload { task_id: task, node_id: Id(1), service_name: "cost".into(), spec, ..Workload::default() };
    let begin = Instant::now();
    runtime.prepare(&work, &|_| {}).await?;
    runtime.start(&work).await?;
    runtime.ready(&work).await?;
    let took = begin.elapsed();
    runtime.remove(task).await?;
    Ok(took)
}

async fn driven_directly(client: &Docker, number: u128) -> Outcome<Duration> {
    let body = ContainerCreateBody {
        image: Some("busybox".into()),
        cmd: Some(["sleep", "1000"].map(str::to_owned).to_vec()),
        host_config: Some(HostConfig { network_mode: Some("host".into()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let begin = Instant::now();
    let options = CreateContainerOptions { name: Some(format!("bare-{number}")), ..Default::default() };
    let made = client.create_container(Some(options), body).await?;
    client.start_container(&made.id, None::<StartContainerOptions>).await?;
    let took = begin.elapsed();
    client.inspect_container(&made.id, None::<InspectContainerOptions>).await?;
    let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
    client.remove_container(&made.id, Some(options)).await?;
    Ok(took)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
