//! Takes the core's actions to the runtime, and its answers back.
//!
//! Each action runs as a task of its own. A newer step of a task ends the one before it, as
//! [`Action::Step`] says.

use super::wire::Outgoing;
use crate::{
    core::{
        Input,
        action::{Action, StepOutcome, TaskStep},
    },
    runtime::{Prepared, PullUpdate, Runtime, RuntimeError, Workload},
};
use skep_proto::{Id, v1};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync, time::timeout};

/// Tasks that are prepared at the same time; the others wait. One that pulls, or takes long, does
/// not count.
const PREPARES_MAX: usize = 8;
/// Tasks that are started at the same time; the others wait. One that takes long does not count.
const STARTS_MAX: usize = 4;
/// Tasks that are stopped at the same time; the others wait. One that takes long, since it uses its
/// grace, does not count.
const STOPS_MAX: usize = 64;
/// Tasks that are removed at the same time; the others wait. One that takes long does not count.
const REMOVES_MAX: usize = 16;
/// A step that takes longer than this waits for something: it gives its permit to the next one and
/// goes on.
const STEP_PERMIT_LIMIT: Duration = Duration::from_secs(2);
/// Between two reports on the same pull; what comes sooner is left out.
const PROGRESS_PERIOD: Duration = Duration::from_millis(250);

/// What is being done for one task.
#[derive(Default)]
struct TaskSteps {
    /// The last of prepare, start, stop.
    step: Option<tokio_util::task::AbortOnDropHandle<()>>,
    ready: Option<tokio_util::task::AbortOnDropHandle<()>>,
    end: Option<tokio_util::task::AbortOnDropHandle<()>>,
}

/// What is being done.
pub(super) struct Steps {
    with: Arc<With>,
    doing: BTreeMap<Id, TaskSteps>,
    listing: Option<tokio_util::task::AbortOnDropHandle<()>>,
}

/// What each of them needs.
struct With {
    runtime: Arc<dyn Runtime>,
    inbox: sync::mpsc::Sender<Input>,
    outgoing: Outgoing,
    /// This node's identity is on the disk: what is started for it is found again.
    joined: sync::watch::Receiver<bool>,
    prepares: sync::Semaphore,
    starts: sync::Semaphore,
    stops: sync::Semaphore,
    removes: sync::Semaphore,
}

impl Steps {
    pub(super) fn new(
        runtime: Arc<dyn Runtime>,
        inbox: sync::mpsc::Sender<Input>,
        outgoing: Outgoing,
        joined: sync::watch::Receiver<bool>,
    ) -> Steps {
        let with = Arc::new(With {
            runtime,
            inbox,
            outgoing,
            joined,
            prepares: sync::Semaphore::new(PREPARES_MAX),
            starts: sync::Semaphore::new(STARTS_MAX),
            stops: sync::Semaphore::new(STOPS_MAX),
            removes: sync::Semaphore::new(REMOVES_MAX),
        });
        Steps { with, doing: BTreeMap::new(), listing: None }
    }

    /// Begins an action.
    pub(super) fn take(&mut self, action: Action) {
        let with = self.with.clone();
        match action {
            Action::List { node, ticket } => {
                self.listing = spawn(async move {
                    with.joined().await;
                    let outcome = StepOutcome::Listed(with.runtime.list(node).await);
                    with.done(Id::NONE, ticket, outcome).await;
                });
            }
            Action::Step { task, ticket, step } => self.step(task, ticket, step),
        }
    }

    fn step(&mut self, task: Id, ticket: u64, step: TaskStep) {
        let with = self.with.clone();
        if step == TaskStep::Remove {
            self.doing.remove(&task);
            // Not kept: it is asked again until it succeeds, and may be taken twice at once.
            tokio::spawn(async move {
                let outcome = StepOutcome::Removed(with.remove(task).await);
                with.done(task, ticket, outcome).await;
            });
            return;
        }
        let doing = self.doing.entry(task).or_default();
        let slot = match step {
            TaskStep::AwaitReady(_) => &mut doing.ready,
            TaskStep::AwaitEnd(_) => &mut doing.end,
            TaskStep::Stop { .. } => {
                doing.ready = None;
                &mut doing.step
            }
            TaskStep::Prepare(_) | TaskStep::Start(_) | TaskStep::Remove => &mut doing.step,
        };
        // The one before is ended first, so that the two do not meet in the engine.
        *slot = None;
        *slot = spawn(async move {
            let outcome = with.run(task, step).await;
            with.done(task, ticket, outcome).await;
        });
    }
}

impl With {
    /// Until what this node starts would be found again by the next agent. When the journal ends,
    /// so does this agent.
    async fn joined(&self) {
        let _ = self.joined.clone().wait_for(|written| *written).await;
    }

    async fn run(&self, task: Id, step: TaskStep) -> StepOutcome {
        self.joined().await;
        match step {
            TaskStep::Prepare(workload) => StepOutcome::Prepared(self.prepare(&workload).await),
            TaskStep::Start(workload) => {
                let permit = self.starts.acquire().await.ok();
                let permit = Mutex::new(permit);
                StepOutcome::Started(holding(&permit, self.runtime.start(&workload)).await)
            }
            TaskStep::AwaitReady(workload) => {
                StepOutcome::Ready(self.runtime.ready(&workload).await)
            }
            TaskStep::AwaitEnd(workload) => StepOutcome::Ended(self.runtime.wait(&workload).await),
            TaskStep::Stop { grace_ns } => {
                let permit = Mutex::new(self.stops.acquire().await.ok());
                let stopping = self.runtime.stop(task, Duration::from_nanos(grace_ns));
                StepOutcome::Stopped(holding(&permit, stopping).await)
            }
            TaskStep::Remove => StepOutcome::Removed(self.remove(task).await),
        }
    }

    async fn remove(&self, task: Id) -> Result<(), RuntimeError> {
        let permit = Mutex::new(self.removes.acquire().await.ok());
        holding(&permit, self.runtime.remove(task)).await
    }

    async fn prepare(&self, workload: &Workload) -> Result<Prepared, RuntimeError> {
        let permit = self.prepares.acquire().await.ok();
        let permit = Mutex::new(permit);
        let task_id = workload.task_id.to_bytes();
        let told = Mutex::new(None::<Instant>);
        let progress = |progress: PullUpdate| {
            // It pulls: others need not wait for the network.
            release(&permit);
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let last = progress.total_bytes > 0 && progress.done_bytes == progress.total_bytes;
            if !last && told.is_some_and(|at| at.elapsed() < PROGRESS_PERIOD) {
                return;
            }
            *told = Some(Instant::now());
            let PullUpdate { done_bytes, total_bytes, message } = progress;
            let pull =
                v1::PullProgress { task_id: task_id.clone(), done_bytes, total_bytes, message };
            self.outgoing
                .offer(v1::FromAgent { message: Some(v1::from_agent::Message::Pull(pull)) });
        };
        holding(&permit, self.runtime.prepare(workload, &progress)).await
    }

    async fn done(&self, task: Id, ticket: u64, outcome: StepOutcome) {
        // An error means that the agent has ended.
        let _ = self.inbox.send(Input::Done { task, ticket, outcome }).await;
    }
}

/// Does the work, and holds the permit for it only for a while.
async fn holding<T, P>(permit: &Mutex<Option<P>>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    match timeout(STEP_PERMIT_LIMIT, &mut work).await {
        Ok(value) => value,
        Err(_) => {
            release(permit);
            work.await
        }
    }
}

fn release<P>(permit: &Mutex<Option<P>>) {
    *permit.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

fn spawn(
    work: impl Future<Output = ()> + Send + 'static,
) -> Option<tokio_util::task::AbortOnDropHandle<()>> {
    Some(tokio_util::task::AbortOnDropHandle::new(tokio::spawn(work)))
}
