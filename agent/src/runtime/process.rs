//! Tasks as plain processes of the node: no engine, no image, no isolation. The embedded choice,
//! for development and for trying things out.
//!
//! Each task has a folder, and while it runs a [`shim`] of its own, which outlives the agent. All
//! that is known about a task stands in its folder, and this runtime keeps nothing in memory that
//! matters: adopting what a former agent started is the same as looking at what one started
//! oneself. What a process cannot honour is not among the features that are offered, and refused by
//! name should it come nevertheless.
//!
//! Whatever is wrong with one task's folder or shim costs that task: no list, and no step of
//! another task, waits for it or fails with it.

mod boot;
mod cgroup;
mod disk;
mod evidence;
mod finding;
mod folder;
mod held;
mod log;
mod notes;
mod planning;
mod remains;
pub mod shim;
mod spawn;
mod tracking;
mod watch;

use super::{
    FoundTask, LogQuery, LogStream, Offer, Prepared, ProgressFn, Runtime, RuntimeError, Started,
    TaskEnd, Workload,
};
use crate::wall;
use futures::future::BoxFuture;
use skep_proto::{Id, defaults, v1};
pub use spawn::ShimProgram;
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The folder of all tasks in a node's state folder.
pub(crate) const TASKS_FOLDER: &str = "tasks";

/// A shim answers an order at once, and gives killed processes ten seconds to be gone; one that has
/// not ended its task so long after the grace is stuck, and is killed with the task.
const SHIM_ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// A shim that has not started its program after this is stuck, and is killed: the task has failed.
const SHIM_START_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at processes that have no shim and no folder any more, while they may end
/// by themselves.
const REMAINS_PERIOD: Duration = Duration::from_millis(50);

/// The process runtime of one agent.
pub struct ProcessRuntime {
    tasks: PathBuf,
    shim: ShimProgram,
    hierarchy: Option<cgroup::Hierarchy>,
    watches: watch::Watches,
    /// One lock for each task that is being started or stopped: two starts at once must not make
    /// two processes.
    steps: Mutex<BTreeMap<Id, Arc<tokio::sync::Mutex<()>>>>,
}

impl ProcessRuntime {
    /// Opens the runtime over an agent's state folder; tasks stand in `tasks` below it.
    pub fn open(state_dir: &Path, shim: ShimProgram) -> io::Result<ProcessRuntime> {
        let tasks = std::path::absolute(state_dir)?.join(TASKS_FOLDER);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&tasks)?;
        Ok(ProcessRuntime {
            tasks,
            shim,
            hierarchy: cgroup::Hierarchy::probe(),
            watches: watch::Watches::default(),
            steps: Mutex::default(),
        })
    }

    fn folder(&self, task: Id) -> folder::Folder {
        folder::Folder::of(&self.tasks, task)
    }

    fn step(&self, task: Id) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(
            self.steps.lock().unwrap_or_else(PoisonError::into_inner).entry(task).or_default(),
        )
    }

    async fn begin(&self, task: Id) -> Result<Started, RuntimeError> {
        let folder = self.folder(task);
        let step = self.step(task);
        let _alone = step.lock().await;
        match tokio::time::timeout(SHIM_START_LIMIT, self.begin_alone(task, &folder)).await {
            Ok(begun) => begun,
            Err(_) => {
                let error =
                    format!("its shim did not start it within {} s", SHIM_START_LIMIT.as_secs());
                let cause = notes::Cause::NotStarted;
                let ending = notes::ProcessEnding {
                    cause,
                    error,
                    at: wall::now_ns(),
                    ..notes::ProcessEnding::default()
                };
                let recorded = disk::on_disk(disk::DiskWork::Change, move || {
                    tracking::end_orphaned(task, &folder, None, ending)
                })
                .await;
                match recorded.map_err(broken)? {
                    tracking::ProcessState::Over(running, ending) => over(running, &ending),
                    tracking::ProcessState::Absent
                    | tracking::ProcessState::Planned
                    | tracking::ProcessState::Starting(_)
                    | tracking::ProcessState::Runs(..)
                    | tracking::ProcessState::MustEnd(..) => Err(RuntimeError::Gone),
                }
            }
        }
    }

    async fn begin_alone(
        &self,
        task: Id,
        folder: &folder::Folder,
    ) -> Result<Started, RuntimeError> {
        match tracking::look_settled(task, folder, &self.watches).await.map_err(broken)? {
            tracking::ProcessState::Absent => return Err(RuntimeError::Gone),
            tracking::ProcessState::Runs(running, _)
            | tracking::ProcessState::MustEnd(Some(running), ..) => {
                return Ok(tracking::started(&running));
            }
            // The watch over its end finds that it must be stopped.
            tracking::ProcessState::MustEnd(None, ..) => return Ok(Started::default()),
            tracking::ProcessState::Over(running, ending) => return over(running, &ending),
            tracking::ProcessState::Planned | tracking::ProcessState::Starting(_) => {}
        }
        let message = spawn::start_shim(&self.shim, task, folder).await.map_err(broken)?;
        match tracking::look_settled(task, folder, &self.watches).await.map_err(broken)? {
            tracking::ProcessState::Runs(running, _)
            | tracking::ProcessState::MustEnd(Some(running), ..) => Ok(tracking::started(&running)),
            tracking::ProcessState::MustEnd(None, ..) => Ok(Started::default()),
            tracking::ProcessState::Over(running, ending) => over(running, &ending),
            tracking::ProcessState::Absent => Err(RuntimeError::Gone),
            tracking::ProcessState::Planned | tracking::ProcessState::Starting(_) => {
                Err(RuntimeError::Failed(format!(
                    "the shim ended before the program ran: {}",
                    message.trim()
                )))
            }
        }
    }

    async fn end(&self, task: Id, grace: Duration) -> Result<(), RuntimeError> {
        let folder = self.folder(task);
        let step = self.step(task);
        let alone = step.lock().await;
        match tracking::look(task, &folder).await.map_err(broken)? {
            tracking::ProcessState::Over(..) => Ok(()),
            tracking::ProcessState::Absent => {
                drop(alone);
                self.end_remains(task, grace).await
            }
            tracking::ProcessState::Planned => {
                let error = "stopped before it was started".to_owned();
                let ending = notes::ProcessEnding {
                    cause: notes::Cause::Asked,
                    error,
                    at: wall::now_ns(),
                    ..notes::ProcessEnding::default()
                };
                disk::on_disk(disk::DiskWork::Change, move || folder.end(&ending))
                    .await
                    .map_err(broken)
            }
            tracking::ProcessState::Starting(held)
            | tracking::ProcessState::Runs(_, held)
            | tracking::ProcessState::MustEnd(_, _, held) => {
                // Another stop, with less grace perhaps, need not wait for this one.
                drop(alone);
                self.end_held(task, &folder, held, grace).await.map_err(broken)
            }
        }
    }

    /// Lets the shim end its task; one that does not is killed, and all that it watched over.
    async fn end_held(
        &self,
        task: Id,
        folder: &folder::Folder,
        held: held::HeldFifo,
        grace: Duration,
    ) -> io::Result<()> {
        match spawn::order(folder, shim::ShimOrder::Stop { grace }).await {
            Ok(()) => {
                let limit = grace.saturating_add(SHIM_ANSWER_LIMIT);
                if let Ok(released) = tokio::time::timeout(limit, held.released()).await {
                    return released;
                }
                tracing::warn!(folder = %folder.path().display(), "a shim does not answer and is killed");
            }
            Err(error) if folder::is_passing(&error) => return Err(error),
            // The way to the shim is gone: its processes are still to be found.
            Err(error) => {
                tracing::warn!(%error, folder = %folder.path().display(), "a shim cannot be reached and is killed");
            }
        }
        let groups = plan(folder).await?.read().map(|plan| plan.groups).unwrap_or_default();
        if !disk::aside(move || remains::kill_all(task, &groups)).await? {
            return Err(io::Error::other("its processes hang in the kernel"));
        }
        // What the shim did not write down is written now.
        tracking::look(task, folder).await.map(drop)
    }

    /// Ends processes of a task whose folder is gone: with the usual signal first, then without
    /// grace.
    async fn end_remains(&self, task: Id, grace: Duration) -> Result<(), RuntimeError> {
        let mut remains = self.remains(task).await?;
        if remains.is_empty() {
            return Ok(());
        }
        tracing::warn!(%task, "this task's folder was removed while it ran; its processes are ended");
        remains.signal(nix::sys::signal::Signal::SIGTERM);
        let until = tokio::time::Instant::now() + grace;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(REMAINS_PERIOD).await;
            if remains.is_alive() {
                continue;
            }
            // They may have begun others before they ended.
            remains = self.remains(task).await?;
            if remains.is_empty() {
                break;
            }
            remains.signal(nix::sys::signal::Signal::SIGTERM);
        }
        let groups = self.tracking_groups(task);
        let gone = disk::aside(move || {
            let gone = remains::kill_all(task, &groups);
            cgroup::remove(&groups);
            gone
        });
        if gone.await.map_err(broken)? {
            Ok(())
        } else {
            Err(RuntimeError::Unreachable("its processes hang in the kernel".into()))
        }
    }

    /// The processes of a task whose folder is gone.
    async fn remains(&self, task: Id) -> Result<remains::Remains, RuntimeError> {
        let groups = self.tracking_groups(task);
        disk::aside(move || remains::of_task(task, &groups)).await.map_err(broken)
    }

    /// The control groups of a task whose plan is gone.
    fn tracking_groups(&self, task: Id) -> Vec<notes::ControlGroup> {
        let groups = |hierarchy: &cgroup::Hierarchy| hierarchy.all_groups(&task.to_string());
        self.hierarchy.as_ref().map(groups).unwrap_or_default()
    }

    async fn until_ended(&self, task: Id) -> Result<TaskEnd, RuntimeError> {
        let folder = self.folder(task);
        let mut was_here = false;
        loop {
            match tracking::look(task, &folder).await.map_err(broken)? {
                tracking::ProcessState::Absent => {
                    was_here |= !self.remains(task).await?.is_empty();
                    if !was_here {
                        return Err(RuntimeError::Gone);
                    }
                    self.end_remains(task, Duration::from_nanos(defaults::STOP_GRACE_LIMIT_NS))
                        .await?;
                    return Ok(tracking::ended(&notes::ProcessEnding {
                        cause: notes::Cause::FolderRemoved,
                        error: format!(
                            "its folder {} was removed while it ran",
                            folder.path().display()
                        ),
                        at: wall::now_ns(),
                        ..notes::ProcessEnding::default()
                    }));
                }
                tracking::ProcessState::Over(_, ending) => return Ok(tracking::ended(&ending)),
                tracking::ProcessState::Starting(held) | tracking::ProcessState::Runs(_, held) => {
                    held.released().await.map_err(broken)?
                }
                tracking::ProcessState::MustEnd(_, ending, held) => {
                    tracing::warn!(%task, "a task must be ended: {}", ending.error);
                    let ended = folder.clone();
                    disk::on_disk(disk::DiskWork::Change, move || ended.end(&ending))
                        .await
                        .map_err(broken)?;
                    let grace = Duration::from_nanos(defaults::STOP_GRACE_LIMIT_NS);
                    self.end_held(task, &folder, held, grace).await.map_err(broken)?;
                }
                tracking::ProcessState::Planned => {
                    tracking::until_begun(task, &folder, &self.watches).await.map_err(broken)?
                }
            }
            was_here = true;
        }
    }

    async fn until_ready(&self, task: Id) -> Result<(), RuntimeError> {
        let folder = self.folder(task);
        loop {
            match tracking::look_settled(task, &folder, &self.watches).await.map_err(broken)? {
                tracking::ProcessState::Runs(..) => return Ok(()),
                tracking::ProcessState::Absent
                | tracking::ProcessState::MustEnd(..)
                | tracking::ProcessState::Over(..) => {
                    return Err(RuntimeError::Gone);
                }
                tracking::ProcessState::Planned | tracking::ProcessState::Starting(_) => {
                    tracking::until_begun(task, &folder, &self.watches).await.map_err(broken)?
                }
            }
        }
    }
}

impl Runtime for ProcessRuntime {
    fn kind(&self) -> v1::RuntimeKind {
        v1::RuntimeKind::Process
    }

    fn describe(&self) -> BoxFuture<'_, Result<Offer, RuntimeError>> {
        let limits = self.hierarchy.as_ref().map(|_| v1::Feature::Limits);
        Box::pin(async move { disk::aside(move || offer(limits)).await.map_err(broken)? })
    }

    fn prepare<'a>(
        &'a self,
        workload: &'a Workload,
        _progress: ProgressFn<'a>,
    ) -> BoxFuture<'a, Result<Prepared, RuntimeError>> {
        Box::pin(async move {
            let folder = self.folder(workload.task_id);
            // Held until the disk is done, even if nobody waits any more: a folder that is made
            // late must not come after its removal.
            let alone = self.step(workload.task_id).lock_owned().await;
            let (workload, hierarchy) = (workload.clone(), self.hierarchy.clone());
            let prepared = disk::on_disk(disk::DiskWork::Plan, move || {
                let _alone = alone;
                Ok(prepare(&workload, hierarchy.as_ref(), &folder))
            });
            prepared.await.map_err(broken)?
        })
    }

    fn start<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<Started, RuntimeError>> {
        Box::pin(self.begin(workload.task_id))
    }

    fn ready<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.until_ready(workload.task_id))
    }

    fn wait<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<TaskEnd, RuntimeError>> {
        Box::pin(self.until_ended(workload.task_id))
    }

    fn stop<'a>(&'a self, task: Id, grace: Duration) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.end(task, grace))
    }

    fn remove(&self, task: Id) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(async move {
            let folder = self.folder(task);
            match self.end(task, Duration::ZERO).await {
                // Its files are of no use, and will be gone in a moment.
                Err(error @ RuntimeError::Failed(_)) => {
                    let groups = self.tracking_groups(task);
                    if !disk::aside(move || remains::kill_all(task, &groups))
                        .await
                        .map_err(broken)?
                    {
                        return Err(error);
                    }
                }
                ended => ended?,
            }
            let (groups, alone) = (self.tracking_groups(task), self.step(task).lock_owned().await);
            let removed = disk::on_disk(disk::DiskWork::Change, move || {
                let _alone = alone;
                cgroup::remove(&groups);
                folder.remove()
            });
            removed.await.map_err(broken)?;
            self.steps.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
            Ok(())
        })
    }

    fn list(&self, node: Id) -> BoxFuture<'_, Result<Vec<FoundTask>, RuntimeError>> {
        let tasks = self.tasks.clone();
        Box::pin(async move {
            disk::on_disk(disk::DiskWork::Look, move || finding::found(&tasks, node))
                .await
                .map_err(broken)
        })
    }

    fn logs(&self, task: Id, query: LogQuery) -> BoxFuture<'_, Result<LogStream, RuntimeError>> {
        Box::pin(async move {
            let folder = self.folder(task);
            let running = folder.clone();
            match disk::on_disk(disk::DiskWork::Look, move || running.running())
                .await
                .map_err(broken)?
            {
                folder::NoteFile::Read(_) | folder::NoteFile::Damaged(_) => {
                    log::open(folder, &self.watches, query).await
                }
                folder::NoteFile::Absent => Err(RuntimeError::Gone),
            }
        })
    }
}

/// What this machine offers; whether limits are among it, the control groups decide.
fn offer(limits: Option<v1::Feature>) -> Result<Offer, RuntimeError> {
    let user = nix::unistd::Uid::effective().is_root().then_some(v1::Feature::User);
    let resources = crate::machine::resources().map_err(|error| {
        RuntimeError::Unreachable(format!("this machine cannot be examined now: {error}"))
    })?;
    let features = user.into_iter().chain(limits).collect();
    Ok(Offer { platform: crate::machine::platform(), resources, engine: None, features })
}

/// The plan in a task's folder.
async fn plan(folder: &folder::Folder) -> io::Result<folder::NoteFile<notes::ProcessPlan>> {
    let folder = folder.clone();
    disk::on_disk(disk::DiskWork::Look, move || folder.plan()).await
}

/// Makes the folder of a task that has none.
fn prepare(
    workload: &Workload,
    hierarchy: Option<&cgroup::Hierarchy>,
    folder: &folder::Folder,
) -> Result<Prepared, RuntimeError> {
    if let folder::NoteFile::Absent = folder.plan().map_err(broken)? {
        folder.make(&planning::plan(workload, hierarchy)?).map_err(broken)?;
    }
    Ok(Prepared::default())
}

/// The answer to a start of a task that has ended: the same as then, if it ran.
fn over(
    running: Option<notes::RunningProcess>,
    ending: &notes::ProcessEnding,
) -> Result<Started, RuntimeError> {
    match running {
        Some(running) => Ok(tracking::started(&running)),
        None => Err(RuntimeError::Failed(ending.error.clone())),
    }
}

/// The node's own trouble (a full disk, no file numbers left) passes: the agent asks again and says
/// so. What is wrong with the task's own files does not.
fn broken(error: io::Error) -> RuntimeError {
    if folder::is_passing(&error) {
        RuntimeError::Unreachable(format!("the process runtime is in trouble: {error}"))
    } else {
        RuntimeError::Failed(format!("the process runtime cannot go on with this task: {error}"))
    }
}
