//! Why a committed record contradicts the view.
//!
//! Such a record is set aside: it changes nothing. The reason is for people; no digest and no
//! snapshot holds it, so it may be worded better at any time.

use skep_proto::{Id, Revision, Timestamp, v1::TaskState};
use std::fmt;
use thiserror::Error;

/// A kind of object that records name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectKind {
    /// The cluster itself.
    Cluster,
    /// A node.
    Node,
    /// A service.
    Service,
    /// A task.
    Task,
    /// A task that the history does not know.
    Stray,
    /// Something that a reconciler failed on.
    Parked,
    /// Any of them.
    Any,
}

/// What does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Misfit {
    /// The record changes an object that is not there, or not any more.
    #[error("there is no {0} {1}")]
    Missing(ObjectKind, Id),
    /// The record makes an object that is there already.
    #[error("the {0} {1} exists already")]
    Exists(ObjectKind, Id),
    /// The record makes an object without an id.
    #[error("the {0} has no id")]
    NoId(ObjectKind),
    /// Another service has the name.
    #[error("service {0} would have the name of another service")]
    NameTaken(Id),
    /// The task has ended, and an end is final.
    #[error("task {task} has ended already ({state:?})")]
    HasEnded {
        /// Which.
        task: Id,
        /// How it ended.
        state: TaskState,
    },
    /// A task cannot be in this state, or be wanted in it, after the one it is in.
    #[error("task {task} cannot go from {from:?} to {to:?}")]
    Step {
        /// Which.
        task: Id,
        /// Its state, observed or desired.
        from: TaskState,
        /// The record's.
        to: TaskState,
    },
    /// The task has a node already, or never had one, where the record needs the opposite.
    #[error("the record does not fit to where task {0} is placed")]
    Placement(Id),
    /// The slot's number is too high.
    #[error("the slot of task {0} is too high")]
    Slot(Id),
    /// The record is about a session that is not the node's current one.
    #[error("session {session} is not the current one of node {node}")]
    OtherSession {
        /// Which node.
        node: Id,
        /// The record's session.
        session: u64,
    },
    /// The service does not have this version of its spec, or new tasks run another.
    #[error("version {version} is not the current spec of service {service}")]
    OtherSpec {
        /// Which service.
        service: Id,
        /// The record's version.
        version: u64,
    },
    /// The service has no roll-out.
    #[error("service {0} has no roll-out")]
    NoRollout(Id),
    /// The service has no replicas that could be counted.
    #[error("service {0} is not replicated")]
    NotReplicated(Id),
    /// A field has a length or value that it cannot have.
    #[error("the field {0} cannot be read")]
    Field(&'static str),
    /// Everything is as the record says already.
    #[error("the {0} {1} is like that already")]
    NothingNew(ObjectKind, Id),
    /// The feature level would not rise.
    #[error("the feature level is {0} already")]
    Level(u32),
    /// The table has no row index left.
    #[error("there are too many objects of the kind {0}")]
    Full(ObjectKind),
}

/// The newest record that was set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetAside {
    /// The record.
    pub revision: Revision,
    /// Its time.
    pub at: Timestamp,
    /// Why it was set aside.
    pub why: Misfit,
}

/// Whether a record fits; answered before anything was changed.
pub(super) type ApplyResult = Result<(), Misfit>;

impl Misfit {
    /// There is no such object.
    pub(super) fn missing(kind: ObjectKind, id: &[u8]) -> Misfit {
        Misfit::Missing(kind, Id::from_bytes(id))
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ObjectKind::Cluster => "cluster",
            ObjectKind::Node => "node",
            ObjectKind::Service => "service",
            ObjectKind::Task => "task",
            ObjectKind::Stray => "stray task",
            ObjectKind::Parked => "parked object",
            ObjectKind::Any => "object",
        })
    }
}
