//! Where a task stands, read from its folder and nothing else: so an agent that was started a moment ago
//! knows as much as the one that started the task.

use super::{
    boot, cgroup,
    folder::Folder,
    held::Held,
    notes::{Cause, Ending, Running},
    shim::now_ns,
    watch::Watches,
};
use crate::runtime::{Ended, Started};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use skep_proto::{Timestamp, v1::EndCause};
use std::io;

/// Where a task stands.
pub(super) enum Standing {
    /// Nothing is here.
    Absent,
    /// Prepared; never started.
    Planned,
    /// Its shim lives and has not said that the program runs.
    Starting(Held),
    /// Its shim lives and the program ran when it last spoke.
    Runs(Running, Held),
    /// It ended; without a note of its start it never ran.
    Over(Option<Running>, Ending),
}

/// Looks. What a shim that was killed, or a machine that went down, left behind is cleared away first and
/// written down as ended.
pub(super) fn look(folder: &Folder) -> io::Result<Standing> {
    if !folder.is_prepared() {
        return Ok(Standing::Absent);
    }
    // In this order: a shim writes its last note before it lets go.
    let held = Held::open(&folder.alive())?;
    let running = folder.running()?;
    if let Some(held) = held {
        return Ok(match running {
            Some(running) => Standing::Runs(running, held),
            None => Standing::Starting(held),
        });
    }
    match (folder.ended()?, running) {
        (Some(ending), running) => Ok(Standing::Over(running, ending)),
        (None, Some(running)) => {
            let ending = bury(folder, &running)?;
            Ok(Standing::Over(Some(running), ending))
        }
        (None, None) => Ok(Standing::Planned),
    }
}

/// Looks again whenever something changes, until the task is no longer starting.
pub(super) async fn look_settled(folder: &Folder, watches: &Watches) -> io::Result<Standing> {
    loop {
        match look(folder)? {
            Standing::Starting(_) => {}
            settled @ (Standing::Absent | Standing::Planned | Standing::Runs(..) | Standing::Over(..)) => {
                return Ok(settled);
            }
        }
        // Only a start that somebody else began comes here. Watched first and looked at again, or news are
        // missed.
        let mut watch = watches.watch(folder.path())?;
        if let Standing::Starting(held) = look(folder)? {
            tokio::select! {
                changed = watch.changed() => changed?,
                released = held.released() => released?,
            }
        }
    }
}

/// Waits until a task that is planned is so no longer.
pub(super) async fn until_begun(folder: &Folder, watches: &Watches) -> io::Result<()> {
    let mut watch = watches.watch(folder.path())?;
    while let Standing::Planned = look(folder)? {
        watch.changed().await?;
    }
    Ok(())
}

/// The shim is gone without a word: kills what it left, and writes the end down in its place.
fn bury(folder: &Folder, running: &Running) -> io::Result<Ending> {
    let groups = folder.plan()?.map(|plan| plan.groups).unwrap_or_default();
    let rebooted = running.boot != boot::boot_id();
    let (cause, error) = if rebooted {
        (Cause::Reboot, "the machine went down while it ran")
    } else {
        if boot::is_same(running) {
            let _ = killpg(Pid::from_raw(running.pid), Signal::SIGKILL);
        }
        for pid in cgroup::processes(&groups) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        (Cause::KilledOutside, "somebody killed the shim that watched over it, so it was ended")
    };
    cgroup::remove(&groups);
    let ending = Ending { cause, error: error.into(), at: now_ns(), ..Ending::default() };
    folder.write_ended(&mut folder.draft_ending()?, &ending)?;
    Ok(folder.ended()?.unwrap_or(ending))
}

/// The start, as runtimes tell it.
pub(super) fn started(running: &Running) -> Started {
    Started { container_ref: format!("process-{}", running.pid), pid: running.pid, ports: Vec::new() }
}

/// The end, as runtimes tell it.
pub(super) fn ended(ending: &Ending) -> Ended {
    let cause = match ending.cause {
        Cause::Itself | Cause::NotStarted => EndCause::Itself,
        Cause::Asked => EndCause::Asked,
        Cause::KilledOutside => EndCause::KilledOutside,
        Cause::StoppedOutside => EndCause::StoppedOutside,
        Cause::Reboot => EndCause::Reboot,
    };
    let error = match (ending.cause, Signal::try_from(ending.signal)) {
        _ if !ending.error.is_empty() => ending.error.clone(),
        (Cause::KilledOutside, Ok(signal)) => format!("killed by {signal}, which skep did not send"),
        (Cause::StoppedOutside, _) => "somebody ended the shim that watched over it, and it with it".into(),
        (Cause::Itself | Cause::NotStarted | Cause::Asked | Cause::KilledOutside | Cause::Reboot, _) => {
            String::new()
        }
    };
    Ended {
        exit_code: ending.exit_code,
        signal: ending.signal,
        out_of_memory: ending.out_of_memory,
        cause,
        error,
        at: Timestamp(ending.at),
    }
}
