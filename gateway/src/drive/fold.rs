//! The committed view as the log's fold.
//!
//! The log calls the fold on its own thread, one entry after the other. Nothing is decided here:
//! the state machine says what an entry does, and what followers see of it.

use super::shell::DriveState;
use skep_log::{Entry, Fold, Frozen, Halt, RestoreError, chain::Hash};
use skep_proto::Position;
use std::sync::Arc;

/// The fold to open a log with.
pub struct CommittedView {
    state: Arc<DriveState>,
}

impl DriveState {
    /// The fold to open a log with.
    pub fn fold(self: &Arc<DriveState>) -> CommittedView {
        CommittedView { state: self.clone() }
    }
}

impl Fold for CommittedView {
    fn apply(&mut self, entry: &Arc<Entry>) -> Result<(), Halt> {
        self.state.step(|core, _| core.handle_committed(entry))
    }

    fn announce(&mut self) {
        self.state.step(|core, now| core.handle_announced(now));
    }

    fn freeze(&self) -> Frozen {
        self.state.step(|core, _| core.freeze())
    }

    fn restore(
        &mut self,
        _position: Position,
        head: Hash,
        bytes: &[u8],
    ) -> Result<(), RestoreError> {
        self.state.step(|core, _| core.handle_restored(head, bytes))
    }
}
