//! The first failure of a session, and somebody woken for it.
//!
//! The first failure is the one worth reading: what follows are its consequences.

use crate::failure::LogFailure;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Rings once. Each session has its own.
#[derive(Default)]
pub(crate) struct Alarm {
    failure: Mutex<Option<LogFailure>>,
    rung: Notify,
}

impl Alarm {
    /// Keeps the first failure and wakes who waits for one.
    pub(crate) fn raise(&self, failure: LogFailure) {
        let mut kept = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            tracing::error!(error = %failure, "the log failed");
            *kept = Some(failure);
        }
        self.rung.notify_one();
    }

    pub(crate) fn failure(&self) -> Option<LogFailure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a failure.
    pub(crate) async fn wait(&self) -> LogFailure {
        loop {
            if let Some(failure) = self.failure() {
                return failure;
            }
            self.rung.notified().await;
        }
    }
}

/// Raises the alarm where it is dropped by a panic: raft itself notices one of its tasks' end only
/// when it needs that task the next time.
pub(super) struct PanicGuard<'a>(pub(super) &'a Alarm);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.raise(LogFailure::Disk("the program panicked while it applied entries".into()));
        }
    }
}
