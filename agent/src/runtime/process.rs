//! Tasks as plain processes of the node: no engine, no image, no isolation. The embedded choice, for
//! development and for trying things out.
//!
//! Each task has a folder, and while it runs a [`shim`] of its own, which outlives the agent. All that is
//! known about a task stands in its folder, and this runtime keeps nothing in memory that matters: adopting
//! what a former agent started is the same as looking at what one started oneself. What a process cannot
//! honour is not among the features that are offered, and refused by name should it come nevertheless.

mod boot;
mod cgroup;
mod folder;
mod held;
mod log;
mod notes;
mod planning;
pub mod shim;
mod tracking;
mod watch;

use super::{
    Ended, Found, FoundState, LogQuery, LogStream, Offer, Prepared, ProgressFn, Proof, Runtime, RuntimeError,
    Started, Workload,
};
use cgroup::Hierarchy;
use folder::Folder;
use futures::future::BoxFuture;
use nix::errno::Errno;
use notes::{Cause, Ending};
use shim::Order;
use skep_proto::{
    Id,
    v1::{EndCause, Feature, RuntimeKind},
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::{fs::DirBuilderExt, fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::io::AsyncReadExt;
use tracking::{Standing, look, look_settled, until_begun};
use watch::Watches;

/// A shim answers an order at once; one that has not ended its task so long after the grace is stuck.
const SHIM_ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// What a shim says at a start; more is cut.
const SHIM_WORDS_BYTES_MAX: u64 = 4096;

/// How to start a shim: a program and the words before the task's folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShimProgram {
    /// An absolute path.
    pub file: PathBuf,
    /// For the binary `skep`: `shim`.
    pub words: Vec<OsString>,
}

impl Default for ShimProgram {
    /// This very binary, even when its file has been replaced since it was started.
    fn default() -> ShimProgram {
        ShimProgram { file: "/proc/self/exe".into(), words: vec!["shim".into()] }
    }
}

/// The process runtime of one agent.
pub struct ProcessRuntime {
    tasks: PathBuf,
    shim: ShimProgram,
    hierarchy: Option<Hierarchy>,
    watches: Watches,
    /// One lock for each task that is being started or stopped: two starts at once must not make two
    /// processes.
    steps: Mutex<BTreeMap<Id, Arc<tokio::sync::Mutex<()>>>>,
}

impl ProcessRuntime {
    /// Opens the runtime over an agent's state folder; tasks stand in `tasks` below it.
    pub fn open(state_dir: &Path, shim: ShimProgram) -> io::Result<ProcessRuntime> {
        let tasks = std::path::absolute(state_dir)?.join("tasks");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&tasks)?;
        Ok(ProcessRuntime {
            tasks,
            shim,
            hierarchy: Hierarchy::probe(),
            watches: Watches::default(),
            steps: Mutex::default(),
        })
    }

    fn folder(&self, task: Id) -> Folder {
        Folder::new(self.tasks.join(task.to_string()))
    }

    fn step(&self, task: Id) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.steps.lock().unwrap_or_else(PoisonError::into_inner).entry(task).or_default())
    }

    fn offer(&self) -> Result<Offer, RuntimeError> {
        let mut features = Vec::new();
        if nix::unistd::Uid::effective().is_root() {
            features.push(Feature::User);
        }
        if self.hierarchy.is_some() {
            features.push(Feature::Limits);
        }
        let resources = crate::machine::resources().map_err(|error| {
            RuntimeError::Unreachable(format!("this machine cannot be looked at now: {error}"))
        })?;
        Ok(Offer { platform: crate::machine::platform(), resources, engine: None, features })
    }

    async fn begin(&self, task: Id) -> Result<Started, RuntimeError> {
        let folder = self.folder(task);
        let step = self.step(task);
        let _alone = step.lock().await;
        match look_settled(&folder, &self.watches).await.map_err(broken)? {
            Standing::Absent => return Err(RuntimeError::Gone),
            Standing::Runs(running, _) => return Ok(tracking::started(&running)),
            Standing::Over(running, ending) => return over(running, &ending),
            Standing::Planned | Standing::Starting(_) => {}
        }
        let words = self.start_shim(&folder).await.map_err(broken)?;
        match look_settled(&folder, &self.watches).await.map_err(broken)? {
            Standing::Runs(running, _) => Ok(tracking::started(&running)),
            Standing::Over(running, ending) => over(running, &ending),
            Standing::Absent => Err(RuntimeError::Gone),
            Standing::Planned | Standing::Starting(_) => {
                Err(RuntimeError::Failed(format!("the shim ended before the program ran: {}", words.trim())))
            }
        }
    }

    /// Starts a shim and waits until it says that the program runs, or why it does not.
    async fn start_shim(&self, folder: &Folder) -> io::Result<String> {
        // The reading ends come first: a FIFO does not open for writing alone.
        let _reader = nonblocking(&folder.alive(), OpenOptions::new().read(true))?;
        let alive = nonblocking(&folder.alive(), OpenOptions::new().write(true))?;
        let control = OpenOptions::new().read(true).write(true).open(folder.control())?;
        let mut command = std::process::Command::new(&self.shim.file);
        command.arg0("skep").args(&self.shim.words).arg(folder.path()).env_clear().current_dir("/");
        command.stdin(control).stdout(alive).stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.spawn()?;
        // The command still holds the ends that only the shim may hold.
        drop(command);
        let mut words = String::new();
        if let Some(said) = child.stderr.take() {
            said.take(SHIM_WORDS_BYTES_MAX).read_to_string(&mut words).await?;
        }
        Ok(words)
    }

    async fn end(&self, task: Id, grace: Duration) -> Result<(), RuntimeError> {
        let folder = self.folder(task);
        let step = self.step(task);
        let alone = step.lock().await;
        match look(&folder).map_err(broken)? {
            Standing::Absent | Standing::Over(..) => Ok(()),
            Standing::Planned => {
                let error = "stopped before it was started".to_owned();
                let ending = Ending { cause: Cause::Asked, error, at: shim::now_ns(), ..Ending::default() };
                let written =
                    folder.draft_ending().and_then(|mut draft| folder.write_ended(&mut draft, &ending));
                written.map_err(broken)
            }
            Standing::Starting(held) | Standing::Runs(_, held) => {
                // Another stop, with less grace perhaps, need not wait for this one.
                drop(alone);
                self.order(&folder, Order::Stop { grace }).map_err(broken)?;
                match tokio::time::timeout(grace.saturating_add(SHIM_ANSWER_LIMIT), held.released()).await {
                    Ok(released) => released.map_err(broken),
                    Err(_) => Err(RuntimeError::Failed(format!(
                        "the shim of {} does not follow the order to stop; is it suspended?",
                        folder.path().display()
                    ))),
                }
            }
        }
    }

    fn order(&self, folder: &Folder, order: Order) -> io::Result<()> {
        let opened = nonblocking(&folder.control(), OpenOptions::new().write(true));
        match opened.and_then(|mut control| control.write_all(order.line().as_bytes())) {
            // No shim, or one that does not read any more: then the wait for its end says so.
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    async fn until_ended(&self, task: Id) -> Result<Ended, RuntimeError> {
        let folder = self.folder(task);
        let mut was_here = false;
        loop {
            match look(&folder).map_err(broken)? {
                Standing::Absent if was_here => {
                    return Ok(Ended {
                        cause: EndCause::RemovedOutside,
                        error: "its folder was removed while it ran".into(),
                        at: skep_proto::Timestamp(shim::now_ns()),
                        ..Ended::default()
                    });
                }
                Standing::Absent => return Err(RuntimeError::Gone),
                Standing::Over(_, ending) => return Ok(tracking::ended(&ending)),
                Standing::Starting(held) | Standing::Runs(_, held) => {
                    held.released().await.map_err(broken)?
                }
                Standing::Planned => until_begun(&folder, &self.watches).await.map_err(broken)?,
            }
            was_here = true;
        }
    }

    async fn until_ready(&self, task: Id) -> Result<(), RuntimeError> {
        let folder = self.folder(task);
        loop {
            match look_settled(&folder, &self.watches).await.map_err(broken)? {
                Standing::Runs(..) => return Ok(()),
                Standing::Absent | Standing::Over(..) => return Err(RuntimeError::Gone),
                Standing::Planned | Standing::Starting(_) => {
                    until_begun(&folder, &self.watches).await.map_err(broken)?
                }
            }
        }
    }

    async fn found(&self, node: Id) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.tasks)? {
            let name = entry?.file_name();
            let Some(task_id) = name.to_str().and_then(Id::parse) else { continue };
            let folder = self.folder(task_id);
            let Some(plan) = folder.plan()? else { continue };
            if plan.node != node.to_string() {
                continue;
            }
            let state = match look_settled(&folder, &self.watches).await? {
                Standing::Absent => continue,
                Standing::Planned | Standing::Starting(_) => FoundState::Created,
                Standing::Runs(running, _) => FoundState::Running(tracking::started(&running)),
                Standing::Over(running, ending) => FoundState::Ended(
                    running.as_ref().map(tracking::started).unwrap_or_default(),
                    tracking::ended(&ending),
                ),
            };
            found.push(Found { task_id, image_digest: String::new(), proof: Proof::Recorded, state });
        }
        found.sort_by_key(|found| found.task_id);
        Ok(found)
    }
}

impl Runtime for ProcessRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    fn describe(&self) -> BoxFuture<'_, Result<Offer, RuntimeError>> {
        Box::pin(async { self.offer() })
    }

    fn prepare<'a>(
        &'a self,
        workload: &'a Workload,
        _progress: ProgressFn<'a>,
    ) -> BoxFuture<'a, Result<Prepared, RuntimeError>> {
        Box::pin(async move {
            let folder = self.folder(workload.task_id);
            if !folder.is_prepared() {
                let plan = planning::plan(workload, self.hierarchy.as_ref())?;
                folder.make(&plan).map_err(broken)?;
            }
            Ok(Prepared::default())
        })
    }

    fn start<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<Started, RuntimeError>> {
        Box::pin(self.begin(workload.task_id))
    }

    fn ready<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.until_ready(workload.task_id))
    }

    fn wait<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<Ended, RuntimeError>> {
        Box::pin(self.until_ended(workload.task_id))
    }

    fn stop<'a>(&'a self, task: Id, grace: Duration) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.end(task, grace))
    }

    fn remove(&self, task: Id) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(async move {
            self.end(task, Duration::ZERO).await?;
            let folder = self.folder(task);
            if let Ok(Some(plan)) = folder.plan() {
                cgroup::remove(&plan.groups);
            }
            self.steps.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
            folder.remove().map_err(broken)
        })
    }

    fn list(&self, node: Id) -> BoxFuture<'_, Result<Vec<Found>, RuntimeError>> {
        Box::pin(async move { self.found(node).await.map_err(broken) })
    }

    fn logs(&self, task: Id, query: LogQuery) -> BoxFuture<'_, Result<LogStream, RuntimeError>> {
        Box::pin(async move {
            let folder = self.folder(task);
            match folder.running().map_err(broken)? {
                Some(_) => log::open(folder, &self.watches, query).await,
                None => Err(RuntimeError::Gone),
            }
        })
    }
}

/// The answer to a start of what is over: as then, where it ran.
fn over(running: Option<notes::Running>, ending: &Ending) -> Result<Started, RuntimeError> {
    match running {
        Some(running) => Ok(tracking::started(&running)),
        None => Err(RuntimeError::Failed(ending.error.clone())),
    }
}

/// The node's own trouble (a full disk, no file numbers left) passes: the agent asks again and says so.
fn broken(error: io::Error) -> RuntimeError {
    RuntimeError::Unreachable(format!("the process runtime is in trouble: {error}"))
}

fn nonblocking(fifo: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.custom_flags(nix::libc::O_NONBLOCK).open(fifo)
}
