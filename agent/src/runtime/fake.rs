//! A runtime that runs nothing: for tests of everything above it.
//!
//! The engine is one thing, the runtime another, as with real ones: a [`FakeEngine`] goes on when
//! the [`FakeRuntime`]s over it are dropped. What a task does is its image's name, see [`script`].
//! Time is tokio's, so a test that pauses it decides when things happen; the clock that stamps
//! lines and ends starts at a time that the engine is given.

pub mod script;

mod container;
mod output;

use super::{
    FoundTask, LogQuery, LogStream, Noticed, Offer, Prepared, ProgressFn, PullUpdate, Runtime,
    RuntimeError, Started, TaskEnd, Workload,
};
use futures::{FutureExt, future};
use skep_proto::{Id, Timestamp, defaults, v1};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time};

/// Everything that has been started, and the clock. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct FakeEngine(Arc<SharedEngine>);

#[derive(Debug)]
struct SharedEngine {
    epoch: Timestamp,
    began: time::Instant,
    state: Mutex<FakeState>,
    /// Counts changes; each waiting call looks again after each.
    changed: watch::Sender<u64>,
    noticed: watch::Sender<Noticed>,
}

#[derive(Debug, Default)]
struct FakeState {
    containers: BTreeMap<Id, container::FakeContainer>,
    /// Tries to prepare that found the engine away.
    tries: BTreeMap<Id, u32>,
    away: bool,
    starts: BTreeMap<Id, u32>,
    /// Asked to stop, and not stopped yet; and how many those were at most.
    stopping: BTreeSet<Id>,
    most_stopping: usize,
}

impl FakeState {
    fn note_stop(&mut self, task: Id) {
        let containers = &self.containers;
        self.stopping.retain(|id| containers.get(id).is_some_and(|c| c.is_running()));
        self.stopping.insert(task);
        self.most_stopping = self.most_stopping.max(self.stopping.len());
    }
}

/// A runtime over a [`FakeEngine`].
#[derive(Clone, Debug)]
pub struct FakeRuntime {
    engine: FakeEngine,
    resources: v1::Resources,
}

impl FakeEngine {
    /// An engine whose clock says `epoch` now. Needs a tokio runtime.
    pub fn new(epoch: Timestamp) -> FakeEngine {
        let engine = SharedEngine {
            epoch,
            began: time::Instant::now(),
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            noticed: watch::Sender::default(),
        };
        FakeEngine(Arc::new(engine))
    }

    /// A runtime over it, on a machine with four processors and 8 GiB.
    pub fn runtime(&self) -> FakeRuntime {
        let resources =
            v1::Resources { nano_cpus: 4_000_000_000, memory_bytes: 8 << 30, generic: Vec::new() };
        FakeRuntime { engine: self.clone(), resources }
    }

    /// From now on nothing answers, until [`FakeEngine::come_back`]. What runs goes on.
    pub fn go_away(&self) {
        self.change(|state, _| state.away = true);
        self.say_whether_it_answers();
    }

    /// It answers again.
    pub fn come_back(&self) {
        self.change(|state, _| state.away = false);
        self.say_whether_it_answers();
    }

    fn say_whether_it_answers(&self) {
        let problem = self.here().err().map(|error| error.to_string()).unwrap_or_default();
        self.0.noticed.send_modify(|noticed| noticed.engine_problem = problem);
    }

    /// Ends a task as somebody else on the node would.
    pub fn kill_outside(&self, task: Id) {
        self.end(
            task,
            TaskEnd {
                exit_code: Some(137),
                signal: 9,
                cause: v1::EndCause::KilledOutside,
                ..TaskEnd::default()
            },
        );
    }

    /// Takes a task away as somebody else on the node would.
    pub fn remove_outside(&self, task: Id) {
        self.change(|state, _| state.containers.remove(&task));
    }

    /// Ids of what runs now.
    pub fn running(&self) -> Vec<Id> {
        let state = self.lock();
        state.containers.iter().filter(|(_, c)| c.is_running()).map(|(id, _)| *id).collect()
    }

    /// How many tasks were being stopped at the same time, at most.
    pub fn most_stopping(&self) -> usize {
        self.lock().most_stopping
    }

    /// How often each task was really started: never more than once.
    pub fn starts(&self) -> BTreeMap<Id, u32> {
        self.lock().starts.clone()
    }

    fn now(&self) -> Timestamp {
        let passed = self.0.began.elapsed().as_nanos();
        self.0.epoch + u64::try_from(passed).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, FakeState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut FakeState, Timestamp) -> T) -> T {
        let now = self.now();
        let value = change(&mut self.lock(), now);
        self.0.changed.send_modify(|count| *count += 1);
        value
    }

    fn end(&self, task: Id, ended: TaskEnd) {
        self.change(|state, now| {
            if let Some(container) = state.containers.get_mut(&task) {
                container.end(TaskEnd { at: now, ..ended });
            }
        });
    }

    /// Ends it after a while, as itself or for its health, unless it has ended by then.
    fn end_later(&self, task: Id, after_ms: u64, ended: TaskEnd) {
        let engine = self.clone();
        let when = time::Instant::now() + Duration::from_millis(after_ms);
        tokio::spawn(async move {
            time::sleep_until(when).await;
            engine.end(task, ended);
        });
    }

    /// Waits until `look` finds something.
    async fn find<T>(&self, mut look: impl FnMut(&FakeState) -> Option<T> + Send) -> T {
        let mut changed = self.0.changed.subscribe();
        loop {
            if let Some(found) = look(&self.lock()) {
                return found;
            }
            // The sender is in the engine, which this borrows.
            let _ = changed.changed().await;
        }
    }

    fn here(&self) -> Result<(), RuntimeError> {
        if self.lock().away {
            return Err(RuntimeError::Unreachable("the fake engine is away".into()));
        }
        Ok(())
    }
}

impl FakeRuntime {
    /// The same, on a machine of this size.
    pub fn with_resources(mut self, resources: v1::Resources) -> FakeRuntime {
        self.resources = resources;
        self
    }

    async fn do_prepare(
        &self,
        workload: &Workload,
        progress: ProgressFn<'_>,
    ) -> Result<Prepared, RuntimeError> {
        let engine = &self.engine;
        engine.here()?;
        let spec = defaults::container(&workload.spec);
        let spec = spec.ok_or_else(|| {
            RuntimeError::Rejected("the fake runtime runs containers only".into())
        })?;
        let image = spec.image.as_str();
        let script = script::FakeScript::parse(image)
            .ok_or_else(|| RuntimeError::Rejected(format!("no such image: {image:?}")))?;
        let tries = engine.change(|state, _| {
            let tries = state.tries.entry(workload.task_id).or_default();
            *tries += 1;
            *tries
        });
        if tries <= script.busy {
            return Err(RuntimeError::Unreachable(format!("the fake engine is busy, try {tries}")));
        }
        if script.pull_ms > 0 {
            progress(PullUpdate {
                done_bytes: 0,
                total_bytes: 100,
                message: format!("pulling {image}"),
            });
            time::sleep(Duration::from_millis(script.pull_ms)).await;
            progress(PullUpdate {
                done_bytes: 100,
                total_bytes: 100,
                message: format!("pulled {image}"),
            });
        }
        if script.fails_pull {
            return Err(RuntimeError::Rejected(format!(
                "cannot pull {image}: the registry says no"
            )));
        }
        engine.change(|state, _| {
            let container =
                || container::FakeContainer::new(workload.node_id, script, spec.args.clone());
            state.containers.entry(workload.task_id).or_insert_with(container);
        });
        Ok(Prepared { image_digest: format!("sha256:{image}") })
    }

    fn do_start(&self, workload: &Workload) -> Result<Started, RuntimeError> {
        self.engine.here()?;
        let task = workload.task_id;
        let (started, script, first) = self.engine.change(|state, now| {
            let container = state.containers.get_mut(&task).ok_or(RuntimeError::Gone)?;
            let first = container.is_created();
            let started = container.start(task, now)?;
            let script = container.script();
            *state.starts.entry(task).or_default() += u32::from(first);
            Ok((started, script, first))
        })?;
        if let Some(end) = script.ends.filter(|_| first) {
            let ended = TaskEnd {
                exit_code: Some(end.exit_code),
                signal: end.signal,
                out_of_memory: end.out_of_memory,
                ..TaskEnd::default()
            };
            self.engine.end_later(task, end.after_ms, ended);
        }
        if let Some(after_ms) = script.unhealthy_ms.filter(|_| first) {
            let ended = TaskEnd {
                exit_code: Some(143),
                signal: 15,
                cause: v1::EndCause::Unhealthy,
                ..TaskEnd::default()
            };
            self.engine.end_later(task, after_ms, ended);
        }
        Ok(started)
    }

    async fn do_ready(&self, task: Id) -> Result<(), RuntimeError> {
        self.engine.here()?;
        let script = self
            .engine
            .lock()
            .containers
            .get(&task)
            .map(container::FakeContainer::script)
            .ok_or(RuntimeError::Gone)?;
        if script.unhealthy_ms.is_none() {
            time::sleep(Duration::from_millis(script.healthy_ms)).await;
        }
        self.engine
            .find(|state| match state.containers.get(&task) {
                None => Some(Err(RuntimeError::Gone)),
                Some(container) if container.ended().is_some() => Some(Err(RuntimeError::Gone)),
                Some(container) => {
                    (container.is_running() && script.unhealthy_ms.is_none()).then_some(Ok(()))
                }
            })
            .await
    }

    async fn do_wait(&self, task: Id) -> Result<TaskEnd, RuntimeError> {
        self.engine.here()?;
        if !self.engine.lock().containers.contains_key(&task) {
            return Err(RuntimeError::Gone);
        }
        let ended = self.engine.find(|state| match state.containers.get(&task) {
            None => Some(None),
            Some(container) => container.ended().map(Some),
        });
        let gone = || TaskEnd {
            cause: v1::EndCause::RemovedOutside,
            at: self.engine.now(),
            ..TaskEnd::default()
        };
        Ok(ended.await.unwrap_or_else(gone))
    }

    async fn do_stop(&self, task: Id, grace: Duration) -> Result<(), RuntimeError> {
        self.engine.here()?;
        let Some(script) = self.engine.change(|state, _| {
            let container = state.containers.get_mut(&task)?;
            container.forbid();
            let running = container.is_running().then(|| container.script());
            running.inspect(|_| state.note_stop(task))
        }) else {
            return Ok(());
        };
        let wish = Duration::from_millis(script.stop_ms);
        let (after, code, signal) =
            if script.stubborn || wish > grace { (grace, 137, 9) } else { (wish, 143, 15) };
        let asked = TaskEnd {
            exit_code: Some(code),
            signal,
            cause: v1::EndCause::Asked,
            ..TaskEnd::default()
        };
        self.engine.end_later(task, u64::try_from(after.as_millis()).unwrap_or(u64::MAX), asked);
        self.engine
            .find(|state| state.containers.get(&task).is_none_or(|c| !c.is_running()).then_some(()))
            .await;
        Ok(())
    }
}

impl Runtime for FakeRuntime {
    fn kind(&self) -> v1::RuntimeKind {
        v1::RuntimeKind::Fake
    }

    fn describe(&self) -> future::BoxFuture<'_, Result<Offer, RuntimeError>> {
        let offer = Offer {
            platform: v1::Platform { architecture: "amd64".into(), os: "linux".into() },
            resources: self.resources.clone(),
            engine: Some(v1::EngineDescription {
                version: "fake".into(),
                ..v1::EngineDescription::default()
            }),
            features: vec![
                v1::Feature::Images,
                v1::Feature::Limits,
                v1::Feature::Health,
                v1::Feature::Hostname,
            ],
        };
        async move { self.engine.here().map(|()| offer) }.boxed()
    }

    fn prepare<'a>(
        &'a self,
        workload: &'a Workload,
        progress: ProgressFn<'a>,
    ) -> future::BoxFuture<'a, Result<Prepared, RuntimeError>> {
        self.do_prepare(workload, progress).boxed()
    }

    fn start<'a>(
        &'a self,
        workload: &'a Workload,
    ) -> future::BoxFuture<'a, Result<Started, RuntimeError>> {
        async move { self.do_start(workload) }.boxed()
    }

    fn ready<'a>(
        &'a self,
        workload: &'a Workload,
    ) -> future::BoxFuture<'a, Result<(), RuntimeError>> {
        self.do_ready(workload.task_id).boxed()
    }

    fn wait<'a>(
        &'a self,
        workload: &'a Workload,
    ) -> future::BoxFuture<'a, Result<TaskEnd, RuntimeError>> {
        self.do_wait(workload.task_id).boxed()
    }

    fn stop(&self, task: Id, grace: Duration) -> future::BoxFuture<'_, Result<(), RuntimeError>> {
        self.do_stop(task, grace).boxed()
    }

    fn remove(&self, task: Id) -> future::BoxFuture<'_, Result<(), RuntimeError>> {
        async move {
            self.engine.here()?;
            self.engine.change(|state, _| state.containers.remove(&task));
            Ok(())
        }
        .boxed()
    }

    fn list(&self, node: Id) -> future::BoxFuture<'_, Result<Vec<FoundTask>, RuntimeError>> {
        async move {
            self.engine.here()?;
            let state = self.engine.lock();
            let mine = state.containers.iter().filter(|(_, container)| container.node() == node);
            Ok(mine.map(|(id, container)| container.found(*id)).collect())
        }
        .boxed()
    }

    fn noticed(&self) -> Option<watch::Receiver<Noticed>> {
        Some(self.engine.0.noticed.subscribe())
    }

    fn logs(
        &self,
        task: Id,
        query: LogQuery,
    ) -> future::BoxFuture<'_, Result<LogStream, RuntimeError>> {
        async move {
            self.engine.here()?;
            output::stream(&self.engine, task, query)
        }
        .boxed()
    }
}
