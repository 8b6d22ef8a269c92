//! Why a log can't be opened.

use skep_proto::{Id, Position, Revision};

/// Why a log can't be opened. Every variant says where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the log in {dir} is in use by another process: {message}; stop it first")]
    Locked {
        /// Where the log lies.
        dir: String,
        /// What the store said.
        message: String,
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
        "the log in {dir} is damaged: {message}. With other managers, remove this folder and join again; alone, restore \
         a backup, or run `skep recover --accept-loss` to keep what is readable"
    )]
    Damaged {
        /// Where the log lies.
        dir: String,
        /// What is wrong.
        message: String,
    },
    /// The fold refused an entry.
    #[error("the log in {dir} can't be applied beyond {applied}: {message}")]
    Halted {
        /// Where the log lies.
        dir: String,
        /// How far it could be applied.
        applied: Position,
        /// What the fold said.
        message: String,
    },
    /// It is another node's log.
    #[error(
        "the log in {dir} belongs to node {found}, not to {wanted}; an id is never used for another log"
    )]
    OtherNode {
        /// Where the log lies.
        dir: String,
        /// Whose it is.
        found: Id,
        /// Who wanted it.
        wanted: Id,
    },
    /// The disk, the permissions or the machine said no.
    #[error("the log in {dir} can't be opened: {message}")]
    Failed {
        /// Where the log lies.
        dir: String,
        /// What went wrong.
        message: String,
    },
}
