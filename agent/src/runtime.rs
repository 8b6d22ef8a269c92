//! What runs tasks: the contract between the agent and whatever starts containers or processes.
//!
//! The agent's core decides one step at a time; a runtime carries steps out and says what became of
//! them. Every step is **idempotent**, since an agent that was killed asks for the same one again:
//! preparing what is prepared, starting what was started, stopping what has ended and removing what
//! is gone all succeed. What a runtime starts **outlives the agent**: dropping the runtime, or
//! killing its process, stops nothing.
//!
//! ```text
//!   prepare ──► start ──► ready ──────► (takes traffic)
//!                  └────► wait ───────────────────────────► Ended ──► remove
//!                                        stop(grace) ─┘
//! ```
//! `ready` and `wait` may be asked at the same time, by several callers, before or after the end,
//! and again after a restart of the agent. All futures are cancelled by dropping them; nothing half
//! done may be left that a repeated step cannot take up.

pub mod conformance;
pub mod docker;
pub mod fake;
pub mod process;

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use skep_proto::{
    Id, Timestamp,
    v1::{
        EndCause, EngineDescription, Feature, LogSource, Platform, PortConfig, Resources,
        RuntimeKind, TaskSpec,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::sync::watch;

/// Everything a runtime must know to run one task.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Workload {
    /// The task; the container or process is found again by it.
    pub task_id: Id,
    /// The node that runs it: several agents may share one engine.
    pub node_id: Id,
    /// As the cluster knows the node.
    pub node_name: String,
    /// The service it belongs to.
    pub service_id: Id,
    /// The version of its spec, as the cluster numbers them.
    pub spec_version: u64,
    /// The service's name.
    pub service_name: String,
    /// Which of the service's slots it fills.
    pub slot: u64,
    /// What to run; shared by all tasks of one service and spec version, since it may be large.
    pub spec: Arc<TaskSpec>,
    /// The service's own labels.
    pub service_labels: BTreeMap<String, String>,
    /// Published ports, as the cluster settled them.
    pub ports: Vec<PortConfig>,
}

impl Workload {
    /// The task's name as people see it: `SERVICE.SLOT`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.service_name, self.slot)
    }
}

/// What a runtime and its machine have to offer; the agent adds hostname, address and what it keeps
/// for others.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Offer {
    /// Operating system and processor architecture, as Docker names them: `linux`, `amd64`.
    pub platform: Platform,
    /// The resources of the whole machine; the agent subtracts its reserve.
    pub resources: Resources,
    /// The engine's version, labels and plugins; none where there is no engine.
    pub engine: Option<EngineDescription>,
    /// What tasks may ask of this runtime; what is not here, placement does not send.
    pub features: Vec<Feature>,
}

/// How far the pull of an image is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PullUpdate {
    /// Bytes that are here.
    pub done_bytes: u64,
    /// Bytes in all; 0 while not known.
    pub total_bytes: u64,
    /// One line for people.
    pub message: String,
}

/// Called as often as there is news while an image is pulled; must not block. The receiver thins it
/// out.
pub type ProgressFn<'a> = &'a (dyn Fn(PullUpdate) + Send + Sync);

/// A task that only has to be started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Prepared {
    /// `sha256:…` of the image as it was used; empty where there are no images.
    pub image_digest: String,
}

/// A task that has been started. Its end, which may have come already, is the result of
/// [`Runtime::wait`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Started {
    /// The container's id, or the process's name: what an operator would look for on the node.
    pub container_ref: String,
    /// Process id on the node; 0 where not known.
    pub pid: i32,
    /// Ports as they are published on the node, with the automatic ones filled in.
    pub ports: Vec<PortConfig>,
}

/// How a task ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskEnd {
    /// A death by signal N is 128 + N. None where nobody can know any more.
    pub exit_code: Option<i32>,
    /// The signal it died of; 0 for none.
    pub signal: i32,
    /// Killed because it used more memory than it may.
    pub out_of_memory: bool,
    /// Who ended it. [`EndCause::Asked`] only where [`Runtime::stop`] did.
    pub cause: EndCause,
    /// A message about it, for people; may be empty.
    pub error: String,
    /// When, by the node's clock.
    pub at: Timestamp,
}

/// What a runtime has of one task, found by [`Runtime::list`].
#[derive(Clone, PartialEq, Debug)]
pub struct FoundTask {
    /// The task it was made for.
    pub task_id: Id,
    /// The image's digest as [`Prepared`] said it.
    pub image_digest: String,
    /// How it is known that this runtime made it.
    pub proof: Proof,
    /// How far it got.
    pub state: FoundState,
}

/// How it is known that something was made by this node's runtime. Labels prove nothing: a
/// committed image copies them into containers of other people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The runtime wrote down that it made this one.
    Recorded,
    /// It has the task's own name and labels, and nothing was written down. The agent takes it for
    /// a task that the cluster assigned to this node, and leaves it alone otherwise.
    Named,
}

/// How far something that was found had got.
#[derive(Clone, PartialEq, Debug)]
pub enum FoundState {
    /// Made, never started.
    Created,
    /// It runs.
    Running(Started),
    /// It ran.
    Ended(Started, TaskEnd),
    /// It is there, and could not be looked at: why, for people. The others that were found count
    /// all the same.
    Unreadable(String),
}

/// Which lines of a task's output are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogQuery {
    /// Only so many of the last lines (of those that the other fields let through); none is all.
    pub tail: Option<u64>,
    /// Lines written at this time or later; [`Timestamp::NEVER`] is from the beginning.
    pub since: Timestamp,
    /// Lines written before this time; [`Timestamp::NEVER`] is no limit.
    pub until: Timestamp,
    /// Go on with new lines until the task has ended.
    pub follow: bool,
    /// Lines of the standard output.
    pub stdout: bool,
    /// Lines of the standard error.
    pub stderr: bool,
}

impl Default for LogQuery {
    fn default() -> LogQuery {
        LogQuery {
            tail: None,
            since: Timestamp::NEVER,
            until: Timestamp::NEVER,
            follow: false,
            stdout: true,
            stderr: true,
        }
    }
}

/// Longest text of one line; the rest goes on in the next [`LogLine`].
pub const LOG_LINE_BYTES_MAX: usize = 64 << 10;

/// One line of output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// When it was written, by the node's clock.
    pub at: Timestamp,
    /// Where it was written to.
    pub source: LogSource,
    /// Without the line's end; at most [`LOG_LINE_BYTES_MAX`].
    pub text: Bytes,
}

/// What a reader of output gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogItem {
    /// A line.
    Line(LogLine),
    /// Lines that were asked for were here, between the line before and the next one, and are kept
    /// no more: so many, where that is known.
    Lost(Option<u64>),
}

impl LogItem {
    /// The line, if it is one.
    pub fn line(self) -> Option<LogLine> {
        match self {
            LogItem::Line(line) => Some(line),
            LogItem::Lost(_) => None,
        }
    }
}

/// Lines in the order in which they were written; pulled, so that a slow reader slows the source.
pub type LogStream = BoxStream<'static, Result<LogItem, RuntimeError>>;

/// Why a step could not be done. People see the messages as they are.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RuntimeError {
    /// Nothing is known to be wrong with the task: the engine cannot be reached or is busy. The
    /// agent asks again for ever, with growing delay, and says so.
    #[error("{0}")]
    Unreachable(String),
    /// This node cannot run the task and never will: no such image, a mount that is not there, a
    /// thing that is not supported. From `prepare` the task is REJECTED.
    #[error("{0}")]
    Rejected(String),
    /// The image could not be pulled: the task is REJECTED, and the node has the condition
    /// PULL_FAILING.
    #[error("cannot pull {image}: {reason}")]
    PullFailed {
        /// As the task names it.
        image: String,
        /// The registry's or the engine's own text.
        reason: String,
    },
    /// The step was tried and went wrong for good: the task is FAILED (from `prepare`, REJECTED).
    #[error("{0}")]
    Failed(String),
    /// There is nothing here of that task. `stop` and `remove` never say so: what is gone is
    /// stopped and removed.
    #[error("there is nothing of this task here")]
    Gone,
}

/// What a runtime notices by itself, between the steps that it is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Noticed {
    /// Why the engine cannot be used now, for people; empty while it answers.
    pub engine_problem: String,
    /// Why the engine, which answers, cannot list what it runs, for people; empty while it can.
    pub listing_problem: String,
    /// Why the engine, which answers, creates or starts no containers, for people; empty while it
    /// does.
    pub start_problem: String,
    /// What is odd about a task's container (it is paused, say), for people.
    pub tasks: BTreeMap<Id, String>,
}

/// Runs tasks. The module's text says what every step must keep.
pub trait Runtime: Send + Sync + 'static {
    /// Which one; written down at the node's first start and never changed after.
    fn kind(&self) -> RuntimeKind;

    /// What can be offered now. [`RuntimeError::Unreachable`] while the engine does not answer.
    fn describe(&self) -> BoxFuture<'_, Result<Offer, RuntimeError>>;

    /// Makes the task ready to be started: pulls the image if it is absent, creates the container.
    /// Uses nothing of the machine that others could miss while it waits.
    fn prepare<'a>(
        &'a self,
        workload: &'a Workload,
        progress: ProgressFn<'a>,
    ) -> BoxFuture<'a, Result<Prepared, RuntimeError>>;

    /// Starts what was prepared and resolves as soon as it runs. Something that was started before,
    /// running or ended, is not started again: the same answer as then. [`RuntimeError::Gone`] when
    /// it was never prepared, or was removed.
    fn start<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<Started, RuntimeError>>;

    /// Resolves when the task may take traffic: at once without a health check, with one when it
    /// has passed for the first time. Never resolves with `Ok` for a task that ended before;
    /// [`RuntimeError::Gone`] then, and `wait` says why.
    fn ready<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Resolves when the task has ended, with how, however long ago that was. A task whose health
    /// check gives up is stopped by the runtime itself, within the spec's grace, and then is
    /// [`EndCause::Unhealthy`]. Something removed behind our back while waiting is
    /// [`EndCause::RemovedOutside`]; [`RuntimeError::Gone`] if it was not there at the call.
    fn wait<'a>(&'a self, workload: &'a Workload) -> BoxFuture<'a, Result<TaskEnd, RuntimeError>>;

    /// Asks the task to end with its stop signal, kills it after `grace`, and resolves when it has
    /// ended. A task that was created and never started can be started no more. Nothing there:
    /// success.
    fn stop<'a>(&'a self, task: Id, grace: Duration) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Takes away all that is left of the task, its output too; ends it first, without grace, if it
    /// runs. Nothing there: success.
    fn remove(&self, task: Id) -> BoxFuture<'_, Result<(), RuntimeError>>;

    /// All that this runtime has for tasks of `node`, and of no other node, in the order of their
    /// ids.
    fn list(&self, node: Id) -> BoxFuture<'_, Result<Vec<FoundTask>, RuntimeError>>;

    /// What this runtime notices by itself, now and whenever that changes. None where there is
    /// nothing to notice.
    fn noticed(&self) -> Option<watch::Receiver<Noticed>> {
        None
    }

    /// The task's output, also after its end. [`RuntimeError::Gone`] where nothing was started or
    /// it was removed; [`RuntimeError::Rejected`] where the log driver cannot be read. With
    /// `follow` the stream ends after the task's end.
    fn logs(&self, task: Id, query: LogQuery) -> BoxFuture<'_, Result<LogStream, RuntimeError>>;
}
