//! What the core asks of the runtime, and what comes back. PURE.
//!
//! Each request carries a ticket, and its answer carries it back: an answer to a request that has
//! been overtaken since (a start that was answered after the stop was asked for) is known by its
//! ticket and changes nothing.

use crate::runtime::{FoundTask, Prepared, RuntimeError, Started, TaskEnd, Workload};
use skep_proto::Id;

/// One thing for the shell to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Find out what the runtime has of this node's tasks.
    List {
        /// This node.
        node: Id,
        /// Returned with the answer.
        ticket: u64,
    },
    /// Take one step of one task. The steps `Stop` and `Remove` end every `Prepare`, `Start` and
    /// `AwaitReady` of the task that has not been answered; `Remove` ends `AwaitEnd` too.
    Step {
        /// The task.
        task: Id,
        /// Returned with the answer.
        ticket: u64,
        /// Which step.
        step: TaskStep,
    },
}

/// A step of a task, as the runtime knows it.
#[derive(Clone, PartialEq, Debug)]
pub enum TaskStep {
    /// [`Runtime::prepare`](crate::runtime::Runtime::prepare)
    Prepare(Box<Workload>),
    /// [`Runtime::start`](crate::runtime::Runtime::start)
    Start(Box<Workload>),
    /// [`Runtime::ready`](crate::runtime::Runtime::ready)
    AwaitReady(Box<Workload>),
    /// [`Runtime::wait`](crate::runtime::Runtime::wait)
    AwaitEnd(Box<Workload>),
    /// [`Runtime::stop`](crate::runtime::Runtime::stop)
    Stop {
        /// Between the stop signal and the kill.
        grace_ns: u64,
    },
    /// [`Runtime::remove`](crate::runtime::Runtime::remove)
    Remove,
}

/// What became of an action.
#[derive(Clone, PartialEq, Debug)]
pub enum StepOutcome {
    /// Of [`Action::List`].
    Listed(Result<Vec<FoundTask>, RuntimeError>),
    /// Of [`TaskStep::Prepare`].
    Prepared(Result<Prepared, RuntimeError>),
    /// Of [`TaskStep::Start`].
    Started(Result<Started, RuntimeError>),
    /// Of [`TaskStep::AwaitReady`].
    Ready(Result<(), RuntimeError>),
    /// Of [`TaskStep::AwaitEnd`].
    Ended(Result<TaskEnd, RuntimeError>),
    /// Of [`TaskStep::Stop`].
    Stopped(Result<(), RuntimeError>),
    /// Of [`TaskStep::Remove`].
    Removed(Result<(), RuntimeError>),
}
