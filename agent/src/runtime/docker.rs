//! Tasks as containers of a Docker engine, over its API.
//!
//! The engine holds the truth about a container: it is looked at, and events and listings only say
//! when. What is kept in memory only saves calls, since each costs the engine more than us: in the
//! usual course a task is one call to create, one to start, one to look, and one stream of events
//! and one listing for all. Two things are written down: which containers this runtime made, since
//! labels prove nothing, and which it asked to end, so that what others do to a container can be
//! told from what this agent does.

mod comparison;
mod container;
mod container_watch;
mod creation;
mod ends;
mod engine;
mod engine_state;
mod events;
mod judgement;
mod ledger;
mod listing;
mod mapping;
mod marks;
mod offer;
mod output;
mod pull;
mod records;
mod remarks;
mod removal;
mod sightings;
mod start_health;
mod steps;
mod trace;

use super::{
    FoundTask, LogQuery, LogStream, Noticed, Offer, Prepared, ProgressFn, Runtime, RuntimeError,
    Started, TaskEnd, Workload,
};
use container::Container;
use engine::Engine;
use futures::future::BoxFuture;
use skep_proto::{Id, v1::RuntimeKind};
use std::{
    collections, io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{sync, task::JoinHandle};

/// Address of the engine where no other is configured.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The Docker runtime of one agent.
pub struct DockerRuntime {
    engine: Arc<Engine>,
    seen: Arc<sightings::EngineSightings>,
    records: Arc<records::ContainerRecords>,
    creations: creation::Creations,
    pulls: sync::Semaphore,
    marks: marks::Marks,
    known: Mutex<collections::BTreeMap<Id, KnownContainer>>,
    follower: OnceLock<EventFollower>,
}

/// What is remembered of a task's container, to save asking.
#[derive(Clone, Debug, Default)]
struct KnownContainer {
    container: String,
    /// Created by this very runtime, and no start was tried since.
    fresh: bool,
    /// It was started, and has no health check to wait for.
    ready: bool,
    /// The answer to its start.
    started: Option<Started>,
    /// The look at it after its start, and what has been said about it since just before: the watch
    /// over its end goes on from there.
    looked: Option<(Container, sync::watch::Receiver<u64>)>,
    /// Being removed by this runtime.
    removing: bool,
}

/// Ends with the runtime.
struct EventFollower(JoinHandle<()>);

impl Drop for EventFollower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DockerRuntime {
    /// Opens the runtime over an agent's state folder and an engine's address (`unix://PATH` or
    /// `tcp://HOST:PORT`). The engine need not be there.
    pub fn open(state_dir: &Path, host: &str) -> io::Result<DockerRuntime> {
        Ok(DockerRuntime {
            engine: Arc::new(Engine::new(host)),
            seen: Arc::new(sightings::EngineSightings::new()),
            records: Arc::new(records::ContainerRecords::open(state_dir)?),
            creations: creation::Creations::default(),
            pulls: sync::Semaphore::new(pull::PULLS_AT_ONCE_MAX),
            marks: marks::Marks::open(state_dir)?,
            known: Mutex::default(),
            follower: OnceLock::new(),
        })
    }

    /// Sees to it that events are followed. Begun with the first step, since it needs tokio around
    /// it.
    fn follow(&self) {
        self.follower.get_or_init(|| {
            let (engine, seen) = (Arc::clone(&self.engine), Arc::clone(&self.seen));
            let records = Arc::clone(&self.records);
            EventFollower(events::follow(engine, seen, records, self.creations.clone()))
        });
    }

    fn known(&self) -> MutexGuard<'_, collections::BTreeMap<Id, KnownContainer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is remembered of a task, if anything is.
    fn remember(&self, task: Id, change: impl FnOnce(&mut KnownContainer)) {
        if let Some(known) = self.known().get_mut(&task) {
            change(known);
        }
    }

    fn forget(&self, task: Id) {
        if let Some(known) = self.known().remove(&task) {
            self.seen.forget(task, &known.container);
        }
    }

    /// The state folder's trouble passes: the agent asks again and says so.
    async fn mark(&self, task: Id, mark: marks::StopMark) -> Result<(), RuntimeError> {
        self.marks.set(task, mark).await.map_err(unwritten)
    }

    /// Changes the ledger's entry of a task; the state folder's trouble passes likewise.
    async fn record<T>(
        &self,
        task: Id,
        change: impl FnOnce(&mut ledger::ContainerLedger, u64) -> T,
    ) -> Result<T, RuntimeError> {
        self.records.change(task, change).await.map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> RuntimeError {
    RuntimeError::Unreachable(format!("cannot write to the state folder: {error}"))
}

impl Runtime for DockerRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Docker
    }

    fn describe(&self) -> BoxFuture<'_, Result<Offer, RuntimeError>> {
        self.follow();
        Box::pin(offer::offer(&self.engine))
    }

    fn prepare<'a>(
        &'a self,
        workload: &'a Workload,
        progress: ProgressFn<'a>,
    ) -> BoxFuture<'a, Result<Prepared, RuntimeError>> {
        self.follow();
        Box::pin(self.create(workload, progress))
    }

    fn start<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<Started, RuntimeError>> {
        self.follow();
        Box::pin(self.begin(workload))
    }

    fn ready<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.follow();
        Box::pin(self.until_ready(workload.task_id))
    }

    fn wait<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<TaskEnd, RuntimeError>> {
        self.follow();
        Box::pin(self.until_ended(workload.task_id))
    }

    fn stop<'a>(&'a self, task: Id, grace: Duration) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.follow();
        Box::pin(self.end(task, grace))
    }

    fn remove(&self, task: Id) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.follow();
        Box::pin(self.take_away(task))
    }

    fn list(&self, node: Id) -> BoxFuture<'_, Result<Vec<FoundTask>, RuntimeError>> {
        self.follow();
        Box::pin(self.found(node))
    }

    fn noticed(&self) -> Option<sync::watch::Receiver<Noticed>> {
        Some(self.seen.noticed())
    }

    fn logs(&self, task: Id, query: LogQuery) -> BoxFuture<'_, Result<LogStream, RuntimeError>> {
        Box::pin(async move {
            match self.look_for(task).await? {
                Some(Container {
                    id,
                    phase: container::Phase::Running | container::Phase::Ended,
                    ..
                }) => output::open(Arc::clone(&self.engine), id, query).await,
                Some(_) | None => Err(RuntimeError::Gone),
            }
        })
    }
}
