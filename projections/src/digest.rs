//! A sum of per-object hashes, kept up to date by `apply`.
//!
//! An object's hash is itself the sum of the hashes of its parts, so a record pays for the parts it
//! changes: the old ones are taken out of the sum, the new ones put in. Addition has no order, so
//! views that hold the same objects have the same digest whatever way they came; objects are hashed
//! by id, never by place. What can be computed from the rows (counters, indexes) is left out.
//!
//! The hash is xxh3 with 128 bits. It guards against our own mistakes, not against forgery (the
//! chain of entries does that), and SHA-256 would cost more than all the rest of folding an
//! observation.

mod parts;

pub(crate) use parts::{NodePart, ServicePart, TaskPart, command as command_part};

use crate::View;
use skep_proto::v1::{ObjectParked, StrayObserved};

/// 128 bits; addition wraps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Digest(pub u128);

impl Digest {
    /// The bytes as a checkpoint carries them, most significant first.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) fn put(&mut self, part: u128) {
        self.0 = self.0.wrapping_add(part);
    }

    pub(crate) fn take(&mut self, part: u128) {
        self.0 = self.0.wrapping_sub(part);
    }
}

impl View {
    /// The digest computed anew from all rows: what [`View::digest`] must equal, at O(cluster).
    pub fn recomputed_digest(&self) -> Digest {
        let mut digest = Digest::default();
        digest.put(self.cluster_part());
        digest.put(self.tenure_part());
        digest.put(self.set_aside_part());
        digest.put(self.stamps.hash_of_all());
        for (_, node) in self.nodes.iter() {
            NodePart::ALL.iter().for_each(|part| digest.put(part.hash(node)));
        }
        for (_, service) in self.services.iter() {
            ServicePart::ALL.iter().for_each(|part| digest.put(part.hash(service)));
        }
        for (_, task) in self.tasks.iter() {
            digest.put(self.task_hash(task));
        }
        for (_, parked) in self.all_parked() {
            digest.put(Self::parked_part(parked));
        }
        for (_, stray) in self.strays() {
            digest.put(Self::stray_part(stray));
        }
        digest
    }

    /// Everything of a task.
    pub(crate) fn task_hash(&self, task: &crate::TaskRow) -> u128 {
        let service = self.services.get(task.service).map(|row| row.id).unwrap_or_default();
        let node =
            task.node.and_then(|node| self.nodes.get(node)).map(|row| row.id).unwrap_or_default();
        TaskPart::ALL
            .iter()
            .fold(0u128, |sum, part| sum.wrapping_add(part.hash(task, service, node)))
    }

    pub(crate) fn cluster_part(&self) -> u128 {
        parts::cluster(&self.cluster, self.level)
    }

    pub(crate) fn tenure_part(&self) -> u128 {
        parts::tenure(&self.tenure)
    }

    pub(crate) fn set_aside_part(&self) -> u128 {
        parts::set_aside(self.set_aside)
    }

    pub(crate) fn stray_part(stray: &StrayObserved) -> u128 {
        parts::stray(stray)
    }

    pub(crate) fn parked_part(parked: &ObjectParked) -> u128 {
        parts::parked(parked)
    }
}
