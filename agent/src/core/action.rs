//! What the core asks of the runtime, and what comes back. PURE.
//!
//! Each request carries a ticket, and its answer carries it back: an answer to a request that has
//! been overtaken since (a start that was answered after the stop was asked for) is known by its
//! ticket and changes nothing.

use crate::runtime::{Ended, Found, Prepared, RuntimeError, Started, Workload};
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
        step: Step,
    },
}

/// A step of a task, as the runtime knows it.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
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
pub enum Outcome {
    /// Of [`Action::List`].
    Listed(Result<Vec<Found>, RuntimeError>),
    /// Of [`Step::Prepare`].
    Prepared(Result<Prepared, RuntimeError>),
    /// Of [`Step::Start`].
    Started(Result<Started, RuntimeError>),
    /// Of [`Step::AwaitReady`].
    Ready(Result<(), RuntimeError>),
    /// Of [`Step::AwaitEnd`].
    Ended(Result<Ended, RuntimeError>),
    /// Of [`Step::Stop`].
    Stopped(Result<(), RuntimeError>),
    /// Of [`Step::Remove`].
    Removed(Result<(), RuntimeError>),
}
