//! Starting the program, through the launch stage.

use super::super::boot;
use crate::runtime::process::{
    folder::Folder,
    notes::{ProcessPlan, RunningProcess},
    remains::{NODE_VARIABLE, TASK_VARIABLE},
};
use crate::wall::now_ns;
use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    process::{ChildStderr, ChildStdout, Command, Stdio},
};

/// This very binary, even when its file has been replaced since.
const SELF: &str = "/proc/self/exe";
/// Longest message of the launch stage about a start that went wrong; more is cut.
const LAUNCH_MESSAGE_BYTES_MAX: u64 = 4096;

/// A program that runs.
pub(super) struct StartedProgram {
    pub(super) running: RunningProcess,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Starts it in a group of its own; resolves when the program itself, not only its process, runs.
pub(super) fn start(folder: &Folder, plan: &ProcessPlan) -> io::Result<StartedProgram> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(SELF);
    // The small binary of the tests has no subcommands: both are distinguished by the arguments
    // after `shim`.
    command.args(super::launch::arguments()).arg(folder.path()).env_clear().stdin(writer);
    command.env(TASK_VARIABLE, &plan.task).env(NODE_VARIABLE, &plan.node);
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| super::launch::explain(plan, &error))?;
    // The command holds the writing end of the launch stage's pipe: with it open the pipe would
    // never end.
    drop(command);
    let mut message = String::new();
    let _ = reader.take(LAUNCH_MESSAGE_BYTES_MAX).read_to_string(&mut message);
    if !message.is_empty() {
        let _ = child.wait();
        return Err(io::Error::other(message.trim_end().to_owned()));
    }
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let (_, start_ticks) = boot::parent_and_start(pid).unwrap_or_default();
    let running = RunningProcess { pid, boot: boot::boot_id(), start_ticks, at: now_ns() };
    match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok(StartedProgram { running, stdout, stderr }),
        (Some(_) | None, _) => Err(io::Error::other("the program has no output pipes")),
    }
}
