//! Waiting until a service has come to what was asked, or until it is clear that it will not. The
//! service stays.

use super::{
    name_of,
    patience::{WaitDeadline, WaitLimit},
    progress::ProgressDisplay,
    verdict::{self, Picture},
};
use crate::cli::{
    connect::ManagerClient,
    fail::{CliError, CliResult},
    now, parse,
    show::untrusted::one_line,
    task::end_of,
};
use clap::Args;
use skep_proto::{
    Id, defaults,
    time::SECOND_NS,
    v1::{
        Accepted, LogsRequest, Task, TaskState, WatchServiceReply, WatchServiceRequest, logs_reply,
    },
};
use std::time::Duration;
use tokio::time::Instant;

/// How long tasks without a health check must run before they are believed to.
const STEADY: Duration = Duration::from_secs(2);
/// The same once an attempt has failed.
const STEADY_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Lines of a failed task that are shown.
const LAST_LINES: u64 = 10;
/// How long its node may take to send them.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(5);

/// Whether and how long to wait.
#[derive(Args, Clone, Debug)]
pub struct WaitArgs {
    /// Do not wait until it runs
    #[arg(short, long)]
    detach: bool,
    /// End after so long, whatever happens; 0 waits for ever [default: after 60s without progress]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    timeout: Option<Duration>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

impl WaitArgs {
    /// How long the whole command may take, where the caller said so.
    pub fn limit(&self) -> Option<Duration> {
        self.timeout.filter(|limit| !limit.is_zero())
    }

    /// Begins to count the time of the command.
    pub fn begin(&self) -> WaitClock {
        let limit = match (self.timeout, self.limit()) {
            (None, _) => WaitLimit::Standstill,
            (Some(_), None) => WaitLimit::Never,
            (Some(_), Some(limit)) => WaitLimit::After(limit),
        };
        WaitClock { began: Instant::now(), limit }
    }
}

/// When the command began, and when it is to end.
#[derive(Clone, Copy, Debug)]
pub struct WaitClock {
    began: Instant,
    limit: WaitLimit,
}

/// Waits as the flags say. The service is named by its id.
pub async fn until_it_runs(
    manager: &ManagerClient,
    id: &str,
    accepted: &Accepted,
    waiting: &WaitArgs,
    clock: WaitClock,
) -> CliResult {
    if waiting.detach {
        return Ok(());
    }
    let mut progress = if waiting.quiet { ProgressDisplay::Silent } else { ProgressDisplay::new() };
    let outcome = tokio::select! {
        outcome = watch(manager, id, accepted, clock, &mut progress) => outcome,
        _ = tokio::signal::ctrl_c() => {
            Err(CliError::refused(format!("interrupted; service {id} goes on"))
                .hint(format!("see how it does with `skep service ps {id}`")))
        }
    };
    progress.finish();
    outcome
}

async fn watch(
    manager: &ManagerClient,
    id: &str,
    accepted: &Accepted,
    clock: WaitClock,
    progress: &mut ProgressDisplay,
) -> CliResult {
    let mut patience = WaitDeadline::new(clock.limit, clock.began.elapsed());
    let mut last: Option<(WatchServiceReply, Picture)> = None;
    let after_revision = accepted.through_revision.max(accepted.revision);
    let asked = WatchServiceRequest { service: id.to_owned(), after_revision };
    let mut control = manager.control();
    let replies = tokio::select! {
        replies = control.watch_service(asked) => replies,
        () = sleep_until(patience.ends_at(), clock) => {
            return Err(give_up(manager, id, None, in_vain(clock.limit)).await);
        }
    };
    let mut replies = replies.map_err(|status| while_waiting(id, status.into()))?.into_inner();
    let mut old = None;
    loop {
        let steady_at = match (&last, patience.converged_since()) {
            (Some((reply, picture)), Some(since)) => Some(since + steady_for(reply, picture)),
            _ => None,
        };
        // A service that is as it should be is not given up for want of a steady moment.
        let wake_at = [steady_at, patience.ends_at()].into_iter().flatten().min();
        if steady_at.is_some() && wake_at.is_some_and(|at| at <= clock.began.elapsed()) {
            return Ok(());
        }
        let reply = tokio::select! {
            reply = replies.message() => reply.map_err(|status| while_waiting(id, status.into()))?,
            () = sleep_until(wake_at, clock) => {
                if steady_at.is_some() {
                    return Ok(());
                }
                return Err(give_up(manager, id, last.as_ref(), in_vain(clock.limit)).await);
            }
        };
        let Some(reply) = reply else {
            return Err(while_waiting(id, CliError::unreachable("")));
        };
        if reply.removed {
            return Err(CliError::refused(format!("service {id} was removed meanwhile")));
        }
        let old = old.get_or_insert_with(|| verdict::old_failures(&reply, accepted.revision));
        let picture = verdict::judge(&reply, old);
        progress.show(&picture);
        patience.take(&picture, clock.began.elapsed());
        let reason = picture.hopeless.clone();
        last = Some((reply, picture));
        if !reason.is_empty() {
            return Err(give_up(manager, id, last.as_ref(), reason).await);
        }
    }
}

/// A command that was accepted stays accepted when the manager goes away.
fn while_waiting(id: &str, failure: CliError) -> CliError {
    match failure.is_unreachable() {
        true => CliError::unreachable(format!(
            "the manager went away while waiting; service {id} goes on"
        ))
        .hint(format!("see how it does with `skep service ps {id}` once the manager is back"))
        .caused_by(failure),
        false => failure,
    }
}

fn in_vain(limit: WaitLimit) -> String {
    match limit {
        WaitLimit::After(limit) => format!("the time of {limit:?} is over"),
        WaitLimit::Standstill | WaitLimit::Never => "it makes no progress".into(),
    }
}

async fn sleep_until(at: Option<Duration>, clock: WaitClock) {
    match at {
        Some(at) => tokio::time::sleep(at.saturating_sub(clock.began.elapsed())).await,
        None => std::future::pending().await,
    }
}

/// A task that has just been started may be about to fail; one that ran before, or was found
/// healthy, is believed.
fn steady_for(reply: &WatchServiceReply, picture: &Picture) -> Duration {
    let task = reply
        .service
        .as_ref()
        .and_then(|service| service.spec.as_ref())
        .and_then(|spec| spec.task.as_ref());
    let checked =
        task.and_then(defaults::container).and_then(|container| container.health.as_ref());
    if checked.is_some_and(|health| health.test.first().is_some_and(|word| word != "NONE")) {
        return Duration::ZERO;
    }
    let whole = if picture.has_failed() { STEADY_AFTER_FAILURE } else { STEADY };
    whole.saturating_sub(Duration::from_nanos(now().0.saturating_sub(picture.settled_at)))
}

async fn give_up(
    manager: &ManagerClient,
    id: &str,
    last: Option<&(WatchServiceReply, Picture)>,
    reason: String,
) -> CliError {
    let Some((reply, picture)) = last else {
        return CliError::refused(format!("nothing was heard of service {id}"))
            .hint("see `skep status`");
    };
    let name = reply.service.as_ref().map_or(id, name_of);
    let reason = if picture.blocked.is_empty() { reason } else { picture.blocked.clone() };
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
        let lines = tokio::time::timeout(LAST_LINES_PATIENCE, last_lines(manager, task))
            .await
            .unwrap_or_default();
        if !lines.is_empty() {
            text.push_str("\n  its last lines:");
            lines.iter().for_each(|line| text.push_str(&format!("\n    {line}")));
        }
        text.push_str(&format!("\n  {}", next_attempt(&slot.task, task)));
    }
    CliError::refused(text).hint(format!(
        "the service stays; `skep service ps {name}` shows its tasks, `skep why {name}` why, `skep service rm {name}` removes it"
    ))
}

/// How many tasks run, and which spec.
fn standing(name: &str, picture: &Picture) -> String {
    let (settled, wanted) = (picture.settled, picture.wanted);
    match picture.older {
        0 => format!("service {name} does not run as asked ({settled} of {wanted} tasks run)"),
        older => format!(
            "the update of service {name} is not done ({settled} of {wanted} tasks run the new spec, {older} an older one)"
        ),
    }
}

fn next_attempt(newest: &Task, failed: &Task) -> String {
    // One that failed before its time came is answered when it comes.
    if newest.id == failed.id && newest.desired() > TaskState::Running {
        return "there is no further attempt".into();
    }
    match newest.start_at.saturating_sub(now().0) {
        0 => "the next attempt is under way".into(),
        ns => format!("the next attempt comes in {} s", ns.div_ceil(SECOND_NS)),
    }
}

/// What a task wrote last, as far as its node can tell.
async fn last_lines(manager: &ManagerClient, task: &Task) -> Vec<String> {
    let tasks = vec![Id::from_bytes(&task.id).to_string()];
    let asked = LogsRequest { tasks, tail: Some(LAST_LINES), ..LogsRequest::default() };
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
