//! Attempts to run one container on one node.
//!
//! The row is what costs memory in a large cluster, so it holds numbers and indexes; what is rare
//! or long (messages, exit codes, container ids) stands behind one pointer.

use crate::{node::NodeIdx, row_index, service::ServiceIdx, table::Row};
use skep_proto::{
    Id, Revision, Timestamp,
    v1::{ContainerStatus, DesireReason, TaskState},
};
use std::sync::Arc;

row_index!(
    /// A task's index in its table.
    pub TaskIdx
);

/// What an agent reported beside the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskDetail {
    /// What it is doing.
    pub message: String,
    /// What went wrong.
    pub error: String,
    /// Its container, once there is one.
    pub container: Option<ContainerStatus>,
}

/// One task.
#[derive(Clone, Debug)]
pub struct TaskRow {
    /// The task's id.
    pub id: Id,
    /// Whose task it is.
    pub service: ServiceIdx,
    /// Where it was placed, for ever; absent before.
    pub node: Option<NodeIdx>,
    /// The identity that successive tasks share, from 1.
    pub slot: u32,
    /// Failures in a row of the slot with this spec that led to it.
    pub attempt: u32,
    /// What the system wants of it. Only moves forward.
    pub desired: TaskState,
    /// Why it wants that.
    pub desire_reason: DesireReason,
    /// What was seen of it. Only moves forward.
    pub state: TaskState,
    /// The version of the service's spec that it runs.
    pub spec_version: Revision,
    /// Revision and time of its creation.
    pub created: (Revision, Timestamp),
    /// Revision and time of the newest state.
    pub state_since: (Revision, Timestamp),
    /// Revision of the newest desired state.
    pub desired_revision: Revision,
    /// When it was seen running; never, before.
    pub running_at: Timestamp,
    /// Held until then; 0 when not held.
    pub start_at: Timestamp,
    /// While it is held: when it starts at the latest, whatever became of older tasks of its slot.
    pub start_by: Timestamp,
    /// The task it replaces in its slot.
    pub replaces: Id,
    /// What its agent reported beside the state, where there is something.
    pub detail: Option<Arc<TaskDetail>>,
}

impl Row for TaskRow {
    fn id(&self) -> Id {
        self.id
    }
}

impl TaskRow {
    /// Whether it ended, one way or another: it takes no resources any more.
    pub fn has_ended(&self) -> bool {
        self.state >= TaskState::Complete
    }

    /// Whether the system wants it to run, now or after its hold.
    pub fn is_wanted(&self) -> bool {
        self.desired <= TaskState::Running
    }

    /// Wanted and not ended.
    pub fn is_live(&self) -> bool {
        self.is_wanted() && !self.has_ended()
    }

    /// Whether it waits for a node.
    pub fn is_pending(&self) -> bool {
        self.node.is_none() && self.is_live()
    }

    /// Wanted to run, but held until its time has come or its predecessor has ended.
    pub fn is_held(&self) -> bool {
        self.desired == TaskState::Ready && !self.has_ended()
    }

    /// When somebody has to look at it because it is held; never, where it is not. That is when its
    /// time comes; for one that waits for nothing but its predecessor's end, it is when that is
    /// waited for no longer.
    pub fn held_until(&self) -> Timestamp {
        if !self.is_held() || self.start_at == Timestamp::NEVER {
            Timestamp::NEVER
        } else if self.start_at > self.created.1 {
            self.start_at
        } else {
            self.start_by
        }
    }

    /// Whether it runs, and its node says that something is wrong with it: its container is paused,
    /// say. A task that runs well has no message.
    pub fn is_hampered(&self) -> bool {
        self.state == TaskState::Running
            && self.detail.as_ref().is_some_and(|detail| !detail.message.is_empty())
    }

    /// When it failed or was rejected on its node; never, where it did not.
    pub fn failed_at(&self) -> Timestamp {
        let failed =
            matches!(self.state, TaskState::Failed | TaskState::Rejected) && self.node.is_some();
        if failed { self.state_since.1 } else { Timestamp::NEVER }
    }
}
