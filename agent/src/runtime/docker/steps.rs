//! The steps of a task's life, each with as few calls as it can do with.

use super::{
    DockerRuntime, Known,
    container::{self, Container, Health, Phase},
    engine::{CALL_LIMIT, is_status, within},
    judgement::{Facts, judge},
    mapping,
    marks::Mark,
    pull,
};
use crate::runtime::{
    Ended, Found, FoundState, Prepared, ProgressFn, Proof, RuntimeError, Started, Workload,
};
use bollard::{
    Docker,
    errors::Error,
    models::ContainerCreateBody,
    query_parameters::{
        CreateContainerOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
        StartContainerOptions, StopContainerOptions,
    },
};
use futures::{StreamExt, stream};
use skep_proto::{Id, Timestamp, v1::EndCause};
use std::{collections::HashMap, os::unix::fs::MetadataExt, time::Duration};

/// How long news about an end may lag behind the end itself.
const NEWS_LIMIT: Duration = Duration::from_millis(500);
/// How long after a stranger's stop a start may follow, as with `docker restart`: then nothing has ended.
const RESTART_LIMIT: Duration = Duration::from_secs(3);
/// An engine that was away without its stream breaking is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Containers looked at side by side when a node's are listed.
const LOOKS_AT_ONCE: usize = 8;

impl DockerRuntime {
    /// Creates the container, and only if the engine says that its image is absent pulls that first.
    pub(super) async fn create(
        &self,
        workload: &Workload,
        progress: ProgressFn<'_>,
    ) -> Result<Prepared, RuntimeError> {
        let body = mapping::create_body(workload)?;
        let image = body.image.clone().unwrap_or_default();
        let client = self.engine.client().await?;
        // Asked beside the creation: it takes no time of its own.
        let (created, seen) =
            tokio::join!(self.create_once(&client, workload, &body), within(client.inspect_image(&image)));
        // Other things may be missing too (a plugin, say): only an image can be pulled.
        let absent = seen.as_ref().is_err_and(|error| is_status(error, 404));
        match created {
            Ok(()) => {}
            Err(error) if is_status(&error, 404) && absent => {
                pull::pull(&self.engine, &image, progress).await?;
                let again = self.create_once(&client, workload, &body).await;
                again.map_err(|error| self.engine.say(&error))?;
                return self.prepared(&client, &image).await;
            }
            // The name is taken: most likely by the container that an earlier try made.
            Err(error) if is_status(&error, 409) => return self.created_before(workload, &error).await,
            Err(error) => return Err(self.engine.say(&error)),
        }
        match seen {
            Ok(seen) => Ok(Prepared { image_digest: seen.id.unwrap_or_default() }),
            Err(_) => self.prepared(&client, &image).await,
        }
    }

    async fn create_once(
        &self,
        client: &Docker,
        workload: &Workload,
        body: &ContainerCreateBody,
    ) -> Result<(), Error> {
        let options =
            CreateContainerOptions { name: Some(mapping::container_name(workload)), ..Default::default() };
        let made = within(client.create_container(Some(options), body.clone())).await?;
        let known = Known { container: made.id, fresh: true, ..Known::default() };
        self.known().insert(workload.task_id, known);
        Ok(())
    }

    async fn created_before(&self, workload: &Workload, error: &Error) -> Result<Prepared, RuntimeError> {
        match self.look(&mapping::container_name(workload)).await? {
            Some(found) if found.task == Some(workload.task_id) => {
                let known = Known { container: found.id, ..Known::default() };
                self.known().entry(workload.task_id).or_insert(known);
                Ok(Prepared { image_digest: found.image })
            }
            Some(_) | None => Err(self.engine.say(error)),
        }
    }

    async fn prepared(&self, client: &Docker, image: &str) -> Result<Prepared, RuntimeError> {
        let seen = within(client.inspect_image(image)).await.map_err(|error| self.engine.say(&error))?;
        Ok(Prepared { image_digest: seen.id.unwrap_or_default() })
    }

    /// Looks at a container by id or name; none when it is not there.
    async fn look(&self, container: &str) -> Result<Option<Container>, RuntimeError> {
        let client = self.engine.client().await?;
        match within(client.inspect_container(container, None::<InspectContainerOptions>)).await {
            Ok(answer) => Ok(Some(container::read(answer))),
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(self.engine.say(&error)),
        }
    }

    /// The id of a task's container; none when there is none.
    async fn find(&self, task: Id) -> Result<Option<String>, RuntimeError> {
        if let Some(known) = self.known().get(&task) {
            return Ok(Some(known.container.clone()));
        }
        let found = self.labelled(mapping::LABEL_TASK_ID, task).await?.into_iter().next();
        if let Some((id, _)) = &found {
            let known = Known { container: id.clone(), ..Known::default() };
            self.known().entry(task).or_insert(known);
        }
        Ok(found.map(|(id, _)| id))
    }

    /// Ids and tasks of the containers with this label.
    async fn labelled(&self, label: &str, value: Id) -> Result<Vec<(String, Id)>, RuntimeError> {
        let client = self.engine.client().await?;
        let filters = HashMap::from([("label".to_owned(), vec![format!("{label}={value}")])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let all =
            within(client.list_containers(Some(options))).await.map_err(|error| self.engine.say(&error))?;
        let known = all.into_iter().filter_map(|one| {
            let task = container::task_of(&one.labels.unwrap_or_default())?;
            Some((one.id?, task))
        });
        Ok(known.collect())
    }

    /// Finds a task's container and looks at it.
    pub(super) async fn look_for(&self, task: Id) -> Result<Option<Container>, RuntimeError> {
        let Some(id) = self.find(task).await? else { return Ok(None) };
        let found = self.look(&id).await?;
        if found.is_none() {
            self.forget(task);
        }
        Ok(found)
    }

    /// Starts the container, unless it was started before.
    pub(super) async fn begin(&self, task: Id) -> Result<Started, RuntimeError> {
        let Some(id) = self.find(task).await? else { return Err(RuntimeError::Gone) };
        let mut fresh = false;
        // From here on the call may have reached the engine, whether or not its answer comes.
        self.remember(task, |known| fresh = std::mem::take(&mut known.fresh));
        if !fresh {
            match self.look_for(task).await? {
                None => return Err(RuntimeError::Gone),
                Some(found) if found.phase != Phase::Created => return Ok(self.note_started(task, found)),
                Some(_) => {}
            }
        }
        let client = self.engine.client().await?;
        match within(client.start_container(&id, None::<StartContainerOptions>)).await {
            Ok(()) => {}
            Err(error) if is_status(&error, 404) && self.look(&id).await?.is_none() => {
                self.forget(task);
                return Err(RuntimeError::Gone);
            }
            Err(error) => {
                return Err(match self.engine.say(&error) {
                    RuntimeError::Rejected(words) => RuntimeError::Failed(words),
                    other @ (RuntimeError::Unreachable(_)
                    | RuntimeError::PullFailed { .. }
                    | RuntimeError::Failed(_)
                    | RuntimeError::Gone) => other,
                });
            }
        }
        let found = self.look(&id).await?.ok_or(RuntimeError::Gone)?;
        Ok(self.note_started(task, found))
    }

    /// The answer to the start, the same each time: a process id is gone with the process.
    fn note_started(&self, task: Id, found: Container) -> Started {
        let mut answer = found.started.clone();
        self.remember(task, |known| {
            known.ready = found.phase == Phase::Running && found.health == Health::Unchecked;
            answer = known.started.get_or_insert(found.started).clone();
        });
        answer
    }

    /// Until the health check has passed, if there is one.
    pub(super) async fn until_ready(&self, task: Id) -> Result<(), RuntimeError> {
        let Some(id) = self.find(task).await? else { return Err(RuntimeError::Gone) };
        let mut news = self.seen.subscribe(&id);
        loop {
            news.borrow_and_update();
            let ready = self.known().get(&task).is_some_and(|known| known.ready);
            if ready && self.seen.trace(&id).died.is_none() {
                return Ok(());
            }
            match self.look(&id).await {
                Ok(None) => return Err(RuntimeError::Gone),
                Ok(Some(found)) => match (found.phase, found.health) {
                    (Phase::Ended, _) => return Err(RuntimeError::Gone),
                    (Phase::Running, Health::Unchecked | Health::Healthy) => return Ok(()),
                    (Phase::Running | Phase::Created, _) => {}
                },
                Err(RuntimeError::Unreachable(_)) => {}
                Err(error) => return Err(error),
            }
            // The sender lives as long as anybody subscribes; the limit is for an engine that was away
            // unnoticed.
            let _ = tokio::time::timeout(ASK_AGAIN, news.changed()).await;
        }
    }

    /// Until the container has ended, whoever ended it.
    pub(super) async fn until_ended(&self, task: Id) -> Result<Ended, RuntimeError> {
        let Some(id) = self.find(task).await? else { return Err(RuntimeError::Gone) };
        let mut news = self.seen.subscribe(&id);
        let mut was_here = false;
        loop {
            news.borrow_and_update();
            match self.look(&id).await {
                Ok(None) => {
                    let ours = self.known().get(&task).is_none_or(|known| known.removing);
                    self.forget(task);
                    return if was_here && !ours { Ok(self.removed(&id)) } else { Err(RuntimeError::Gone) };
                }
                Ok(Some(found)) if found.phase == Phase::Ended => {
                    match self.settle(task, found, &mut news).await {
                        Some(ended) => return Ok(ended),
                        None => {
                            was_here = true;
                            continue;
                        }
                    }
                }
                Ok(Some(found)) if found.health == Health::Unhealthy => self.end_unhealthy(task, &id).await?,
                Ok(Some(_)) => {}
                Err(RuntimeError::Unreachable(_)) if was_here => {}
                Err(error) => return Err(error),
            }
            was_here = true;
            if self.seen.is_away() {
                // Woken when the engine is back; and should that be missed, it is asked again.
                let _ = tokio::time::timeout(ASK_AGAIN, news.changed()).await;
            } else {
                let _ = news.changed().await;
            }
        }
    }

    /// How a container that has ended did so. None when it must be looked at again: it was removed or started
    /// meanwhile, or the engine is on its way down.
    async fn settle(
        &self,
        task: Id,
        found: Container,
        news: &mut tokio::sync::watch::Receiver<u64>,
    ) -> Option<Ended> {
        if self.marks.get(task).is_some() {
            return Some(judge(&self.facts(task, &found)));
        }
        let had_died = self.seen.trace(&found.id).died.is_some();
        let begin = tokio::time::Instant::now();
        loop {
            let trace = self.seen.trace(&found.id);
            let started_again = had_died && trace.died.is_none();
            if trace.destroyed || started_again {
                return None;
            }
            if self.seen.is_away() {
                let _ = tokio::time::timeout(ASK_AGAIN, news.changed()).await;
                return None;
            }
            let enough = !trace.is_unsettled(found.exit_code);
            let deadline = begin + if trace.stopped_at.is_some() { RESTART_LIMIT } else { NEWS_LIMIT };
            if enough || tokio::time::timeout_at(deadline, news.changed()).await.is_err() {
                return Some(judge(&self.facts(task, &found)));
            }
        }
    }

    fn facts(&self, task: Id, found: &Container) -> Facts {
        let socket = self.engine.host().strip_prefix("unix://").and_then(|path| std::fs::metadata(path).ok());
        Facts {
            exit_code: found.exit_code,
            out_of_memory: found.out_of_memory,
            error: found.error.clone(),
            started_at: found.started_at,
            finished_at: found.finished_at,
            mark: self.marks.get(task),
            trace: self.seen.trace(&found.id),
            outages: self.seen.outages(),
            // The engine makes its socket when it begins. (One made for it by systemd is older than its
            // containers, and then says nothing.)
            engine_since: socket
                .as_ref()
                .and_then(|meta| u64::try_from(meta.mtime()).ok())
                .map(|s| s * 1_000_000_000),
            booted_at: socket.as_ref().and_then(|_| booted_at()),
            live_restore: self.seen.live_restore(),
        }
    }

    fn removed(&self, id: &str) -> Ended {
        let trace = self.seen.trace(id);
        let (at, exit_code) =
            trace.died.map_or((super::events::now_ns(), None), |(at, code)| (at, Some(code)));
        Ended {
            exit_code,
            cause: EndCause::RemovedOutside,
            error: "somebody removed the container through the engine".into(),
            at: Timestamp(at),
            ..Ended::default()
        }
    }

    async fn end_unhealthy(&self, task: Id, id: &str) -> Result<(), RuntimeError> {
        self.mark(task, Mark::Unhealthy)?;
        // Without a time of its own the container's stop timeout holds, which is the spec's grace.
        let client = self.engine.patient_client().await?;
        match client.stop_container(id, None::<StopContainerOptions>).await {
            Err(error) if !is_status(&error, 404) => Err(self.engine.say(&error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Asks the container to end and waits for it.
    pub(super) async fn end(&self, task: Id, grace: Duration) -> Result<(), RuntimeError> {
        let Some(found) = self.look_for(task).await? else { return Ok(()) };
        match found.phase {
            Phase::Ended => return Ok(()),
            // What was never started could still be: so it goes.
            Phase::Created => return self.take_away(task).await,
            Phase::Running => {}
        }
        self.mark(task, Mark::Asked)?;
        self.remember(task, |known| known.ready = false);
        let nanoseconds = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        let seconds = i32::try_from(mapping::whole_seconds(nanoseconds)).unwrap_or(i32::MAX);
        let options = StopContainerOptions { t: Some(seconds), ..Default::default() };
        let client = self.engine.patient_client().await?;
        match client.stop_container(&found.id, Some(options)).await {
            Err(error) if !is_status(&error, 404) => Err(self.engine.say(&error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes the container with its own volumes.
    pub(super) async fn take_away(&self, task: Id) -> Result<(), RuntimeError> {
        if let Some(id) = self.find(task).await? {
            self.remember(task, |known| known.removing = true);
            let mut news = self.seen.subscribe(&id);
            let client = self.engine.client().await?;
            let options = RemoveContainerOptions { v: true, force: true, ..Default::default() };
            match within(client.remove_container(&id, Some(options))).await {
                Ok(()) => {}
                Err(error) if is_status(&error, 404) => {}
                // Somebody's removal is under way already.
                Err(error) if is_status(&error, 409) => {
                    let _ = tokio::time::timeout(CALL_LIMIT, news.changed()).await;
                }
                Err(error) => return Err(self.engine.say(&error)),
            }
            self.forget(task);
        }
        self.marks.clear(task);
        Ok(())
    }

    /// Everything that the node's label is on.
    pub(super) async fn found(&self, node: Id) -> Result<Vec<Found>, RuntimeError> {
        let all = self.labelled(mapping::LABEL_NODE_ID, node).await?;
        let looks = stream::iter(all).map(|(id, task_id)| async move {
            let Some(found) = self.look(&id).await? else { return Ok(None) };
            let known = Known { container: id, ..Known::default() };
            self.known().entry(task_id).or_insert(known);
            let image_digest = found.image.clone();
            let state = match found.phase {
                Phase::Created => FoundState::Created,
                Phase::Running => FoundState::Running(self.note_started(task_id, found)),
                Phase::Ended => {
                    let mut news = self.seen.subscribe(&found.id);
                    let ended = match self.settle(task_id, found.clone(), &mut news).await {
                        Some(ended) => ended,
                        None => judge(&self.facts(task_id, &found)),
                    };
                    FoundState::Ended(found.started, ended)
                }
            };
            Ok(Some(Found { task_id, image_digest, proof: Proof::Recorded, state }))
        });
        let found: Vec<Result<Option<Found>, RuntimeError>> =
            looks.buffer_unordered(LOOKS_AT_ONCE).collect().await;
        let found: Result<Vec<Option<Found>>, RuntimeError> = found.into_iter().collect();
        let mut found: Vec<Found> = found?.into_iter().flatten().collect();
        found.sort_by_key(|found| found.task_id);
        Ok(found)
    }
}

/// When this machine was booted, in nanoseconds since the Unix epoch.
fn booted_at() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse::<u64>().ok().map(|seconds| seconds * 1_000_000_000)
}
