//! The commands that stay: daemon and agent, as plain values; and the repair of a folder whose daemon can't start.
//!
//! What they do stands in `daemon`; here it is only said, and checked as far as words can be.

use super::{
    args::{DEFAULT_SOCKET, Top},
    fail::{Failure, Outcome},
    parse,
};
use clap::{Args, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

/// What runs a node's tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum RuntimeChoice {
    /// Containers on a Docker engine
    Docker,
    /// Plain processes of this machine, without isolation
    Process,
}

/// Flags of every node.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    /// What runs tasks; chosen at the first start and kept [default: docker]
    #[arg(long, value_enum, value_name = "docker|process")]
    pub runtime: Option<RuntimeChoice>,
    /// Socket of the Docker engine [default: unix:///var/run/docker.sock]
    #[arg(long, value_name = "unix://SOCK")]
    pub docker_host: Option<String>,
    /// The node's name [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// A label of the node, given at its first start
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse::label)]
    pub labels: Vec<(String, String)>,
    /// CPUs of the machine that tasks may not reserve
    #[arg(long, value_name = "CPUS", value_parser = parse::cpus, default_value = "0")]
    pub reserve_cpus: i64,
    /// Memory of the machine that tasks may not reserve
    #[arg(long, value_name = "BYTES", value_parser = parse::memory, default_value = "0")]
    pub reserve_memory: i64,
    /// Send traces to this OTLP receiver (gRPC)
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// `skep daemon`
#[derive(Args, Clone, Debug)]
pub struct DaemonArgs {
    /// Folder of the node's state; made at the first start, locked while the daemon runs
    #[arg(long, value_name = "DIR", default_value = "/var/lib/skep")]
    pub state_dir: PathBuf,
    /// Socket for people and local agents
    #[arg(long, value_name = "unix://SOCK", value_parser = parse::socket, default_value = DEFAULT_SOCKET)]
    pub listen_control: PathBuf,
    /// How often agents say that they live; kept by the cluster [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = heartbeat)]
    pub heartbeat_period: Option<Duration>,
    /// Serve /metrics on this address too, not on the socket alone
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// Serve reads and accept no decisions, to look at a cluster that misbehaves
    #[arg(long)]
    pub safe_mode: bool,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// `skep agent`
#[derive(Args, Clone, Debug)]
pub struct AgentArgs {
    /// Socket of the manager
    #[arg(long, value_name = "unix://SOCK", value_parser = parse::socket, default_value = DEFAULT_SOCKET)]
    pub manager: PathBuf,
    /// Folder of the agent's state: its secret and its journal
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// `skep recover`
#[derive(Args, Clone, Debug)]
pub struct RecoverArgs {
    /// State folder of the stopped manager
    #[arg(long, value_name = "DIR", default_value = "/var/lib/skep")]
    pub state_dir: PathBuf,
    /// Cut the history where it stops being readable, and begin a new incarnation: what came after is lost
    #[arg(long, required = true)]
    pub accept_loss: bool,
}

pub(super) fn daemon(top: &Top, args: DaemonArgs) -> Outcome<ExitCode> {
    top.nothing()?;
    engine_fits(&args.node)?;
    crate::daemon::run(args).map_err(stopped)
}

pub(super) fn agent(top: &Top, args: AgentArgs) -> Outcome<ExitCode> {
    top.nothing()?;
    engine_fits(&args.node)?;
    crate::daemon::run_agent(args).map_err(stopped)
}

pub(super) fn recover(top: &Top, args: RecoverArgs) -> Outcome<ExitCode> {
    top.nothing()?;
    crate::daemon::recover(args).map_err(stopped)
}

/// The chain of causes, joined once, here at the edge.
fn stopped(error: anyhow::Error) -> Failure {
    let text = format!("{error:#}");
    match text.split_once("hint: ") {
        Some((message, hint)) => Failure::refused(message.trim_end_matches(['\n', ' ', ';', ','])).hint(hint),
        None => Failure::refused(text),
    }
}

fn engine_fits(node: &NodeArgs) -> Outcome {
    if node.docker_host.is_some() && node.runtime == Some(RuntimeChoice::Process) {
        return Err(
            Failure::usage("--docker-host means nothing to --runtime process").hint("leave one of them out")
        );
    }
    Ok(())
}

fn heartbeat(text: &str) -> Result<Duration, String> {
    let period = parse::duration(text)?;
    if period < Duration::from_millis(100) { Err("it must be at least 100ms".into()) } else { Ok(period) }
}
