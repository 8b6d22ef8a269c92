//! A view's digest from its parts: those that a record changes, or all of them.

use super::View;
use crate::{
    TaskRow,
    digest::{Digest, NodePart, ServicePart, TaskPart, parts},
};
use skep_proto::v1::{ObjectParked, StrayObserved};

impl View {
    /// The digest recomputed from all rows: what [`View::digest`] must equal, at O(cluster).
    pub fn recomputed_digest(&self) -> Digest {
        let mut digest = Digest::default();
        digest.put(self.cluster_part());
        digest.put(parts::lineage(self.lineage));
        digest.put(parts::authority(self.cluster.authority.as_deref()));
        digest.put(parts::newest_raft_id(self.newest_raft_id));
        digest.put(self.tenure_part());
        digest.put(self.set_aside_part());
        digest.put(self.stamps.hash_of_all());
        for (node, until) in self.removed_nodes.iter() {
            digest.put(parts::removed_node(node, until));
        }
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
    pub(crate) fn task_hash(&self, task: &TaskRow) -> u128 {
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
