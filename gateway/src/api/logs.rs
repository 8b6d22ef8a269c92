//! What tasks print: streamed from the agents through this manager, ended tasks included.
//!
//! [`logs::follow::OutputReader`] decides what is ordered from the agents, and which lines are
//! passed on when. This file gives it the view, the agents' chunks and the time, and passes its
//! orders to the hub.

use crate::{drive::Drive, hub::Hub, logs, peers, reads::status, resolve};
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use skep_projections::{TaskRow, View};
use skep_proto::{Id, Timestamp, v1};
use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Replies waiting for one reader; at it the agents' streams wait.
const REPLIES_MAX: usize = 256;
/// Between two looks of one follower at the view: what is committed in between is seen together.
const VIEW_PERIOD: Duration = Duration::from_millis(50);

/// The service.
#[derive(Clone)]
pub struct LogsService {
    drive: Drive,
    hub: Hub,
    broker: Arc<logs::Broker>,
    others: peers::ManagerPeers,
}

impl LogsService {
    /// Behind it the view, the hub and the broker, and the other managers.
    pub fn new(
        drive: Drive,
        hub: Hub,
        broker: Arc<logs::Broker>,
        others: peers::ManagerPeers,
    ) -> LogsService {
        LogsService { drive, hub, broker, others }
    }
}

#[tonic::async_trait]
impl v1::logs_server::Logs for LogsService {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<v1::LogsReply, Status>> + Send>>;

    async fn read(
        &self,
        request: Request<v1::LogsRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let asked = request.into_inner();
        let subjects = Subjects::find(&self.drive.newest().view, &asked)?;
        let (out, replies) = mpsc::channel(REPLIES_MAX);
        let mode = if asked.follow {
            logs::follow::ReadMode::Follow
        } else {
            logs::follow::ReadMode::Once
        };
        let relay = Relay {
            service: self.clone(),
            reader: logs::follow::OutputReader::new(mode, asked.tail),
            asked,
            subjects,
            out,
            began: Instant::now(),
            orders: BTreeMap::new(),
            reads: FuturesUnordered::new(),
        };
        tokio::spawn(relay.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }
}

/// What is read: names are looked up once, since others may bear them later.
struct Subjects {
    services: Vec<Id>,
    tasks: Vec<Id>,
}

impl Subjects {
    fn find(view: &View, asked: &v1::LogsRequest) -> Result<Subjects, Status> {
        let (mut services, mut tasks) = (Vec::new(), Vec::new());
        for reference in &asked.services {
            let index = resolve::service(view, reference).map_err(|error| status(&error.into()))?;
            services.extend(view.services().get(index).map(|row| row.id));
        }
        for reference in &asked.tasks {
            let index = resolve::task(view, reference).map_err(|error| status(&error.into()))?;
            tasks.extend(view.tasks().get(index).map(|row| row.id));
        }
        Ok(Subjects { services, tasks })
    }

    /// The tasks that are read, each once, and whether more may come. Tasks without a node print
    /// nothing.
    fn look(&self, view: &View) -> (Vec<logs::follow::ReadTask>, logs::follow::Prospect) {
        let mut targets = BTreeMap::new();
        let mut prospect = logs::follow::Prospect::NoMoreTasks;
        let mut add =
            |row: &TaskRow| targets.extend(target(view, row).map(|target| (row.id, target)));
        for id in &self.services {
            let Some(index) = view.services().find(*id) else { continue };
            view.tasks_of(index).for_each(|(_, row)| add(row));
            if view.services().get(index).is_some_and(|row| !row.removed) {
                prospect = logs::follow::Prospect::MoreTasks;
            }
        }
        for id in &self.tasks {
            let Some(row) = view.tasks().find(*id).and_then(|index| view.tasks().get(index)) else {
                continue;
            };
            add(row);
            // It will have a node, and then its output is read.
            if row.node.is_none() && !row.has_ended() {
                prospect = logs::follow::Prospect::MoreTasks;
            }
        }
        (targets.into_values().collect(), prospect)
    }
}

fn target(view: &View, task: &TaskRow) -> Option<logs::follow::ReadTask> {
    let node = view.nodes().get(task.node?)?;
    Some(logs::follow::ReadTask {
        task: task.id,
        name: view.task_name(task),
        state: task.state,
        node: node.id,
        node_name: node.hostname().to_owned(),
        session: node.session,
        ready: node.state == v1::NodeState::Ready && !node.removed,
        removed: node.removed,
    })
}

/// What came of one order: none when its stream broke off.
type Arrival = (Id, u64, Option<v1::LogChunk>, mpsc::Receiver<v1::LogChunk>);

/// One reader's stream.
struct Relay {
    service: LogsService,
    asked: v1::LogsRequest,
    subjects: Subjects,
    reader: logs::follow::OutputReader,
    out: mpsc::Sender<Result<v1::LogsReply, Status>>,
    began: Instant,
    /// The open order of each node.
    orders: BTreeMap<Id, NodeOrder>,
    reads: FuturesUnordered<BoxFuture<'static, Arrival>>,
}

struct NodeOrder {
    request: u64,
    /// None while it is listened to.
    chunks: Option<mpsc::Receiver<v1::LogChunk>>,
    /// Where another manager holds the node's session.
    elsewhere: Option<peers::OrderElsewhere>,
}

impl Relay {
    async fn run(mut self) {
        let mut published = self.service.drive.published();
        let mut look_after = Instant::now();
        let view = published.borrow_and_update().view.clone();
        self.look(&view);
        loop {
            if !self.carry_out().await || self.reader.is_over() {
                break;
            }
            self.listen();
            let deadline = self.reader.poll_timeout();
            tokio::select! {
                () = self.out.closed() => break,
                Some(arrival) = self.reads.next(), if !self.reads.is_empty() => {
                    self.take(arrival);
                    // Chunks that have arrived are taken before a node counts as silent.
                    while let Some(Some(arrival)) = self.reads.next().now_or_never() {
                        self.take(arrival);
                    }
                }
                changed = next_view(&mut published, look_after), if self.asked.follow => {
                    if changed.is_err() {
                        let stopping = Status::unavailable("the manager is stopping");
                        // A reader that has gone does not miss it.
                        drop(self.out.send(Err(stopping)).await);
                        break;
                    }
                    look_after = Instant::now() + VIEW_PERIOD;
                    let view = published.borrow_and_update().view.clone();
                    self.look(&view);
                }
                () = until(deadline.map(|at| self.began + Duration::from_nanos(at.0))) => {
                    let now = self.now();
                    self.reader.on_time(now);
                }
            }
        }
        for node in self.orders.keys().copied().collect::<Vec<_>>() {
            self.cancel(node).await;
        }
    }

    fn look(&mut self, view: &View) {
        let (targets, prospect) = self.subjects.look(view);
        let now = self.now();
        self.reader.look(&targets, prospect, now);
    }

    /// Carries out all outputs of the reader. False when the caller has gone.
    async fn carry_out(&mut self) -> bool {
        while let Some(output) = self.reader.poll_output(self.now()) {
            match output {
                logs::follow::ReaderOutput::Order { node, tasks, tail, resume } => {
                    self.order(node, &tasks, tail, resume).await
                }
                logs::follow::ReaderOutput::Cancel(node) => self.cancel(node).await,
                logs::follow::ReaderOutput::Reply(reply) => match self.out.try_send(Ok(reply)) {
                    Ok(()) => {}
                    Err(TrySendError::Closed(_)) => return false,
                    Err(TrySendError::Full(reply)) => {
                        if self.out.send(reply).await.is_err() {
                            return false;
                        }
                        let now = self.now();
                        self.reader.on_slow_reader(now);
                    }
                },
            }
        }
        true
    }

    async fn order(
        &mut self,
        node: Id,
        tasks: &[Id],
        tail: Option<u64>,
        resume: Vec<v1::LogResume>,
    ) {
        let order = self.orders.entry(node).or_insert_with(|| {
            let (request, chunks) = self.service.broker.open();
            NodeOrder { request, chunks: Some(chunks), elsewhere: None }
        });
        let order = v1::LogOrder {
            request: order.request,
            task_ids: tasks.iter().map(|id| id.to_bytes()).collect(),
            follow: self.asked.follow,
            tail,
            since_at: self.asked.since_at,
            until_at: self.asked.until_at,
            no_stdout: self.asked.no_stdout,
            no_stderr: self.asked.no_stderr,
            resume,
        };
        if !self.pass_on(node, order).await {
            self.close(node);
            let now = self.now();
            self.reader.on_lost(node, now);
        }
    }

    /// Gives the order to the node's agent, whichever manager has its session.
    async fn pass_on(&mut self, node: Id, order: v1::LogOrder) -> bool {
        let LogsService { hub, others, broker, .. } = &self.service;
        let Some(open) = self.orders.get_mut(&node) else { return false };
        if let Some(elsewhere) = &open.elsewhere {
            return others.add_to_order(elsewhere, node, order).await;
        }
        let message = v1::to_agent::Message::Logs(order.clone());
        if hub.order(node, v1::ToAgent { message: Some(message) }).await {
            return true;
        }
        let view = self.service.drive.newest().view.clone();
        let Some((_, row)) = view.nodes().by_id(node) else { return false };
        if row.session_manager.is_none() {
            return false;
        }
        let at = (row.session_manager, node);
        open.elsewhere = others.order_logs(at, order, broker.clone()).await;
        open.elsewhere.is_some()
    }

    async fn cancel(&mut self, node: Id) {
        let is_here = self.orders.get(&node).is_some_and(|order| order.elsewhere.is_none());
        if let Some(request) = self.close(node).filter(|_| is_here) {
            let cancel = v1::ToAgent {
                message: Some(v1::to_agent::Message::Cancel(v1::LogCancel { request })),
            };
            self.service.hub.order(node, cancel).await;
        }
    }

    fn close(&mut self, node: Id) -> Option<u64> {
        let order = self.orders.remove(&node)?;
        self.service.broker.close(order.request);
        Some(order.request)
    }

    /// Listens to every order of which more may be taken.
    fn listen(&mut self) {
        for (node, order) in self.orders.iter_mut().filter(|(node, _)| self.reader.has_room(**node))
        {
            if let Some(mut chunks) = order.chunks.take() {
                let (node, request) = (*node, order.request);
                self.reads.push(Box::pin(async move {
                    let chunk = chunks.recv().await;
                    (node, request, chunk, chunks)
                }));
            }
        }
    }

    fn take(&mut self, (node, request, chunk, chunks): Arrival) {
        let now = self.now();
        let Some(order) = self.orders.get_mut(&node).filter(|order| order.request == request)
        else {
            return;
        };
        match chunk {
            Some(chunk) => {
                order.chunks = Some(chunks);
                if chunk.end {
                    self.close(node);
                }
                self.reader.on_chunk(node, chunk, now);
            }
            None => {
                self.close(node);
                self.reader.on_lost(node, now);
            }
        }
    }

    /// By a stopwatch: what nodes say of their own time has no part in waiting.
    fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Resolves when the view has changed, and not before that time.
async fn next_view<T>(
    published: &mut tokio::sync::watch::Receiver<T>,
    after: Instant,
) -> Result<(), tokio::sync::watch::error::RecvError> {
    sleep_until(after).await;
    published.changed().await
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
