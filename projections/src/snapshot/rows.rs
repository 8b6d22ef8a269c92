//! Rows to the messages of a snapshot, and back. What follows from other rows is left empty.

use super::{FORMAT, schema};
use crate::{
    NodeIdx, NodeRow, ServiceIdx, ServiceRow, TaskIdx, TaskRow, View,
    cluster::{ClusterRow, Tenure},
    digest::NodePart,
    node::ManagerNumber,
    service::{Rollout, SpecVersion},
    stamps::{DoneCommand, SavedDone, SavedUse, Stamps},
    task::TaskDetail,
};
use skep_proto::{
    Id, Lineage, Position, Revision, Timestamp,
    v1::{DesireReason, NodeState, TaskState},
};
use std::sync::Arc;

impl From<Id> for schema::SavedId {
    fn from(id: Id) -> schema::SavedId {
        schema::SavedId { high: (id.0 >> 64) as u64, low: id.0 as u64 }
    }
}

impl From<schema::SavedId> for Id {
    fn from(id: schema::SavedId) -> Id {
        Id(u128::from(id.high) << 64 | u128::from(id.low))
    }
}

impl From<(Revision, Timestamp)> for schema::Moment {
    fn from((revision, at): (Revision, Timestamp)) -> schema::Moment {
        schema::Moment { revision: revision.0, at: at.0 }
    }
}

impl From<schema::Moment> for (Revision, Timestamp) {
    fn from(moment: schema::Moment) -> (Revision, Timestamp) {
        (Revision(moment.revision), Timestamp(moment.at))
    }
}

impl schema::Head {
    pub(super) fn of(view: &View) -> schema::Head {
        let cluster = &view.cluster;
        schema::Head {
            format: FORMAT,
            incarnation: view.position.incarnation,
            revision: view.position.revision.0,
            at: view.at.0,
            level: view.level,
            set_aside: view.set_aside,
            digest: view.digest.to_bytes().to_vec(),
            cluster: Some(schema::SavedCluster {
                id: cluster.id.into(),
                spec: cluster.spec.as_ref().clone(),
                version: cluster.version.0,
                changed_by: cluster.changed_by.to_string(),
                created: cluster.created.into(),
                updated_at: cluster.updated_at.0,
                authority: cluster.authority.as_deref().map(schema::SavedAuthority::from),
            }),
            tenure: Some(schema::SavedTenure {
                term: view.tenure.term,
                manager: view.tenure.manager.into(),
                begun: (view.tenure.revision, view.tenure.begun_at).into(),
            }),
            free_nodes: view.nodes.free_indexes().collect(),
            free_services: view.services.free_indexes().collect(),
            free_tasks: view.tasks.free_indexes().collect(),
            free_classes: view.classes.free_numbers().collect(),
            nodes: view.nodes.len() as u64,
            services: view.services.len() as u64,
            tasks: view.tasks.len() as u64,
            parked: view.parked.len() as u64,
            stamps: view.stamps.len() as u64,
            strays: view.strays.len() as u64,
            lineage: view.lineage.0,
            forgotten_stamps: view.stamps.forgotten().0,
            removed_nodes: view.removed_nodes.len() as u64,
            newest_raft_id: view.newest_raft_id,
        }
    }

    /// The view without its rows.
    pub(super) fn view(&self) -> View {
        let cluster = self.cluster.clone().unwrap_or_default();
        let tenure = self.tenure.unwrap_or_default();
        let (revision, begun_at) = tenure.begun.into();
        View {
            position: Position { incarnation: self.incarnation, revision: Revision(self.revision) },
            at: Timestamp(self.at),
            level: self.level,
            lineage: Lineage(self.lineage),
            newest_raft_id: self.newest_raft_id,
            set_aside: self.set_aside,
            cluster: ClusterRow {
                id: cluster.id.into(),
                spec: Arc::new(cluster.spec),
                version: Revision(cluster.version),
                changed_by: cluster.changed_by.into(),
                created: cluster.created.into(),
                updated_at: Timestamp(cluster.updated_at),
                authority: cluster.authority.map(|saved| Arc::new(saved.into())),
            },
            tenure: Tenure {
                term: tenure.term,
                manager: tenure.manager.into(),
                begun_at,
                revision,
            },
            ..View::default()
        }
    }
}

impl schema::SavedNode {
    pub(super) fn of(index: NodeIdx, row: &NodeRow) -> schema::SavedNode {
        schema::SavedNode {
            index: index.0,
            id: row.id.into(),
            spec: row.spec.as_ref().clone(),
            description: row.description.as_ref().clone(),
            credential_hash: row.credential_hash.to_vec(),
            session: row.session,
            state: row.state as i32,
            state_at: row.state_at.0,
            state_message: row.state_message.to_string(),
            version: row.version.0,
            changed_by: row.changed_by.to_string(),
            created: row.created.into(),
            updated_at: row.updated_at.0,
            last_revision: row.last_revision.0,
            silent: row.silent,
            removed: row.removed,
            class: row.class,
            conditions: row.conditions.as_ref().clone(),
            certificate: row.certificate.as_deref().map(schema::SavedCertificate::from),
            address: row.address.to_string(),
            port: row.port.as_deref().map(schema::SavedPort::from),
            manager: row.manager.map(schema::SavedManagerNumber::from),
            session_manager: (!row.session_manager.is_none()).then(|| row.session_manager.into()),
        }
    }

    pub(super) fn row(self) -> (u32, NodeRow) {
        let mut row = NodeRow {
            id: self.id.into(),
            state: NodeState::try_from(self.state).unwrap_or_default(),
            spec: Arc::new(self.spec),
            description: Arc::new(self.description),
            credential_hash: self.credential_hash.try_into().unwrap_or_default(),
            certificate: self.certificate.map(|saved| Arc::new(saved.into())),
            address: self.address.into(),
            port: self.port.map(|saved| Arc::new(saved.into())),
            manager: self.manager.map(ManagerNumber::from),
            session_manager: self.session_manager.map(Id::from).unwrap_or_default(),
            session: self.session,
            state_at: Timestamp(self.state_at),
            state_message: self.state_message.into(),
            conditions: Arc::new(self.conditions),
            version: Revision(self.version),
            changed_by: self.changed_by.into(),
            created: self.created.into(),
            updated_at: Timestamp(self.updated_at),
            last_revision: Revision(self.last_revision),
            silent: self.silent,
            removed: self.removed,
            live_tasks: 0,
            reserved_nano_cpus: 0,
            reserved_memory_bytes: 0,
            host_ports: Arc::default(),
            wanted_hash: 0,
            class: self.class,
        };
        row.wanted_hash = NodePart::Wanted.hash(&row);
        (self.index, row)
    }
}

impl schema::SavedService {
    pub(super) fn of(index: ServiceIdx, row: &ServiceRow) -> schema::SavedService {
        let saved = |known: &SpecVersion| schema::SavedSpec {
            version: known.version.0,
            spec: known.spec.as_ref().clone(),
        };
        schema::SavedService {
            index: index.0,
            id: row.id.into(),
            specs: row.specs.iter().map(saved).collect(),
            version: row.version.0,
            changed_by: row.changed_by.to_string(),
            created: row.created.into(),
            updated_at: row.updated_at.0,
            last_revision: row.last_revision.0,
            removed: row.removed,
            rollout: row.rollout.as_ref().map(|rollout| schema::SavedRollout {
                state: rollout.state as i32,
                started_at: rollout.started_at.0,
                completed_at: rollout.completed_at.0,
                message: rollout.message.to_string(),
            }),
            blocked: row.blocked.as_deref().cloned(),
            explained: row.explained.as_deref().cloned(),
        }
    }

    pub(super) fn row(self) -> (u32, ServiceRow) {
        let known = |saved: schema::SavedSpec| SpecVersion {
            version: Revision(saved.version),
            spec: Arc::new(saved.spec),
            tasks: 0,
        };
        let specs: Vec<_> = self.specs.into_iter().map(known).collect();
        let newest = specs.last();
        let row = ServiceRow {
            id: self.id.into(),
            spec: newest.map(|known| known.spec.clone()).unwrap_or_default(),
            spec_version: newest.map(|known| known.version).unwrap_or_default(),
            specs: Arc::new(specs),
            version: Revision(self.version),
            changed_by: self.changed_by.into(),
            created: self.created.into(),
            updated_at: Timestamp(self.updated_at),
            last_revision: Revision(self.last_revision),
            removed: self.removed,
            tasks: 0,
            live_tasks: 0,
            running_tasks: 0,
            rollout: self.rollout.map(|rollout| Rollout {
                state: rollout.state(),
                started_at: Timestamp(rollout.started_at),
                completed_at: Timestamp(rollout.completed_at),
                message: rollout.message.into(),
            }),
            blocked: self.blocked.map(Arc::new),
            explained: self.explained.map(Arc::new),
        };
        (self.index, row)
    }
}

impl schema::SavedTask {
    pub(super) fn of(index: TaskIdx, row: &TaskRow) -> schema::SavedTask {
        let (id, replaces) = (schema::SavedId::from(row.id), schema::SavedId::from(row.replaces));
        schema::SavedTask {
            index: index.0,
            id_high: id.high,
            id_low: id.low,
            service: row.service.0,
            node: row.node.map(|node| node.0),
            slot: row.slot,
            attempt: row.attempt,
            desired: row.desired as i32,
            desire_reason: row.desire_reason as i32,
            state: row.state as i32,
            spec_version: row.spec_version.0,
            created_revision: row.created.0.0,
            created_at: row.created.1.0,
            state_revision: row.state_since.0.0,
            state_at: row.state_since.1.0,
            desired_revision: row.desired_revision.0,
            running_at: row.running_at.0,
            start_at: row.start_at.0,
            start_by: row.start_by.0,
            replaces_high: replaces.high,
            replaces_low: replaces.low,
            detail: row.detail.as_ref().map(|detail| schema::SavedDetail {
                message: detail.message.clone(),
                error: detail.error.clone(),
                container: detail.container.clone(),
            }),
        }
    }

    pub(super) fn row(self) -> (u32, TaskRow) {
        let row = TaskRow {
            id: schema::SavedId { high: self.id_high, low: self.id_low }.into(),
            service: ServiceIdx(self.service),
            node: self.node.map(NodeIdx),
            slot: self.slot,
            attempt: self.attempt,
            desired: TaskState::try_from(self.desired).unwrap_or_default(),
            desire_reason: DesireReason::try_from(self.desire_reason).unwrap_or_default(),
            state: TaskState::try_from(self.state).unwrap_or_default(),
            spec_version: Revision(self.spec_version),
            created: (Revision(self.created_revision), Timestamp(self.created_at)),
            state_since: (Revision(self.state_revision), Timestamp(self.state_at)),
            desired_revision: Revision(self.desired_revision),
            running_at: Timestamp(self.running_at),
            start_at: Timestamp(self.start_at),
            start_by: Timestamp(self.start_by),
            replaces: schema::SavedId { high: self.replaces_high, low: self.replaces_low }.into(),
            detail: self.detail.map(|detail| {
                let schema::SavedDetail { message, error, container } = detail;
                Arc::new(TaskDetail { message, error, container })
            }),
        };
        (self.index, row)
    }
}

/// Every stamp with its window, in the order of stamps.
pub(super) fn stamps(stamps: &Stamps) -> impl Iterator<Item = schema::SavedStamp> + '_ {
    let mut done = stamps.all_done().peekable();
    stamps.uses().map(move |stamp| {
        let mut window = Vec::new();
        while let Some(command) = done.next_if(|command| command.stamp == stamp.stamp) {
            let object: schema::SavedId = command.answer.object.into();
            window.push(schema::SavedCommand {
                number: command.number,
                revision: command.answer.revision.0,
                object_high: object.high,
                object_low: object.low,
                hash: command.hash,
                warnings: command.answer.warnings,
            });
        }
        schema::SavedStamp {
            stamp: stamp.stamp,
            highest: stamp.highest,
            used: stamp.used.0,
            done: window,
            given: stamp.given.0,
            author: stamp.author,
        }
    })
}

pub(super) fn restore_stamps(saved: Vec<schema::SavedStamp>, forgotten: Revision) -> Stamps {
    let uses: Vec<SavedUse> = saved
        .iter()
        .map(|stamp| SavedUse {
            stamp: stamp.stamp,
            highest: stamp.highest,
            used: Revision(stamp.used),
            given: Revision(stamp.given),
            author: stamp.author,
        })
        .collect();
    let commands = saved.into_iter().flat_map(|stamp| {
        stamp.done.into_iter().map(move |command| {
            let object =
                schema::SavedId { high: command.object_high, low: command.object_low }.into();
            let (revision, warnings) = (Revision(command.revision), command.warnings);
            let answer = DoneCommand { revision, object, warnings };
            let (number, hash) = (command.number, command.hash);
            SavedDone { stamp: stamp.stamp, number, hash, answer }
        })
    });
    Stamps::restore(uses.into_iter(), commands, forgotten)
}
