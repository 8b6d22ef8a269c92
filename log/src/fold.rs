//! What the log asks of the state that is folded from it.
//!
//! The log knows the view as opaque bytes: it hands over entries in order, asks for an immutable
//! handle now and then, and gives an encoded one back after a restart.

use crate::{Entry, chain::Hash};
use skep_proto::Position;
use std::sync::Arc;

/// A view, encoded later, on another thread.
pub type Frozen = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// The state that is folded from the log.
pub trait Fold: Send + 'static {
    /// Takes the next entry. Called once per entry that extends the chain, in order, from one
    /// thread at a time. Nobody may see or hear of the entry before [`Fold::announce`].
    ///
    /// An error leaves the state as it was before the entry, and stops this manager until an
    /// operator helps: the error's message is what they read.
    fn apply(&mut self, entry: &Arc<Entry>) -> Result<(), Halt>;

    /// All that was applied or restored so far is in history, in the status and at the followers:
    /// the state may be shown now, and callers that wait for one of these entries may be answered.
    /// Called once for several entries.
    fn announce(&mut self);

    /// The state as it is now, immutable: costs nothing here, is encoded on another thread.
    fn freeze(&self) -> Frozen;

    /// Becomes the state that [`Fold::freeze`] once encoded at `position`. `head` is the hash of
    /// the entry there: the parent that the next entry must name.
    fn restore(&mut self, position: Position, head: Hash, bytes: &[u8])
    -> Result<(), RestoreError>;
}

/// A committed entry that this program cannot take: an unknown kind or version.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Halt {
    /// What is wrong, at which revision, and what to run.
    pub message: String,
}

/// Why a snapshot's view can't be taken. The log then goes on from an older one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are not what was written: nobody will ever read them.
    #[error("{0}")]
    Damaged(String),
    /// Another version of the program wrote them, and can read them: they are kept.
    #[error("{0}")]
    OtherVersion(String),
}

impl RestoreError {
    /// Damage, with a message.
    pub fn damaged(message: impl Into<String>) -> RestoreError {
        RestoreError::Damaged(message.into())
    }
}
