//! Raft's tasks, run by whichever thread has work for them.
//!
//! In a virtual machine it costs tens of microseconds to wake another thread, which is more than
//! raft does for one entry. So its tasks are not bound to a thread: one thread at a time runs them,
//! either raft's own or that of a caller who proposes while all of them are idle. When such a
//! caller's run ends, its entry has been written, synced and applied, and no other thread was
//! woken. What a caller does not finish soon, raft's own thread takes over.

use super::virtual_time;
use futures::{
    FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered, task::AtomicWaker,
};
use std::{
    cell::RefCell,
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic, atomic::Ordering::AcqRel},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::oneshot, task::unconstrained};

/// Rounds of one run: so often are all tasks polled that became ready. What is ready then is run
/// later, by raft's own thread.
const RUN_ROUNDS_MAX: u32 = 64;
/// Entries that a caller's run writes, at most: its own. Others go to the writer's thread.
const CALLER_WRITES_MAX: u32 = 1;
/// A caller's run that takes longer hangs in a slow disk: its runtime is then made to go on without
/// its thread.
const CALLER_RUN_SLOW_AFTER: Duration = Duration::from_millis(20);
/// How often raft's own thread looks for such a run. It wakes as often for its timers.
const CALLER_WATCH_PERIOD: Duration = Duration::from_millis(100);

/// No task is ready.
const IDLE: u8 = 0;
/// Raft's own thread was woken to run them.
const CALLED: u8 = 1;
/// A thread runs them.
const RUNNING: u8 = 2;
/// A thread runs them, and others became ready meanwhile.
const AGAIN: u8 = 3;
/// They are gone.
const CLOSED: u8 = 4;

thread_local! {
    static HERE: RefCell<Option<CurrentThread>> = const { RefCell::new(None) };
}

/// What a thread knows of the tasks that it runs.
struct CurrentThread {
    tasks: Arc<RaftTasks>,
    thread: Thread,
}

/// Whose thread it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    Raft,
    Caller { writes_left: u32 },
}

/// All tasks of one session.
pub(crate) struct RaftTasks {
    state: atomic::AtomicU8,
    running: Mutex<FuturesUnordered<BoxFuture<'static, ()>>>,
    spawned: Mutex<Vec<BoxFuture<'static, ()>>>,
    own_thread: AtomicWaker,
    /// The caller whose thread runs them: since when, and on which runtime.
    caller: Mutex<Option<(Instant, Handle)>>,
    /// Has the timers, and the threads for what blocks.
    runtime: Handle,
}

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RaftTaskError {
    /// It panicked.
    #[error("the task panicked")]
    Panicked,
    /// It was dropped with all others.
    #[error("the task was dropped")]
    Dropped,
}

/// Waits for a task's result.
pub(crate) struct TaskHandle<T>(oneshot::Receiver<T>, oneshot::Receiver<RaftTaskError>);

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, RaftTaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.0).poll(context) {
            Poll::Ready(Ok(result)) => Poll::Ready(Ok(result)),
            Poll::Ready(Err(_)) => {
                Poll::Ready(Err(self.1.try_recv().unwrap_or(RaftTaskError::Dropped)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Starts a task among those that this thread runs. A thread that runs none gives it to its
/// runtime.
pub(crate) fn spawn<F>(future: F) -> TaskHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let ((send, result), (send_end, end)) = (oneshot::channel(), oneshot::channel());
    let task = async move {
        // Nobody has to wait for it.
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(result) => drop(send.send(result)),
            Err(_) => {
                drop(send_end.send(RaftTaskError::Panicked));
                drop(send);
            }
        }
    };
    if let Some(world) = virtual_time::here() {
        world.spawn(task.boxed());
        return TaskHandle(result, end);
    }
    match HERE.with_borrow(|here| here.as_ref().map(|here| here.tasks.clone())) {
        Some(tasks) => tasks.push(task.boxed()),
        None => drop(tokio::spawn(task)),
    }
    TaskHandle(result, end)
}

/// Whether this thread may write another entry itself, and counts it.
pub(crate) fn may_write_here() -> bool {
    if virtual_time::here().is_some() {
        return false;
    }
    HERE.with_borrow_mut(|here| {
        let Some(here) = here else { return true };
        match &mut here.thread {
            Thread::Raft => true,
            Thread::Caller { writes_left: 0 } => false,
            Thread::Caller { writes_left } => {
                *writes_left -= 1;
                true
            }
        }
    })
}

impl RaftTasks {
    /// Without any task. `runtime` is that of raft's own thread.
    pub(crate) fn new(runtime: Handle) -> Arc<RaftTasks> {
        Arc::new(RaftTasks {
            state: atomic::AtomicU8::new(IDLE),
            running: Mutex::default(),
            spawned: Mutex::default(),
            own_thread: AtomicWaker::new(),
            caller: Mutex::default(),
            runtime,
        })
    }

    /// Makes this thread raft's own: it runs the tasks as long as their runtime runs, and they are
    /// dropped with what this gives.
    pub(crate) fn own(self: &Arc<RaftTasks>) -> OwnedTasks {
        HERE.replace(Some(CurrentThread { tasks: self.clone(), thread: Thread::Raft }));
        let tasks = self.clone();
        self.runtime.spawn(poll_fn(move |context| {
            tasks.own_thread.register(context.waker());
            if tasks.enter(CALLED) {
                tasks.run(None);
            }
            Poll::<()>::Pending
        }));
        // A timer of its own: a caller's run may have used up the wakers of all tasks before it
        // hangs, so that nothing that becomes ready is heard of any more.
        let tasks = self.clone();
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(CALLER_WATCH_PERIOD).await;
                tasks.help_caller();
            }
        });
        OwnedTasks(self.clone())
    }

    /// Gives the tasks to this thread if all of them are idle: nobody runs them until it does.
    pub(crate) fn take(self: &Arc<RaftTasks>) -> Option<CallersRun> {
        self.enter(IDLE).then(|| CallersRun(Some(self.clone())))
    }

    fn enter(&self, from: u8) -> bool {
        self.change(from, RUNNING)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, AcqRel, atomic::Ordering::Acquire).is_ok()
    }

    fn push(self: &Arc<RaftTasks>, task: BoxFuture<'static, ()>) {
        if self.state.load(atomic::Ordering::Acquire) != CLOSED {
            self.spawned.lock().unwrap_or_else(PoisonError::into_inner).push(task);
            self.wake_by_ref();
        }
    }

    /// Runs what is ready until nothing is, or until it takes too long. `caller` is the runtime of
    /// the thread that does, if it is not raft's own.
    fn run(self: &Arc<RaftTasks>, caller: Option<Handle>) {
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        let mut running = self.running();
        *self.caller() = caller.map(|runtime| (Instant::now(), runtime));
        self.run_rounds(&mut running, &mut context);
        *self.caller() = None;
    }

    fn run_rounds(
        &self,
        running: &mut FuturesUnordered<BoxFuture<'static, ()>>,
        context: &mut Context<'_>,
    ) {
        for _ in 0..RUN_ROUNDS_MAX {
            if self.state.load(atomic::Ordering::Acquire) == CLOSED {
                return;
            }
            running.extend(self.spawned.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
            // The budget of the task that this thread polls is not ours.
            while pin!(unconstrained(running.next())).poll(context) == Poll::Ready(Some(())) {}
            if self.change(RUNNING, IDLE) {
                return;
            }
            self.state.store(RUNNING, atomic::Ordering::Release);
        }
        self.hand_over();
    }

    /// Gives what this thread has taken to raft's own, unless they are gone.
    fn hand_over(&self) {
        if self.change(RUNNING, CALLED) || self.change(AGAIN, CALLED) {
            self.own_thread.wake();
        }
    }

    /// A caller's thread that hangs in a slow disk may be the one that its runtime waits with for
    /// news from sockets. Any task makes the runtime wake another one.
    fn help_caller(&self) {
        let slow = self.caller().take_if(|(since, _)| since.elapsed() > CALLER_RUN_SLOW_AFTER);
        if let Some((_, runtime)) = slow {
            runtime.spawn(async {});
        }
    }

    fn close(&self) {
        // Whoever runs them ends its run first.
        let mut running = self.running();
        self.state.store(CLOSED, atomic::Ordering::Release);
        let tasks = std::mem::take(&mut *running);
        let spawned =
            std::mem::take(&mut *self.spawned.lock().unwrap_or_else(PoisonError::into_inner));
        drop(running);
        drop((tasks, spawned));
    }

    fn running(&self) -> MutexGuard<'_, FuturesUnordered<BoxFuture<'static, ()>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caller(&self) -> MutexGuard<'_, Option<(Instant, Handle)>> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for RaftTasks {
    fn wake(self: Arc<RaftTasks>) {
        self.wake_by_ref();
    }

    /// A task is ready: whoever runs them looks again, or raft's own thread is woken.
    fn wake_by_ref(self: &Arc<RaftTasks>) {
        let called =
            self.state.fetch_update(AcqRel, atomic::Ordering::Acquire, |state| match state {
                IDLE => Some(CALLED),
                RUNNING => Some(AGAIN),
                _ => None,
            });
        if called == Ok(IDLE) {
            self.own_thread.wake();
        }
    }
}

/// The tasks, on raft's own thread. They are dropped with it.
pub(crate) struct OwnedTasks(Arc<RaftTasks>);

impl Drop for OwnedTasks {
    fn drop(&mut self) {
        self.0.close();
        HERE.take();
    }
}

/// The tasks, taken by a caller's thread. Dropped without a run, raft's own thread gets them back.
pub(crate) struct CallersRun(Option<Arc<RaftTasks>>);

impl CallersRun {
    /// Runs what is ready.
    pub(crate) fn run(mut self) {
        let Some(tasks) = self.0.take() else { return };
        let caller = Handle::try_current().ok();
        let _runtime = tasks.runtime.enter();
        let thread = Thread::Caller { writes_left: CALLER_WRITES_MAX };
        let before = HERE.replace(Some(CurrentThread { tasks: tasks.clone(), thread }));
        tasks.run(caller);
        HERE.replace(before);
    }
}

impl Drop for CallersRun {
    fn drop(&mut self) {
        if let Some(tasks) = &self.0 {
            tasks.hand_over();
        }
    }
}

#[cfg(test)]
mod tests;
