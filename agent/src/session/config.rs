//! What an agent is started with.

use crate::{
    core::candidates::{FirstEndpoint, ManagerCandidate},
    machine::Reserve,
    runtime::Runtime,
};
use skep_proto::v1::{Annotations, NodeAvailability, NodeSpec};
use skep_trust::{JoinToken, KeyLock};
use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

/// What an agent is started with.
#[derive(Clone)]
pub struct AgentConfig {
    /// The node's state folder: the agent keeps to the folder `agent` in it, made when absent,
    /// 0700. One agent a folder.
    pub state_dir: PathBuf,
    /// Where a manager is found at first. Others are found by the word of the cluster, and are kept
    /// in the folder.
    pub manager: ManagerEndpoint,
    /// What opens the node's key, where that is sealed.
    pub key_lock: KeyLock,
    /// Whether it runs in the process of the manager that it finds there. It prefers that one.
    pub is_managers_own: bool,
    /// Whether that manager has founded its cluster: it vouches for the node whatever its key.
    pub is_founders_own: bool,
    /// Shown at the first contact over the network.
    pub join_token: Option<JoinToken>,
    /// The node's name.
    pub hostname: String,
    /// Labels that the node joins with; later ones are the cluster's to change.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes tasks at first; later that is the cluster's to change.
    pub availability: NodeAvailability,
    /// What tasks may not have of the machine.
    pub reserve: Reserve,
    /// What runs the tasks.
    pub runtime: Arc<dyn Runtime>,
    /// Where others reach this node; may be empty.
    pub addr: String,
    /// Of this program.
    pub version: String,
}

impl AgentConfig {
    /// What the core must know of the first endpoint.
    pub(super) fn first(&self) -> FirstEndpoint {
        match (&self.manager, self.is_managers_own) {
            (ManagerEndpoint::Network(address), _) => FirstEndpoint::Network(address.clone()),
            (ManagerEndpoint::Unix(_), true) => FirstEndpoint::OwnSocket,
            (ManagerEndpoint::Unix(_), false) => FirstEndpoint::Socket,
        }
    }

    /// Where a candidate of the core is.
    pub(super) fn endpoint(&self, candidate: ManagerCandidate) -> ManagerEndpoint {
        match candidate {
            ManagerCandidate::First => self.manager.clone(),
            ManagerCandidate::Known(address) => ManagerEndpoint::Network(address),
        }
    }

    /// What the node joins as.
    pub(super) fn spec(&self) -> NodeSpec {
        let labels = self.labels.clone();
        NodeSpec {
            annotations: Some(Annotations { name: String::new(), labels }),
            availability: self.availability as i32,
            ..NodeSpec::default()
        }
    }
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
