//! The shell around the watch over a container: takes the looks that
//! [`container_watch`](super::container_watch) asks for, and sleeps between them.

use super::{
    DockerRuntime,
    container::{Container, ContainerHealth, Phase},
    container_watch::{
        self, ContainerWatch, EngineReach, InspectOutcome, Remover, WatchContext, WatchStep,
    },
    engine::is_status,
    judgement::{ContainerEndFacts, judge},
    marks::StopMark,
};
use crate::{runtime, wall::now_ns};
use bollard::query_parameters::StopContainerOptions;
use skep_proto::{Id, Timestamp, time::SECOND_NS, v1::EndCause};
use std::{os::unix::fs::MetadataExt, time::Duration};
use tokio::sync::watch;

/// A container whose health is waited for is looked at after this, if no event came.
const HEALTH_PERIOD: Duration = Duration::from_secs(5);

impl DockerRuntime {
    /// Waits until the health check has passed, if there is one.
    pub(super) async fn until_ready(&self, task: Id) -> Result<(), runtime::RuntimeError> {
        let Some(id) = self.find(task).await? else { return Err(runtime::RuntimeError::Gone) };
        let mut news = self.seen.subscribe(&id);
        loop {
            news.borrow_and_update();
            let ready = self.known().get(&task).is_some_and(|known| known.ready);
            if ready && self.seen.trace(&id).died.is_none() {
                return Ok(());
            }
            match self.look(&id).await {
                Ok(None) => return Err(runtime::RuntimeError::Gone),
                Ok(Some(found)) => match (found.phase, found.health) {
                    (Phase::Ended, _) => return Err(runtime::RuntimeError::Gone),
                    (Phase::Running, ContainerHealth::Unchecked | ContainerHealth::Healthy) => {
                        return Ok(());
                    }
                    (Phase::Running | Phase::Created, _) => {}
                },
                // The watch over its end says what is wrong.
                Err(_) => {}
            }
            let _ = tokio::time::timeout(HEALTH_PERIOD, news.changed()).await;
        }
    }

    /// Waits until the container has ended, for whatever reason.
    pub(super) async fn until_ended(
        &self,
        task: Id,
    ) -> Result<runtime::TaskEnd, runtime::RuntimeError> {
        let Some(id) = self.find(task).await? else { return Err(runtime::RuntimeError::Gone) };
        let _quiet = RemarkGuard { runtime: self, task };
        let mut watch = ContainerWatch::default();
        let mut looked = None;
        self.remember(task, |known| looked = known.looked.take());
        let (mut news, mut next) = match looked {
            Some((found, news)) => {
                let looked = InspectOutcome::Here(Box::new(found));
                (news, self.with_around(task, &id, |around| watch.on_look(looked, around)))
            }
            None => (self.seen.subscribe(&id), WatchStep::Look),
        };
        loop {
            next = match next {
                WatchStep::Look => {
                    // News that come from here on are a reason to look again.
                    news.borrow_and_update();
                    let looked = match self.look(&id).await {
                        Ok(Some(found)) => InspectOutcome::Here(Box::new(found)),
                        Ok(None) => InspectOutcome::Absent,
                        Err(error) => InspectOutcome::Failed(error.to_string()),
                    };
                    if !matches!(looked, InspectOutcome::Failed(_)) {
                        self.seen.say(task, super::remarks::About::Trouble, "");
                        self.seen.say(task, super::remarks::About::Stop, "");
                    }
                    self.with_around(task, &id, |around| watch.on_look(looked, around))
                }
                WatchStep::Wait(until) => {
                    self.sleep(&mut news, until).await;
                    self.with_around(task, &id, |around| watch.on_wake(around))
                }
                WatchStep::AwaitRestart(until) => {
                    self.seen.say(task, super::remarks::About::Stop, &stopped_outside());
                    WatchStep::Wait(Some(until))
                }
                WatchStep::Trouble(reason, until) => {
                    let text = format!("its container cannot be inspected: {reason}");
                    self.seen.say(task, super::remarks::About::Trouble, &text);
                    WatchStep::Wait(Some(until))
                }
                WatchStep::StopUnhealthy => {
                    self.end_unhealthy(task, &id).await?;
                    WatchStep::Look
                }
                WatchStep::Over(found) => {
                    let ended = judge(&self.facts(task, &found));
                    self.note_over(task).await;
                    return Ok(ended);
                }
                WatchStep::Removed => {
                    let ended = self.removed(&id);
                    self.forget(task);
                    return Ok(ended);
                }
                WatchStep::Gone => {
                    self.forget(task);
                    return Err(runtime::RuntimeError::Gone);
                }
            };
        }
    }

    /// How a container that has ended did so, as far as it can be known soon.
    pub(super) async fn settled(&self, task: Id, found: &Container) -> runtime::TaskEnd {
        let mut news = self.seen.subscribe(&found.id);
        let mut watch = ContainerWatch::default();
        let looked = InspectOutcome::Here(Box::new(found.clone()));
        let mut next = self.with_around(task, &found.id, |around| watch.on_look(looked, around));
        while let WatchStep::Wait(Some(until)) | WatchStep::AwaitRestart(until) = next {
            self.sleep(&mut news, Some(until)).await;
            next = self.with_around(task, &found.id, |around| watch.on_wake(around));
        }
        judge(&self.facts(task, found))
    }

    /// Writes down that the task has ended, so that its container does not run again. A disk that
    /// refuses it costs only that: it still holds for this agent.
    pub(super) async fn note_over(&self, task: Id) {
        if let Err(error) = self.records.change(task, |ledger, _| ledger.over(task)).await {
            tracing::debug!(%task, %error, "the end of a task cannot be recorded");
        }
    }

    async fn sleep(&self, news: &mut watch::Receiver<u64>, until: Option<u64>) {
        match until {
            Some(until) => {
                let _ = tokio::time::timeout_at(self.seen.instant(until), news.changed()).await;
            }
            // Its sender lives as long as somebody subscribes.
            None => {
                let _ = news.changed().await;
            }
        }
    }

    fn with_around(
        &self,
        task: Id,
        id: &str,
        decide: impl FnOnce(&WatchContext<'_>) -> WatchStep,
    ) -> WatchStep {
        let trace = self.seen.trace(id);
        let removing = self.known().get(&task).is_none_or(|known| known.removing);
        decide(&WatchContext {
            trace: &trace,
            mark: self.marks.get(task),
            engine: if self.seen.is_away() { EngineReach::Away } else { EngineReach::Here },
            remover: if removing { Remover::Us } else { Remover::Others },
            now: self.seen.now(),
        })
    }

    pub(super) fn facts(&self, task: Id, found: &Container) -> ContainerEndFacts {
        let about = self.engine.about();
        let socket = self
            .engine
            .host()
            .strip_prefix("unix://")
            .and_then(|path| std::fs::metadata(path).ok());
        // The engine makes its socket when it begins. One that systemd made for it is older than
        // the engine; then the bridge tells, which the engine makes again at each start.
        let socket_since = socket.as_ref().and_then(|meta| u64::try_from(meta.mtime()).ok());
        let socket_since = socket_since.map(|seconds| seconds * 1_000_000_000);
        let trace = self.seen.trace(&found.id);
        ContainerEndFacts {
            last_check: found.last_check,
            exit_code: found.exit_code,
            out_of_memory: found.out_of_memory || trace.shows_want_of_memory(found.exit_code),
            error: found.error.clone(),
            started_at: found.started_at,
            finished_at: found.finished_at,
            mark: self.marks.get(task),
            trace,
            outages: self.seen.outages(),
            engine_since: socket_since.max(about.bridge_since),
            booted_at: socket.as_ref().and_then(|_| booted_at()),
            live_restore: self.seen.live_restore(),
        }
    }

    fn removed(&self, id: &str) -> runtime::TaskEnd {
        let trace = self.seen.trace(id);
        let (at, exit_code) = trace.died.map_or((now_ns(), None), |(at, code)| (at, Some(code)));
        runtime::TaskEnd {
            exit_code,
            cause: EndCause::RemovedOutside,
            error: "somebody removed the container through the engine".into(),
            at: Timestamp(at),
            ..runtime::TaskEnd::default()
        }
    }

    async fn end_unhealthy(&self, task: Id, id: &str) -> Result<(), runtime::RuntimeError> {
        self.mark(task, StopMark::Unhealthy).await?;
        // Without a time of its own the container's stop timeout holds, which is the spec's grace.
        let client = self.engine.patient_client().await?;
        match client.stop_container(id, None::<StopContainerOptions>).await {
            Err(error) if !is_status(&error, 404) => Err(self.engine.say(&error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// What is said of a task while a start may still follow on somebody's stop of its container.
fn stopped_outside() -> String {
    format!(
        "somebody stopped its container through the engine; unless it is started again within {} s, \
         the task has ended",
        container_watch::RESTART_LIMIT_NS / SECOND_NS
    )
}

/// Takes back what was said about a container's watch when the watch ends.
struct RemarkGuard<'a> {
    runtime: &'a DockerRuntime,
    task: Id,
}

impl Drop for RemarkGuard<'_> {
    fn drop(&mut self) {
        self.runtime.seen.say(self.task, super::remarks::About::Trouble, "");
        self.runtime.seen.say(self.task, super::remarks::About::Stop, "");
    }
}

/// When this machine was booted, in nanoseconds since the Unix epoch.
fn booted_at() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse::<u64>().ok().map(|seconds| seconds * 1_000_000_000)
}
