//! How far a roll-out has got, read from the service's tasks.

use crate::{
    attempts::{AttemptEnd, end, ran_ns},
    slots::Slot,
};
use skep_projections::{ServiceIdx, ServiceRow, TaskRow, View};
use skep_proto::{Id, Revision, Timestamp, defaults, time::SECOND_NS, v1::TaskState};

/// A new task whose end stops the roll-out.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Failure {
    pub task: Id,
    /// The record of its end.
    pub cause: Revision,
    /// Which task, how it ended, and when.
    pub message: String,
}

/// What the new tasks tell.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Progress {
    /// The first failure.
    pub failure: Option<Failure>,
    /// A slot that is up to date does not run.
    under_way: bool,
    /// When the first new task has run, or will have run, for its monitor time; none where none
    /// runs yet.
    proven_at: Option<Timestamp>,
    /// The newest of the new tasks is watched until then; none where none ran.
    watched_until: Option<Timestamp>,
    /// The newest record about any of them.
    pub newest: Revision,
}

impl Progress {
    /// At the beginning, when the roll-out has made no task yet.
    pub(super) fn beginning(service: &ServiceRow, slots: &[Slot<'_>]) -> Progress {
        let is_late = |slot: &Slot<'_>| {
            let mut tasks = slot.tasks.iter().map(|(_, task)| *task);
            let wanted = slot.tasks.iter().any(|(_, task)| task.is_wanted());
            wanted
                && !slot.is_running()
                && tasks.all(|task| task.spec_version == service.spec_version)
        };
        Progress { under_way: slots.iter().any(is_late), ..Progress::default() }
    }

    pub(super) fn of(
        view: &View,
        index: ServiceIdx,
        service: &ServiceRow,
        slots: &[Slot<'_>],
    ) -> Progress {
        let mut progress = Progress::beginning(service, slots);
        let monitor_ns = defaults::monitor_ns(&service.spec);
        let began = service.rollout.as_ref().map_or(Timestamp::NEVER, |rollout| rollout.started_at);
        let new = view.tasks_of(index).map(|(_, task)| task);
        for task in
            new.filter(|task| task.spec_version == service.spec_version && task.created.1 >= began)
        {
            progress.note(view, service, task, monitor_ns);
        }
        progress
    }

    fn note(&mut self, view: &View, service: &ServiceRow, task: &TaskRow, monitor_ns: u64) {
        self.newest = self.newest.max(task.state_since.0);
        let end = end(task, Some(&service.spec));
        let is_first = self.failure.as_ref().is_none_or(|known| task.state_since.0 < known.cause);
        if end == AttemptEnd::Early && is_first {
            self.failure = Some(failure(view, service, task));
        }
        // One that is asked to end no longer proves anything by still being there.
        let runs = task.running_at != Timestamp::NEVER && task.is_live();
        if runs || matches!(end, AttemptEnd::After(_)) {
            let proven_at = task.running_at + monitor_ns;
            self.proven_at = Some(self.proven_at.map_or(proven_at, |known| known.min(proven_at)));
            self.watched_until = self.watched_until.max(Some(proven_at).filter(|_| runs));
        }
    }

    /// When the roll-out goes on, with another slot or to its completion, if nothing happens until
    /// then. None where it waits for something to happen.
    pub(super) fn waits_until(&self, next: Option<&Slot<'_>>) -> Option<Timestamp> {
        if self.under_way || self.failure.is_some() {
            return None;
        }
        let until = if next.is_some() { self.proven_at } else { self.watched_until };
        Some(until.unwrap_or(Timestamp::NEVER))
    }
}

fn failure(view: &View, service: &ServiceRow, task: &TaskRow) -> Failure {
    let detail = task.detail.as_ref();
    let exit = detail.and_then(|d| d.container.as_ref()).and_then(|container| container.exit_code);
    let verb = if task.state == TaskState::Failed { "failed" } else { "ended" };
    let how = match (task.state, exit) {
        (TaskState::Rejected, _) => "was rejected".to_owned(),
        (_, Some(code)) => format!("{verb} with exit code {code}"),
        (_, None) => verb.to_owned(),
    };
    let when = match ran_ns(task) {
        None => " before it ran".to_owned(),
        Some(ns) => format!(", {} after it began to run", duration(ns)),
    };
    let node = task
        .node
        .and_then(|node| view.nodes().get(node))
        .map_or(String::new(), |node| format!(" on {}", node.hostname()));
    let known = exit.map(|code| format!("exit code {code}")).unwrap_or_default();
    let error = detail.map(|d| d.error.as_str()).filter(|e| !e.is_empty() && *e != known);
    let error = error.map_or(String::new(), |error| format!(": {error}"));
    let message =
        format!("task {}.{} ({}){node} {how}{when}{error}", service.name(), task.slot, task.id);
    Failure { task: task.id, cause: task.state_since.0, message }
}

/// `20 ms`, `2.1 s`.
fn duration(ns: u64) -> String {
    match ns {
        0..SECOND_NS => format!("{} ms", ns / 1_000_000),
        _ => format!("{}.{} s", ns / SECOND_NS, ns % SECOND_NS / (SECOND_NS / 10)),
    }
}
