//! The committed view as the log's fold, and the mail that sessions find when they look.
//!
//! The log calls the fold on its own thread, one entry after the other. Nothing is decided here:
//! the state machine says what an entry does, and what followers see of it.

use super::shell::DriveState;
use crate::{drive::Published, turn::Answer};
use skep_log::{Entry, Fold, Frozen, Halt, RestoreError, chain::Hash};
use skep_projections::{Delta, View};
use skep_proto::Position;
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// What committed changes and answers the sessions have not yet taken; changes of several commits
/// are put together, so that it never holds more than the view and the requests that wait.
#[derive(Default)]
pub struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

/// Everything since the last look.
#[derive(Default)]
pub struct Mail {
    /// The newest view and all that changed up to it.
    pub committed: Option<(View, Arc<Delta>)>,
    /// Answers by the sessions' tokens.
    pub answers: Vec<(u64, Answer)>,
}

impl Mailbox {
    /// Waits for mail and takes it all.
    pub async fn take(&self) -> Mail {
        loop {
            let arrived = self.arrived.notified();
            let mail = mem::take(&mut *self.lock());
            if mail.committed.is_some() || !mail.answers.is_empty() {
                return mail;
            }
            arrived.await;
        }
    }

    pub(super) fn answered(&self, answers: Vec<(u64, Answer)>) {
        self.lock().answers.extend(answers);
        self.arrived.notify_one();
    }

    pub(super) fn published(&self, published: &Published) {
        let mut mail = self.lock();
        match &mut mail.committed {
            Some((newest, all)) => {
                newest.clone_from(&published.view);
                Arc::make_mut(all).merge(&published.delta);
            }
            None => mail.committed = Some((published.view.clone(), published.delta.clone())),
        }
        drop(mail);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fold to open a log with.
pub struct CommittedView {
    state: Arc<DriveState>,
}

impl CommittedView {
    pub(super) fn new(state: Arc<DriveState>) -> CommittedView {
        CommittedView { state }
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
