//! Waiting until a service has come to what was asked, or until it is clear that it will not. The
//! service stays.

mod giving_up;

use super::{
    patience::{WaitDeadline, WaitLimit, steady_at},
    progress::ProgressDisplay,
    verdict::{self, ServiceProgress},
};
use crate::cli::{
    connect::ManagerClient,
    fail::{CliError, CliResult},
    log_now, parse, show,
};
use clap::Args;
use skep_proto::{defaults, v1};
use std::time::Duration;
use tokio::time::Instant;

/// How long tasks without a health check must run before they are believed to.
const STEADY_PERIOD: Duration = Duration::from_secs(2);
/// How long they must run once an attempt has failed.
const STEADY_AFTER_FAILURE_PERIOD: Duration = Duration::from_secs(5);

/// Whether and how long to wait.
#[derive(Args, Clone, Debug)]
pub(super) struct WaitArgs {
    /// Do not wait until it runs
    #[arg(short, long)]
    detach: bool,
    /// Stop waiting after this time; 0 waits for ever [default: after 60s without progress]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

impl WaitArgs {
    /// How long the whole command may take, where the caller said so.
    pub(super) fn limit(&self) -> Option<Duration> {
        self.timeout.filter(|limit| !limit.is_zero())
    }

    /// Begins to count the time of the command.
    pub(super) fn begin(&self) -> WaitClock {
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
pub(super) struct WaitClock {
    began: Instant,
    limit: WaitLimit,
}

/// Waits as the flags say. The service is found by its id; people know it by its name.
pub(super) async fn until_it_runs(
    manager: &ManagerClient,
    (id, name): (&str, &str),
    accepted: &v1::Accepted,
    waiting: &WaitArgs,
    clock: WaitClock,
) -> CliResult {
    if waiting.detach {
        return Ok(());
    }
    let mut progress = if waiting.quiet { ProgressDisplay::Silent } else { ProgressDisplay::new() };
    let outcome = tokio::select! {
        outcome = watch_at_any(manager, (id, name), accepted, clock, &mut progress) => outcome,
        _ = tokio::signal::ctrl_c() => {
            Err(CliError::refused(format!("interrupted; service {name} goes on"))
                .hint(format!("follow its tasks with `skep service ps {name}`")))
        }
    };
    progress.finish();
    outcome
}

/// What a manager said of a service last.
struct LastReply {
    reply: v1::WatchServiceReply,
    picture: ServiceProgress,
    /// The log's time then.
    answered_at: u64,
    /// When it came, counted from the command's beginning.
    came_at: Duration,
}

impl LastReply {
    /// When the tasks have run long enough to be believed.
    fn steady_at(&self) -> Duration {
        let age_ns = self.answered_at.saturating_sub(self.picture.settled_at);
        steady_at(self.came_at, Duration::from_nanos(age_ns), steady_for(self))
    }

    /// The log's time, `passed` after the command's beginning.
    fn log_time(&self, passed: Duration) -> u64 {
        let since = passed.saturating_sub(self.came_at).as_nanos();
        self.answered_at.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

/// Goes on at another manager, if one more was named, when the one that is asked goes away.
async fn watch_at_any(
    manager: &ManagerClient,
    service: (&str, &str),
    accepted: &v1::Accepted,
    clock: WaitClock,
    progress: &mut ProgressDisplay,
) -> CliResult {
    for _ in 0..manager.others() {
        match watch(manager, service, accepted, clock, progress).await {
            Err(failure) if failure.is_unreachable() => match manager.ask_another().await {
                Some(socket) => show::talk(&format!("the manager went away; asking {socket}")),
                None => return Err(failure),
            },
            outcome => return outcome,
        }
    }
    watch(manager, service, accepted, clock, progress).await
}

async fn watch(
    manager: &ManagerClient,
    (id, name): (&str, &str),
    accepted: &v1::Accepted,
    clock: WaitClock,
    progress: &mut ProgressDisplay,
) -> CliResult {
    let mut patience = WaitDeadline::new(clock.limit, clock.began.elapsed());
    let mut last: Option<LastReply> = None;
    let give_up = |last: Option<LastReply>, reason: String| async move {
        Err(giving_up::failure(
            manager,
            (name, accepted),
            last.as_ref(),
            clock.began.elapsed(),
            reason,
        )
        .await)
    };
    let after_revision = accepted.through_revision.max(accepted.revision);
    let asked = v1::WatchServiceRequest { service: id.to_owned(), after_revision };
    let mut control = manager.control();
    let replies = tokio::select! {
        replies = control.watch_service(asked) => replies,
        () = sleep_until(patience.ends_at(), clock) => {
            return give_up(None, in_vain(clock.limit)).await;
        }
    };
    let mut replies = replies.map_err(|status| while_waiting(name, status.into()))?.into_inner();
    let mut old = None;
    loop {
        let converged = last.as_ref().filter(|last| last.picture.converged);
        let steady_at = converged.map(LastReply::steady_at);
        // A service that is as it should be is not given up for lack of a steady moment.
        let wake_at = [steady_at, patience.ends_at()].into_iter().flatten().min();
        if steady_at.is_some() && wake_at.is_some_and(|at| at <= clock.began.elapsed()) {
            return Ok(());
        }
        let reply = tokio::select! {
            reply = replies.message() => reply.map_err(|status| while_waiting(name, status.into()))?,
            () = sleep_until(wake_at, clock) => {
                if steady_at.is_some() {
                    return Ok(());
                }
                return give_up(last, in_vain(clock.limit)).await;
            }
        };
        let Some(reply) = reply else {
            return Err(while_waiting(name, CliError::unreachable("")));
        };
        if reply.removed {
            return Err(CliError::refused(format!("service {name} was removed meanwhile")));
        }
        let old = old.get_or_insert_with(|| verdict::old_failures(&reply, accepted.revision));
        let picture = verdict::judge(&reply, old);
        progress.show(&picture);
        let came_at = clock.began.elapsed();
        patience.take(&picture, came_at);
        let reason = picture.hopeless.clone();
        last =
            Some(LastReply { answered_at: log_now(reply.answered_at).0, reply, picture, came_at });
        if !reason.is_empty() {
            return give_up(last, reason).await;
        }
    }
}

/// A command that was accepted stays accepted when the manager goes away.
fn while_waiting(name: &str, failure: CliError) -> CliError {
    match failure.is_unreachable() {
        true => CliError::unreachable(format!(
            "the manager went away while waiting; service {name} goes on"
        ))
        .hint(format!("follow its tasks with `skep service ps {name}` once the manager is back"))
        .caused_by(failure),
        false => failure,
    }
}

fn in_vain(limit: WaitLimit) -> String {
    match limit {
        WaitLimit::After(limit) => format!("timed out after {limit:?}"),
        WaitLimit::Standstill | WaitLimit::Never => "it makes no progress".into(),
    }
}

async fn sleep_until(at: Option<Duration>, clock: WaitClock) {
    match at {
        Some(at) => tokio::time::sleep(at.saturating_sub(clock.began.elapsed())).await,
        None => std::future::pending().await,
    }
}

/// How long tasks must run before they are believed: a task that has just been started may be about
/// to fail; one that was found healthy is believed at once.
fn steady_for(last: &LastReply) -> Duration {
    let spec = last.reply.service.as_ref().and_then(|service| service.spec.as_ref());
    let container = spec.and_then(|spec| spec.task.as_ref()).and_then(defaults::container);
    let check = container.and_then(|container| container.health.as_ref());
    if check.is_some_and(|health| health.test.first().is_some_and(|word| word != "NONE")) {
        return Duration::ZERO;
    }
    if last.picture.has_failed() { STEADY_AFTER_FAILURE_PERIOD } else { STEADY_PERIOD }
}
