//! How far the reading of each task and of each node is. PURE.

use skep_proto::{Id, Timestamp, v1::TaskState};

/// One task that is read.
#[derive(Debug)]
pub(super) struct TaskOutput {
    pub(super) name: String,
    pub(super) node: Id,
    pub(super) state: TaskState,
    pub(super) stage: ReadStage,
    /// Only the last lines are wanted of tasks that were there at the beginning.
    pub(super) tail: Option<u64>,
    /// The time of the last line, and how many lines of that time came.
    pub(super) last: Option<(Timestamp, u64)>,
    /// When the view forgot it.
    pub(super) forgotten: Option<Timestamp>,
}

/// How far the reading of a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReadStage {
    /// It has not been started, so there is nothing to read.
    Unstarted,
    /// To be ordered.
    Wanted,
    /// Ordered, when its state was this.
    Ordered(TaskState),
    /// All was sent; it was ordered when its state was this.
    Read(TaskState),
}

/// One node that runs tasks that are read.
#[derive(Debug)]
pub(super) struct NodeOutput {
    pub(super) name: String,
    pub(super) session: u64,
    pub(super) ready: bool,
    pub(super) removed: bool,
    pub(super) order: OrderStage,
    /// The reader knows that its lines are missing.
    pub(super) told_away: bool,
    pub(super) heard: Timestamp,
}

/// How far the order to a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OrderStage {
    None,
    Open,
    /// It went away; not to be asked again before then.
    Away {
        until: Timestamp,
    },
}

impl TaskOutput {
    /// Whether its agent had started it when it was ordered in that state, so that its end was the
    /// end.
    pub(super) fn has_begun(&self, ordered_in: TaskState) -> bool {
        self.last.is_some() || ordered_in >= TaskState::Running
    }
}

impl ReadStage {
    /// Nothing more comes of what was ordered.
    pub(super) fn read(self) -> ReadStage {
        match self {
            ReadStage::Ordered(state) | ReadStage::Read(state) => ReadStage::Read(state),
            ReadStage::Unstarted => ReadStage::Unstarted,
            ReadStage::Wanted => ReadStage::Wanted,
        }
    }
}
