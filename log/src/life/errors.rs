//! Why a log can't be opened.
//!
//! Messages say where and what; what to do about it is a field of its own, and what caused it is
//! the source.

use crate::{failure::ErrorSource, raft::node::FIRST_RAFT_ID};
use skep_proto::{Id, Position, Revision, os_error};
use std::error::Error;

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the log in {dir} is in use by another process")]
    Locked {
        /// Where the log lies.
        dir: String,
        /// What the store says.
        source: ErrorSource,
    },
    /// Synced records are gone.
    #[error(
        "the log in {dir} ends at revision {readable}, but was durable up to {durable} once: synced records are lost"
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
    #[error("the log in {dir} is damaged: {message}")]
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
    #[error("the log in {dir} belongs to node {found}, not to {wanted}")]
    OtherNode {
        /// Where the log lies.
        dir: String,
        /// Whose it is.
        found: Id,
        /// Who wanted it.
        wanted: Id,
    },
    /// It is the log of another life of this node as a manager.
    #[error("the log in {dir} is of manager {found}, and this node is manager {wanted} now")]
    OtherManager {
        /// Where the log lies.
        dir: String,
        /// The raft id in the log.
        found: u64,
        /// The one that the cluster gave it.
        wanted: u64,
    },
    /// A thread that was to open it panicked.
    #[error("a thread of the log in {dir} panicked")]
    Panicked {
        /// Where the log lies.
        dir: String,
    },
    /// The disk, the permissions or the machine said no.
    #[error("the log in {dir} can't be opened")]
    Failed {
        /// Where the log lies.
        dir: String,
        /// What went wrong.
        source: ErrorSource,
    },
}

impl OpenError {
    /// What to do about it, where that does not follow from the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            OpenError::Locked { .. } => Some("stop that process first".into()),
            OpenError::EndsEarly { readable, .. } => Some(format!(
                "with other managers, remove this folder and join again; alone, restore a backup, or run \
                 `skep recover --accept-loss` to go on from revision {readable}"
            )),
            OpenError::Damaged { .. } => Some(
                "with other managers, remove this folder and join again; alone, restore a backup, or run \
                 `skep recover --accept-loss` to keep what is readable"
                    .into(),
            ),
            OpenError::OtherManager { wanted: FIRST_RAFT_ID, .. } => Some(
                "the file that says as which manager this machine has joined is gone: at another manager demote its node \
                 and remove it, then remove this folder, and let the machine join again"
                    .into(),
            ),
            OpenError::OtherManager { .. } => Some(
                "move the log away: a manager that joins begins with an empty one, and is brought up to date".into(),
            ),
            OpenError::OtherNode { .. } => {
                Some("use the folder of this node: an id is never used for another log".into())
            }
            OpenError::Panicked { .. } => {
                Some("the daemon's own log tells where; please report it".into())
            }
            OpenError::Halted { .. } | OpenError::Failed { .. } => None,
        }
    }
}

/// An error and all that caused it in one line, for a status that is shown.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut line = os_error::plain(&error.to_string());
    let mut next = error.source();
    while let Some(cause) = next {
        line = format!("{line}: {}", os_error::plain(&cause.to_string()));
        next = cause.source();
    }
    line
}
