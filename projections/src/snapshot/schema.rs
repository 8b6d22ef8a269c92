//! The messages of a snapshot. Numbers of fields are never reused.
//!
//! Ids are two fixed 64-bit fields and times are one: that costs a byte or two more than the
//! shortest form, and no allocation.

use prost::Message;
use skep_proto::v1::{
    ClusterSpec, Condition, ContainerStatus, NodeDescription, NodeSpec, PlacementBlocked,
    PlacementExplained, ServiceSpec,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Head {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(uint64, tag = "2")]
    pub(super) incarnation: u64,
    #[prost(uint64, tag = "3")]
    pub(super) revision: u64,
    #[prost(fixed64, tag = "4")]
    pub(super) at: u64,
    #[prost(uint32, tag = "5")]
    pub(super) level: u32,
    #[prost(uint64, tag = "6")]
    pub(super) set_aside: u64,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) digest: Vec<u8>,
    #[prost(message, optional, tag = "8")]
    pub(super) cluster: Option<SavedCluster>,
    #[prost(message, optional, tag = "9")]
    pub(super) tenure: Option<SavedTenure>,
    #[prost(uint32, repeated, tag = "10")]
    pub(super) free_nodes: Vec<u32>,
    #[prost(uint32, repeated, tag = "11")]
    pub(super) free_services: Vec<u32>,
    #[prost(uint32, repeated, tag = "12")]
    pub(super) free_tasks: Vec<u32>,
    #[prost(uint32, repeated, tag = "13")]
    pub(super) free_classes: Vec<u32>,
    #[prost(uint64, tag = "14")]
    pub(super) nodes: u64,
    #[prost(uint64, tag = "15")]
    pub(super) services: u64,
    #[prost(uint64, tag = "16")]
    pub(super) tasks: u64,
    #[prost(uint64, tag = "17")]
    pub(super) parked: u64,
    #[prost(uint64, tag = "18")]
    pub(super) stamps: u64,
    #[prost(uint64, tag = "19")]
    pub(super) strays: u64,
    #[prost(fixed64, tag = "20")]
    pub(super) lineage: u64,
    /// When the newest of the stamps was given that are forgotten.
    #[prost(uint64, tag = "21")]
    pub(super) forgotten_stamps: u64,
    #[prost(uint64, tag = "22")]
    pub(super) removed_nodes: u64,
    #[prost(uint64, tag = "23")]
    pub(super) newest_raft_id: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct SavedRemoval {
    #[prost(message, required, tag = "1")]
    pub(super) node: SavedId,
    #[prost(fixed64, tag = "2")]
    pub(super) until: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct SavedId {
    #[prost(fixed64, tag = "1")]
    pub(super) high: u64,
    #[prost(fixed64, tag = "2")]
    pub(super) low: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Moment {
    #[prost(uint64, tag = "1")]
    pub(super) revision: u64,
    #[prost(fixed64, tag = "2")]
    pub(super) at: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedCluster {
    #[prost(message, required, tag = "1")]
    pub(super) id: SavedId,
    #[prost(message, required, tag = "2")]
    pub(super) spec: ClusterSpec,
    #[prost(uint64, tag = "3")]
    pub(super) version: u64,
    #[prost(message, required, tag = "4")]
    pub(super) created: Moment,
    #[prost(fixed64, tag = "5")]
    pub(super) updated_at: u64,
    #[prost(string, tag = "6")]
    pub(super) changed_by: String,
    #[prost(message, optional, tag = "7")]
    pub(super) authority: Option<SavedAuthority>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct SavedTenure {
    #[prost(uint64, tag = "1")]
    pub(super) term: u64,
    #[prost(message, required, tag = "2")]
    pub(super) manager: SavedId,
    #[prost(message, required, tag = "3")]
    pub(super) begun: Moment,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedNode {
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(message, required, tag = "2")]
    pub(super) id: SavedId,
    #[prost(message, required, tag = "3")]
    pub(super) spec: NodeSpec,
    #[prost(message, required, tag = "4")]
    pub(super) description: NodeDescription,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) credential_hash: Vec<u8>,
    #[prost(uint64, tag = "6")]
    pub(super) session: u64,
    #[prost(enumeration = "skep_proto::v1::NodeState", tag = "7")]
    pub(super) state: i32,
    #[prost(fixed64, tag = "8")]
    pub(super) state_at: u64,
    #[prost(string, tag = "9")]
    pub(super) state_message: String,
    #[prost(uint64, tag = "10")]
    pub(super) version: u64,
    #[prost(message, required, tag = "11")]
    pub(super) created: Moment,
    #[prost(fixed64, tag = "12")]
    pub(super) updated_at: u64,
    #[prost(uint64, tag = "13")]
    pub(super) last_revision: u64,
    #[prost(bool, tag = "14")]
    pub(super) silent: bool,
    #[prost(bool, tag = "15")]
    pub(super) removed: bool,
    #[prost(uint32, tag = "16")]
    pub(super) class: u32,
    #[prost(message, repeated, tag = "17")]
    pub(super) conditions: Vec<Condition>,
    #[prost(string, tag = "18")]
    pub(super) changed_by: String,
    #[prost(message, optional, tag = "19")]
    pub(super) certificate: Option<SavedCertificate>,
    #[prost(string, tag = "20")]
    pub(super) address: String,
    #[prost(message, optional, tag = "21")]
    pub(super) port: Option<SavedPort>,
    #[prost(message, optional, tag = "22")]
    pub(super) manager: Option<SavedManagerNumber>,
    #[prost(message, optional, tag = "23")]
    pub(super) session_manager: Option<SavedId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct SavedManagerNumber {
    #[prost(uint64, tag = "1")]
    pub(super) raft_id: u64,
    #[prost(enumeration = "skep_proto::v1::RaftMembership", tag = "2")]
    pub(super) membership: i32,
    #[prost(bool, tag = "3")]
    pub(super) unreachable: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct SavedPort {
    #[prost(string, tag = "1")]
    pub(super) listen: String,
    #[prost(string, tag = "2")]
    pub(super) advertise: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct SavedCertificate {
    #[prost(enumeration = "skep_proto::v1::NodeRole", tag = "1")]
    pub(super) role: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) serial: Vec<u8>,
    #[prost(fixed64, tag = "3")]
    pub(super) not_before: u64,
    #[prost(fixed64, tag = "4")]
    pub(super) not_after: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct SavedAuthority {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) root_certificate: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) worker_salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) manager_salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) unlock_salt: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedSpec {
    #[prost(uint64, tag = "1")]
    pub(super) version: u64,
    #[prost(message, required, tag = "2")]
    pub(super) spec: ServiceSpec,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedRollout {
    #[prost(enumeration = "skep_proto::v1::RolloutState", tag = "1")]
    pub(super) state: i32,
    #[prost(fixed64, tag = "2")]
    pub(super) started_at: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) completed_at: u64,
    #[prost(string, tag = "4")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedService {
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(message, required, tag = "2")]
    pub(super) id: SavedId,
    /// Oldest first; the last one is the service's own.
    #[prost(message, repeated, tag = "3")]
    pub(super) specs: Vec<SavedSpec>,
    #[prost(uint64, tag = "4")]
    pub(super) version: u64,
    #[prost(message, required, tag = "5")]
    pub(super) created: Moment,
    #[prost(fixed64, tag = "6")]
    pub(super) updated_at: u64,
    #[prost(uint64, tag = "7")]
    pub(super) last_revision: u64,
    #[prost(bool, tag = "8")]
    pub(super) removed: bool,
    #[prost(message, optional, tag = "9")]
    pub(super) rollout: Option<SavedRollout>,
    #[prost(message, optional, tag = "10")]
    pub(super) blocked: Option<PlacementBlocked>,
    #[prost(message, optional, tag = "11")]
    pub(super) explained: Option<PlacementExplained>,
    #[prost(string, tag = "12")]
    pub(super) changed_by: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedTask {
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(fixed64, tag = "2")]
    pub(super) id_high: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) id_low: u64,
    #[prost(uint32, tag = "4")]
    pub(super) service: u32,
    /// The node's index; absent before it is placed.
    #[prost(uint32, optional, tag = "5")]
    pub(super) node: Option<u32>,
    #[prost(uint32, tag = "6")]
    pub(super) slot: u32,
    #[prost(uint32, tag = "7")]
    pub(super) attempt: u32,
    #[prost(enumeration = "skep_proto::v1::TaskState", tag = "8")]
    pub(super) desired: i32,
    #[prost(enumeration = "skep_proto::v1::DesireReason", tag = "9")]
    pub(super) desire_reason: i32,
    #[prost(enumeration = "skep_proto::v1::TaskState", tag = "10")]
    pub(super) state: i32,
    #[prost(uint64, tag = "11")]
    pub(super) spec_version: u64,
    #[prost(uint64, tag = "12")]
    pub(super) created_revision: u64,
    #[prost(fixed64, tag = "13")]
    pub(super) created_at: u64,
    #[prost(uint64, tag = "14")]
    pub(super) state_revision: u64,
    #[prost(fixed64, tag = "15")]
    pub(super) state_at: u64,
    #[prost(uint64, tag = "16")]
    pub(super) desired_revision: u64,
    #[prost(fixed64, tag = "17")]
    pub(super) running_at: u64,
    #[prost(fixed64, tag = "18")]
    pub(super) start_at: u64,
    #[prost(fixed64, tag = "19")]
    pub(super) replaces_high: u64,
    #[prost(fixed64, tag = "20")]
    pub(super) replaces_low: u64,
    #[prost(message, optional, tag = "21")]
    pub(super) detail: Option<SavedDetail>,
    #[prost(fixed64, tag = "22")]
    pub(super) start_by: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedDetail {
    #[prost(string, tag = "1")]
    pub(super) message: String,
    #[prost(string, tag = "2")]
    pub(super) error: String,
    #[prost(message, optional, tag = "3")]
    pub(super) container: Option<ContainerStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedStamp {
    #[prost(fixed64, tag = "1")]
    pub(super) stamp: u64,
    #[prost(uint64, tag = "2")]
    pub(super) highest: u64,
    #[prost(uint64, tag = "3")]
    pub(super) used: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) done: Vec<SavedCommand>,
    #[prost(uint64, tag = "5")]
    pub(super) given: u64,
    #[prost(fixed64, tag = "6")]
    pub(super) author: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct SavedCommand {
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) object_high: u64,
    #[prost(fixed64, tag = "4")]
    pub(super) object_low: u64,
    #[prost(fixed64, tag = "5")]
    pub(super) hash: u64,
    #[prost(string, repeated, tag = "6")]
    pub(super) warnings: Vec<String>,
}
