//! How a log is opened.

use super::space::FREE_SHARE_MIN;
use crate::{history::applier::SnapshotPolicy, raft::peers::PeerTransport};
use skep_proto::{Id, Lineage};
use skep_trust::ValueCipher;
use std::{path::PathBuf, sync::Arc};

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that is the log's alone; made if it is not there.
    pub dir: PathBuf,
    /// The node whose log it is. It must be the same at each opening.
    pub node_id: Id,
    /// What an empty folder becomes.
    pub origin: LogOrigin,
    /// How other managers are asked; none where there are no others.
    pub peers: Option<Arc<dyn PeerTransport>>,
    /// What seals entries and snapshots on the disk; none leaves them in the clear.
    pub cipher: Option<Arc<ValueCipher>>,
    /// When snapshots are taken.
    pub snapshots: SnapshotPolicy,
    /// The free share of the disk's bytes and inodes below which nothing is accepted: 0.01 is one
    /// per cent, 0 never refuses.
    pub min_free: f64,
}

/// What an empty folder becomes. One that holds a log stays what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogOrigin {
    /// The log of a history that begins here, with this manager as the only one.
    Founds,
    /// The log of a manager that follows others, which add it under this raft id.
    Joins {
        /// Given by the cluster, to nobody before.
        raft_id: u64,
        /// Of that cluster.
        lineage: Lineage,
    },
}

impl Config {
    /// The usual way, in `dir`, for `node_id`.
    pub fn new(dir: impl Into<PathBuf>, node_id: Id) -> Config {
        Config {
            dir: dir.into(),
            node_id,
            origin: LogOrigin::Founds,
            peers: None,
            cipher: None,
            snapshots: SnapshotPolicy::default(),
            min_free: FREE_SHARE_MIN,
        }
    }
}
