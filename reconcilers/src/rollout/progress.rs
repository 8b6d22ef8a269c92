//! How far a roll-out has got, read from the tasks that it made.

use super::MONITOR_NS;
use skep_projections::{ServiceIdx, ServiceRow, TaskRow, View};
use skep_proto::{Id, Revision, Timestamp, v1::TaskState};

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
    /// A new task is not running yet.
    pub under_way: bool,
    /// The newest of them is watched until then; none where none ran.
    pub watched_until: Option<Timestamp>,
    /// The newest record about any of them.
    pub newest: Revision,
}

impl Progress {
    pub(super) fn of(view: &View, place: ServiceIdx, service: &ServiceRow) -> Progress {
        let monitor_ns =
            service.spec.update.as_ref().and_then(|update| update.monitor_ns).unwrap_or(MONITOR_NS);
        let began = service.rollout.as_ref().map_or(Timestamp::NEVER, |rollout| rollout.started_at);
        let mut progress = Progress::default();
        for (_, task) in view.tasks_of(place) {
            if task.created.1 < began || !is_of_rollout(view, service, task) {
                continue;
            }
            let ran_ns =
                (task.running_at != Timestamp::NEVER).then(|| task.state_since.1.since(task.running_at));
            let failed = matches!(task.state, TaskState::Failed | TaskState::Rejected);
            if failed && ran_ns.is_none_or(|ran| ran <= monitor_ns) {
                let earlier = progress.failure.as_ref().is_some_and(|known| known.cause < task.state_since.0);
                if !earlier {
                    progress.failure = Some(failure(view, service, task, ran_ns));
                }
            }
            progress.under_way |= task.is_live() && task.state < TaskState::Running;
            progress.newest = progress.newest.max(task.state_since.0);
            if task.is_live() && task.running_at != Timestamp::NEVER {
                progress.watched_until = progress.watched_until.max(Some(task.running_at + monitor_ns));
            }
        }
        progress
    }
}

/// Whether the roll-out made the task: it runs the newest spec in the place of one that ran an older one.
fn is_of_rollout(view: &View, service: &ServiceRow, task: &TaskRow) -> bool {
    task.spec_version == service.spec_version
        && !task.replaces.is_none()
        && task.attempt == 0
        && view.tasks().by_id(task.replaces).is_none_or(|(_, old)| old.spec_version != task.spec_version)
}

fn failure(view: &View, service: &ServiceRow, task: &TaskRow, ran_ns: Option<u64>) -> Failure {
    let detail = task.detail.as_ref();
    let exit = detail.and_then(|d| d.container.as_ref()).and_then(|container| container.exit_code);
    let how = match (task.state, exit) {
        (TaskState::Rejected, _) => "was rejected".to_owned(),
        (_, Some(code)) => format!("failed with exit code {code}"),
        (_, None) => "failed".to_owned(),
    };
    let when = match ran_ns {
        None => "before it ran".to_owned(),
        Some(ns) => format!("{} ms after it began to run", ns / 1_000_000),
    };
    let node = task
        .node
        .and_then(|node| view.nodes().get(node))
        .map_or(String::new(), |node| format!(" on {}", node.hostname()));
    let error = detail.map(|d| d.error.as_str()).filter(|error| !error.is_empty());
    let error = error.map_or(String::new(), |error| format!(": {error}"));
    let message = format!("task {}.{} ({}){node} {how} {when}{error}", service.name(), task.slot, task.id);
    Failure { task: task.id, cause: task.state_since.0, message }
}
