//! Machines: what people want of them, what they said of themselves, and what their tasks take.

use crate::{row_index, table::Row, trust::IssuedCertificate};
use skep_proto::{
    Id, Revision, Timestamp,
    condition::{self, Effect},
    v1::{
        Condition, NodeAvailability, NodeDescription, NodeRole, NodeSpec, NodeState, RaftMembership,
    },
};
use std::sync::Arc;

row_index!(
    /// A node's index in its table.
    pub NodeIdx
);

/// Where a manager is reached by other machines, `IP:PORT` both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortAddresses {
    /// Where it listens.
    pub listen: String,
    /// Where others are told to connect.
    pub advertise: String,
}

/// What a node is among the managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagerNumber {
    /// Its number in raft, which no other manager ever had.
    pub raft_id: u64,
    /// What it is there, as the leader has seen it last.
    pub membership: RaftMembership,
    /// It does not answer the leader. What its agent says of the node is something else.
    pub unreachable: bool,
}

/// One machine.
#[derive(Clone, Debug)]
pub struct NodeRow {
    /// The node's id.
    pub id: Id,
    /// What people want of it: labels, availability, role.
    pub spec: Arc<NodeSpec>,
    /// What its agent said of it at its newest session.
    pub description: Arc<NodeDescription>,
    /// SHA-256 of what its agent shows that it has: its public key, or, where it has had no
    /// certificate yet, the secret that agents kept below feature level 4.
    pub credential_hash: [u8; 32],
    /// Its newest certificate.
    pub certificate: Option<Arc<IssuedCertificate>>,
    /// The IP address that its newest session came from; empty where that came through the
    /// manager's own socket.
    pub address: Arc<str>,
    /// Where other machines reach it, if it is a manager whose port is open.
    pub port: Option<Arc<PortAddresses>>,
    /// What it is among the managers; none where it is a worker, or has no number yet.
    pub manager: Option<ManagerNumber>,
    /// The manager that holds its session; none where that is not known.
    pub session_manager: Id,
    /// Its current session; 0 before the first.
    pub session: u64,
    /// Ready while its session is open; unknown at the start of a tenure.
    pub state: NodeState,
    /// When the state became that.
    pub state_at: Timestamp,
    /// Why, where there is something to say.
    pub state_message: Arc<str>,
    /// What is wrong with it, as its agent last said: one of each kind, sorted by kind.
    pub conditions: Arc<Vec<Condition>>,
    /// Revision that last changed spec or description; updates must quote it.
    pub version: Revision,
    /// Whose change that was.
    pub changed_by: Arc<str>,
    /// Revision and time of joining.
    pub created: (Revision, Timestamp),
    /// Time of the last change of spec or description.
    pub updated_at: Timestamp,
    /// The newest record about it.
    pub last_revision: Revision,
    /// Its current session has gone silent, and `liveness` has not answered yet.
    pub silent: bool,
    /// Taken away by somebody; the row stays only while ended tasks refer to it, and counts for
    /// nothing.
    pub removed: bool,
    /// Tasks that are wanted (desired at most running) and have not ended.
    pub live_tasks: u32,
    /// CPU that tasks which have not ended have reserved.
    pub reserved_nano_cpus: i64,
    /// Memory that tasks which have not ended have reserved.
    pub reserved_memory_bytes: i64,
    /// Host ports taken by tasks that have not ended, as (protocol, port), sorted, with repeats.
    pub host_ports: Arc<Vec<(i32, u32)>>,
    /// The digest's part that `spec` is, so that it is not computed again when it is taken out.
    pub(crate) wanted_hash: u128,
    /// Nodes that no constraint on labels, role, platform or features can tell apart share a class;
    /// [`crate::classes::NO_CLASS`] for a removed one.
    pub class: u32,
}

impl Row for NodeRow {
    fn id(&self) -> Id {
        self.id
    }
}

impl NodeRow {
    /// Whether new tasks may be placed on it: ready, not gone silent, active, and without a
    /// condition against it.
    pub fn is_placeable(&self) -> bool {
        self.is_ready_and_active() && !self.has_condition_against_placement()
    }

    /// Whether nothing but a condition keeps new tasks away from it.
    pub fn is_impaired(&self) -> bool {
        self.is_ready_and_active() && self.has_condition_against_placement()
    }

    fn has_condition_against_placement(&self) -> bool {
        let mut effects = self.conditions.iter().map(|known| condition::effect(known.kind()));
        effects.any(|effect| effect == Effect::StopsPlacement)
    }

    fn is_ready_and_active(&self) -> bool {
        !self.removed
            && !self.silent
            && self.state == NodeState::Ready
            && self.spec.availability() == NodeAvailability::Active
    }

    /// Whether it is a manager, or is to become or was one: it counts among them.
    pub fn is_among_managers(&self) -> bool {
        !self.removed && (self.manager.is_some() || self.spec.desired_role() == NodeRole::Manager)
    }

    /// The name that people know it by.
    pub fn hostname(&self) -> &str {
        &self.description.hostname
    }

    /// CPU not yet reserved; may be negative after a node shrank.
    pub fn free_nano_cpus(&self) -> i64 {
        self.description
            .resources
            .as_ref()
            .map_or(0, |r| r.nano_cpus)
            .saturating_sub(self.reserved_nano_cpus)
    }

    /// Memory not yet reserved; may be negative after a node shrank.
    pub fn free_memory_bytes(&self) -> i64 {
        self.description
            .resources
            .as_ref()
            .map_or(0, |r| r.memory_bytes)
            .saturating_sub(self.reserved_memory_bytes)
    }
}
