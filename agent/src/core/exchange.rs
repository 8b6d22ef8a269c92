//! What the core is told, and what it wants done. PURE.

use super::{
    AgentHalt,
    action::{Action, StepOutcome},
    candidates::{KnownAddress, ManagerCandidate},
    memory::Note,
};
use crate::runtime::Noticed;
use skep_proto::{
    Id, Lineage, Position, Revision,
    v1::{Certified, ClusterManagers, FromAgent, LogOrder, NodeDescription, NodeRole, ToAgent},
};

/// Whether a node that leaves its cluster waits for its tasks to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TasksOfLeaver {
    /// It ends only when nothing is left of them.
    Awaited,
    /// It ends now, and what is left of them runs on.
    LeftBehind,
}

/// Something that happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// What this node is and has. Nothing is dialed before the first; one that differs begins a new
    /// session.
    Described(Box<NodeDescription>),
    /// The runtime does not say what this node has; this is what is known without it. The node is
    /// announced as it was described last, or as this.
    Undescribed(Box<NodeDescription>),
    /// What the runtime notices by itself now.
    Noticed(Box<Noticed>),
    /// Somebody on this machine takes the node out of its cluster: its tasks end.
    Leave(TasksOfLeaver),
    /// Why the agent's own files cannot be written, for people; empty when they can be.
    Unwritable(String),
    /// The stream of this number stands.
    Connected {
        /// As [`AgentOutput::Dial`] named it.
        line: u64,
    },
    /// The stream of this number ended, or could not be had.
    Broken {
        /// As [`AgentOutput::Dial`] named it.
        line: u64,
    },
    /// What answers on the stream of this number is not a manager that this node believes.
    Untrusted {
        /// As [`AgentOutput::Dial`] named it.
        line: u64,
        /// Why, for people.
        message: String,
    },
    /// A message came over the stream of this number.
    Received {
        /// As [`AgentOutput::Dial`] named it.
        line: u64,
        /// The message.
        message: Box<ToAgent>,
    },
    /// What became of an action. `task` is none for [`Action::List`].
    Done {
        /// As the action named it.
        task: Id,
        /// As the action named it.
        ticket: u64,
        /// What became of it.
        outcome: StepOutcome,
    },
}

/// Something to do.
#[derive(Clone, PartialEq, Debug)]
pub enum AgentOutput {
    /// The cluster has given this node a certificate: it is shown from the next stream on.
    Certified(Box<Certified>),
    /// The cluster named this node: write it to disk, synced, before anything that follows.
    Joined {
        /// This node.
        node_id: Id,
        /// Its cluster.
        cluster_id: Id,
        /// What the operator should know about it, such as a host name that is taken.
        warnings: Vec<String>,
    },
    /// The manager has said this about the node, which operators should know: a changed host name,
    /// say. The same is not said twice in a row.
    Warn(Vec<String>),
    /// Write these to the journal, in order, as one whole. Need not be synced.
    Write(Vec<Note>),
    /// Let the runtime do something; answered by [`Input::Done`].
    Act(Action),
    /// Open a stream to this manager, after closing any other; answered by [`Input::Connected`] or
    /// [`Input::Broken`].
    Dial {
        /// The stream's number.
        line: u64,
        /// Where.
        candidate: ManagerCandidate,
    },
    /// The cluster has said which managers there are, and what this node is to be. Keep the
    /// addresses for the next start, which need not wait for anything.
    Managers {
        /// All that are known now.
        known: Vec<KnownAddress>,
        /// This node's part.
        membership: WantedMembership,
    },
    /// Send this over the stream. Sent in order, or the stream is broken.
    Send(Box<FromAgent>),
    /// Close the stream; needs no answer.
    HangUp {
        /// The stream's number.
        line: u64,
        /// Why, for people.
        message: String,
    },
    /// Somebody wants to read tasks' output: send what there is of this node's own
    /// ([`Core::task_name`]), until [`AgentOutput::LogCancel`] or the stream's end.
    Logs(LogOrder),
    /// The reader of this order has left.
    LogCancel {
        /// As [`LogOrder`] named it.
        request: u64,
    },
    /// There is nothing more to do, ever. The last output.
    Halt(AgentHalt),
}

/// What people want this node to be in its cluster, and what it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WantedMembership {
    /// What people want it to be.
    pub role: NodeRole,
    /// Its number in raft; 0 where it has none.
    pub raft_id: u64,
    /// Of the cluster's current incarnation.
    pub lineage: Lineage,
    /// The position at which that was so.
    pub as_of: Position,
}

impl WantedMembership {
    pub(super) fn of(told: &ClusterManagers) -> WantedMembership {
        let ClusterManagers { raft_id, lineage, incarnation, revision, .. } = *told;
        let as_of = Position { incarnation, revision: Revision(revision) };
        WantedMembership { role: told.role(), raft_id, lineage: Lineage(lineage), as_of }
    }
}
