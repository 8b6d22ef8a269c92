//! The mail that sessions find when they look: what was committed since, and answers for them.

use super::core::Published;
use crate::turn::Answer;
use skep_projections::{Delta, View};
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
