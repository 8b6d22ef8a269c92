//! Starts shims, and gives orders to those that run.
//!
//! All of it happens on other threads: to start a program, and to open a FIFO, may wait for the
//! disk.

use super::{disk, folder, remains, shim};
use nix::errno::Errno;
use skep_proto::Id;
use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{io::AsyncReadExt, process::Child};

/// Longest message of a shim about its start, bytes; more is cut.
const SHIM_MESSAGE_BYTES_MAX: u64 = 4096;

/// How to start a shim: a program, and the arguments before the task's folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShimProgram {
    /// An absolute path.
    pub file: PathBuf,
    /// For the binary `skep`: `shim`.
    pub arguments: Vec<OsString>,
}

impl Default for ShimProgram {
    /// This very binary, even when its file has been replaced since it was started.
    fn default() -> ShimProgram {
        ShimProgram { file: "/proc/self/exe".into(), arguments: vec!["shim".into()] }
    }
}

/// Starts a task's shim and waits until it says that the program runs, or why it does not. Says
/// nothing where the task has a shim already: that of a start that nobody waits for any more.
pub(super) async fn start_shim(
    program: &ShimProgram,
    task: Id,
    folder: &folder::Folder,
) -> io::Result<String> {
    let (program, folder) = (program.clone(), folder.clone());
    let mut child =
        disk::on_disk(disk::DiskWork::Change, move || spawn(&program, task, &folder)).await?;
    let mut message = String::new();
    if let Some(said) = child.as_mut().and_then(|child| child.stderr.take()) {
        said.take(SHIM_MESSAGE_BYTES_MAX).read_to_string(&mut message).await?;
    }
    Ok(message)
}

/// None where another shim watches over the task, or has done so: two starts that both found none
/// would run the program twice. A shim holds the lock of its control FIFO as long as it lives, and
/// another start that has just taken it already holds the `alive` FIFO, as who looks next will see.
fn spawn(program: &ShimProgram, task: Id, folder: &folder::Folder) -> io::Result<Option<Child>> {
    let node = folder.plan()?.read().map(|plan| plan.node).unwrap_or_default();
    // The reading ends come first: a FIFO does not open for writing alone.
    let _reader = nonblocking(&folder.alive(), OpenOptions::new().read(true))?;
    let alive = nonblocking(&folder.alive(), OpenOptions::new().write(true))?;
    let control = OpenOptions::new().read(true).write(true).open(folder.control())?;
    match control.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    if folder.was_begun()? {
        return Ok(None);
    }
    let mut command = std::process::Command::new(&program.file);
    command.arg0("skep").args(&program.arguments).arg(folder.path()).env_clear().current_dir("/");
    command.env(remains::TASK_VARIABLE, task.to_string()).env(remains::NODE_VARIABLE, node);
    command.stdin(control).stdout(alive).stderr(Stdio::piped());
    // The command holds the ends that only the shim may hold, and is dropped with them.
    tokio::process::Command::from(command).spawn().map(Some)
}

/// Gives a shim an order. Where there is no shim, or one that does not read any more, the wait for
/// its end says so.
pub(super) async fn order(folder: &folder::Folder, order: shim::ShimOrder) -> io::Result<()> {
    let control = folder.control();
    let sent = disk::aside(move || {
        nonblocking(&control, OpenOptions::new().write(true))?.write_all(order.line().as_bytes())
    });
    match sent.await? {
        Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

fn nonblocking(fifo: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.custom_flags(nix::libc::O_NONBLOCK).open(fifo)
}
