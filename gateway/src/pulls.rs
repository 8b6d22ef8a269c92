//! How far image pulls have got, as agents tell it. Never recorded: it is of no interest a minute
//! later.

use skep_proto::{Id, v1::PullProgress};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Pulls remembered; when there are more, all are forgotten and told again.
const PULLS_SHOWN_MAX: usize = 4_096;

/// The newest report of each pull.
#[derive(Default)]
pub struct Pulls {
    by_task: Mutex<BTreeMap<Id, PullProgress>>,
}

impl Pulls {
    /// Notes what an agent told; a pull that is done is forgotten.
    pub fn note(&self, pull: PullProgress) {
        let task = Id::from_bytes(&pull.task_id);
        let mut pulls = self.by_task.lock().unwrap_or_else(PoisonError::into_inner);
        if pull.total_bytes > 0 && pull.done_bytes >= pull.total_bytes {
            pulls.remove(&task);
            return;
        }
        if pulls.len() >= PULLS_SHOWN_MAX {
            pulls.clear();
        }
        pulls.insert(task, pull);
    }

    /// The newest report of a task's pull.
    pub fn of(&self, task: Id) -> Option<PullProgress> {
        self.by_task.lock().unwrap_or_else(PoisonError::into_inner).get(&task).cloned()
    }
}
