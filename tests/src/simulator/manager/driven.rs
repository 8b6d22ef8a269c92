//! The state machine as its log and its driver share it, and who waits for its answers.

use skep_gateway::{clock::Now, drive::DriveCore};
use skep_log::{Entry, Fold, Frozen, Halt, Hash, RestoreError};
use skep_proto::Position;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiter {
    /// A person, by their command's number and what had been proposed when it came.
    Client(u64, u64),
    /// The sessions, by their token.
    Session(u64),
}

/// The state machine and the time that its callbacks are told.
#[derive(Clone)]
pub(super) struct SharedDrive(Arc<Mutex<(DriveCore<Waiter>, Now)>>);

impl SharedDrive {
    pub(super) fn new(core: DriveCore<Waiter>, now: Now) -> SharedDrive {
        SharedDrive(Arc::new(Mutex::new((core, now))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, (DriveCore<Waiter>, Now)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn step<T>(&self, step: impl FnOnce(&mut DriveCore<Waiter>, Now) -> T) -> T {
        let mut locked = self.lock();
        let (core, now) = &mut *locked;
        step(core, *now)
    }
}

impl Fold for SharedDrive {
    fn apply(&mut self, entry: &Arc<Entry>) -> Result<(), Halt> {
        self.step(|core, _| core.handle_committed(entry))
    }

    fn announce(&mut self) {
        self.step(|core, now| core.handle_announced(now));
    }

    fn freeze(&self) -> Frozen {
        self.step(|core, _| core.freeze())
    }

    fn restore(
        &mut self,
        _position: Position,
        head: Hash,
        bytes: &[u8],
    ) -> Result<(), RestoreError> {
        self.step(|core, _| core.handle_restored(head, bytes))
    }
}
