//! What is said when waiting for a service ends without success: how far it came, which task failed
//! most, its last lines, and what comes next.

use super::{
    super::{name_of, verdict::ServiceProgress},
    LastReply,
};
use crate::cli::{connect::ManagerClient, fail::CliError, show::untrusted::one_line, task::end_of};
use skep_proto::{
    Id,
    time::SECOND_NS,
    v1::{self, logs_reply},
};
use std::time::Duration;

/// Lines of a failed task that are shown.
const LAST_LINES_MAX: u64 = 10;
/// How long its node may take to send them.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(5);

/// Earlier specs of a service that are looked at for one that it completed; beyond them none is
/// named.
const EARLIER_SPECS_MAX: usize = 8;
/// Longest that the look for such a spec may take; then none is named.
const WAY_BACK_LIMIT: Duration = Duration::from_secs(3);

/// The error with which the waiting ends. `passed` is the time since the command's beginning.
pub(super) async fn failure(
    manager: &ManagerClient,
    (name, accepted): (&str, &v1::Accepted),
    last: Option<&LastReply>,
    passed: Duration,
    reason: String,
) -> CliError {
    let Some(last) = last else {
        return CliError::refused(format!("no state of service {name} was received"))
            .hint("see `skep status`");
    };
    let (reply, picture) = (&last.reply, &last.picture);
    let name = reply.service.as_ref().map_or(name, name_of);
    let reason = if picture.blocked.is_empty() { reason } else { picture.blocked.clone() };
    let lines = match picture.culprit().and_then(|slot| slot.failed.as_ref()) {
        Some(task) => tokio::time::timeout(LAST_LINES_LIMIT, last_lines(manager, task))
            .await
            .unwrap_or_default(),
        None => Vec::new(),
    };
    let text = text((name, picture), &reason, &lines, last.log_time(passed));
    let way = way_back(manager, reply.service.as_ref(), accepted.revision).await;
    CliError::refused(text).hint(next_step(name, way))
}

/// How far the service came, what stands in its way, and the task that failed most with the last
/// lines it wrote. `now` is the log's time.
fn text(
    (name, picture): (&str, &ServiceProgress),
    reason: &str,
    lines: &[String],
    now: u64,
) -> String {
    let mut text = format!("{}: {reason}", standing(name, picture));
    if let Some(slot) = picture.culprit()
        && let Some(task) = &slot.failed
    {
        let node = if task.node_name.is_empty() {
            String::new()
        } else {
            format!(" on node {}", task.node_name)
        };
        let id = Id::from_bytes(&task.id);
        text.push_str("\n  ");
        text.push_str(&one_line(&format!("{}{node}: {} (task {id})", task.name, end_of(task))));
        if !lines.is_empty() {
            text.push_str("\n  its last lines:");
            lines.iter().for_each(|line| text.push_str(&format!("\n    {line}")));
        }
        text.push_str(&format!("\n  {}", next_attempt(&slot.task, task, now)));
    }
    text
}

/// What can be done about a change that did not come about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum WayBack {
    /// The service is new.
    Removal,
    /// At this revision it had a spec that it completed.
    SpecAt(u64),
    /// No such spec is known.
    Unknown,
}

/// Looks for the newest spec from before the change that the service completed. A roll-out that was
/// paused leaves a spec that failed, and scaling changes nothing about that.
async fn way_back(
    manager: &ManagerClient,
    service: Option<&v1::Service>,
    changed_revision: u64,
) -> WayBack {
    let Some(service) = service else { return WayBack::Removal };
    let created_revision = service.meta.map_or(0, |meta| meta.created_revision);
    if created_revision == 0 || created_revision >= changed_revision {
        return WayBack::Removal;
    }
    let look = async {
        let mut revision = changed_revision - 1;
        for _ in 0..EARLIER_SPECS_MAX {
            let then = v1::Moment { moment: Some(v1::moment::Moment::Revision(revision)) };
            let id = Id::from_bytes(&service.id).to_string();
            let found = super::super::find(manager, Some(then), vec![id]).await.ok()?;
            let found = found.first()?;
            if is_completed(found) {
                return Some(revision);
            }
            revision = found.spec_version.checked_sub(1).filter(|at| *at >= created_revision)?;
        }
        None
    };
    let found = tokio::time::timeout(WAY_BACK_LIMIT, look).await.unwrap_or_default();
    found.map_or(WayBack::Unknown, WayBack::SpecAt)
}

/// Whether all tasks of the service came to run its spec. One that was never updated has no
/// roll-out.
fn is_completed(service: &v1::Service) -> bool {
    match service.rollout.as_ref().map_or(v1::RolloutState::None, v1::RolloutStatus::state) {
        v1::RolloutState::Completed => true,
        v1::RolloutState::None => service.status.is_some_and(|status| {
            status.desired_tasks > 0 && status.running_tasks >= status.desired_tasks
        }),
        v1::RolloutState::Updating | v1::RolloutState::Paused => false,
    }
}

/// What to do: a new service can be removed, and one that was changed may have a spec to go back
/// to.
fn next_step(name: &str, way: WayBack) -> String {
    let look = format!("`skep service ps {name}` shows its tasks, `skep why {name}` why");
    match way {
        WayBack::Removal => {
            format!("the service stays; {look}, `skep service rm {name}` removes it")
        }
        WayBack::SpecAt(revision) => format!(
            "{look}; to go back, `skep --at {revision} service inspect {name}` shows the earlier spec: set it with `skep service update {name}`"
        ),
        WayBack::Unknown => format!("{look}; `skep service update {name}` sets another spec"),
    }
}

/// How many tasks run, and which spec.
fn standing(name: &str, picture: &ServiceProgress) -> String {
    let (settled, wanted) = (picture.settled, picture.wanted);
    let tasks = if wanted == 1 { "task runs" } else { "tasks run" };
    match picture.older {
        0 => format!("service {name} does not run as asked ({settled} of {wanted} {tasks})"),
        older => format!(
            "the update of service {name} is not done ({settled} of {wanted} {tasks} the new spec, {older} an older one)"
        ),
    }
}

fn next_attempt(newest: &v1::Task, failed: &v1::Task, now: u64) -> String {
    // One that failed before its time came is answered when it comes.
    if newest.id == failed.id && newest.desired() > v1::TaskState::Running {
        return "there is no further attempt".into();
    }
    match newest.start_at.saturating_sub(now) {
        0 => "the next attempt is under way".into(),
        ns => format!("the next attempt comes in {} s", ns.div_ceil(SECOND_NS)),
    }
}

/// What a task wrote last, as far as its node can tell.
async fn last_lines(manager: &ManagerClient, task: &v1::Task) -> Vec<String> {
    let tasks = vec![Id::from_bytes(&task.id).to_string()];
    let asked = v1::LogsRequest { tasks, tail: Some(LAST_LINES_MAX), ..v1::LogsRequest::default() };
    let mut lines = Vec::new();
    let Ok(replies) = manager.logs().read(asked).await else { return lines };
    let mut replies = replies.into_inner();
    while let Ok(Some(reply)) = replies.message().await {
        match reply.message {
            Some(logs_reply::Message::Line(line)) => {
                lines.push(one_line(&String::from_utf8_lossy(&line.text)))
            }
            Some(logs_reply::Message::Gap(gap)) => {
                lines.push(format!("({})", one_line(&gap.message)))
            }
            None => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::service::verdict::SlotProgress;

    #[test]
    fn a_failed_update_names_the_way_back_and_a_failed_creation_the_removal() {
        let look = "`skep service ps web` shows its tasks, `skep why web` why";
        assert_eq!(
            next_step("web", WayBack::Removal),
            format!("the service stays; {look}, `skep service rm web` removes it")
        );
        assert_eq!(
            next_step("web", WayBack::SpecAt(30)),
            format!(
                "{look}; to go back, `skep --at 30 service inspect web` shows the earlier spec: set it with `skep service update web`"
            )
        );
        assert_eq!(
            next_step("web", WayBack::Unknown),
            format!("{look}; `skep service update web` sets another spec")
        );
    }

    fn task(id: u128, state: v1::TaskState, desired: v1::TaskState, start_at: u64) -> v1::Task {
        let (error, state) = ("no space".into(), state.into());
        v1::Task {
            id: Id(id).to_bytes(),
            name: "web.2".into(),
            node_name: "node1".into(),
            desired: desired.into(),
            status: Some(v1::TaskStatus { state, error, ..v1::TaskStatus::default() }),
            start_at,
            ..v1::Task::default()
        }
    }

    fn failing(newest: v1::Task, failed: Option<v1::Task>) -> ServiceProgress {
        let slot = SlotProgress {
            number: 2,
            task: newest,
            settled: false,
            failures: 1,
            failed,
            pull: None,
            reached: (0, 0),
        };
        ServiceProgress { wanted: 3, settled: 1, slots: vec![slot], ..ServiceProgress::default() }
    }

    #[test]
    fn the_task_that_failed_most_is_told_with_its_node_its_lines_and_what_comes_next() {
        let (ended, running) = (v1::TaskState::Shutdown, v1::TaskState::Running);
        let failed = task(5, v1::TaskState::Failed, ended, 0);
        let waiting = task(6, v1::TaskState::Ready, v1::TaskState::Ready, 4 * SECOND_NS + 1);
        let picture = failing(waiting, Some(failed.clone()));
        let lines = ["one".to_owned(), "two".to_owned()];
        assert_eq!(
            text(("web", &picture), "timed out after 5s", &lines, SECOND_NS),
            "service web does not run as asked (1 of 3 tasks run): timed out after 5s
  web.2 on node node1: no space (task 0000000000000000000000005)
  its last lines:
    one
    two
  the next attempt comes in 4 s"
        );
        let elsewhere = v1::Task { node_name: String::new(), ..failed.clone() };
        let picture = failing(task(6, running, running, 0), Some(elsewhere));
        assert_eq!(
            text(("web", &picture), "it makes no progress", &[], SECOND_NS),
            "service web does not run as asked (1 of 3 tasks run): it makes no progress
  web.2: no space (task 0000000000000000000000005)
  the next attempt is under way"
        );
        let picture = ServiceProgress { wanted: 1, older: 2, ..failing(failed, None) };
        assert_eq!(
            text(("web", &picture), "it makes no progress", &lines, 0),
            "the update of service web is not done (1 of 1 task runs the new spec, 2 an older one): it makes no progress"
        );
    }

    #[test]
    fn a_failed_task_is_the_last_where_nothing_stands_in_for_it_and_it_is_not_wanted() {
        let (failed, ended) = (v1::TaskState::Failed, v1::TaskState::Shutdown);
        let last = task(5, failed, ended, 0);
        assert_eq!(next_attempt(&last, &last, 1), "there is no further attempt");
        let unanswered = task(5, failed, v1::TaskState::Running, 0);
        assert_eq!(next_attempt(&unanswered, &unanswered, 1), "the next attempt is under way");
        assert_eq!(
            next_attempt(&task(6, failed, ended, 0), &last, 1),
            "the next attempt is under way"
        );
        let held = task(6, v1::TaskState::Ready, v1::TaskState::Ready, 5 * SECOND_NS);
        assert_eq!(next_attempt(&held, &last, 3 * SECOND_NS), "the next attempt comes in 2 s");
    }

    #[test]
    fn a_spec_is_completed_when_its_roll_out_is_or_all_tasks_run_where_there_was_none() {
        let with = |rollout: Option<v1::RolloutState>, running_tasks, desired_tasks| {
            let rollout = rollout.map(|state| v1::RolloutStatus {
                state: state.into(),
                ..v1::RolloutStatus::default()
            });
            let status = Some(v1::ServiceStatus { running_tasks, desired_tasks });
            is_completed(&v1::Service { rollout, status, ..v1::Service::default() })
        };
        assert!(with(Some(v1::RolloutState::Completed), 0, 2), "its tasks may end later");
        assert!(!with(Some(v1::RolloutState::Paused), 2, 2));
        assert!(!with(Some(v1::RolloutState::Updating), 2, 2));
        assert!(with(None, 2, 2) && !with(None, 1, 2) && !with(None, 0, 0));
    }
}
