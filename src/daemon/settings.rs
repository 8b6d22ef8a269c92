//! How a node's process is set up: plain values, from the command line or elsewhere. The daemon
//! knows no command line.

use skep_agent::{ManagerEndpoint, machine::Reserve};
use skep_proto::v1::{ClusterSpec, NodeAvailability, RuntimeKind};
use skep_trust::JoinToken;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// Settings of every node.
#[derive(Clone, Debug)]
pub(crate) struct NodeSettings {
    /// What runs tasks; chosen at the first start and kept.
    pub runtime: Option<RuntimeKind>,
    /// Socket of the Docker engine.
    pub docker_host: Option<String>,
    /// The node's name.
    pub hostname: String,
    /// Labels of the node, given at its first start.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes tasks, given when it joins.
    pub availability: NodeAvailability,
    /// What of the machine tasks may not reserve.
    pub system_reserve: Reserve,
    /// Receiver of traces.
    pub otlp_endpoint: Option<String>,
}

/// Settings of a machine's daemon.
#[derive(Clone, Debug)]
pub(crate) struct DaemonSettings {
    /// Folder of the node's state.
    pub state_dir: PathBuf,
    /// Socket for people and local agents.
    pub listen_control: PathBuf,
    /// The settings of a cluster that it founds.
    pub genesis: ClusterSpec,
    /// How often agents say that they live; the cluster's own where there is none.
    pub heartbeat_period: Option<Duration>,
    /// Where /metrics is served beside the socket.
    pub metrics_listen: Option<SocketAddr>,
    /// The manager of the cluster that this machine joins; none where it does not, or has already.
    pub join: Option<JoinSettings>,
    /// Whether it founds a cluster where it belongs to none.
    pub founding: Founding,
    /// Whether the manager decides.
    pub mode: DaemonMode,
    /// Its own agent.
    pub node: NodeSettings,
}

/// How a machine joins a cluster.
#[derive(Clone, Debug)]
pub(crate) struct JoinSettings {
    /// `HOST:PORT` of a manager.
    pub manager: String,
    /// Shown at the first contact; it says whether the machine joins as a worker or as a manager.
    pub token: Option<JoinToken>,
    /// Where it listens once it is a manager, as `ChoosePortRequest` has it; empty where nothing
    /// was said.
    pub listen_address: String,
    /// Where others are to reach it then.
    pub advertise_address: String,
}

/// When a machine that belongs to no cluster founds one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Founding {
    /// At its first start.
    AtStart,
    /// When somebody says so.
    OnRequest,
}

/// Whether a manager decides or only shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DaemonMode {
    /// Commands are decided.
    Deciding,
    /// Reads are served and nothing is decided, to look at a cluster that misbehaves.
    Safe,
}

/// Settings of an agent alone.
#[derive(Clone, Debug)]
pub(crate) struct AgentSettings {
    /// Where the manager is.
    pub manager: ManagerEndpoint,
    /// Shown at the first contact over the network.
    pub join_token: Option<JoinToken>,
    /// Folder of the agent's state.
    pub state_dir: PathBuf,
    /// The node.
    pub node: NodeSettings,
}
