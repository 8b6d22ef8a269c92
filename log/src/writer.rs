//! The one thread that writes: whatever has gathered becomes one batch and one sync.
//!
//! There is no timer. While a sync runs, work gathers in the queue; when it returns, all of it goes into the next
//! batch. A single client so waits for one sync, and a thousand share one. Vote, entries, truncations and names of
//! snapshots keep the order in which they were asked for.

use crate::{
    alarm::{Alarm, Failure},
    head::{HeadFile, Mark},
    keys::{self, StoredBody, meta},
    raft::{LogId, RaftEntry, Types, codec, tail::Tail},
    store::{Batch, Door, Durability, Table},
    unindexed::{Indexed, Unindexed},
};
use openraft::{EntryPayload, storage::IOFlushed};
use prost::Message;
use skep_proto::Revision;
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;

/// Work that waits at most. When it is full, raft waits too, and takes nothing more from anybody.
const QUEUE_LEN_MAX: usize = 8192;
/// Bytes of one batch; what is beyond goes into the next. Bounds the pause that a huge batch would make.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Somebody who waits for work to be durable.
pub(crate) type Done = oneshot::Sender<io::Result<()>>;

/// What can be asked of the writer.
pub(crate) enum Work {
    /// Raft entries, and raft to be told of them.
    Append {
        entries: Vec<RaftEntry>,
        flushed: IOFlushed<Types>,
    },
    Vote {
        vote: meta::Vote,
        done: Done,
    },
    /// The log ends before this index from now on.
    Truncate {
        next_index: u64,
    },
    /// Raft sees nothing up to there from now on; nothing is deleted.
    Purge {
        purged: meta::Place,
    },
    /// Other rows.
    Change {
        batch: Batch,
        done: Done,
    },
    /// Index rows have gathered while nothing else was written.
    Index,
    /// All before this is written, then the thread ends.
    Stop,
}

/// Counts since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Group commits that were synced.
    pub syncs: u64,
    /// Raft entries in them.
    pub entries: u64,
}

/// The same, as they are counted.
#[derive(Default)]
pub(crate) struct Counts {
    syncs: AtomicU64,
    entries: AtomicU64,
}

impl Counts {
    pub(crate) fn read(&self) -> Counters {
        Counters { syncs: self.syncs.load(Relaxed), entries: self.entries.load(Relaxed) }
    }
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Queue {
    work: SyncSender<Work>,
    /// Work that was pushed and is not done.
    pending: Arc<AtomicUsize>,
    writer: Arc<Mutex<Writer>>,
}

impl Queue {
    pub(crate) fn push(&self, work: Work) -> io::Result<()> {
        self.pending.fetch_add(1, AcqRel);
        self.work.send(work).map_err(|_| io::Error::other("the log's writer has stopped"))
    }

    /// Does the work on this thread if the writer has nothing to do; or else pushes it.
    ///
    /// Two wake-ups of other threads cost more than a small sync. It blocks the caller for as long as that takes.
    pub(crate) fn write(&self, work: Work) -> io::Result<()> {
        let idle = self.pending.load(Acquire) == 0;
        match self.writer.try_lock().ok().filter(|_| idle) {
            Some(mut writer) => {
                writer.do_now(work);
                Ok(())
            }
            None => self.push(work),
        }
    }

    /// Hands over work and waits until it is durable.
    pub(crate) async fn ask(&self, work: impl FnOnce(Done) -> Work) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.push(work(done))?;
        answer.await.map_err(|_| io::Error::other("the log's writer has stopped"))?
    }
}

/// The thread's life.
fn run(writer: &Mutex<Writer>, inbox: &Receiver<Work>, pending: &AtomicUsize) {
    let mut group = Group::default();
    while let Ok(first) = inbox.recv() {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = 1;
        writer.take(&mut group, first);
        while group.batch.bytes() < GROUP_BYTES_MAX && !group.stop {
            match inbox.try_recv() {
                Ok(work) => writer.take(&mut group, work),
                Err(_) => break,
            }
            taken += 1;
        }
        writer.commit(&mut group);
        drop(writer);
        pending.fetch_sub(taken, AcqRel);
        if group.stop {
            break;
        }
    }
}

/// What the writer writes to.
pub(crate) struct Writer {
    pub(crate) door: Arc<Door>,
    pub(crate) tail: Arc<Mutex<Tail>>,
    pub(crate) head: HeadFile,
    pub(crate) unindexed: Arc<Unindexed>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) counts: Arc<Counts>,
    /// An empty batch whose buffer is used again.
    pub(crate) room: Batch,
}

/// A batch that is being put together, and who waits for it.
#[derive(Default)]
struct Group {
    batch: Batch,
    synced: bool,
    stop: bool,
    flushed: Vec<IOFlushed<Types>>,
    done: Vec<Done>,
    last: Option<LogId>,
    revision: Option<Revision>,
    entries: u64,
    indexed: usize,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(self) -> io::Result<(Queue, JoinHandle<()>)> {
        let (work, inbox) = sync_channel(QUEUE_LEN_MAX);
        let (pending, writer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(self)));
        let queue = Queue { work, pending: pending.clone(), writer: writer.clone() };
        let life = move || run(&writer, &inbox, &pending);
        let thread = thread::Builder::new().name("skep-writer".into()).spawn(life)?;
        Ok((queue, thread))
    }

    fn do_now(&mut self, work: Work) {
        let mut group = Group { batch: std::mem::take(&mut self.room), ..Group::default() };
        self.take(&mut group, work);
        self.commit(&mut group);
        self.room = group.batch;
    }

    fn take(&mut self, group: &mut Group, work: Work) {
        match work {
            Work::Append { entries, flushed } => {
                entries.iter().for_each(|entry| self.append(group, entry));
                group.flushed.push(flushed);
                group.synced = true;
            }
            Work::Vote { vote, done } => {
                group.batch.put(Table::Meta, keys::VOTE, &[&vote.encode_to_vec()]);
                group.done.push(done);
                group.synced = true;
            }
            Work::Truncate { next_index } => {
                let mark = Mark { next_index, ..self.head.mark() };
                if next_index < self.head.mark().next_index
                    && let Err(error) = self.head.lower(mark)
                {
                    // The truncation then fails with the disk, at the commit that follows.
                    tracing::warn!(%error, "the head file could not be lowered");
                }
                let (from, to) = (keys::entry_key(next_index), keys::entry_key(u64::MAX));
                group.batch.delete_span(Table::Entries, &from, &to);
                group.last = None;
            }
            Work::Purge { purged } => group.batch.put(Table::Meta, keys::PURGED, &[&purged.encode_to_vec()]),
            Work::Change { batch, done } => {
                group.batch.append(&batch);
                group.done.push(done);
                group.synced = true;
            }
            Work::Index => {}
            Work::Stop => group.stop = true,
        }
    }

    fn append(&self, group: &mut Group, entry: &RaftEntry) {
        let stored = codec::store_entry(entry);
        let (prefix, packed) = keys::entry_value(&stored);
        let body: &[u8] = match (&packed, &stored.body) {
            (Some(packed), _) => packed,
            (None, StoredBody::Blank) => &[],
            (None, StoredBody::Membership(bytes) | StoredBody::Entry(bytes)) => bytes,
        };
        group.batch.put(Table::Entries, &keys::entry_key(entry.log_id.index), &[&prefix, body]);
        group.last = Some(entry.log_id);
        group.entries += 1;
        if let EntryPayload::Normal(chained) = &entry.payload {
            group.revision = Some(chained.0.last());
        }
    }

    fn commit(&mut self, group: &mut Group) {
        let result = match self.alarm.failure() {
            Some(failure) => Err(failure.words().to_owned()),
            None => self.write(group),
        };
        match &result {
            Ok(()) => self.written(group),
            Err(words) => self.alarm.raise(Failure::Disk(words.clone())),
        }
        let answer = || result.clone().map_err(io::Error::other);
        group.flushed.drain(..).for_each(|flushed| flushed.io_completed(answer()));
        // Who no longer waits for an answer needs none.
        group.done.drain(..).for_each(|done| drop(done.send(answer())));
        *group = Group { batch: std::mem::take(&mut group.batch), stop: group.stop, ..Group::default() };
        group.batch.clear();
    }

    fn write(&mut self, group: &mut Group) -> Result<(), String> {
        let waiting = self.unindexed.all();
        for indexed in &waiting {
            index(&mut group.batch, indexed)?;
        }
        group.indexed = waiting.len();
        if group.batch.is_empty() {
            return Ok(());
        }
        let durability = if group.synced { Durability::Synced } else { Durability::Later };
        self.door.commit(&group.batch, durability).map_err(|error| error.to_string())
    }

    fn written(&mut self, group: &Group) {
        self.unindexed.stored(group.indexed);
        self.counts.syncs.fetch_add(u64::from(group.synced), Relaxed);
        self.counts.entries.fetch_add(group.entries, Relaxed);
        let Some(last) = group.last else { return };
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).written(last);
        let revision = group.revision.unwrap_or(self.head.mark().revision);
        if let Err(error) = self.head.write(Mark { next_index: last.index + 1, revision }) {
            // It only lags then.
            tracing::warn!(%error, "the head file could not be written");
        }
    }
}

/// The index rows of one entry.
pub(crate) fn index(batch: &mut Batch, indexed: &Indexed) -> Result<(), String> {
    let Indexed { index, entry } = indexed;
    batch.put(
        Table::Revisions,
        &keys::revision_key(entry.first()),
        &[&keys::revision_value(*index, entry.at())],
    );
    let touched =
        entry.touched().map_err(|error| format!("a record of entry {}: {error}", entry.position()))?;
    for (object, revision) in touched {
        batch.put(Table::Objects, &keys::object_key(object, revision), &[]);
    }
    Ok(())
}
