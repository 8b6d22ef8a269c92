//! What a manager must know of itself to lead.

use skep_proto::{Id, v1::ClusterSpec};

/// What a leader needs to know of itself.
#[derive(Clone, Debug)]
pub struct ManagerIdentity {
    /// The manager's node id.
    pub node: Id,
    /// The program's version, kept in each entry.
    pub code_version: String,
    /// Settings of a cluster that begins here.
    pub genesis: ClusterSpec,
    /// Serve reads, accept nothing.
    pub safe_mode: bool,
}
