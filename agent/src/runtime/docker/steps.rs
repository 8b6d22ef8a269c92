//! The steps of a task's life, each with as few calls as it can do with.

use super::{
    DockerRuntime, KnownContainer,
    container::{self, Container, ContainerHealth, Phase},
    creation::{Creation, CreationAnswer, CreationState},
    engine::{CALL_LIMIT, is_status, reply_to, within},
    ledger::RecordedContainer,
    mapping,
    marks::StopMark,
    pull, removal,
    start_health::{CallReply, ContainerCall},
};
use crate::runtime::{Prepared, ProgressFn, RuntimeError, Started, Workload};
use bollard::{Docker, models::ContainerCreateBody, query_parameters};
use skep_proto::Id;
use std::time::Duration;

/// An engine that has not answered an order to stop so long after the grace is stuck: that is said,
/// and the order is given again.
const STOP_ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Longest that a removal waits for a creation that is under way. What is created later is removed
/// then.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);
/// How often a container is looked at that another call removes: no event is certain to come.
const REMOVAL_LOOK_PERIOD: Duration = Duration::from_millis(200);

impl DockerRuntime {
    /// Creates the container, and only if the engine says that its image is absent pulls that
    /// first.
    pub(super) async fn create(
        &self,
        workload: &Workload,
        progress: ProgressFn<'_>,
    ) -> Result<Prepared, RuntimeError> {
        let client = self.engine.client().await?;
        let body = mapping::create_body(workload, &self.engine.about().log_driver)?;
        let image = body.image.clone().unwrap_or_default();
        // Asked beside the creation: it takes no time of its own.
        let (created, seen) =
            tokio::join!(self.create_once(workload, &body), within(client.inspect_image(&image)));
        let created = created?;
        // Other things may be missing too (a plugin, say): only an image can be pulled.
        let absent = seen.as_ref().is_err_and(|error| is_status(error, 404));
        match created {
            CreationAnswer::Made => {}
            CreationAnswer::Refused(404, _) if absent => {
                pull::pull(&self.engine, &self.pulls, &image, progress).await?;
                return match self.create_once(workload, &body).await? {
                    CreationAnswer::Made => self.prepared(&client, &image).await,
                    CreationAnswer::Refused(409, error) => {
                        self.created_before(workload, error).await
                    }
                    CreationAnswer::Refused(_, error) | CreationAnswer::Lost(error) => Err(error),
                };
            }
            // The name is taken: most likely by the container that an earlier try made.
            CreationAnswer::Refused(409, error) => {
                return self.created_before(workload, error).await;
            }
            CreationAnswer::Refused(_, error) | CreationAnswer::Lost(error) => return Err(error),
        }
        match seen {
            Ok(seen) => Ok(Prepared { image_digest: seen.id.unwrap_or_default() }),
            Err(_) => self.prepared(&client, &image).await,
        }
    }

    /// Asks for the container, or joins the creation that an earlier try began.
    async fn create_once(
        &self,
        workload: &Workload,
        body: &ContainerCreateBody,
    ) -> Result<CreationAnswer, RuntimeError> {
        let (task, name) = (workload.task_id, mapping::container_name(workload));
        let begun = self.record(task, |ledger, now| ledger.begin(task, &name, now)).await?;
        if begun.is_err() {
            return Err(RuntimeError::Unreachable(
                "an earlier container of this task is still being removed".into(),
            ));
        }
        let creation = Creation { task, name, body: body.clone() };
        let mut answer = self.creations.begin(&self.engine, &self.records, creation);
        let waited = tokio::time::timeout(CALL_LIMIT, answer.wait_for(Option::is_some)).await;
        let is_late = waited.is_err();
        let answer = match waited {
            Ok(Ok(answer)) => answer.clone(),
            Ok(Err(_)) => None,
            Err(_) => Some(CreationAnswer::Lost(RuntimeError::Unreachable(
                self.engine.silence(CALL_LIMIT),
            ))),
        };
        let reply = match answer {
            Some(CreationAnswer::Made | CreationAnswer::Refused(..)) => Some(CallReply::InTime),
            Some(CreationAnswer::Lost(_)) if is_late => Some(CallReply::Missing),
            Some(CreationAnswer::Lost(_)) | None => None,
        };
        self.note_call(ContainerCall::Create, workload, reply);
        if answer == Some(CreationAnswer::Made) {
            self.know(task, Freshness::Fresh);
        }
        Ok(answer.unwrap_or(CreationAnswer::Lost(RuntimeError::Unreachable(
            "the creation was broken off".into(),
        ))))
    }

    /// The name is in use: by the container of an earlier try, or by one that the engine is still
    /// making, or by somebody else's.
    async fn created_before(
        &self,
        workload: &Workload,
        error: RuntimeError,
    ) -> Result<Prepared, RuntimeError> {
        let (task, name) = (workload.task_id, mapping::container_name(workload));
        let known = self
            .records
            .read(|ledger| ledger.entry(task).and_then(|entry| entry.container.clone()));
        match self.look(known.as_ref().unwrap_or(&name)).await? {
            Some(found) if found.task == Some(task) => {
                self.record(task, |ledger, _| ledger.made(task, &name, &found.id)).await?;
                self.know(task, Freshness::Seen);
                Ok(Prepared { image_digest: found.image })
            }
            Some(_) => Err(error),
            // The engine reserves the name before there is a container.
            None => {
                Err(RuntimeError::Unreachable("the engine is still creating its container".into()))
            }
        }
    }

    /// Remembers the recorded container of a task, to save asking.
    fn know(&self, task: Id, freshness: Freshness) {
        let container =
            self.records.read(|ledger| ledger.entry(task).and_then(|e| e.container.clone()));
        if let Some(container) = container {
            let fresh = freshness == Freshness::Fresh;
            let known =
                KnownContainer { container: container.clone(), fresh, ..KnownContainer::default() };
            let mut all = self.known();
            if all.get(&task).is_none_or(|old| old.container != container) {
                all.insert(task, known);
            }
        }
    }

    async fn prepared(&self, client: &Docker, image: &str) -> Result<Prepared, RuntimeError> {
        let seen =
            within(client.inspect_image(image)).await.map_err(|error| self.engine.say(&error))?;
        Ok(Prepared { image_digest: seen.id.unwrap_or_default() })
    }

    /// Looks at a container by id or name; none when it is not there.
    pub(super) async fn look(&self, container: &str) -> Result<Option<Container>, RuntimeError> {
        let client = self.engine.client().await?;
        match within(
            client.inspect_container(container, None::<query_parameters::InspectContainerOptions>),
        )
        .await
        {
            Ok(answer) => Ok(Some(container::read(answer))),
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(self.engine.say(&error)),
        }
    }

    /// The id of a task's own container; none when there is none. A container that only carries the
    /// task's labels is not it.
    pub(super) async fn find(&self, task: Id) -> Result<Option<String>, RuntimeError> {
        if let Some(known) = self.known().get(&task) {
            return Ok(Some(known.container.clone()));
        }
        let entry = self.records.read(|ledger| ledger.entry(task).cloned());
        match entry {
            None => Ok(None),
            Some(RecordedContainer { container: Some(_), .. }) => {
                self.know(task, Freshness::Seen);
                Ok(self.known().get(&task).map(|known| known.container.clone()))
            }
            Some(RecordedContainer { container: None, name, .. }) if name.is_empty() => Ok(None),
            // Its creation was not answered: the name tells whether it was carried out.
            Some(RecordedContainer { container: None, name, .. }) => {
                match self.look(&name).await? {
                    Some(found) if found.task == Some(task) => {
                        self.record(task, |ledger, _| ledger.made(task, &name, &found.id)).await?;
                        self.know(task, Freshness::Seen);
                        Ok(Some(found.id))
                    }
                    Some(_) | None => Ok(None),
                }
            }
        }
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
    pub(super) async fn begin(&self, workload: &Workload) -> Result<Started, RuntimeError> {
        let task = workload.task_id;
        let Some(id) = self.find(task).await? else { return Err(RuntimeError::Gone) };
        let mut fresh = false;
        // From here on the call may have reached the engine, whether or not its answer comes.
        self.remember(task, |known| fresh = std::mem::take(&mut known.fresh));
        if !fresh {
            match self.look_for(task).await? {
                None => return Err(RuntimeError::Gone),
                Some(found) if found.phase != Phase::Created => {
                    return Ok(self.note_started(task, found));
                }
                Some(_) => {}
            }
        }
        let client = self.engine.client().await?;
        let news = self.seen.subscribe(&id);
        let start = client.start_container(&id, None::<query_parameters::StartContainerOptions>);
        let begun = within(start).await;
        self.note_call(ContainerCall::Start, workload, reply_to(&begun));
        match begun {
            Ok(()) => {}
            Err(error) if is_status(&error, 404) && self.look(&id).await?.is_none() => {
                self.forget(task);
                return Err(RuntimeError::Gone);
            }
            Err(error) => {
                return Err(match self.engine.say(&error) {
                    RuntimeError::Rejected(message) | RuntimeError::Failed(message) => {
                        self.note_over(task).await;
                        RuntimeError::Failed(message)
                    }
                    other @ (RuntimeError::Unreachable(_)
                    | RuntimeError::PullFailed { .. }
                    | RuntimeError::Gone) => other,
                });
            }
        }
        let found = self.look(&id).await?.ok_or(RuntimeError::Gone)?;
        self.remember(task, |known| known.looked = Some((found.clone(), news)));
        Ok(self.note_started(task, found))
    }

    /// Whether the engine answered a call in time; nothing is noted where nobody knows.
    fn note_call(&self, call: ContainerCall, workload: &Workload, reply: Option<CallReply>) {
        if let Some(reply) = reply {
            self.seen.on_call(call, (workload.task_id, workload.service_id), reply);
        }
    }

    /// The answer to the start, the same each time: a process id is gone with the process.
    pub(super) fn note_started(&self, task: Id, found: Container) -> Started {
        let mut answer = found.started.clone();
        self.remember(task, |known| {
            known.ready =
                found.phase == Phase::Running && found.health == ContainerHealth::Unchecked;
            answer = known.started.get_or_insert(found.started).clone();
        });
        answer
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
        self.mark(task, StopMark::Asked).await?;
        self.remember(task, |known| known.ready = false);
        let nanoseconds = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        let seconds = i32::try_from(mapping::whole_seconds(nanoseconds)).unwrap_or(i32::MAX);
        let options =
            query_parameters::StopContainerOptions { t: Some(seconds), ..Default::default() };
        let client = self.engine.patient_client().await?;
        let limit = grace.saturating_add(STOP_ANSWER_LIMIT);
        match tokio::time::timeout(limit, client.stop_container(&found.id, Some(options))).await {
            Err(_) => Err(RuntimeError::Unreachable(self.engine.silence(limit))),
            Ok(Err(error)) if !is_status(&error, 404) => Err(self.engine.say(&error)),
            Ok(Ok(()) | Err(_)) => Ok(()),
        }
    }

    /// Removes the task's own container. While the engine still creates it nobody can say that it
    /// is gone; it is removed as soon as it exists, also where that is long after this.
    pub(super) async fn take_away(&self, task: Id) -> Result<(), RuntimeError> {
        self.seen.forget_calls(task);
        self.record(task, |ledger, now| ledger.condemn(task, now)).await?;
        if self.creations.settled(task, SETTLE_LIMIT).await == CreationState::UnderWay {
            return Err(RuntimeError::Unreachable(
                "the engine is still creating its container".into(),
            ));
        }
        if let Some(id) = self.find(task).await? {
            self.remember(task, |known| known.removing = true);
            match removal::remove(&self.engine, &id).await {
                Ok(_) => {}
                Err(RuntimeError::Rejected(_)) => self.removed_by_another_call(&id).await?,
                Err(error) => return Err(error),
            }
            self.record(task, |ledger, _| ledger.gone(task)).await?;
            self.forget(task);
        }
        self.marks.clear(task);
        Ok(())
    }

    /// Waits until the container is gone: the engine refuses a removal while another one is under
    /// way. Its end is not yet its absence, so one piece of news about it is not enough.
    async fn removed_by_another_call(&self, container: &str) -> Result<(), RuntimeError> {
        let mut news = self.seen.subscribe(container);
        let gone = async {
            while self.look(container).await?.is_some() {
                let _ = tokio::time::timeout(REMOVAL_LOOK_PERIOD, news.changed()).await;
            }
            Ok(())
        };
        tokio::time::timeout(CALL_LIMIT, gone).await.unwrap_or_else(|_| {
            Err(RuntimeError::Unreachable("its container is still being removed".into()))
        })
    }
}

/// Whether a container can have been started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Freshness {
    /// It was created a moment ago by this very runtime.
    Fresh,
    /// It was found.
    Seen,
}
