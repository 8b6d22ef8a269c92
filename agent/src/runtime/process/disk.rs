//! Work that waits for the disk or the kernel, on threads of its own.
//!
//! The agent's heartbeats, and in a daemon the manager, share a few threads with the steps of
//! tasks. A step that waited for the disk on one of them would stop the heartbeats, and the cluster
//! would declare the node down.

use std::io;
use tokio::sync::Semaphore;

/// Steps of this process that wait for the disk at the same time. The others wait for their turn,
/// so that many tasks at once do not take all memory and all processors.
const DISK_WORK_MAX: usize = 8;

static PERMITS: Semaphore = Semaphore::const_new(DISK_WORK_MAX);

/// Runs the work on another thread. If the caller is dropped, work that has begun goes on to its
/// end.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let _permit = PERMITS.acquire().await.map_err(io::Error::other)?;
    aside(work).await?
}

/// Runs work that looks at processes, and may wait for the kernel to end them, on another thread.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
