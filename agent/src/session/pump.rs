//! Sends tasks' output to those who asked for it, as fast as they take it and not faster than a
//! node should.
//!
//! Each reader has a stream of its own beside the core's, so that a slow one slows the reading and
//! nothing else. Nothing is kept but one line of each task: lines are read from the runtime when
//! there is room for the next chunk. Lines of several tasks are sent in the order of their times. A
//! follower's order may be widened while it runs, by another order with its number.

mod source;

use super::{clock::Clock, wire::Outgoing};
use crate::runtime::{LogItem, Runtime};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use skep_proto::{
    Id, merge, os_error, time,
    v1::{self, LogChunk, LogLoss, LogOrder, dispatcher_client::DispatcherClient},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

/// Readers at the same time; one more gets an error message and no lines.
const PUMPS_MAX: usize = 64;
/// Orders that wait to widen one that runs; at it that one is broken off, and the manager orders
/// again.
const WIDER_ORDERS_MAX: usize = 256;
/// Lines in a chunk at most; the others go in the next.
const CHUNK_LINES_MAX: usize = 512;
/// A chunk with this much text is sent.
const CHUNK_BYTES_MAX: usize = 64 << 10;
/// Chunks that wait for the manager; the next one is not read before there is room.
const CHUNKS_WAITING_MAX: usize = 4;
/// What all readers of a node get together in a second; who wants more waits.
const BYTES_PER_SECOND_MAX: u64 = 10 << 20;
/// A follower's line waits so long for earlier ones of tasks that have written nothing lately.
const TASK_LINES_DELAY_NS: u64 = time::SECOND_NS / 50;
/// So long it waits for tasks whose output is still being opened.
const TASK_OPENING_DELAY_NS: u64 = time::SECOND_NS / 4;

/// Everybody who reads now.
pub(super) struct Pumps {
    runtime: Arc<dyn Runtime>,
    outgoing: Outgoing,
    node_name: String,
    pace: Arc<Pace>,
    running: BTreeMap<u64, RunningPump>,
}

struct RunningPump {
    wider: mpsc::Sender<AddedSources>,
    task: AbortOnDropHandle<()>,
}

/// What an order adds.
struct AddedSources {
    sources: Vec<source::OutputSource>,
    /// Tasks of which there is nothing here.
    unknown: Vec<Id>,
}

impl Pumps {
    pub(super) fn new(runtime: Arc<dyn Runtime>, outgoing: Outgoing, node_name: String) -> Pumps {
        Pumps { runtime, outgoing, node_name, pace: Arc::default(), running: BTreeMap::new() }
    }

    /// Begins to send what was ordered, or adds it to what is sent; `name` knows this node's tasks.
    pub(super) fn start(&mut self, order: &LogOrder, name: impl Fn(Id) -> Option<String>) {
        self.running.retain(|_, pump| !pump.task.is_finished());
        let (mut sources, mut unknown) = (Vec::new(), Vec::new());
        for id in order.task_ids.iter().map(|id| Id::from_bytes(id)) {
            match name(id) {
                Some(name) => sources.push(source::OutputSource::new(id, name, order)),
                None => unknown.push(id),
            }
        }
        let added = AddedSources { sources, unknown };
        let added = match self.running.get(&order.request) {
            Some(running) => match running.wider.try_send(added) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Closed(added)) => added,
                Err(mpsc::error::TrySendError::Full(_)) => return self.cancel(order.request),
            },
            None => added,
        };
        let Some(client) = self.outgoing.client() else { return };
        let (chunks, queue) = mpsc::channel(CHUNKS_WAITING_MAX);
        let (wider, orders) = mpsc::channel(WIDER_ORDERS_MAX);
        let mut pump = Pump {
            request: order.request,
            runtime: self.runtime.clone(),
            node_name: self.node_name.clone(),
            clock: Clock::new(),
            merge: merge::Merge::new(patience(order)),
            sources: Vec::new(),
            reads: FuturesUnordered::new(),
            batch: LogBatch::default(),
            chunks,
            pace: self.pace.clone(),
        };
        let full = self.running.len() >= PUMPS_MAX && !self.running.contains_key(&order.request);
        let orders = order.follow.then_some(orders);
        let task = tokio::spawn(publish(client, queue, async move {
            if full {
                let message = "too many clients read the output of this node now".to_owned();
                pump.say(LogChunk { end: true, message, ..LogChunk::default() }).await;
            } else {
                pump.run(added, orders).await;
            }
        }));
        self.running
            .insert(order.request, RunningPump { wider, task: AbortOnDropHandle::new(task) });
    }

    pub(super) fn cancel(&mut self, request: u64) {
        self.running.remove(&request);
    }

    pub(super) fn clear(&mut self) {
        self.running.clear();
    }
}

/// Finite logs are merged exactly; a follower is not kept waiting by a task that has nothing to
/// say.
fn patience(order: &LogOrder) -> merge::Patience {
    if order.follow {
        merge::Patience::Limited { first_ns: TASK_OPENING_DELAY_NS, next_ns: TASK_LINES_DELAY_NS }
    } else {
        merge::Patience::Unlimited
    }
}

/// Sends the chunks that `pumping` makes, until it has no more or the manager takes no more.
async fn publish(
    mut client: DispatcherClient<Channel>,
    queue: mpsc::Receiver<LogChunk>,
    pumping: impl Future<Output = ()>,
) {
    let publishing = client.publish_logs(ReceiverStream::new(queue));
    tokio::pin!(publishing);
    let done = tokio::select! {
        () = pumping => None,
        done = &mut publishing => Some(done),
    };
    let done = match done {
        Some(done) => done,
        None => publishing.await,
    };
    if let Err(status) = done {
        tracing::debug!("output could not be sent: {}", status.message());
    }
}

struct Pump {
    request: u64,
    runtime: Arc<dyn Runtime>,
    node_name: String,
    clock: Clock,
    merge: merge::Merge<usize, LogItem>,
    sources: Vec<source::OutputSource>,
    /// One for each source of which nothing waits to be merged.
    reads: FuturesUnordered<futures::future::BoxFuture<'static, source::SourceRead>>,
    batch: LogBatch,
    chunks: mpsc::Sender<LogChunk>,
    pace: Arc<Pace>,
}

/// Lines that are on their way into one chunk.
#[derive(Default)]
struct LogBatch {
    lines: Vec<v1::LogLine>,
    bytes: usize,
}

impl Pump {
    /// Sends all there is. With `orders` it goes on until it is cancelled.
    async fn run(mut self, first: AddedSources, mut orders: Option<mpsc::Receiver<AddedSources>>) {
        // So that the manager knows whose stream this is, and hears of its end.
        self.say(LogChunk::default()).await;
        self.add(first).await;
        loop {
            while let Some((index, item)) = self.merge.poll(self.clock.now()) {
                self.say_item(index, item).await;
                self.sources[index].read_on(&mut self.reads);
            }
            // As many as are there without waiting, so that a follower sees a line at once and a
            // reader of much gets large chunks.
            if let Some(Some(reading)) = self.reads.next().now_or_never() {
                self.take(reading).await;
                continue;
            }
            self.flush().await;
            if orders.is_none() && self.reads.is_empty() && self.merge.is_over() {
                break;
            }
            let deadline = self.merge.poll_timeout().map(|at| self.clock.instant(at));
            tokio::select! {
                () = self.chunks.closed() => return,
                Some(reading) = self.reads.next(), if !self.reads.is_empty() => self.take(reading).await,
                wider = next(&mut orders) => match wider {
                    Some(wider) => self.add(wider).await,
                    None => return,
                },
                () = until(deadline) => {}
            }
        }
        self.say(LogChunk { end: true, ..LogChunk::default() }).await;
    }

    async fn add(&mut self, added: AddedSources) {
        for mut source in added.sources {
            let index = self.sources.len();
            self.merge.open(index, self.clock.now());
            self.reads.push(source.open(index, self.runtime.clone()));
            self.sources.push(source);
        }
        if !added.unknown.is_empty() {
            let ended_ids = added.unknown.iter().map(|id| id.to_bytes()).collect();
            self.say(LogChunk { ended_ids, ..LogChunk::default() }).await;
        }
    }

    async fn take(&mut self, reading: source::SourceRead) {
        let now = self.clock.now();
        match reading {
            source::SourceRead::Opened(index, Ok(lines)) => {
                self.sources[index].lines = Some(lines);
                self.sources[index].read_on(&mut self.reads);
            }
            // It was assigned and has not written anything.
            source::SourceRead::Opened(index, Err(crate::runtime::RuntimeError::Gone)) => {
                self.end(index, "").await
            }
            source::SourceRead::Opened(index, Err(error)) => {
                self.end(index, &error.to_string()).await
            }
            source::SourceRead::Read(index, lines, item) => match item {
                None => self.end(index, "").await,
                Some(Err(error)) => self.end(index, &error.to_string()).await,
                Some(Ok(item)) => {
                    self.sources[index].lines = Some(lines);
                    match self.sources[index].wanted(item) {
                        None => self.sources[index].read_on(&mut self.reads),
                        Some(item) => self.merge.push(index, source::time_of(&item), item, now),
                    }
                }
            },
        }
    }

    /// A source has ended: the reader gets a note of that after its last line.
    async fn end(&mut self, index: usize, problem: &str) {
        self.merge.close(index);
        self.flush().await;
        let source::OutputSource { task, name, .. } = &self.sources[index];
        let message = unread(name, problem);
        let ended_ids = vec![task.to_bytes()];
        self.say(LogChunk { ended_ids, message, ..LogChunk::default() }).await;
    }

    async fn say_item(&mut self, index: usize, item: LogItem) {
        let source::OutputSource { task, name, .. } = &self.sources[index];
        match item {
            LogItem::Line(line) => {
                self.batch.bytes += line.text.len();
                self.batch.lines.push(v1::LogLine {
                    task_id: task.to_bytes(),
                    task_name: name.clone(),
                    node_name: self.node_name.clone(),
                    at: line.at.0,
                    source: line.source.into(),
                    text: line.text,
                    ..v1::LogLine::default()
                });
                if self.batch.bytes >= CHUNK_BYTES_MAX || self.batch.lines.len() >= CHUNK_LINES_MAX
                {
                    self.flush().await;
                }
            }
            LogItem::Lost(lines) => {
                let loss = LogLoss { task_id: task.to_bytes(), lines: lines.unwrap_or(0) };
                self.flush().await;
                self.say(LogChunk { loss: Some(loss), ..LogChunk::default() }).await;
            }
        }
    }

    async fn flush(&mut self) {
        let LogBatch { lines, bytes } = std::mem::take(&mut self.batch);
        if !lines.is_empty() {
            self.pace.wait_for(bytes).await;
            self.say(LogChunk { lines, ..LogChunk::default() }).await;
        }
    }

    /// A manager that takes no more is noticed before the next wait.
    async fn say(&mut self, chunk: LogChunk) {
        let _ = self.chunks.send(LogChunk { request: self.request, ..chunk }).await;
    }
}

/// Why the rest of a task's output cannot be read, for people; empty where all of it was.
fn unread(name: &str, problem: &str) -> String {
    if problem.is_empty() {
        return String::new();
    }
    format!("{name}: {}", os_error::plain(problem))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn next(orders: &mut Option<mpsc::Receiver<AddedSources>>) -> Option<AddedSources> {
    match orders {
        Some(orders) => orders.recv().await,
        None => std::future::pending().await,
    }
}

/// Lets so many bytes a second pass, all readers together.
#[derive(Default)]
struct Pace(Mutex<Option<Instant>>);

impl Pace {
    async fn wait_for(&self, bytes: usize) {
        let cost = Duration::from_nanos(
            (bytes as u64).saturating_mul(1_000_000_000) / BYTES_PER_SECOND_MAX,
        );
        let mut free = self.0.lock().await;
        let now = Instant::now();
        let begin = free.map_or(now, |free| free.max(now));
        *free = Some(begin + cost);
        drop(free);
        sleep_until(begin).await;
    }
}

#[cfg(test)]
mod tests;
