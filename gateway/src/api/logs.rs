//! What tasks print: streamed from the agents through this manager, ended tasks included.
//!
//! A node that cannot be reached is named and never waited for.

use crate::{drive::Drive, hub::Hub, logs::Broker, resolve, show};
use futures::Stream;
use skep_projections::View;
use skep_proto::{
    Id,
    v1::{
        LogCancel, LogGap, LogOrder, LogsReply, LogsRequest, ToAgent, logs_reply::Message, logs_server::Logs,
        to_agent,
    },
};
use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Replies waiting for one reader; at it the agents' streams wait.
const REPLIES_MAX: usize = 256;
/// An agent that has sent nothing at all of a finite log after this is said to be unreachable.
const FIRST_CHUNK_LIMIT: Duration = Duration::from_secs(10);

/// The service.
#[derive(Clone)]
pub struct LogsService {
    drive: Drive,
    hub: Hub,
    broker: Arc<Broker>,
}

/// One node's share of a request.
struct Share {
    node: Id,
    node_name: String,
    tasks: Vec<(Id, String)>,
}

impl LogsService {
    /// Behind it the view, the hub and the broker.
    pub fn new(drive: Drive, hub: Hub, broker: Arc<Broker>) -> LogsService {
        LogsService { drive, hub, broker }
    }

    /// Reads one node's share until it ends or the reader goes.
    async fn relay(
        self,
        share: Share,
        asked: Arc<LogsRequest>,
        out: mpsc::Sender<Result<LogsReply, Status>>,
    ) {
        let (request, mut chunks) = self.broker.open();
        let order = LogOrder {
            request,
            task_ids: share.tasks.iter().map(|(id, _)| id.to_bytes()).collect(),
            follow: asked.follow,
            tail: asked.tail,
            since_at: asked.since_at,
            until_at: asked.until_at,
            no_stdout: asked.no_stdout,
            no_stderr: asked.no_stderr,
        };
        let message = ToAgent { message: Some(to_agent::Message::Logs(order)) };
        if !self.hub.order(share.node, message).await {
            self.broker.close(request);
            let why = format!("node {} can't be reached; its lines are missing", share.node_name);
            return gap(&out, &share, why).await;
        }
        let names: BTreeMap<Id, &str> = share.tasks.iter().map(|(id, name)| (*id, name.as_str())).collect();
        let mut first = true;
        loop {
            let next = tokio::select! {
                () = out.closed() => break,
                next = chunks.recv() => next,
                () = tokio::time::sleep(FIRST_CHUNK_LIMIT), if first && !asked.follow => {
                    let why = format!("node {} does not answer; its lines are missing", share.node_name);
                    gap(&out, &share, why).await;
                    break;
                }
            };
            let Some(chunk) = next else {
                let why = format!("node {} stopped sending; later lines are missing", share.node_name);
                gap(&out, &share, why).await;
                break;
            };
            first = false;
            for mut line in chunk.lines {
                line.task_name =
                    names.get(&Id::from_bytes(&line.task_id)).copied().unwrap_or_default().to_owned();
                line.node_name.clone_from(&share.node_name);
                if out.send(Ok(LogsReply { message: Some(Message::Line(line)) })).await.is_err() {
                    break;
                }
            }
            if !chunk.message.is_empty() {
                gap(&out, &share, format!("node {}: {}", share.node_name, chunk.message)).await;
            }
            if chunk.end {
                return self.broker.close(request);
            }
        }
        self.broker.close(request);
        let cancel = ToAgent { message: Some(to_agent::Message::Cancel(LogCancel { request })) };
        self.hub.order(share.node, cancel).await;
    }
}

async fn gap(out: &mpsc::Sender<Result<LogsReply, Status>>, share: &Share, message: String) {
    let gap = LogGap { task_id: bytes::Bytes::new(), node_name: share.node_name.clone(), message };
    // A reader that has gone does not miss it.
    drop(out.send(Ok(LogsReply { message: Some(Message::Gap(gap)) })).await);
}

/// The tasks that are asked for, by node. Tasks that never had a node printed nothing.
fn shares(view: &View, asked: &LogsRequest) -> Result<Vec<Share>, Status> {
    let mut tasks = Vec::new();
    for reference in &asked.services {
        let service = resolve::service(view, reference).map_err(|e| e.to_status())?;
        tasks.extend(view.tasks_of(service).map(|(place, _)| place));
    }
    for reference in &asked.tasks {
        tasks.push(resolve::task(view, reference).map_err(|e| e.to_status())?);
    }
    let mut shares: BTreeMap<Id, Share> = BTreeMap::new();
    for task in tasks.into_iter().filter_map(|place| view.tasks().get(place)) {
        let Some(node) = task.node.and_then(|place| view.nodes().get(place)) else { continue };
        let share = shares.entry(node.id).or_insert_with(|| Share {
            node: node.id,
            node_name: node.hostname().to_owned(),
            tasks: Vec::new(),
        });
        share.tasks.push((task.id, show::task_name(view, task)));
    }
    Ok(shares.into_values().collect())
}

#[tonic::async_trait]
impl Logs for LogsService {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<LogsReply, Status>> + Send>>;

    async fn read(&self, request: Request<LogsRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let asked = Arc::new(request.into_inner());
        let shares = shares(&self.drive.newest().view, &asked)?;
        let (out, replies) = mpsc::channel(REPLIES_MAX);
        for share in shares {
            tokio::spawn(self.clone().relay(share, asked.clone(), out.clone()));
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }
}
