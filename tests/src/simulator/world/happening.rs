//! What happened that a checker may want to know and cannot read from the state of things.

use skep_gateway::{sessions::Conn, turn::Answer};
use skep_proto::{Id, Revision, v1::TurnedCode};

/// Something that happened within a step.
#[derive(Clone, Debug)]
pub enum Occurrence {
    /// Somebody was told what became of a command.
    Answered {
        /// Whose command.
        number: u64,
        /// What they were told.
        answer: Answer,
        /// Entries that had been proposed when the command came.
        proposed_before: u64,
        /// Entries that are committed or have failed by now.
        concluded: u64,
        /// Up to where the log is committed.
        committed: Revision,
    },
    /// A container began to run.
    Began {
        /// On which node.
        agent: usize,
        /// Whose.
        task: Id,
    },
    /// An agent asked its engine for something.
    StepAsked {
        /// On which node.
        agent: usize,
        /// Whose; none for a listing.
        task: Id,
        /// For what.
        step: &'static str,
        /// The number that its answer bears.
        ticket: u64,
    },
    /// An agent asked its engine to stop a container.
    StopAsked {
        /// On which node.
        agent: usize,
        /// Whose.
        task: Id,
        /// How long the program may take.
        grace_ns: u64,
    },
    /// An agent ended its stream by itself.
    HungUp {
        /// On which node.
        agent: usize,
        /// Why.
        message: String,
    },
    /// The manager says that a node is silent.
    CalledSilent {
        /// Which.
        node: Id,
    },
    /// Somebody gave the manager a message for a node's agent.
    OrderGiven {
        /// Which of these messages.
        number: u64,
        /// On which node.
        agent: usize,
    },
    /// The caller was told on which stream that message went, or that the node has no session.
    OrderAnswered {
        /// Which of these messages.
        number: u64,
        /// On which stream.
        told: Option<Conn>,
    },
    /// An agent's process heard what became of a step.
    StepAnswered {
        /// On which node.
        agent: usize,
        /// Whose.
        task: Id,
        /// As the step named it.
        ticket: u64,
    },
    /// An agent dialed the manager.
    Dialed {
        /// On which node.
        agent: usize,
    },
    /// A message was queued for an agent.
    Sent {
        /// On which stream.
        conn: Conn,
        /// Why the session ends, where it does.
        ends: Option<TurnedCode>,
        /// The heartbeat period, where the message says it.
        period_ns: Option<u64>,
    },
    /// A stream's queue took no more.
    StreamFull {
        /// Which stream.
        conn: Conn,
    },
    /// Somebody stops the manager, which holds these streams.
    Stopping {
        /// Which streams.
        streams: Vec<Conn>,
    },
    /// The manager's process goes on after it had stood still.
    WentOn,
    /// A turn was taken; whether it left work for the next one.
    Turned {
        /// Whether work is left.
        more: bool,
    },
    /// The manager began a tenure on what the disk holds.
    TenureBegan,
}
