//! The runtime that openraft sees: tokio's, but its tasks run on whichever thread has work for
//! them. In the simulator all of it is virtual: tasks, time and chance.

mod random;
mod time;
mod watch;

pub(super) use time::RaftInstant;
pub(super) use watch::{RaftWatch, WatchReceiver, WatchSender};

use super::{
    tasks::{self, RaftTaskError, TaskHandle},
    virtual_time,
};
#[allow(deprecated, reason = "the same type under the name of one more crate to pin")]
use openraft::impls::TokioRuntime as Tokio;
use openraft::{AsyncRuntime, OptionalSend, async_runtime::Instant};
use std::{io, time::Duration};

/// Tokio's channels, our own tasks, timers and watch.
#[derive(Debug)]
pub(crate) struct TaskRuntime(Tokio);

/// Starts a task beside raft's: on the thread of raft's runtime, whoever runs raft's own tasks.
pub(crate) fn spawn_beside(future: impl Future<Output = ()> + Send + 'static) {
    match virtual_time::here() {
        Some(world) => world.spawn(Box::pin(future)),
        None => drop(tokio::spawn(future)),
    }
}

/// Runs what blocks on a thread of its own. Virtual threads have none: there it runs when the disk
/// would have answered.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    match virtual_time::here() {
        Some(world) => {
            world.sync_disk().await;
            Ok(run())
        }
        None => tokio::task::spawn_blocking(run).await.map_err(io::Error::other),
    }
}

/// Waits for a future, but not longer than that.
#[cfg(any(test, feature = "model"))]
pub(crate) async fn within<F: Future + Send>(
    limit: Duration,
    future: F,
) -> Result<F::Output, time::TimedOut> {
    TaskRuntime::timeout(limit, future).await
}

impl AsyncRuntime for TaskRuntime {
    type JoinError = RaftTaskError;
    type JoinHandle<T: OptionalSend + 'static> = TaskHandle<T>;
    type Sleep = time::RaftSleep;
    type Instant = time::RaftInstant;
    type TimeoutError = time::TimedOut;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = time::RaftTimeout<T>;
    type ThreadLocalRng = random::RaftDice;
    type Mpsc = <Tokio as AsyncRuntime>::Mpsc;
    type Watch = watch::RaftWatch;
    type Oneshot = <Tokio as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> TaskHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        tasks::spawn(future)
    }

    fn sleep(duration: Duration) -> time::RaftSleep {
        Self::sleep_until(time::RaftInstant::now() + duration)
    }

    fn sleep_until(deadline: time::RaftInstant) -> time::RaftSleep {
        time::RaftSleep::until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Self::timeout_at(time::RaftInstant::now() + duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: time::RaftInstant,
        future: F,
    ) -> Self::Timeout<R, F> {
        time::RaftTimeout::new(deadline, future)
    }

    fn is_panic(end: &RaftTaskError) -> bool {
        *end == RaftTaskError::Panicked
    }

    fn thread_rng() -> random::RaftDice {
        random::RaftDice::here()
    }

    fn new(threads: usize) -> TaskRuntime {
        TaskRuntime(Tokio::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        match virtual_time::here() {
            Some(world) => world.block_on(future),
            None => self.0.block_on(future),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::virtual_time::VirtualTime;
    use openraft_rt::testing::Suite;

    #[test]
    fn the_library_s_own_suite_passes_on_threads() {
        Suite::<TaskRuntime>::test_all_on(&mut TaskRuntime::new(2));
    }

    #[test]
    fn the_library_s_own_suite_passes_in_virtual_time() {
        for seed in 0..20 {
            VirtualTime::new(seed)
                .run(|| Suite::<TaskRuntime>::test_all_on(&mut TaskRuntime::new(1)));
        }
    }
}
