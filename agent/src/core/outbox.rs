//! Reports that the cluster has not acknowledged yet. PURE.
//!
//! One report is under way at a time. What happens meanwhile waits, and of each task only the
//! newest state: so a busy cluster, whose acknowledgements take longer, gets fewer reports and not
//! more. An end is a task's last state, and so is never superseded. What was under way when a
//! session broke is sent again in the next one.

use skep_proto::{
    Id, os_error,
    v1::{Report, TaskObserved},
};
use std::collections::BTreeMap;

/// Most tasks in one report; the others wait for the next.
pub const REPORT_TASKS_MAX: usize = 1024;

/// The reports of one agent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Whether there is somebody to tell.
    open: bool,
    /// Of the newest report of this session; 0 before the first.
    number: u64,
    under_way: Vec<TaskObserved>,
    waiting: BTreeMap<Id, TaskObserved>,
}

impl Outbox {
    /// Takes a task's newest state in the place of an older one that has not been sent.
    pub(crate) fn put(&mut self, mut observed: TaskObserved) {
        observed.message = os_error::plain(&observed.message);
        observed.error = os_error::plain(&observed.error);
        self.waiting.insert(Id::from_bytes(&observed.task_id), observed);
    }

    /// The task is no longer this node's business: nothing of it is sent, or sent again.
    pub(crate) fn drop_task(&mut self, task: Id) {
        self.waiting.remove(&task);
        self.under_way.retain(|observed| Id::from_bytes(&observed.task_id) != task);
    }

    /// Whether a state of this task is still to be sent or to be acknowledged.
    pub(crate) fn holds(&self, task: Id) -> bool {
        let is_of_task = |observed: &TaskObserved| Id::from_bytes(&observed.task_id) == task;
        self.waiting.contains_key(&task) || self.under_way.iter().any(is_of_task)
    }

    /// A session began: numbers start again, and what was under way is sent again.
    pub(crate) fn open(&mut self) {
        self.close();
        self.open = true;
        self.number = 0;
    }

    /// The session has ended.
    pub(crate) fn close(&mut self) {
        self.open = false;
        for observed in std::mem::take(&mut self.under_way) {
            self.waiting.entry(Id::from_bytes(&observed.task_id)).or_insert(observed);
        }
    }

    /// The report with this number is committed. Any other number is an echo of something older.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        if number == self.number {
            self.under_way.clear();
        }
    }

    /// The next report, when one may be sent.
    pub(crate) fn poll(&mut self) -> Option<Report> {
        if !self.open || !self.under_way.is_empty() || self.waiting.is_empty() {
            return None;
        }
        while self.under_way.len() < REPORT_TASKS_MAX {
            let Some((_, observed)) = self.waiting.pop_first() else { break };
            self.under_way.push(observed);
        }
        self.number += 1;
        Some(Report { number: self.number, tasks: self.under_way.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::TaskState;

    fn seen(task: u128, state: TaskState) -> TaskObserved {
        TaskObserved {
            task_id: Id(task).to_bytes(),
            state: state.into(),
            ..TaskObserved::default()
        }
    }

    fn states(report: Option<Report>) -> Vec<(u64, TaskState)> {
        let report = report.expect("a report");
        report.tasks.iter().map(|t| (report.number, t.state())).collect()
    }

    #[test]
    fn a_report_says_a_system_error_without_its_number() {
        let mut outbox = Outbox::default();
        outbox.open();
        let mut failed = seen(1, TaskState::Failed);
        failed.error = "/bin/x cannot be run: Exec format error (os error 8)".into();
        failed.message = "Is a directory (os error 21)".into();
        outbox.put(failed);
        let told = outbox.poll().expect("a report").tasks;
        assert_eq!(told[0].error, "/bin/x cannot be run: exec format error");
        assert_eq!(told[0].message, "is a directory");
    }

    #[test]
    fn what_waits_is_superseded_and_what_is_under_way_is_not() {
        let mut outbox = Outbox::default();
        outbox.open();
        outbox.put(seen(1, TaskState::Preparing));
        assert_eq!(states(outbox.poll()), [(1, TaskState::Preparing)]);
        outbox.put(seen(1, TaskState::Starting));
        outbox.put(seen(1, TaskState::Running));
        assert_eq!(outbox.poll(), None, "one report at a time");
        outbox.acknowledge(7);
        assert_eq!(outbox.poll(), None, "that was no answer to it");
        outbox.acknowledge(1);
        assert!(outbox.holds(Id(1)) && !outbox.holds(Id(2)), "a newer state waits");
        assert_eq!(states(outbox.poll()), [(2, TaskState::Running)]);
        assert!(outbox.holds(Id(1)) && !outbox.holds(Id(2)), "it is under way");
        outbox.acknowledge(2);
        assert_eq!(outbox.poll(), None);
        assert!(!outbox.holds(Id(1)));
    }

    #[test]
    fn a_new_session_hears_what_the_old_one_did_not_acknowledge() {
        let mut outbox = Outbox::default();
        outbox.put(seen(1, TaskState::Failed));
        assert_eq!(outbox.poll(), None, "nobody listens");
        outbox.open();
        assert_eq!(states(outbox.poll()), [(1, TaskState::Failed)]);
        outbox.put(seen(2, TaskState::Running));
        outbox.close();
        outbox.open();
        assert_eq!(states(outbox.poll()), [(1, TaskState::Failed), (1, TaskState::Running)]);
    }

    #[test]
    fn what_was_dropped_is_not_sent_again_and_its_late_acknowledgement_is_for_nothing_else() {
        let mut outbox = Outbox::default();
        outbox.open();
        outbox.put(seen(1, TaskState::Shutdown));
        assert_eq!(states(outbox.poll()), [(1, TaskState::Shutdown)]);
        outbox.drop_task(Id(1));
        outbox.put(seen(2, TaskState::Running));
        assert_eq!(states(outbox.poll()), [(2, TaskState::Running)]);
        outbox.acknowledge(1);
        outbox.open();
        assert_eq!(states(outbox.poll()), [(1, TaskState::Running)]);
    }

    #[test]
    fn a_newer_state_is_not_put_back_by_a_broken_session() {
        let mut outbox = Outbox::default();
        outbox.open();
        outbox.put(seen(1, TaskState::Running));
        assert!(outbox.poll().is_some());
        outbox.put(seen(1, TaskState::Complete));
        outbox.close();
        outbox.open();
        assert_eq!(states(outbox.poll()), [(1, TaskState::Complete)]);
    }

    #[test]
    fn what_does_not_fit_into_a_report_comes_with_the_next() {
        let mut outbox = Outbox::default();
        outbox.open();
        (0..=REPORT_TASKS_MAX as u128).for_each(|n| outbox.put(seen(n, TaskState::Running)));
        assert_eq!(outbox.poll().map(|report| report.tasks.len()), Some(REPORT_TASKS_MAX));
        outbox.acknowledge(1);
        assert_eq!(outbox.poll().map(|report| report.tasks.len()), Some(1));
    }
}
