//! What users want run.
//!
//! A task names the version of the spec it runs, it does not copy it; so a service keeps its newest
//! spec and those older ones that some task still refers to.

use crate::{row_index, table::Row};
use skep_proto::{
    Id, Revision, Timestamp, defaults,
    v1::{PlacementBlocked, PlacementExplained, RolloutState, ServiceSpec},
};
use std::sync::Arc;

row_index!(
    /// A service's index in its table.
    pub ServiceIdx
);

/// One spec that tasks refer to.
#[derive(Clone, Debug)]
pub struct SpecVersion {
    /// The revision that introduced it.
    pub version: Revision,
    /// The spec as it was then; its replica count may be older than the service's.
    pub spec: Arc<ServiceSpec>,
    /// Tasks in the view that run it.
    pub tasks: u32,
}

/// How far the newest spec has got.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// None, updating, paused or completed.
    pub state: RolloutState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
    /// Why it is paused.
    pub message: Arc<str>,
}

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceRow {
    /// The service's id.
    pub id: Id,
    /// What is wanted now, the number of replicas included.
    pub spec: Arc<ServiceSpec>,
    /// Revision of the spec that new tasks run.
    pub spec_version: Revision,
    /// Specs in the view, oldest first; the last one is the newest.
    pub specs: Arc<Vec<SpecVersion>>,
    /// Revision that last changed the spec, scaling included; updates must quote it.
    pub version: Revision,
    /// Whose change that was.
    pub changed_by: Arc<str>,
    /// Revision and time of its creation.
    pub created: (Revision, Timestamp),
    /// Time of the last change.
    pub updated_at: Timestamp,
    /// The newest record about it.
    pub last_revision: Revision,
    /// Removed by somebody: its name is free; the row stays until its last task has gone.
    pub removed: bool,
    /// Tasks in the view, ended ones included.
    pub tasks: u32,
    /// Tasks that are wanted and have not ended.
    pub live_tasks: u32,
    /// Tasks wanted and seen running.
    pub running_tasks: u32,
    /// The roll-out of the newest spec.
    pub rollout: Option<Rollout>,
    /// Why its pending tasks have no node; absent when nothing is blocked.
    pub blocked: Option<Arc<PlacementBlocked>>,
    /// The newest explanation of what filters refused.
    pub explained: Option<Arc<PlacementExplained>>,
}

impl Row for ServiceRow {
    fn id(&self) -> Id {
        self.id
    }
}

impl ServiceRow {
    /// The service's name.
    pub fn name(&self) -> &str {
        self.spec.annotations.as_ref().map_or("", |a| &a.name)
    }

    /// Slots wanted now: 0 for one that is removed or is not replicated.
    pub fn replicas(&self) -> u64 {
        if self.removed { 0 } else { defaults::replicas(&self.spec).unwrap_or(0) }
    }

    /// The spec that a version names, while some task or the service itself refers to it.
    pub fn spec_at(&self, version: Revision) -> Option<&Arc<ServiceSpec>> {
        self.specs.iter().rev().find(|known| known.version == version).map(|known| &known.spec)
    }
}
