//! Why a log can't be opened, and why a barrier can't be passed.

use skep_proto::{Id, Position, Revision};

/// Why a log can't be opened. Every variant says where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the log in {dir} is in use by another process: {words}; stop it first")]
    Locked {
        /// Where the log lies.
        dir: String,
        /// What the store said.
        words: String,
    },
    /// Synced records are gone.
    #[error(
        "the log in {dir} ends at revision {readable}, but was durable up to {durable} once: synced records are lost. \
         With other managers, remove this folder and join again; alone, restore a backup, or run \
         `skep recover --accept-loss` to go on from revision {readable}"
    )]
    EndsEarly {
        /// Where the log lies.
        dir: String,
        /// The newest revision that can be read.
        readable: Revision,
        /// The newest revision that was durable; at least.
        durable: Revision,
    },
    /// Something in it contradicts itself.
    #[error(
        "the log in {dir} is damaged: {words}. With other managers, remove this folder and join again; alone, restore \
         a backup, or run `skep recover --accept-loss` to keep what is readable"
    )]
    Damaged {
        /// Where the log lies.
        dir: String,
        /// What is wrong.
        words: String,
    },
    /// The fold refused an entry.
    #[error("the log in {dir} can't be applied beyond {applied}: {words}")]
    Halted {
        /// Where the log lies.
        dir: String,
        /// How far it could be applied.
        applied: Position,
        /// What the fold said.
        words: String,
    },
    /// It is another node's log.
    #[error("the log in {dir} belongs to node {found}, not to {wanted}; an id is never used for another log")]
    OtherNode {
        /// Where the log lies.
        dir: String,
        /// Whose it is.
        found: Id,
        /// Who wanted it.
        wanted: Id,
    },
    /// The disk, the permissions or the machine said no.
    #[error("the log in {dir} can't be opened: {words}")]
    Failed {
        /// Where the log lies.
        dir: String,
        /// What went wrong.
        words: String,
    },
}

/// Why it is not known what was committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BarrierError {
    /// This manager does not lead.
    #[error("this manager does not lead")]
    NotLeader,
    /// The log does not work now.
    #[error("{0}")]
    Failed(String),
}
