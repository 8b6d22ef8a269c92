//! The notes in a task's folder: the plan, the running process, the end.
//!
//! The agent that planned a task may be gone when the shim writes down its end, and the next one
//! may be newer. So the notes are JSON, for people to read too; every field that was added later
//! has a default.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// What the shim is to do: settled by the agent, with nothing left to look up.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProcessPlan {
    /// The task's id, in text.
    pub task: String,
    /// The node it was planned for, in text.
    pub node: String,
    /// `SERVICE.SLOT`, for people who look at the folder.
    pub name: String,
    /// The service's id, in text.
    pub service: String,
    /// The program's file, an absolute path.
    pub program: PathBuf,
    /// What the program sees as its own name.
    pub arg0: String,
    /// Its arguments and environment, in a file of their own.
    #[serde(skip)]
    pub surroundings: ProgramInput,
    /// Its working directory.
    pub dir: PathBuf,
    /// Whom it runs as, where that is not the agent's own user.
    pub account: Option<Account>,
    /// The signal that asks it to end.
    pub stop_signal: i32,
    /// Control groups that it is put into, made by the shim and taken away by it: for its limits,
    /// and to find every process of the task.
    pub groups: Vec<ControlGroup>,
    /// Limits of the process itself.
    pub ulimits: Vec<ProcessLimit>,
    /// Added to its badness when memory runs out, whatever the agent's own is.
    pub oom_score_adj: i64,
    /// A log file that has reached this size is put aside, and the one that was aside is deleted.
    pub log_file_bytes_max: u64,
}

/// What the program is given. It may be as large as a command, and is needed only at the start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProgramInput {
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
}

/// A user with all groups, by number.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    /// User.
    pub uid: u32,
    /// Main group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// One control group and what is written into it, in this order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ControlGroup {
    /// Its folder.
    pub path: PathBuf,
    /// File name and content.
    pub settings: Vec<(String, String)>,
}

/// One limit of the process, by the name that `setrlimit` has for it, in lower case: `nofile`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProcessLimit {
    /// Which.
    pub name: String,
    /// May be raised up to `hard` by the process; negative is without limit.
    pub soft: i64,
    /// Negative is without limit.
    pub hard: i64,
}

/// A process that was started.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RunningProcess {
    /// Its number, which is its process group's too.
    pub pid: i32,
    /// The boot that it was started in: after another boot the number means nothing.
    pub boot: String,
    /// Its start in clock ticks since that boot: a number that was given again has another.
    pub start_ticks: u64,
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProcessEnding {
    /// 128 + N for a death by signal N; none where the program never ran, or nobody saw its end.
    pub exit_code: Option<i32>,
    /// 0 for none.
    pub signal: i32,
    /// The kernel killed something in its control group for lack of memory.
    pub out_of_memory: bool,
    /// Who ended it.
    pub cause: Cause,
    /// Words for people.
    pub error: String,
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
}

/// Who ended it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// The program.
    #[default]
    Itself,
    /// The agent.
    Asked,
    /// Somebody who sent a signal to the process, or killed its shim.
    KilledOutside,
    /// Somebody who asked the shim to end.
    StoppedOutside,
    /// The machine, which went down with it.
    Reboot,
    /// It was never started: the program could not be run.
    NotStarted,
    /// The agent, since a file that tells of the task could not be read.
    NotesDamaged,
    /// Somebody removed its folder while it ran.
    FolderRemoved,
}
