//! Sends tasks' output to whoever asked for it, as fast as they take it and not faster than a node should.
//!
//! Each reader has a stream of its own beside the core's, so that a slow one slows the reading and nothing
//! else. Nothing is kept: lines are read from the runtime when the stream has room for the next chunk.

use super::wire::Outgoing;
use crate::runtime::{LogLine, LogQuery, LogStream, Runtime, RuntimeError};
use futures::{StreamExt, stream};
use skep_proto::{
    Id, Timestamp,
    v1::{self, LogChunk, LogOrder, dispatcher_client::DispatcherClient},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

/// Readers at the same time; one more is told so and gets nothing.
const PUMPS_MAX: usize = 64;
/// Lines in a chunk at most; the others go in the next.
const CHUNK_LINES_MAX: usize = 512;
/// A chunk with this much text is sent.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for the manager; the next one is not read before there is room.
const CHUNKS_MAX: usize = 4;
/// What all readers of a node get together in a second; who wants more waits.
const BYTES_PER_SECOND_MAX: u64 = 10 << 20;

/// Everybody who reads now.
pub(super) struct Pumps {
    runtime: Arc<dyn Runtime>,
    outgoing: Outgoing,
    node_name: String,
    pace: Arc<Pace>,
    running: BTreeMap<u64, AbortOnDropHandle<()>>,
}

impl Pumps {
    pub(super) fn new(runtime: Arc<dyn Runtime>, outgoing: Outgoing, node_name: String) -> Pumps {
        Pumps { runtime, outgoing, node_name, pace: Arc::default(), running: BTreeMap::new() }
    }

    /// Begins to send what was ordered, of these tasks with their names.
    pub(super) fn start(&mut self, order: &LogOrder, tasks: Vec<(Id, String)>) {
        self.running.retain(|_, pump| !pump.is_finished());
        let Some(client) = self.outgoing.client() else { return };
        let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
        let pump = Pump {
            request: order.request,
            query: query(order),
            tasks,
            runtime: self.runtime.clone(),
            node_name: self.node_name.clone(),
            chunks,
            pace: self.pace.clone(),
        };
        let full = self.running.len() >= PUMPS_MAX && !self.running.contains_key(&order.request);
        let task = tokio::spawn(publish(client, queue, async move {
            let words =
                if full { "too many read the output of this node now".to_owned() } else { pump.run().await };
            pump.send(Vec::new(), Some(words)).await;
        }));
        self.running.insert(order.request, AbortOnDropHandle::new(task));
    }

    pub(super) fn cancel(&mut self, request: u64) {
        self.running.remove(&request);
    }

    pub(super) fn clear(&mut self) {
        self.running.clear();
    }
}

/// Carries the chunks that `pumping` makes, until it has no more or nobody wants them.
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

fn query(order: &LogOrder) -> LogQuery {
    LogQuery {
        tail: order.tail,
        since: Timestamp(order.since_at),
        until: Timestamp(order.until_at),
        follow: order.follow,
        stdout: !order.no_stdout,
        stderr: !order.no_stderr,
    }
}

struct Pump {
    request: u64,
    query: LogQuery,
    tasks: Vec<(Id, String)>,
    runtime: Arc<dyn Runtime>,
    node_name: String,
    chunks: mpsc::Sender<LogChunk>,
    pace: Arc<Pace>,
}

impl Pump {
    /// Sends all there is; gives back what could not be read, for people.
    async fn run(&self) -> String {
        let mut problems = Vec::new();
        let mut sources = Vec::new();
        for (place, (task, name)) in self.tasks.iter().enumerate() {
            match self.runtime.logs(*task, self.query.clone()).await {
                Ok(lines) => sources.push(with_place(place, lines)),
                // It was assigned and has not written anything.
                Err(RuntimeError::Gone) => {}
                Err(error) => problems.push(format!("{name}: {error}")),
            }
        }
        // As many as are there without waiting, so that a follower sees a line at once and a reader of much
        // gets large chunks.
        let mut batches = stream::select_all(sources).ready_chunks(CHUNK_LINES_MAX);
        while let Some(batch) = batches.next().await {
            let mut lines = Vec::with_capacity(batch.len());
            let mut bytes = 0;
            for (place, line) in batch {
                match line {
                    Ok(line) => {
                        bytes += line.text.len();
                        lines.push(self.line(place, line));
                    }
                    Err(error) => problems.push(format!("{}: {error}", self.tasks[place].1)),
                }
                if bytes >= CHUNK_BYTES {
                    self.pace.wait_for(bytes).await;
                    self.send(std::mem::take(&mut lines), None).await;
                    bytes = 0;
                }
            }
            self.pace.wait_for(bytes).await;
            if !self.send(lines, None).await {
                break;
            }
        }
        problems.join("; ")
    }

    fn line(&self, place: usize, line: LogLine) -> v1::LogLine {
        let (task, name) = &self.tasks[place];
        v1::LogLine {
            task_id: task.to_bytes(),
            task_name: name.clone(),
            node_name: self.node_name.clone(),
            at: line.at.0,
            source: line.source.into(),
            text: line.text,
        }
    }

    /// Says whether somebody still takes it.
    async fn send(&self, lines: Vec<v1::LogLine>, end: Option<String>) -> bool {
        if lines.is_empty() && end.is_none() {
            return !self.chunks.is_closed();
        }
        let (end, message) = (end.is_some(), end.unwrap_or_default());
        let chunk = LogChunk { request: self.request, lines, end, message };
        self.chunks.send(chunk).await.is_ok()
    }
}

fn with_place(
    place: usize,
    lines: LogStream,
) -> stream::BoxStream<'static, (usize, Result<LogLine, RuntimeError>)> {
    lines.map(move |line| (place, line)).boxed()
}

/// Lets so many bytes a second pass, all readers together.
#[derive(Default)]
struct Pace(Mutex<Option<Instant>>);

impl Pace {
    async fn wait_for(&self, bytes: usize) {
        let cost = Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / BYTES_PER_SECOND_MAX);
        let mut free = self.0.lock().await;
        let now = Instant::now();
        let begin = free.map_or(now, |free| free.max(now));
        *free = Some(begin + cost);
        drop(free);
        sleep_until(begin).await;
    }
}
