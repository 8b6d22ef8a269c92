//! Many processes in one thread, from one seed, in a time of their own: what raft runs on in the
//! simulator.
//!
//! Which of the ready tasks runs next is drawn; when none is ready, time goes on to the next timer.
//! A process can be killed, which drops its tasks where they stand, or stand still for a while, as
//! a suspended machine does. One seed always gives the same run.

use futures::future::BoxFuture;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

thread_local! {
    static HERE: RefCell<Option<(VirtualTime, Process)>> = const { RefCell::new(None) };
}

/// A world of processes. Handles are cheap.
#[derive(Clone)]
pub(crate) struct VirtualTime(Arc<Mutex<State>>);

/// What is killed, and what stands still, as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process(u32);

struct State {
    now: Duration,
    dice: u64,
    tasks: BTreeMap<u64, Task>,
    ready: Vec<u64>,
    still: BTreeMap<Process, Standstill>,
    /// How far a process's clock is behind the world's, for standing still.
    behind: BTreeMap<Process, Duration>,
    /// How long a process's disk takes for one sync, at most.
    disks: BTreeMap<Process, Duration>,
    timers: BTreeMap<(Duration, u64), Waker>,
    /// Numbers of tasks, timers and processes.
    next: u64,
    steps: u64,
    /// A digest of all steps: which task ran when, and what was drawn.
    digest: u64,
}

struct Task {
    process: Process,
    /// None while it runs.
    future: Option<BoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
}

/// A process that stands still.
struct Standstill {
    since: Duration,
    clock: ProcessClock,
    /// Its tasks that became ready meanwhile.
    ready: Vec<u64>,
}

/// What a process's clock does while it stands still.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessClock {
    /// As that of a process that was stopped by a signal.
    GoesOn,
    /// As that of a machine that was suspended.
    StandsStill,
}

struct TaskWaker {
    world: VirtualTime,
    task: u64,
    /// Whether it waits for its turn.
    ready: AtomicBool,
}

/// The world whose task this thread runs.
pub(crate) fn here() -> Option<VirtualTime> {
    HERE.with_borrow(|here| here.as_ref().map(|(world, _)| world.clone()))
}

fn process_here() -> Process {
    HERE.with_borrow(|here| here.as_ref().map_or(Process(0), |(_, process)| *process))
}

impl VirtualTime {
    pub(crate) fn new(seed: u64) -> VirtualTime {
        VirtualTime(Arc::new(Mutex::new(State {
            now: Duration::ZERO,
            dice: seed,
            tasks: BTreeMap::new(),
            ready: Vec::new(),
            still: BTreeMap::new(),
            behind: BTreeMap::new(),
            disks: BTreeMap::new(),
            timers: BTreeMap::new(),
            next: 0,
            steps: 0,
            digest: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the world began, by the clock of the process whose task this thread runs.
    pub(crate) fn now(&self) -> Duration {
        self.state().now_in(process_here())
    }

    /// How many steps were taken, and a digest of them: the same for two runs that are the same.
    pub(crate) fn steps(&self) -> (u64, u64) {
        let state = self.state();
        (state.steps, state.digest)
    }

    /// The next number that is drawn.
    pub(crate) fn draw(&self) -> u64 {
        self.state().draw()
    }

    /// A number below `end`; 0 when that is 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.state().below(end)
    }

    /// A new process, without tasks.
    pub(crate) fn process(&self) -> Process {
        Process(self.state().number() as u32)
    }

    /// Starts a task in the process whose task this thread runs.
    pub(crate) fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.spawn_in(process_here(), future);
    }

    /// Starts a task in a process.
    pub(crate) fn spawn_in(&self, process: Process, future: BoxFuture<'static, ()>) {
        let mut state = self.state();
        let task = state.number();
        let waker =
            Arc::new(TaskWaker { world: self.clone(), task, ready: AtomicBool::new(false) });
        state.tasks.insert(task, Task { process, future: Some(future), waker: waker.clone() });
        drop(state);
        waker.wake();
    }

    /// Drops all tasks of a process where they stand.
    pub(crate) fn kill(&self, process: Process) {
        let mut state = self.state();
        let killed: Vec<Task> = state
            .tasks
            .extract_if(.., |_, task| task.process == process)
            .map(|(_, task)| task)
            .collect();
        state.still.remove(&process);
        state.disks.remove(&process);
        state.behind.remove(&process);
        drop(state);
        self.enter(process, || drop(killed));
    }

    /// No task of the process runs from now on, until it resumes.
    pub(crate) fn stand_still(&self, process: Process, clock: ProcessClock) {
        let mut state = self.state();
        let since = state.now;
        state.still.entry(process).or_insert(Standstill { since, clock, ready: Vec::new() });
    }

    /// The process goes on; what became due meanwhile, by its clock, is due now.
    pub(crate) fn resume(&self, process: Process) {
        let mut state = self.state();
        let Some(Standstill { since, clock, ready }) = state.still.remove(&process) else { return };
        if clock == ProcessClock::StandsStill {
            let stood = state.now - since;
            *state.behind.entry(process).or_default() += stood;
        }
        state.ready.extend(ready);
    }

    /// How long one sync of the process's disk takes from now on, at most.
    pub(crate) fn slow_disk(&self, process: Process, sync: Duration) {
        self.state().disks.insert(process, sync);
    }

    /// Waits for as long as this process's disk takes to sync.
    pub(crate) fn sync_disk(&self) -> VirtualSleep {
        let mut state = self.state();
        let most = state.disks.get(&process_here()).copied().unwrap_or_default();
        let took = Duration::from_micros(state.below(most.as_micros() as u64));
        drop(state);
        self.sleep(took)
    }

    /// Drops all tasks: nothing happens any more.
    pub(crate) fn end(&self) {
        let tasks = std::mem::take(&mut self.state().tasks);
        self.enter(Process(0), || drop(tasks));
    }

    /// Waits until the world is so old, by the clock of the process whose task this thread runs.
    pub(crate) fn sleep_until(&self, deadline: Duration) -> VirtualSleep {
        VirtualSleep { world: self.clone(), process: process_here(), deadline, timer: None }
    }

    /// Waits for so long.
    pub(crate) fn sleep(&self, duration: Duration) -> VirtualSleep {
        self.sleep_until(self.now().saturating_add(duration))
    }

    /// Runs the world until `future` is done, which is polled as a task of no process.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        let mut future = pin!(future);
        loop {
            while woken.0.swap(false, SeqCst) {
                let mut context = Context::from_waker(&waker);
                let polled = self.enter(Process(0), || future.as_mut().poll(&mut context));
                if let Poll::Ready(value) = polled {
                    return value;
                }
            }
            assert!(self.step(), "nothing is ready, and no timer runs: all wait for each other");
        }
    }

    /// Runs what is no task of its own in this world.
    #[cfg(test)]
    pub(crate) fn run<T>(&self, run: impl FnOnce() -> T) -> T {
        self.enter(Process(0), run)
    }

    fn enter<T>(&self, process: Process, run: impl FnOnce() -> T) -> T {
        let before = HERE.replace(Some((self.clone(), process)));
        let _guard = Restored(before);
        run()
    }

    /// Runs one task, or goes on to the next timer. False where there is neither.
    fn step(&self) -> bool {
        let mut state = self.state();
        let Some((number, waker, process, mut future)) = state.take_ready() else {
            return self.next_timer(state);
        };
        drop(state);
        waker.ready.store(false, SeqCst);
        let waker = Waker::from(waker);
        let mut context = Context::from_waker(&waker);
        let polled = self.enter(process, || future.as_mut().poll(&mut context));
        let mut state = self.state();
        let ended = match (polled, state.tasks.get_mut(&number)) {
            (Poll::Pending, Some(task)) => {
                task.future = Some(future);
                return true;
            }
            // It is done, or it killed its own process.
            (Poll::Ready(()) | Poll::Pending, _) => state.tasks.remove(&number),
        };
        drop(state);
        self.enter(process, || drop((ended, future)));
        true
    }

    fn next_timer(&self, mut state: MutexGuard<'_, State>) -> bool {
        let Some(((deadline, _), waker)) = state.timers.pop_first() else { return false };
        state.now = state.now.max(deadline);
        drop(state);
        waker.wake();
        true
    }
}

type ReadyTask = (u64, Arc<TaskWaker>, Process, BoxFuture<'static, ()>);

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn behind(&self, process: Process) -> Duration {
        self.behind.get(&process).copied().unwrap_or_default()
    }

    fn now_in(&self, process: Process) -> Duration {
        self.now - self.behind(process)
    }

    /// splitmix64
    fn draw(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn count(&mut self, task: u64) {
        self.steps += 1;
        let step = self.now.as_nanos() as u64 ^ task.rotate_left(32) ^ self.dice;
        self.digest = (self.digest.rotate_left(5) ^ step).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.draw() % end }
    }

    /// One of the ready tasks that may run.
    fn take_ready(&mut self) -> Option<ReadyTask> {
        while !self.ready.is_empty() {
            let drawn = self.below(self.ready.len() as u64) as usize;
            let number = self.ready.swap_remove(drawn);
            let Some(task) = self.tasks.get_mut(&number) else { continue };
            if let Some(waiting) = self.still.get_mut(&task.process) {
                waiting.ready.push(number);
            } else if let Some(future) = task.future.take() {
                let taken = (number, task.waker.clone(), task.process, future);
                self.count(number);
                return Some(taken);
            }
        }
        None
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<TaskWaker>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<TaskWaker>) {
        if !self.ready.swap(true, SeqCst) {
            self.world.state().ready.push(self.task);
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, SeqCst);
    }
}

struct Restored(Option<(VirtualTime, Process)>);

impl Drop for Restored {
    fn drop(&mut self) {
        HERE.replace(self.0.take());
    }
}

/// Waits for a moment.
pub(crate) struct VirtualSleep {
    world: VirtualTime,
    process: Process,
    deadline: Duration,
    timer: Option<(Duration, u64)>,
}

impl VirtualSleep {
    fn forget(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.world.state().timers.remove(&timer);
        }
    }
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.forget();
        let world = self.world.clone();
        let mut state = world.state();
        if state.now_in(self.process) >= self.deadline {
            return Poll::Ready(());
        }
        // Its clock may stand still before that: then it looks again.
        let due = self.deadline.saturating_add(state.behind(self.process));
        let timer = (due, state.number());
        state.timers.insert(timer, context.waker().clone());
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for VirtualSleep {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests;
