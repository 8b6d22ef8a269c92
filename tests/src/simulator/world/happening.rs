//! What happened that a checker may want to know and cannot read from the state of things.

use skep_gateway::{sessions::Conn, turn::Answer};
use skep_proto::{Id, Revision};

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
    /// A turn was taken; whether it left work for the next one.
    Turned {
        /// Whether work is left.
        more: bool,
    },
    /// The manager began a tenure on what the disk holds.
    TenureBegan,
}
