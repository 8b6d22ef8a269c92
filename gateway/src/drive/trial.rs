//! Whether the disk of the log works, found out by asking it to take a small file.
//!
//! A log that nobody writes to does not notice that its disk hangs or has become read-only. The
//! file is written on a thread of its own, since that thread may wait for as long as the disk
//! hangs; until it ends there is no second one.

use super::{Drive, unconfirmed::CONFIRM_READ_NS_MAX};
use crate::clock::Uptime;
use skep_proto::os_error;
use std::{thread, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// What came of asking the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskTrial {
    /// Nobody asked it, or somebody else is just asking.
    NotAsked,
    /// It took the file.
    Taken,
    /// It refused the file, and why.
    Refused(String),
    /// It has not answered for so many nanoseconds.
    Unanswered(u64),
}

/// Since when the disk has been asked without an answer; none where nobody asks.
pub(super) type TrialSince = Option<Uptime>;

impl Drive {
    /// Asks the disk.
    pub async fn try_disk(&self) -> DiskTrial {
        let now = self.clock().uptime();
        // Looked at and set under one lock: two who ask at once begin one trial.
        let begun = {
            let mut trial = self.state.trial();
            let begun = *trial;
            trial.get_or_insert(now);
            begun
        };
        if let Some(since) = begun {
            return match now.since(since) {
                ns if ns < CONFIRM_READ_NS_MAX => DiskTrial::NotAsked,
                ns => DiskTrial::Unanswered(ns),
            };
        }
        let (tell, told) = oneshot::channel();
        let (log, state) = (self.log.clone(), self.state.clone());
        let trial = thread::Builder::new().name("disk-trial".into()).spawn(move || {
            let outcome = log.try_disk();
            *state.trial() = None;
            // Whoever asked may have gone.
            drop(tell.send(outcome));
        });
        if let Err(error) = trial {
            *self.state.trial() = None;
            return DiskTrial::Refused(os_error::message(&error));
        }
        match timeout(Duration::from_nanos(CONFIRM_READ_NS_MAX), told).await {
            Ok(Ok(Ok(()))) => DiskTrial::Taken,
            Ok(Ok(Err(error))) => DiskTrial::Refused(os_error::message(&error)),
            Ok(Err(_)) => DiskTrial::Refused("the thread that asked it ended early".into()),
            Err(_) => DiskTrial::Unanswered(CONFIRM_READ_NS_MAX),
        }
    }
}
