//! The commands that stay: daemon and agent; and the repair of a folder whose daemon can't start.
//!
//! What they do stands in `daemon`, which takes plain settings. Here is only what people write, and
//! what is set for them.

use super::{
    args::{AvailabilityChoice, DEFAULT_SOCKET, GlobalArgs},
    fail::{CliError, CliResult},
    parse, show, unlock_key,
};
use crate::daemon::{self, Advice, NodeSettings};
use clap::{Args, ValueEnum};
use skep_agent::ManagerEndpoint;
use skep_agent::machine::{self, Reserve, ReservedWhole};
use skep_gateway::admit;
use skep_log::AcceptLoss;
use skep_proto::v1::{ClusterSpec, NodeAvailability, Resources, RuntimeKind};
use skep_trust::JoinToken;
use std::{io::Read as _, net::SocketAddr, path::PathBuf, time::Duration};

/// What runs a node's tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum RuntimeChoice {
    /// Containers on a Docker engine
    Docker,
    /// Plain processes of this machine, without isolation
    Process,
}

/// Flags of every node.
#[derive(Args, Clone, Debug)]
pub(super) struct NodeArgs {
    /// What runs tasks; chosen at the first start and kept [default: docker]
    #[arg(long, value_enum, value_name = "docker|process")]
    pub runtime: Option<RuntimeChoice>,
    /// Socket of the Docker engine [default: unix:///var/run/docker.sock]
    #[arg(long, value_name = "unix://SOCK", value_parser = parse::engine)]
    pub docker_host: Option<String>,
    /// The node's name [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// A label of the node, given at its first start
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse::label)]
    pub labels: Vec<(String, String)>,
    /// CPUs of the machine that are kept for the system: tasks may not reserve them
    #[arg(long, value_name = "CPUS", value_parser = parse::cpus, default_value = "0", allow_hyphen_values = true)]
    pub system_reserve_cpu: i64,
    /// Memory of the machine that is kept for the system: tasks may not reserve it
    #[arg(long, value_name = "BYTES", value_parser = parse::memory, default_value = "0", allow_hyphen_values = true)]
    pub system_reserve_memory: i64,
    /// Send traces to this OTLP receiver (gRPC)
    #[arg(long, value_name = "URL", value_parser = parse::trace_receiver)]
    pub otlp_endpoint: Option<String>,
}

/// `skep daemon`
#[derive(Args, Clone, Debug)]
pub(super) struct DaemonArgs {
    /// Folder of the node's state; made at the first start, locked while the daemon runs
    #[arg(long, value_name = "DIR", default_value = "/var/lib/skep")]
    pub state_dir: PathBuf,
    /// Socket for people and local agents
    #[arg(long, value_name = "unix://SOCK", value_parser = parse::socket, default_value = DEFAULT_SOCKET)]
    pub listen_control: PathBuf,
    /// How often agents send a heartbeat; kept by the cluster [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = heartbeat, allow_hyphen_values = true)]
    pub heartbeat_period: Option<Duration>,
    /// Serve /metrics on this address too, not on the socket alone
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse::listen_address)]
    pub metrics_listen: Option<SocketAddr>,
    /// Serve reads and decide nothing, to look at a cluster that misbehaves
    #[arg(long, conflicts_with = "join")]
    pub safe_mode: bool,
    /// Join the cluster of this manager, as what the token says, from an empty state folder; later
    /// starts need not say it
    #[arg(long, value_name = "HOST:PORT", value_parser = parse::remote_manager, conflicts_with_all = ["heartbeat_period", "metrics_listen"])]
    pub join: Option<String>,
    #[command(flatten)]
    pub token: JoinTokenArgs,
    #[command(flatten)]
    pub port: JoinPortArgs,
    /// Found no cluster at the first start: wait for `skep cluster init` or `skep cluster join`
    #[arg(long, conflicts_with = "join")]
    pub no_cluster: bool,
    /// Whether the node takes tasks when it founds or joins a cluster
    #[arg(long, value_enum, value_name = "active|pause|drain", default_value = "active")]
    pub availability: AvailabilityChoice,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Bytes that are read of a file that should hold a join token: more is none.
const TOKEN_FILE_BYTES_MAX: u64 = 4_096;

/// What a machine shows when it joins.
#[derive(Args, Clone, Debug)]
pub(super) struct JoinTokenArgs {
    /// The token that `skep cluster token` prints on a manager
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// A file that holds the token, where others could read the command line
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
}

/// Where a machine that joins as a manager is reached.
#[derive(Args, Clone, Debug)]
pub(super) struct JoinPortArgs {
    /// Address by which other machines reach this one, where it joins as a manager [default: the
    /// machine's only one]
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "", hide_default_value = true)]
    pub advertise_addr: String,
    /// Address to listen on, where it joins as a manager [default: 0.0.0.0:2377]
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "", hide_default_value = true)]
    pub listen_addr: String,
}

impl JoinPortArgs {
    fn is_empty(&self) -> bool {
        self.advertise_addr.is_empty() && self.listen_addr.is_empty()
    }
}

impl JoinTokenArgs {
    /// The token, if one was given.
    pub(super) fn read(self) -> CliResult<Option<JoinToken>> {
        let Some(path) = self.token_file else {
            // The message must not repeat a token that is nearly right.
            let token = self.token.map(|token| parse::join_token(&token)).transpose();
            return token.map_err(|message| {
                CliError::usage(format!("--token: {message}")).hint(
                    "`skep cluster token -q worker` (or `manager`) prints the token on a manager",
                )
            });
        };
        let wrong = |message: String| {
            CliError::usage(format!("--token-file {}: {message}", path.display()))
                .hint("`skep cluster token -q worker` (or `manager`) prints the token on a manager")
        };
        let mut text = String::new();
        let read = std::fs::File::open(&path)
            .and_then(|file| file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text));
        read.map_err(|error| wrong(skep_proto::os_error::plain(&error.to_string())))?;
        parse::join_token(text.trim()).map(Some).map_err(wrong)
    }
}

/// `skep agent`
#[derive(Args, Clone, Debug)]
pub(super) struct AgentArgs {
    /// Where the manager is: its socket on this machine, or its port on another one
    #[arg(long, value_name = "unix://SOCK|HOST:PORT", value_parser = parse::manager, default_value = DEFAULT_SOCKET)]
    pub manager: ManagerEndpoint,
    #[command(flatten)]
    pub token: JoinTokenArgs,
    /// Folder of the agent's state: its key, its certificate and its journal
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// `skep recover`
#[derive(Args, Clone, Debug)]
pub(super) struct RecoverArgs {
    /// State folder of the stopped manager
    #[arg(long, value_name = "DIR", default_value = "/var/lib/skep")]
    pub state_dir: PathBuf,
    /// Cut the history where it stops being readable, and begin a new incarnation: what came after
    /// is lost
    #[arg(long, required = true)]
    pub accept_loss: bool,
    /// A file with the unlock key, where the manager is of a locked cluster
    #[arg(long, value_name = "FILE")]
    pub unlock_key_file: Option<PathBuf>,
    /// Cut the log even if it is not damaged, or if the disk cannot read parts of it now
    #[arg(long)]
    pub force: bool,
}

impl NodeArgs {
    fn settings(self) -> CliResult<NodeSettings> {
        if self.docker_host.is_some() && self.runtime == Some(RuntimeChoice::Process) {
            return Err(CliError::usage("--docker-host has no effect with --runtime process")
                .hint("leave one of them out"));
        }
        let runtime = self.runtime.map(|choice| match choice {
            RuntimeChoice::Docker => RuntimeKind::Docker,
            RuntimeChoice::Process => RuntimeKind::Process,
        });
        let system_reserve = Reserve {
            nano_cpus: self.system_reserve_cpu,
            memory_bytes: self.system_reserve_memory,
        };
        if let Some(path) =
            self.docker_host.as_deref().and_then(|host| host.strip_prefix("unix://"))
        {
            is_socket("--docker-host", path.as_ref())?;
        }
        if let Some(machine) = machine_of(self.runtime, self.docker_host.as_deref()) {
            leaves_something(system_reserve, &machine)?;
        }
        let hostname = self.hostname.unwrap_or_else(machine::hostname);
        let labels = self.labels.into_iter().collect();
        admit::check_node(&hostname, &labels)
            .map_err(|refusal| CliError::usage(refusal.message).hint(refusal.hint))?;
        Ok(NodeSettings {
            runtime,
            docker_host: self.docker_host,
            hostname,
            labels,
            availability: NodeAvailability::Active,
            system_reserve,
            otlp_endpoint: self.otlp_endpoint,
        })
    }
}

/// Refuses a path at which something else than a socket is. One at which nothing is may get one.
fn is_socket(flag: &str, path: &std::path::Path) -> CliResult {
    match daemon::in_place_of_socket(path) {
        Some(what) => {
            let message = format!("{flag}: unix://{} is {what}, not a socket", path.display());
            Err(CliError::usage(message).hint("name the socket"))
        }
        None => Ok(()),
    }
}

/// What the tasks' machine has; nothing where it is another one than this, or cannot be looked at.
fn machine_of(runtime: Option<RuntimeChoice>, docker_host: Option<&str>) -> Option<Resources> {
    match (runtime, docker_host) {
        (Some(RuntimeChoice::Process), _) => machine::resources().ok(),
        (_, Some(host)) if host.contains("://") && !host.starts_with("unix://") => None,
        (Some(RuntimeChoice::Docker) | None, _) => machine::online().ok(),
    }
}

/// Refuses a reserve that leaves tasks nothing of the machine.
fn leaves_something(reserve: Reserve, machine: &Resources) -> CliResult {
    let wrong = match reserve.takes_whole(machine) {
        Some(ReservedWhole::Processors) => {
            let [reserved, has] =
                [reserve.nano_cpus, machine.nano_cpus].map(|nano| nano as f64 / 1e9);
            format!(
                "--system-reserve-cpu {reserved} leaves nothing for tasks: this machine has {has} CPUs"
            )
        }
        Some(ReservedWhole::Memory) => {
            let [reserved, has] = [reserve.memory_bytes, machine.memory_bytes]
                .map(|bytes| skep_proto::bytes_size(bytes.unsigned_abs()));
            format!(
                "--system-reserve-memory {reserved} leaves nothing for tasks: this machine has {has}"
            )
        }
        None => return Ok(()),
    };
    Err(CliError::usage(wrong).hint("reserve less than the machine has"))
}

pub(super) fn daemon(top: &GlobalArgs, args: DaemonArgs) -> CliResult {
    top.nothing()?;
    let token = args.token.read()?;
    let without_effect = match (&args.join, &token) {
        (Some(_), _) => None,
        (None, Some(_)) => Some("--token has no effect without --join"),
        (None, None) if args.port.is_empty() => None,
        (None, None) => Some("--listen-addr and --advertise-addr have no effect without --join"),
    };
    if let Some(message) = without_effect {
        return Err(CliError::usage(message).hint("name the manager to join with --join HOST:PORT"));
    }
    let JoinPortArgs { advertise_addr: advertise_address, listen_addr: listen_address } = args.port;
    let join = args.join.map(|manager| daemon::JoinSettings {
        manager,
        token,
        listen_address,
        advertise_address,
    });
    let founding = match args.no_cluster {
        true => daemon::Founding::OnRequest,
        false => daemon::Founding::AtStart,
    };
    let settings = daemon::DaemonSettings {
        join,
        founding,
        genesis: ClusterSpec::default(),
        state_dir: args.state_dir,
        listen_control: args.listen_control,
        heartbeat_period: args.heartbeat_period,
        metrics_listen: args.metrics_listen,
        mode: if args.safe_mode { daemon::DaemonMode::Safe } else { daemon::DaemonMode::Deciding },
        node: NodeSettings { availability: args.availability.of_node(), ..args.node.settings()? },
    };
    daemon::run(settings).map_err(stopped)
}

pub(super) fn agent(top: &GlobalArgs, args: AgentArgs) -> CliResult {
    top.nothing()?;
    if let ManagerEndpoint::Unix(socket) = &args.manager {
        is_socket("--manager", socket)?;
    }
    let (manager, join_token) = (args.manager, args.token.read()?);
    let (state_dir, node) = (args.state_dir, args.node.settings()?);
    daemon::run_agent(daemon::AgentSettings { manager, join_token, state_dir, node })
        .map_err(stopped)
}

pub(super) fn recover(top: &GlobalArgs, args: RecoverArgs) -> CliResult {
    top.nothing()?;
    let loss = if args.force { AcceptLoss::Forced } else { AcceptLoss::OfDamaged };
    let key = args.unlock_key_file.as_deref().map(unlock_key::in_file).transpose()?;
    let recovered = daemon::recover(&args.state_dir, loss, key.as_ref()).map_err(stopped)?;
    let end = recovered.position.revision;
    show::talk(&format!(
        "history ends at revision {end} now; the next start begins incarnation {}",
        recovered.incarnation
    ));
    if let Some(cause) = &recovered.cause {
        show::talk(&format!("what came after could not be read: {cause}"));
    }
    if recovered.durable > end {
        show::talk(&format!(
            "records up to revision {} had been acknowledged and are lost",
            recovered.durable
        ));
    }
    show::talk(&format!(
        "the damaged files lie in {}; remove them when you no longer need them",
        recovered.set_aside.display()
    ));
    Ok(())
}

/// The chain of causes, joined once, here at the edge.
fn stopped(error: anyhow::Error) -> CliError {
    let hint = Advice::hint_of(&error).unwrap_or_default();
    let message = Advice::joined(&error);
    let failure = match Advice::is_wrong_input(&error) {
        true => CliError::usage(message),
        false => CliError::refused(message),
    };
    failure.hint(hint).caused_by(error)
}

fn heartbeat(text: &str) -> Result<Duration, String> {
    let period = parse::duration(text)?;
    if period < Duration::from_millis(100) || period > Duration::from_secs(3_600) {
        Err("it must be 100ms to 1h".into())
    } else {
        Ok(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::NANO_CPUS;

    #[test]
    fn a_reserve_leaves_something_of_the_machine() {
        let machine =
            Resources { nano_cpus: 2 * NANO_CPUS, memory_bytes: 8 << 30, generic: vec![] };
        let of = |nano_cpus, memory_bytes| {
            leaves_something(Reserve { nano_cpus, memory_bytes }, &machine)
        };
        assert_eq!(of(0, 0), Ok(()));
        assert_eq!(of(2 * NANO_CPUS - 1, (8 << 30) - 1), Ok(()));
        let wrong =
            |message: &str| Err(CliError::usage(message).hint("reserve less than the machine has"));
        assert_eq!(
            of(100 * NANO_CPUS, 0),
            wrong("--system-reserve-cpu 100 leaves nothing for tasks: this machine has 2 CPUs")
        );
        assert_eq!(
            of(NANO_CPUS / 2, 8 << 30),
            wrong("--system-reserve-memory 8GiB leaves nothing for tasks: this machine has 8GiB")
        );
        assert!(of(2 * NANO_CPUS, 0).is_err());
    }

    #[test]
    fn an_engine_elsewhere_has_a_machine_of_its_own() {
        assert_eq!(machine_of(None, Some("tcp://10.0.0.1:2375")), None);
        for host in [None, Some("unix:///run/d.sock"), Some("/run/d.sock")] {
            assert!(machine_of(Some(RuntimeChoice::Docker), host).is_some(), "{host:?}");
        }
        assert!(machine_of(Some(RuntimeChoice::Process), None).is_some());
    }
}
