//! Waiting until a service has come to what was asked, or until it is clear that it will not.
//!
//! There is no end of patience while something moves: a long pull is no failure. Trouble that lasts, a slot that
//! failed three times, and standstill end the waiting; the service stays.

use super::{
    name_of,
    progress::Progress,
    verdict::{self, Picture},
};
use crate::cli::{
    connect::Manager,
    fail::{Failure, Outcome},
    now, parse,
    task::trouble,
};
use clap::Args;
use skep_proto::{
    Id, defaults,
    time::SECOND_NS,
    v1::{Accepted, LogsRequest, Task, TaskState, WatchServiceReply, WatchServiceRequest, logs_reply},
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
pub struct Waiting {
    /// Do not wait until it runs
    #[arg(short, long)]
    detach: bool,
    /// Give up when it has been blocked, failing or without progress for so long; 0 never does
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, default_value = "60s")]
    timeout: Duration,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Waits as the flags say. The service is named by its id.
pub async fn until_it_runs(manager: &Manager, id: &str, accepted: &Accepted, waiting: &Waiting) -> Outcome {
    if waiting.detach {
        return Ok(());
    }
    let mut progress = Progress::new(waiting.quiet);
    let outcome = tokio::select! {
        outcome = watch(manager, id, accepted, waiting.timeout, &mut progress) => outcome,
        _ = tokio::signal::ctrl_c() => {
            Err(Failure::refused(format!("interrupted; service {id} goes on"))
                .hint(format!("see how it does with `skep service ps {id}`")))
        }
    };
    progress.finish();
    outcome
}

/// What is remembered between two replies.
struct Patience {
    limit: Option<Duration>,
    trouble_since: Option<Instant>,
    moved_at: Instant,
    seen: Option<Picture>,
    converged_at: Option<Instant>,
}

impl Patience {
    fn take(&mut self, picture: &Picture) {
        let now = Instant::now();
        if self.seen.as_ref() != Some(picture) {
            self.moved_at = now;
            self.seen = Some(picture.clone());
        }
        self.trouble_since = picture.in_trouble().then(|| self.trouble_since.unwrap_or(now));
        self.converged_at = picture.converged.then(|| self.converged_at.unwrap_or(now));
    }

    fn ends_at(&self) -> Option<Instant> {
        Some(self.trouble_since.map_or(self.moved_at, |since| since.min(self.moved_at)) + self.limit?)
    }
}

async fn watch(
    manager: &Manager,
    id: &str,
    accepted: &Accepted,
    timeout: Duration,
    progress: &mut Progress,
) -> Outcome {
    let after_revision = accepted.through_revision.max(accepted.revision);
    let asked = WatchServiceRequest { service: id.to_owned(), after_revision };
    let mut replies = manager.control().watch_service(asked).await?.into_inner();
    let limit = (!timeout.is_zero()).then_some(timeout);
    let mut patience =
        Patience { limit, trouble_since: None, moved_at: Instant::now(), seen: None, converged_at: None };
    let mut last: Option<(WatchServiceReply, Picture)> = None;
    let mut old = None;
    loop {
        let steady_at = match (&last, patience.converged_at) {
            (Some((reply, picture)), Some(since)) => Some(since + steady_for(reply, picture)),
            _ => None,
        };
        if steady_at.is_some_and(|at| at <= Instant::now()) {
            return Ok(());
        }
        let wake_at = steady_at.or_else(|| patience.ends_at());
        let reply = tokio::select! {
            reply = replies.message() => reply?,
            () = sleep_until(wake_at) => {
                if steady_at.is_some() {
                    return Ok(());
                }
                let reason = "it makes no progress".to_owned();
                return Err(give_up(manager, id, last.as_ref(), reason).await);
            }
        };
        let Some(reply) = reply else {
            return Err(Failure::unreachable("the manager went away while waiting")
                .hint(format!("see `skep service ps {id}`")));
        };
        if reply.removed {
            return Err(Failure::refused(format!("service {id} was removed meanwhile")));
        }
        let old = old.get_or_insert_with(|| verdict::old_failures(&reply, accepted.revision));
        let picture = verdict::judge(&reply, old);
        progress.show(&picture);
        patience.take(&picture);
        let reason = picture.hopeless.clone();
        last = Some((reply, picture));
        if !reason.is_empty() {
            return Err(give_up(manager, id, last.as_ref(), reason).await);
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A task that has just been started may be about to fail; one that ran before, or was found healthy, is believed.
fn steady_for(reply: &WatchServiceReply, picture: &Picture) -> Duration {
    let task =
        reply.service.as_ref().and_then(|service| service.spec.as_ref()).and_then(|spec| spec.task.as_ref());
    let checked = task.and_then(defaults::container).and_then(|container| container.health.as_ref());
    if checked.is_some_and(|health| health.test.first().is_some_and(|word| word != "NONE")) {
        return Duration::ZERO;
    }
    let whole = if picture.has_failed() { STEADY_AFTER_FAILURE } else { STEADY };
    whole.saturating_sub(Duration::from_nanos(now().0.saturating_sub(picture.settled_at)))
}

async fn give_up(
    manager: &Manager,
    id: &str,
    last: Option<&(WatchServiceReply, Picture)>,
    reason: String,
) -> Failure {
    let Some((reply, picture)) = last else {
        return Failure::refused(format!("nothing was heard of service {id}")).hint("see `skep status`");
    };
    let name = reply.service.as_ref().map_or(id, name_of);
    let reason = if picture.blocked.is_empty() { reason } else { picture.blocked.clone() };
    let mut text =
        format!("service {name} does not run ({} of {} tasks): {reason}", picture.settled, picture.wanted);
    if let Some(slot) = picture.culprit()
        && let Some(task) = &slot.failed
    {
        let place =
            if task.node_name.is_empty() { String::new() } else { format!(" on node {}", task.node_name) };
        text.push_str(&format!(
            "\n  {}{place}: {} (task {})",
            task.name,
            trouble(task),
            Id::from_bytes(&task.id)
        ));
        let lines =
            tokio::time::timeout(LAST_LINES_PATIENCE, last_lines(manager, task)).await.unwrap_or_default();
        if !lines.is_empty() {
            text.push_str("\n  its last lines:");
            lines.iter().for_each(|line| text.push_str(&format!("\n    {line}")));
        }
        text.push_str(&format!("\n  {}", next_attempt(&slot.task, task)));
    }
    Failure::refused(text).hint(format!(
        "the service stays; `skep service ps {name}` shows its tasks, `skep why {name}` why, `skep service rm {name}` removes it"
    ))
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
async fn last_lines(manager: &Manager, task: &Task) -> Vec<String> {
    let tasks = vec![Id::from_bytes(&task.id).to_string()];
    let asked = LogsRequest { tasks, tail: Some(LAST_LINES), ..LogsRequest::default() };
    let mut lines = Vec::new();
    let Ok(replies) = manager.logs().read(asked).await else { return lines };
    let mut replies = replies.into_inner();
    while let Ok(Some(reply)) = replies.message().await {
        match reply.message {
            Some(logs_reply::Message::Line(line)) => lines.push(clean(&line.text)),
            Some(logs_reply::Message::Gap(gap)) => lines.push(format!("({})", gap.message)),
            None => {}
        }
    }
    lines
}

fn clean(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}
