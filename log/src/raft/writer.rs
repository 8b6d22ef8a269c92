//! Who writes for many: whatever has gathered becomes one batch and one sync.
//!
//! There is no timer. While a sync runs, work gathers in the queue; when it returns, all of it goes
//! into the next batch. A single client so waits for one sync, and a thousand share one. Vote,
//! entries, truncations and names of snapshots keep the order in which they were asked for.

use super::{alarm::Alarm, codec, tail, tasks, types, virtual_time};
use crate::{disk, failure::LogFailure, history::Unindexed};
use openraft::{EntryPayload, storage::IOFlushed};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError, atomic, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc as task_mpsc, oneshot};

/// Work that waits at most. When it is full, raft waits too, and takes nothing more from anybody.
const QUEUE_LEN_MAX: usize = 8192;
/// Bytes of one batch; what is beyond goes into the next. Bounds the pause that a huge batch would
/// make.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// A commit that takes longer is slow: the next one is left to the log's own threads.
const COMMIT_SLOW_AFTER: Duration = Duration::from_millis(2);

/// Somebody who waits for work to be durable.
pub(crate) type Done = oneshot::Sender<io::Result<()>>;

/// What can be asked of the writer.
pub(crate) enum Work {
    /// Raft entries, and the callback that reports them durable.
    Append {
        entries: Vec<types::RaftEntry>,
        flushed: IOFlushed<types::Types>,
    },
    Vote {
        vote: disk::keys::meta::StoredVote,
        done: Done,
    },
    /// The log ends before this index from now on.
    Truncate {
        next_index: u64,
    },
    /// Raft sees nothing up to there from now on; nothing is deleted.
    Purge {
        purged: disk::keys::meta::StoredLogId,
    },
    /// Other rows.
    Change {
        batch: disk::store::Batch,
        done: Done,
    },
    /// Index rows have gathered while nothing else was written.
    Index,
    /// All before this is written, then the writer ends.
    Stop,
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Queue {
    work: WorkSender,
    /// Work that was pushed and is not done.
    pending: Arc<atomic::AtomicUsize>,
    /// Whether the last commit was slow.
    slow: Arc<atomic::AtomicBool>,
    writer: Arc<Mutex<Writer>>,
}

#[derive(Clone)]
enum WorkSender {
    Thread(mpsc::SyncSender<Work>),
    /// In virtual time no thread may wait.
    Task(task_mpsc::UnboundedSender<Work>),
}

/// The writer's end.
pub(crate) enum WriterLife {
    Thread(JoinHandle<()>),
    Task(tasks::TaskHandle<()>),
}

impl WriterLife {
    /// Waits for its end, on this thread. A task ends by itself.
    pub(crate) fn join(self) {
        if let WriterLife::Thread(thread) = self
            && thread.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) {
        match self {
            WriterLife::Thread(_) => self.join(),
            WriterLife::Task(task) => drop(task.await),
        }
    }
}

impl Queue {
    pub(crate) fn push(&self, work: Work) -> io::Result<()> {
        self.pending.fetch_add(1, atomic::Ordering::AcqRel);
        let sent = match &self.work {
            WorkSender::Thread(sender) => sender.send(work).is_ok(),
            WorkSender::Task(sender) => sender.send(work).is_ok(),
        };
        if sent { Ok(()) } else { Err(io::Error::other("the log's writer has stopped")) }
    }

    /// Does the work on this thread if the writer has nothing to do; or else pushes it.
    ///
    /// Two wake-ups of other threads cost more than a small sync. It blocks the caller for as long
    /// as that takes.
    pub(crate) fn write(&self, work: Work) -> io::Result<()> {
        let idle = self.pending.load(atomic::Ordering::Acquire) == 0;
        match self.writer.try_lock().ok().filter(|_| idle) {
            Some(mut writer) => {
                writer.do_now(work);
                Ok(())
            }
            None => self.push(work),
        }
    }

    /// Whether the last commit took so long that no thread with other duties should wait for the
    /// next one.
    pub(crate) fn is_slow(&self) -> bool {
        self.slow.load(atomic::Ordering::Relaxed)
    }

    /// Hands over work and waits until it is durable.
    pub(crate) async fn ask(&self, work: impl FnOnce(Done) -> Work) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.push(work(done))?;
        answer.await.map_err(|_| io::Error::other("the log's writer has stopped"))?
    }
}

/// The thread's life.
fn run(writer: &Mutex<Writer>, inbox: &mpsc::Receiver<Work>, pending: &atomic::AtomicUsize) {
    let mut group = CommitGroup::default();
    while let Ok(first) = inbox.recv() {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = writer.gather(&mut group, first, || inbox.try_recv().ok());
        writer.commit(&mut group);
        drop(writer);
        pending.fetch_sub(taken, atomic::Ordering::AcqRel);
        if group.stop {
            break;
        }
    }
}

/// The same as a task in virtual time: what comes while the disk syncs is the next group. A group
/// may end anywhere, as one that has grown large does.
async fn run_virtually(
    world: virtual_time::VirtualTime,
    writer: Arc<Mutex<Writer>>,
    mut inbox: task_mpsc::UnboundedReceiver<Work>,
    pending: Arc<atomic::AtomicUsize>,
) {
    let lock = || writer.lock().unwrap_or_else(PoisonError::into_inner);
    let mut group = CommitGroup::default();
    while let Some(first) = inbox.recv().await {
        let next = || if world.draw().is_multiple_of(4) { None } else { inbox.try_recv().ok() };
        let taken = lock().gather(&mut group, first, next);
        world.sync_disk().await;
        lock().commit(&mut group);
        pending.fetch_sub(taken, atomic::Ordering::AcqRel);
        if group.stop {
            break;
        }
    }
}

/// What the writer writes with, and what it tells of it.
pub(crate) struct Writer {
    appender: disk::appender::Appender,
    tail: Arc<tail::SharedTail>,
    unindexed: Arc<Unindexed>,
    alarm: Arc<Alarm>,
    slow: Arc<atomic::AtomicBool>,
    /// An empty group whose buffer is used again.
    room: CommitGroup,
}

/// Rows that are put together, and who waits for them.
#[derive(Default)]
struct CommitGroup {
    rows: disk::appender::Rows,
    stop: bool,
    flushed: Vec<IOFlushed<types::Types>>,
    done: Vec<Done>,
}

impl Writer {
    pub(crate) fn new(
        appender: disk::appender::Appender,
        tail: Arc<tail::SharedTail>,
        unindexed: Arc<Unindexed>,
        alarm: Arc<Alarm>,
    ) -> Writer {
        let (slow, room) = (Arc::default(), CommitGroup::default());
        Writer { appender, tail, unindexed, alarm, slow, room }
    }

    /// Starts the thread; in virtual time a task.
    pub(crate) fn start(self) -> io::Result<(Queue, WriterLife)> {
        let (pending, slow) = (Arc::new(atomic::AtomicUsize::new(0)), self.slow.clone());
        let writer = Arc::new(Mutex::new(self));
        let queue = |work| Queue { work, pending: pending.clone(), slow, writer: writer.clone() };
        if let Some(world) = virtual_time::here() {
            let (work, inbox) = task_mpsc::unbounded_channel();
            let life = run_virtually(world, writer.clone(), inbox, pending.clone());
            return Ok((queue(WorkSender::Task(work)), WriterLife::Task(tasks::spawn(life))));
        }
        let (work, inbox) = mpsc::sync_channel(QUEUE_LEN_MAX);
        let queue = queue(WorkSender::Thread(work));
        let life = move || run(&writer, &inbox, &pending);
        let thread = thread::Builder::new().name("skep-writer".into()).spawn(life)?;
        Ok((queue, WriterLife::Thread(thread)))
    }

    fn do_now(&mut self, work: Work) {
        let mut group = std::mem::take(&mut self.room);
        self.take(&mut group, work);
        self.commit(&mut group);
        self.room = group;
    }

    /// Puts together what waits, as far as it goes into one group; says how much that was.
    fn gather(
        &mut self,
        group: &mut CommitGroup,
        first: Work,
        mut next: impl FnMut() -> Option<Work>,
    ) -> usize {
        let mut taken = 1;
        self.take(group, first);
        while group.rows.bytes() < GROUP_BYTES_MAX && !group.stop {
            let Some(work) = next() else { break };
            self.take(group, work);
            taken += 1;
        }
        taken
    }

    fn take(&mut self, group: &mut CommitGroup, work: Work) {
        match work {
            Work::Append { entries, flushed } => {
                entries.iter().for_each(|entry| append(&mut group.rows, entry));
                group.flushed.push(flushed);
            }
            Work::Vote { vote, done } => {
                group.rows.vote(&vote);
                group.done.push(done);
            }
            Work::Truncate { next_index } => self.appender.truncate(&mut group.rows, next_index),
            Work::Purge { purged } => group.rows.purge(purged),
            Work::Change { batch, done } => {
                group.rows.change(&batch);
                group.done.push(done);
            }
            Work::Index => {}
            Work::Stop => group.stop = true,
        }
    }

    fn commit(&mut self, group: &mut CommitGroup) {
        let result = match self.alarm.failure() {
            Some(failure) => Err(failure),
            None => {
                let begun = Instant::now();
                let written = self.write(group);
                self.slow.store(begun.elapsed() > COMMIT_SLOW_AFTER, atomic::Ordering::Relaxed);
                written
            }
        };
        if let Err(failure) = &result {
            self.alarm.raise(failure.clone());
        }
        let answer =
            || result.clone().map_err(|failure| io::Error::other(failure.message().to_owned()));
        group.flushed.drain(..).for_each(|flushed| flushed.io_completed(answer()));
        // Who no longer waits for an answer needs none.
        group.done.drain(..).for_each(|done| drop(done.send(answer())));
    }

    fn write(&mut self, group: &mut CommitGroup) -> Result<(), LogFailure> {
        let last = self.unindexed.commit_with(&mut self.appender, &mut group.rows)?;
        if let Some(last) = last {
            self.tail.written(codec::load_log_id(&last));
        }
        Ok(())
    }
}

fn append(rows: &mut disk::appender::Rows, entry: &types::RaftEntry) {
    let position = match &entry.payload {
        EntryPayload::Normal(chained) => Some(chained.0.position()),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    };
    rows.entry(codec::store_log_id(&entry.log_id), codec::store_body(entry), position);
}
