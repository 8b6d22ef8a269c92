//! Where a task is, read from its folder and nothing else: so an agent that was started a moment
//! ago knows as much as the one that started the task. What the files mean is decided in
//! [`super::evidence`]; here they are read, and what a dead shim left behind is cleared away.

use super::{
    boot, cgroup, disk, evidence,
    folder::{self, damaged},
    held, notes, remains, watch,
};
use crate::{
    runtime::{Started, TaskEnd},
    wall::now_ns,
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use skep_proto::{Id, Timestamp, v1::EndCause};
use std::io;

/// Where a task is.
pub(super) enum ProcessState {
    /// Nothing is here.
    Absent,
    /// Prepared; never started.
    Planned,
    /// Its shim lives and has not said that the program runs.
    Starting(held::HeldFifo),
    /// Its shim lives and the program ran when it last spoke.
    Runs(notes::RunningProcess, held::HeldFifo),
    /// Its shim lives, and the task cannot go on: it must be stopped, and this will be its end.
    MustEnd(Option<notes::RunningProcess>, notes::ProcessEnding, held::HeldFifo),
    /// It ended; without a note of its start it never ran.
    Over(Option<notes::RunningProcess>, notes::ProcessEnding),
}

/// Looks, on another thread.
pub(super) async fn look(task: Id, folder: &folder::Folder) -> io::Result<ProcessState> {
    let folder = folder.clone();
    disk::on_disk(disk::DiskWork::Look, move || look_now(task, &folder)).await
}

/// Looks. What a shim that was killed, or a machine that went down, left behind is cleared away
/// first and written down as ended.
pub(super) fn look_now(task: Id, folder: &folder::Folder) -> io::Result<ProcessState> {
    // In this order: a shim writes its last note before it lets go.
    let (shim, held) = match held::HeldFifo::open(&folder.alive()) {
        Ok(Some(held)) => (evidence::ShimState::Lives, Some(held)),
        Ok(None) => (evidence::ShimState::Gone, None),
        Err(error) if folder::is_passing(&error) => return Err(error),
        Err(error) => match damaged::<()>(&folder.alive(), &error) {
            folder::NoteFile::Damaged(message) => (evidence::ShimState::Unknown(message), None),
            folder::NoteFile::Absent | folder::NoteFile::Read(()) => {
                (evidence::ShimState::Gone, None)
            }
        },
    };
    let evidence = evidence::Evidence {
        folder: folder.path().display().to_string(),
        shim,
        running: folder.running()?,
        plan: match folder.plan()? {
            folder::NoteFile::Read(_) => folder::NoteFile::Read(()),
            folder::NoteFile::Absent => folder::NoteFile::Absent,
            folder::NoteFile::Damaged(message) => folder::NoteFile::Damaged(message),
        },
        ended: folder.ended()?,
        boot: boot::boot_id(),
        now: now_ns(),
    };
    Ok(match (evidence.judge(), held) {
        (evidence::Finding::Absent, _) => ProcessState::Absent,
        (evidence::Finding::Planned, _) => ProcessState::Planned,
        (evidence::Finding::Over(running, ending), _) => ProcessState::Over(running, ending),
        (evidence::Finding::Starting, Some(held)) => ProcessState::Starting(held),
        (evidence::Finding::Runs(running), Some(held)) => ProcessState::Runs(running, held),
        (evidence::Finding::MustEnd(running, ending), Some(held)) => {
            ProcessState::MustEnd(running, ending, held)
        }
        (evidence::Finding::Orphaned(running, ending), _) => {
            end_orphaned(task, folder, running, ending)?
        }
        // These three are only found where the shim lives.
        (evidence::Finding::Starting, None) => ProcessState::Planned,
        (evidence::Finding::Runs(running), None) => {
            ProcessState::Over(Some(running), notes::ProcessEnding::default())
        }
        (evidence::Finding::MustEnd(running, ending), None) => ProcessState::Over(running, ending),
    })
}

/// Ends what a dead shim left, and writes the end down for it.
pub(super) fn end_orphaned(
    task: Id,
    folder: &folder::Folder,
    running: Option<notes::RunningProcess>,
    ending: notes::ProcessEnding,
) -> io::Result<ProcessState> {
    // Whoever copied a state folder has not made its tasks ours.
    if let Some(other) = remains::shim_elsewhere(task, folder.path()) {
        let message = format!(
            "it runs under {}, of which {} is a copy",
            other.display(),
            folder.path().display()
        );
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
    }
    let groups = folder.plan()?.read().map(|plan| plan.groups).unwrap_or_default();
    if let Some(running) = running.as_ref().filter(|running| boot::is_same(running)) {
        let _ = killpg(Pid::from_raw(running.pid), Signal::SIGKILL);
    }
    remains::kill_all(task, &groups);
    cgroup::remove(&groups);
    folder.end(&ending)?;
    let ending = folder.ended()?.read().unwrap_or(ending);
    Ok(ProcessState::Over(running, ending))
}

/// Looks again whenever something changes, until the task is no longer starting.
pub(super) async fn look_settled(
    task: Id,
    folder: &folder::Folder,
    watches: &watch::Watches,
) -> io::Result<ProcessState> {
    loop {
        match look(task, folder).await? {
            ProcessState::Starting(_) => {}
            settled @ (ProcessState::Absent
            | ProcessState::Planned
            | ProcessState::Runs(..)
            | ProcessState::MustEnd(..)
            | ProcessState::Over(..)) => return Ok(settled),
        }
        // Only a start that somebody else began comes here. Watched first and looked at again, or
        // news are missed.
        let mut watch = watches.watch(folder.path())?;
        if let ProcessState::Starting(held) = look(task, folder).await? {
            tokio::select! {
                changed = watch.changed() => changed?,
                released = held.released() => released?,
            }
        }
    }
}

/// Waits until a task that is planned is so no longer.
pub(super) async fn until_begun(
    task: Id,
    folder: &folder::Folder,
    watches: &watch::Watches,
) -> io::Result<()> {
    let mut watch = watches.watch(folder.path())?;
    while let ProcessState::Planned = look(task, folder).await? {
        watch.changed().await?;
    }
    Ok(())
}

/// The start, as runtimes tell it.
pub(super) fn started(running: &notes::RunningProcess) -> Started {
    Started {
        container_ref: format!("process-{}", running.pid),
        pid: running.pid,
        ports: Vec::new(),
    }
}

/// The end, as runtimes tell it.
pub(super) fn ended(ending: &notes::ProcessEnding) -> TaskEnd {
    let cause = match ending.cause {
        notes::Cause::Itself | notes::Cause::NotStarted => EndCause::Itself,
        notes::Cause::Asked => EndCause::Asked,
        notes::Cause::KilledOutside => EndCause::KilledOutside,
        notes::Cause::StoppedOutside => EndCause::StoppedOutside,
        notes::Cause::Reboot => EndCause::Reboot,
        notes::Cause::NotesDamaged => EndCause::NotesDamaged,
        notes::Cause::FolderRemoved => EndCause::RemovedOutside,
    };
    let error = match (ending.cause, Signal::try_from(ending.signal)) {
        _ if !ending.error.is_empty() => ending.error.clone(),
        (notes::Cause::KilledOutside, Ok(signal)) => {
            format!("killed by {signal}, which skep did not send")
        }
        (notes::Cause::StoppedOutside, _) => {
            "somebody ended the shim that watched over it, and it with it".into()
        }
        (
            notes::Cause::Itself
            | notes::Cause::NotStarted
            | notes::Cause::Asked
            | notes::Cause::KilledOutside
            | notes::Cause::Reboot
            | notes::Cause::NotesDamaged
            | notes::Cause::FolderRemoved,
            _,
        ) => String::new(),
    };
    TaskEnd {
        exit_code: ending.exit_code,
        signal: ending.signal,
        out_of_memory: ending.out_of_memory,
        cause,
        error,
        at: Timestamp(ending.at),
    }
}
