//! What is true of the cluster as a whole: its settings, and who leads it since when.

use crate::trust::Authority;
use skep_proto::{Id, Revision, Timestamp, v1::ClusterSpec};
use std::sync::Arc;

/// The single object that holds what is true of the whole cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterRow {
    /// The cluster's id; none before the first record.
    pub id: Id,
    /// Settings.
    pub spec: Arc<ClusterSpec>,
    /// Revision that last changed the settings.
    pub version: Revision,
    /// Whose change that was.
    pub changed_by: Arc<str>,
    /// Revision and time of its creation.
    pub created: (Revision, Timestamp),
    /// Time of the last change.
    pub updated_at: Timestamp,
    /// Whose certificates its machines believe; none before one was founded.
    pub authority: Option<Arc<Authority>>,
}

/// The time from a manager's becoming leader: grace periods count from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tenure {
    /// Raft's term.
    pub term: u64,
    /// Which manager.
    pub manager: Id,
    /// When it began.
    pub begun_at: Timestamp,
    /// The record that said so.
    pub revision: Revision,
}
