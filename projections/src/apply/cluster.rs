//! Records about the cluster as a whole: its settings, its level, its tenures, and objects left
//! alone.

use super::{
    Step,
    misfit::{ApplyResult, Misfit, ObjectKind},
};
use crate::{
    apply::{node::STATUS, upkeep::Changed},
    cluster::{ClusterRow, Tenure},
    digest::parts,
    view::View,
};
use skep_proto::{
    Id, Lineage,
    v1::{self, author::Who},
};
use std::sync::Arc;

/// The feature level that every cluster begins with.
const FIRST_LEVEL: u32 = 1;

impl View {
    /// Changes the cluster's row or level, and the digest with it.
    fn edit_cluster(&mut self, change: impl FnOnce(&mut ClusterRow, &mut u32)) {
        self.digest.take(self.cluster_part());
        change(&mut self.cluster, &mut self.level);
        self.digest.put(self.cluster_part());
    }

    fn begin_lineage(&mut self, lineage: Lineage) {
        self.digest.take(parts::lineage(self.lineage));
        self.lineage = lineage;
        self.digest.put(parts::lineage(self.lineage));
    }

    /// An object that was left alone is worked on again: released, changed, or gone. Says
    /// whether it was left alone.
    pub(super) fn unpark(&mut self, id: Id) -> bool {
        let Some(parked) = self.parked.remove(&id) else { return false };
        self.digest.take(View::parked_part(&parked));
        true
    }

    /// What a record about any object changes.
    fn object(&self, id: Id) -> Option<Changed> {
        if id == self.cluster.id && !id.is_none() {
            return Some(Changed::Cluster);
        }
        let node = || self.nodes.find(id).map(Changed::Node);
        let service = || self.services.find(id).map(Changed::Service);
        self.tasks.find(id).map(Changed::Task).or_else(service).or_else(node)
    }
}

impl Step<'_> {
    pub(super) fn cluster_created(&mut self, e: &v1::ClusterCreated) -> ApplyResult {
        let id = Id::from_bytes(&e.cluster_id);
        if id.is_none() {
            return Err(Misfit::NoId(ObjectKind::Cluster));
        }
        if !self.view.cluster.id.is_none() {
            return Err(Misfit::Exists(ObjectKind::Cluster, self.view.cluster.id));
        }
        let (moment, changed_by) = (self.moment(), self.by());
        self.view.edit_cluster(|cluster, level| {
            let spec = Arc::new(e.spec.clone().unwrap_or_default());
            let (version, updated_at) = moment;
            *cluster = ClusterRow {
                id,
                spec,
                version,
                changed_by,
                created: moment,
                updated_at,
                authority: None,
            };
            *level = FIRST_LEVEL.max(*level);
        });
        self.changed(Changed::Cluster)
    }

    pub(super) fn cluster_updated(&mut self, e: &v1::ClusterUpdated) -> ApplyResult {
        if self.view.cluster.id.is_none() {
            return Err(Misfit::Missing(ObjectKind::Cluster, Id::NONE));
        }
        let ((version, at), changed_by) = (self.moment(), self.by());
        self.view.edit_cluster(|cluster, _| {
            cluster.changed_by = changed_by;
            cluster.spec = Arc::new(e.spec.clone().unwrap_or_default());
            (cluster.version, cluster.updated_at) = (version, at);
        });
        self.view.unpark(self.view.cluster.id);
        self.changed(Changed::Cluster)
    }

    pub(super) fn feature_level_raised(&mut self, e: &v1::FeatureLevelRaised) -> ApplyResult {
        if e.level <= self.view.level {
            return Err(Misfit::Level(self.view.level));
        }
        self.view.edit_cluster(|_, level| *level = e.level);
        if self.view.lineage.is_none() {
            self.view.begin_lineage(Lineage(e.lineage));
        }
        self.changed(Changed::Cluster)
    }

    /// The incarnation itself is in the record's header.
    pub(super) fn incarnation_begun(&mut self, e: &v1::IncarnationBegun) -> ApplyResult {
        self.view.begin_lineage(Lineage(e.lineage));
        self.changed(Changed::Cluster)
    }

    /// A new leader knows nothing yet of who is there: every node that was up is unknown until it
    /// is heard of. The term may be lower than the one before: a restored cluster counts again.
    pub(super) fn tenure_begun(&mut self, e: &v1::TenureBegun) -> ApplyResult {
        let manager = match self.author.and_then(|author| author.who.as_ref()) {
            Some(Who::ManagerId(id)) => Id::from_bytes(id),
            Some(Who::Person(_) | Who::NodeId(_) | Who::Reconciler(_)) | None => Id::NONE,
        };
        let (revision, at) = self.moment();
        self.view.digest.take(self.view.tenure_part());
        self.view.tenure = Tenure { term: e.term, manager, begun_at: at, revision };
        self.view.digest.put(self.view.tenure_part());
        // One that is unknown since an earlier tenure has its time again too: the log's time may
        // have jumped in between.
        let waits = |state: v1::NodeState| state != v1::NodeState::Down;
        let known = self
            .view
            .nodes
            .iter()
            .filter(|(_, row)| !row.removed && (waits(row.state) || row.silent));
        for index in known.map(|(index, _)| index).collect::<Vec<_>>() {
            self.view.edit_node(index, &STATUS, |row| {
                if waits(row.state) {
                    (row.state, row.state_at) = (v1::NodeState::Unknown, at);
                    row.state_message = "".into();
                }
                (row.silent, row.last_revision) = (false, revision);
            });
            self.changed(Changed::Node(index))?;
        }
        self.changed(Changed::Cluster)
    }

    pub(super) fn object_parked(&mut self, e: &v1::ObjectParked) -> ApplyResult {
        let id = Id::from_bytes(&e.object_id);
        let object = self.view.object(id).ok_or(Misfit::Missing(ObjectKind::Any, id))?;
        self.view.unpark(id);
        let parked = Arc::new(e.clone());
        self.view.digest.put(View::parked_part(&parked));
        self.view.parked.insert(id, parked);
        self.changed(object)
    }

    pub(super) fn object_released(&mut self, e: &v1::ObjectReleased) -> ApplyResult {
        let id = Id::from_bytes(&e.object_id);
        let object = self.view.object(id).ok_or(Misfit::Missing(ObjectKind::Any, id))?;
        if !self.view.unpark(id) {
            return Err(Misfit::Missing(ObjectKind::Parked, id));
        }
        self.changed(object)
    }
}
