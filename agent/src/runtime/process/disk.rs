//! Work that waits for the disk or the kernel, on threads of its own.
//!
//! The agent's heartbeats, and in a daemon the manager, share a few threads with the steps of
//! tasks. A step that waited for the disk on one of them would stop the heartbeats, and the cluster
//! would declare the node down.
//!
//! Work is limited, so that many tasks at once do not take all memory and all processors. Work that
//! hangs (on a network share that is gone, say) must not hold up other tasks: each kind has permits
//! of its own, and gives its permit to the next one after a while.

use std::{io, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// Steps of each kind of work that wait for the disk at the same time; the others wait for their
/// turn.
const DISK_WORK_MAX: usize = 8;
/// Work that takes longer than this hangs, or nearly so: it gives its permit to the next one and
/// goes on.
const DISK_PERMIT_LIMIT: Duration = Duration::from_secs(1);

static LOOKS: Semaphore = Semaphore::const_new(DISK_WORK_MAX);
static CHANGES: Semaphore = Semaphore::const_new(DISK_WORK_MAX);
static PLANS: Semaphore = Semaphore::const_new(DISK_WORK_MAX);

/// A kind of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DiskWork {
    /// Reads a task's files.
    Look,
    /// Writes or removes a task's files, or starts its shim.
    Change,
    /// Looks for what a task names (its program, its working directory) wherever that is, and makes
    /// its folder.
    Plan,
}

impl DiskWork {
    fn permits(self) -> &'static Semaphore {
        match self {
            DiskWork::Look => &LOOKS,
            DiskWork::Change => &CHANGES,
            DiskWork::Plan => &PLANS,
        }
    }
}

/// Runs the work on another thread. If the caller is dropped, work that has begun goes on to its
/// end.
pub(super) async fn on_disk<T: Send + 'static>(
    kind: DiskWork,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = kind.permits().acquire().await.map_err(io::Error::other)?;
    let mut work = std::pin::pin!(aside(work));
    match timeout(DISK_PERMIT_LIMIT, &mut work).await {
        Ok(done) => done?,
        Err(_) => {
            drop(permit);
            work.await?
        }
    }
}

/// Runs work that looks at processes, and may wait for the kernel to end them, on another thread.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// As many steps as there are permits hang.
    fn hang(kind: DiskWork) -> mpsc::Sender<()> {
        let (release, hanging) = mpsc::channel::<()>();
        let hanging = std::sync::Arc::new(std::sync::Mutex::new(hanging));
        for _ in 0..DISK_WORK_MAX {
            let hanging = hanging.clone();
            tokio::spawn(on_disk(kind, move || {
                let _ = hanging.lock().map(|hanging| hanging.recv());
                Ok(())
            }));
        }
        release
    }

    #[tokio::test]
    async fn work_that_hangs_holds_up_no_other_kind_and_its_own_only_for_a_moment() {
        let release = hang(DiskWork::Plan);
        tokio::task::yield_now().await;
        let soon = DISK_PERMIT_LIMIT / 2;
        timeout(soon, on_disk(DiskWork::Look, || Ok(()))).await.unwrap().unwrap();
        timeout(10 * DISK_PERMIT_LIMIT, on_disk(DiskWork::Plan, || Ok(()))).await.unwrap().unwrap();
        drop(release);
    }
}
