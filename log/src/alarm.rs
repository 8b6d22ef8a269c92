//! What went wrong, said once, and somebody woken for it.
//!
//! The first failure is the one worth reading: what follows are its consequences.

use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// What kind of failure it is decides what comes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The disk said no: opening anew may heal it.
    Disk(String),
    /// The log is not what was written: only a person can help.
    Damaged(String),
    /// The log holds what this program must not pass over: only a person can help.
    Halted(String),
}

impl Failure {
    /// What is wrong.
    pub(crate) fn words(&self) -> &str {
        let (Failure::Disk(words) | Failure::Damaged(words) | Failure::Halted(words)) = self;
        words
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Alarm {
    failure: Mutex<Option<Failure>>,
    rung: Notify,
}

impl Alarm {
    /// Keeps the first failure and wakes who waits for one.
    pub(crate) fn raise(&self, failure: Failure) {
        let mut kept = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            tracing::error!(?failure, "the log failed");
            *kept = Some(failure);
        }
        self.rung.notify_one();
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the failure: a new attempt begins.
    pub(crate) fn clear(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits for a failure.
    pub(crate) async fn wait(&self) -> Failure {
        loop {
            if let Some(failure) = self.failure() {
                return failure;
            }
            self.rung.notified().await;
        }
    }
}
