//! What an agent is started with.

use crate::{machine::Reserve, runtime::Runtime};
use skep_trust::JoinToken;
use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

/// What an agent is started with.
#[derive(Clone)]
pub struct AgentConfig {
    /// The node's state folder: the agent keeps to the folder `agent` in it, made when absent,
    /// 0700. One agent a folder.
    pub state_dir: PathBuf,
    /// Where managers are found.
    pub manager: ManagerEndpoint,
    /// Whether it runs in the process of the manager that it finds there.
    pub is_managers_own: bool,
    /// Shown at the first contact over the network.
    pub join_token: Option<JoinToken>,
    /// The node's name.
    pub hostname: String,
    /// Labels that the node joins with; later ones are the cluster's to change.
    pub labels: BTreeMap<String, String>,
    /// What tasks may not have of the machine.
    pub reserve: Reserve,
    /// What runs the tasks.
    pub runtime: Arc<dyn Runtime>,
    /// Where others reach this node; may be empty.
    pub addr: String,
    /// Of this program.
    pub version: String,
}

/// Where managers are found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManagerEndpoint {
    /// A manager's socket on this machine.
    Unix(PathBuf),
    /// `HOST:PORT`.
    Network(String),
}

impl fmt::Display for ManagerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManagerEndpoint::Unix(path) => write!(f, "{}", path.display()),
            ManagerEndpoint::Network(address) => f.write_str(address),
        }
    }
}
