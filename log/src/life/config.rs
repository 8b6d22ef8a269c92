//! How a log is opened.

use super::space::FREE_SHARE_MIN;
use crate::history::applier::SnapshotPolicy;
use skep_proto::Id;
use std::path::PathBuf;

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that is the log's alone; made if it is not there.
    pub dir: PathBuf,
    /// The node whose log it is. It must be the same at each opening.
    pub node_id: Id,
    /// When snapshots are taken.
    pub snapshots: SnapshotPolicy,
    /// The free share of the disk's bytes and inodes below which nothing is accepted: 0.01 is one
    /// per cent, 0 never refuses.
    pub min_free: f64,
}

impl Config {
    /// The usual way, in `dir`, for `node_id`.
    pub fn new(dir: impl Into<PathBuf>, node_id: Id) -> Config {
        Config {
            dir: dir.into(),
            node_id,
            snapshots: SnapshotPolicy::default(),
            min_free: FREE_SHARE_MIN,
        }
    }
}
