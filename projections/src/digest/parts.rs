//! What is hashed of each object, cut into the parts that change together.
//!
//! Every part begins with a tag of its own and the object's id, and has a fixed order of fields, so
//! that no two parts can be mistaken for one another. An absent part hashes to nothing.

use crate::{
    cluster::{ClusterRow, Tenure},
    node::NodeRow,
    service::ServiceRow,
    task::{TaskDetail, TaskRow},
    trust::Authority,
};
use prost::Message;
use skep_proto::{
    Id, Lineage, Revision, Timestamp,
    v1::{ObjectParked, StrayObserved},
};
use xxhash_rust::xxh3::xxh3_128;

/// Parts up to this length are gathered without touching the heap. Longer ones, which are specs, go
/// there.
const SHORT_BYTES: usize = 240;

/// Room reserved behind the message that made a part long, at least: mostly a few numbers and a
/// name follow.
const LATER_BYTES_MIN: usize = 128;

/// Collects the fields of a part.
struct DigestFields {
    short: [u8; SHORT_BYTES],
    len: usize,
    /// Everything, once it has grown too long.
    long: Vec<u8>,
}

/// Hashes a part that is a few numbers, the first of them its tag and its object's id.
#[inline]
fn hash_words<const N: usize>(words: [u64; N]) -> u128 {
    xxh3_128(words.map(u64::to_le_bytes).as_flattened())
}

/// The two halves of an id.
#[inline]
fn halves(id: Id) -> (u64, u64) {
    ((id.0 >> 64) as u64, id.0 as u64)
}

impl DigestFields {
    #[inline]
    fn new(tag: u8, id: Id) -> DigestFields {
        let mut fields = DigestFields { short: [0; SHORT_BYTES], len: 0, long: Vec::new() };
        fields.add(&[tag]);
        fields.id(id);
        fields
    }

    /// Room for so many bytes more.
    #[inline]
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.len + bytes > SHORT_BYTES {
            self.lengthen(bytes);
        }
        let start = self.len;
        self.len += bytes;
        if self.long.is_empty() {
            return &mut self.short[start..start + bytes];
        }
        self.long.resize(self.len, 0);
        &mut self.long[start..]
    }

    /// Goes on in the heap, with capacity for so many bytes more.
    fn lengthen(&mut self, bytes: usize) {
        if self.long.is_empty() {
            self.long.reserve(self.len + bytes + LATER_BYTES_MIN);
            self.long.extend_from_slice(&self.short[..self.len]);
        }
    }

    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    fn id(&mut self, id: Id) {
        self.add(&id.0.to_le_bytes());
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.add(&word.to_le_bytes());
    }

    fn moment(&mut self, (revision, at): (Revision, Timestamp)) {
        self.word(revision.0);
        self.word(at.0);
    }

    fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        self.add(text.as_bytes());
    }

    fn message(&mut self, message: &impl Message) {
        let len = message.encoded_len();
        self.word(len as u64);
        if self.long.is_empty() && self.len + len <= SHORT_BYTES {
            message.encode_raw(&mut self.room(len));
        } else {
            // Straight to where it stays: a spec may be long.
            self.lengthen(len);
            message.encode_raw(&mut self.long);
            self.len = self.long.len();
        }
    }

    fn optional(&mut self, message: Option<&impl Message>) {
        self.word(u64::from(message.is_some()));
        if let Some(message) = message {
            self.message(message);
        }
    }

    fn hash(&self) -> u128 {
        xxh3_128(if self.long.is_empty() { &self.short[..self.len] } else { &self.long })
    }
}

/// The parts of a task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskPart {
    /// What never changes.
    Identity,
    /// The node.
    Placement,
    /// What is wanted: the version of the spec, the desired state and the hold.
    Desired,
    /// What was seen.
    Observed,
    /// The message, error and container that were reported with the state.
    Detail,
}

impl TaskPart {
    pub(crate) const ALL: [TaskPart; 5] = [
        TaskPart::Identity,
        TaskPart::Placement,
        TaskPart::Desired,
        TaskPart::Observed,
        TaskPart::Detail,
    ];

    /// Hashes one part; only identity looks at the service's id, only placement at the node's.
    pub(crate) fn hash(self, task: &TaskRow, service: Id, node: Id) -> u128 {
        let (tag, (high, low)) = (1 + self as u64, halves(task.id));
        match self {
            TaskPart::Identity => {
                let ((of_high, of_low), (old_high, old_low)) =
                    (halves(service), halves(task.replaces));
                let ((revision, at), slot) =
                    (task.created, u64::from(task.slot) << 32 | u64::from(task.attempt));
                hash_words([
                    tag, high, low, of_high, of_low, old_high, old_low, slot, revision.0, at.0,
                ])
            }
            TaskPart::Placement if task.node.is_none() => 0,
            TaskPart::Placement => {
                let (on_high, on_low) = halves(node);
                hash_words([tag, high, low, on_high, on_low])
            }
            TaskPart::Desired => {
                let (desired, reason) = (task.desired as u64, task.desire_reason as u64);
                let (version, since) = (task.spec_version.0, task.desired_revision.0);
                let (start_at, start_by) = (task.start_at.0, task.start_by.0);
                hash_words([tag, high, low, version, desired, reason, since, start_at, start_by])
            }
            TaskPart::Observed => {
                let (state, (revision, at)) = (task.state as u64, task.state_since);
                hash_words([tag, high, low, state, revision.0, at.0, task.running_at.0])
            }
            TaskPart::Detail => {
                task.detail.as_ref().map_or(0, |known| detail(tag as u8, task.id, known))
            }
        }
    }
}

fn detail(tag: u8, task: Id, detail: &TaskDetail) -> u128 {
    let mut fields = DigestFields::new(tag, task);
    fields.text(&detail.message);
    fields.text(&detail.error);
    fields.optional(detail.container.as_ref());
    fields.hash()
}

/// The parts of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodePart {
    /// What people want of it.
    Wanted,
    /// Who it is and what it said of itself.
    Said,
    /// Its session and state.
    Status,
    /// When it last changed.
    Marks,
    /// What is wrong with it.
    Conditions,
    /// Its newest certificate.
    Certificate,
    /// Where it is reached.
    Reach,
    /// What it is among the managers, and which of them holds its session.
    Management,
}

impl NodePart {
    pub(crate) const ALL: [NodePart; 8] = [
        NodePart::Wanted,
        NodePart::Said,
        NodePart::Status,
        NodePart::Marks,
        NodePart::Conditions,
        NodePart::Certificate,
        NodePart::Reach,
        NodePart::Management,
    ];

    /// What is in the sum for this part; a node's spec was hashed when it came.
    pub(crate) fn known(self, node: &NodeRow) -> u128 {
        match self {
            NodePart::Wanted => node.wanted_hash,
            NodePart::Said
            | NodePart::Status
            | NodePart::Marks
            | NodePart::Conditions
            | NodePart::Certificate
            | NodePart::Reach
            | NodePart::Management => self.hash(node),
        }
    }

    pub(crate) fn hash(self, node: &NodeRow) -> u128 {
        let tag = 16 + self as u8;
        let mut fields = DigestFields::new(tag, node.id);
        match self {
            NodePart::Wanted => fields.message(node.spec.as_ref()),
            NodePart::Said => {
                fields.message(node.description.as_ref());
                fields.add(&node.credential_hash);
                fields.moment(node.created);
            }
            NodePart::Status => {
                fields.word(node.session);
                fields.word(node.state as u64);
                fields.word(node.state_at.0);
                fields.text(&node.state_message);
                fields.word(u64::from(node.removed) | u64::from(node.silent) << 1);
            }
            NodePart::Marks => {
                fields.word(node.version.0);
                fields.text(&node.changed_by);
                fields.word(node.updated_at.0);
                fields.word(node.last_revision.0);
            }
            NodePart::Conditions if node.conditions.is_empty() => return 0,
            NodePart::Conditions => node.conditions.iter().for_each(|known| fields.message(known)),
            NodePart::Certificate => {
                let Some(known) = node.certificate.as_deref() else { return 0 };
                fields.word(known.role as u64);
                fields.add(&known.serial);
                fields.word(known.not_before.0);
                fields.word(known.not_after.0);
            }
            NodePart::Reach if node.address.is_empty() && node.port.is_none() => return 0,
            NodePart::Reach => {
                fields.text(&node.address);
                let port = node.port.as_deref();
                fields.text(port.map_or("", |port| &port.listen));
                fields.text(port.map_or("", |port| &port.advertise));
            }
            NodePart::Management if node.manager.is_none() && node.session_manager.is_none() => {
                return 0;
            }
            NodePart::Management => {
                fields.word(node.manager.map_or(0, |manager| manager.raft_id));
                fields.word(node.manager.map_or(0, |manager| manager.membership as u64));
                fields.id(node.session_manager);
                // Below its feature level no manager is ever recorded so, and nothing is added.
                if node.manager.is_some_and(|manager| manager.unreachable) {
                    fields.word(1);
                }
            }
        }
        fields.hash()
    }
}

/// The parts of a service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServicePart {
    /// What is wanted now.
    Spec,
    /// Older specs that tasks refer to.
    OlderSpecs,
    /// How far it has got.
    Status,
}

impl ServicePart {
    pub(crate) const ALL: [ServicePart; 3] =
        [ServicePart::Spec, ServicePart::OlderSpecs, ServicePart::Status];

    pub(crate) fn hash(self, service: &ServiceRow) -> u128 {
        let mut fields = DigestFields::new(32 + self as u8, service.id);
        match self {
            ServicePart::Spec => {
                fields.message(service.spec.as_ref());
                fields.word(service.spec_version.0);
                fields.word(service.version.0);
                fields.text(&service.changed_by);
                fields.moment(service.created);
                fields.word(service.updated_at.0);
            }
            ServicePart::OlderSpecs => {
                // The newest one is the service's own spec.
                let older = service.specs.split_last().map_or(&[][..], |(_, older)| older);
                if older.is_empty() {
                    return 0;
                }
                for known in older {
                    fields.word(known.version.0);
                    fields.message(known.spec.as_ref());
                }
            }
            ServicePart::Status => {
                fields.word(service.last_revision.0);
                fields.word(u64::from(service.removed));
                fields.word(u64::from(service.rollout.is_some()));
                if let Some(rollout) = &service.rollout {
                    fields.word(rollout.state as u64);
                    fields.word(rollout.started_at.0);
                    fields.word(rollout.completed_at.0);
                    fields.text(&rollout.message);
                }
                fields.optional(service.blocked.as_deref());
                fields.optional(service.explained.as_deref());
            }
        }
        fields.hash()
    }
}

pub(crate) fn cluster(cluster: &ClusterRow, level: u32) -> u128 {
    if cluster.id.is_none() && level == 0 {
        return 0;
    }
    let mut fields = DigestFields::new(48, cluster.id);
    fields.message(cluster.spec.as_ref());
    fields.word(cluster.version.0);
    fields.text(&cluster.changed_by);
    fields.moment(cluster.created);
    fields.word(cluster.updated_at.0);
    fields.word(u64::from(level));
    fields.hash()
}

pub(crate) fn tenure(tenure: &Tenure) -> u128 {
    if *tenure == Tenure::default() {
        return 0;
    }
    let mut fields = DigestFields::new(49, tenure.manager);
    fields.word(tenure.term);
    fields.moment((tenure.revision, tenure.begun_at));
    fields.hash()
}

pub(crate) fn set_aside(count: u64) -> u128 {
    if count == 0 {
        return 0;
    }
    let mut fields = DigestFields::new(50, Id::NONE);
    fields.word(count);
    fields.hash()
}

pub(crate) fn parked(parked: &ObjectParked) -> u128 {
    let mut fields = DigestFields::new(51, Id::from_bytes(&parked.object_id));
    fields.message(parked);
    fields.hash()
}

pub(crate) fn stray(stray: &StrayObserved) -> u128 {
    let mut fields = DigestFields::new(53, Id::from_bytes(&stray.task_id));
    fields.message(stray);
    fields.hash()
}

/// One command remembered: its id, what became of it, and what came with feature level 3: the hash
/// of what it asked, and what its answer warned of.
pub(crate) fn command(
    (stamp, number): (u64, u64),
    revision: Revision,
    object: Id,
    (hash, warnings): (u64, &[String]),
) -> u128 {
    if hash == 0 && warnings.is_empty() {
        let (high, low) = halves(object);
        return hash_words([52, high, low, stamp, number, revision.0]);
    }
    let mut fields = DigestFields::new(54, object);
    [stamp, number, revision.0, hash].into_iter().for_each(|word| fields.word(word));
    warnings.iter().for_each(|warning| fields.text(warning));
    fields.hash()
}

/// To whom a stamp was given, and when; nothing where that is not known.
pub(crate) fn stamp(number: u64, given: Revision, author: u64) -> u128 {
    if author == 0 { 0 } else { hash_words([55, number, given.0, author]) }
}

/// When the newest of the stamps was given that are forgotten.
pub(crate) fn forgotten_stamps(given: Revision) -> u128 {
    if given == Revision::ZERO { 0 } else { hash_words([56, given.0]) }
}

/// A node that was removed, and until when that is remembered.
pub(crate) fn removed_node(node: Id, until: Timestamp) -> u128 {
    let (high, low) = halves(node);
    hash_words([59, high, low, until.0])
}

/// The newest number that was given in raft; nothing before the first.
pub(crate) fn newest_raft_id(raft_id: u64) -> u128 {
    if raft_id == 0 { 0 } else { hash_words([60, raft_id]) }
}

/// The cluster's authority; nothing before it is founded.
pub(crate) fn authority(authority: Option<&Authority>) -> u128 {
    let Some(authority) = authority else { return 0 };
    let mut fields = DigestFields::new(58, Id::NONE);
    fields.add(&authority.worker_salt);
    fields.add(&authority.manager_salt);
    fields.add(&authority.root_certificate);
    if authority.unlock_salt != [0; 16] {
        fields.add(&authority.unlock_salt);
    }
    fields.hash()
}

/// The incarnation's mark; nothing before it has one.
pub(crate) fn lineage(lineage: Lineage) -> u128 {
    if lineage.is_none() { 0 } else { hash_words([57, lineage.0]) }
}
