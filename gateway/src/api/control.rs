//! The door for people: commands, and reads of the newest state or of a past one.

use super::reads::Reads;
use crate::{
    admit::{self, Refusal, Request as Asked},
    drive::Drive,
    peer::Peer,
    turn::Answer,
};
use futures::{Stream, StreamExt};
use prost::Message as _;
use skep_proto::v1::{
    Accepted, Author, Cluster, Command, CommandId, CommandReply, GetRequest, GreetReply, GreetRequest,
    ListRequest, NodeList, RefusalCode, Refused, ServiceList, StatusReply, StatusRequest, TaskList,
    WatchServiceReply, WatchServiceRequest, command_reply::Outcome, control_server::Control,
};
use std::pin::Pin;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

/// Largest command, bytes encoded; a larger one is refused before it is read.
pub const COMMAND_BYTES_MAX: usize = 3 << 19;
/// Commands of one stream waiting for their answers; at it the stream's reading waits.
const STREAM_COMMANDS_MAX: usize = 128;

/// The service.
#[derive(Clone)]
pub struct ControlService {
    drive: Drive,
    reads: Reads,
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl ControlService {
    /// Behind it the turn and what it committed.
    pub fn new(drive: Drive, reads: Reads) -> ControlService {
        ControlService { drive, reads }
    }
}

/// The author of what comes in on this connection.
pub(super) fn author<T>(request: &Request<T>) -> Result<Author, Status> {
    let peer = request.extensions().get::<Peer>();
    peer.map(Peer::author).ok_or_else(|| Status::unauthenticated("the connection has no credentials"))
}

async fn answer(drive: Drive, author: Author, command: Command) -> CommandReply {
    let (id, bytes) = (command.id, command.encoded_len());
    let request = Asked::Command(command);
    let span = tracing::debug_span!("command", kind = admit::describe(&request).0);
    reply(id, drive.ask(author, request, bytes).instrument(span).await)
}

fn reply(id: Option<CommandId>, answer: Answer) -> CommandReply {
    let outcome = match answer {
        Answer::Accepted { revision, through, object, changed, warnings } => Outcome::Accepted(Accepted {
            revision: revision.0,
            through_revision: through.0,
            object_id: object.to_bytes(),
            changed,
            warnings,
        }),
        Answer::Refused(refusal) => Outcome::Refused(refusal.to_message()),
        Answer::Unknown(message) => Outcome::Refused(Refused {
            code: RefusalCode::Unspecified as i32,
            message: format!("it is unknown whether the command took effect: {message}"),
            hint: "send it again under the same id".into(),
        }),
    };
    CommandReply { id, outcome: Some(outcome) }
}

#[tonic::async_trait]
impl Control for ControlService {
    async fn greet(&self, _request: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        let mut stamp = [0; 8];
        getrandom::fill(&mut stamp).map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(GreetReply {
            // 0 is "no stamp".
            stamp: u64::from_be_bytes(stamp) | 1,
            version: env!("CARGO_PKG_VERSION").into(),
            cluster_id: self.drive.newest().view.cluster().id.to_bytes(),
        }))
    }

    async fn submit(&self, request: Request<Command>) -> Result<Response<CommandReply>, Status> {
        let author = author(&request)?;
        Ok(Response::new(answer(self.drive.clone(), author, request.into_inner()).await))
    }

    type SubmitStreamStream = Replies<CommandReply>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<Command>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let author = author(&request)?;
        let drive = self.drive.clone();
        let answers = request.into_inner().map(move |command| {
            let command = command.map(|command| submit(&drive, &author, command));
            async move {
                let (id, waiting) = command?;
                let answer = match waiting {
                    Ok(waiting) => {
                        waiting.await.unwrap_or_else(|_| Answer::Unknown("the manager is stopping".into()))
                    }
                    Err(refusal) => Answer::Refused(refusal),
                };
                Ok(reply(id, answer))
            }
        });
        Ok(Response::new(Box::pin(answers.buffered(STREAM_COMMANDS_MAX))))
    }

    async fn list_nodes(&self, request: Request<ListRequest>) -> Result<Response<NodeList>, Status> {
        self.reads.list_nodes(request.into_inner()).await.map(Response::new)
    }

    async fn list_services(&self, request: Request<ListRequest>) -> Result<Response<ServiceList>, Status> {
        self.reads.list_services(request.into_inner()).await.map(Response::new)
    }

    async fn list_tasks(&self, request: Request<ListRequest>) -> Result<Response<TaskList>, Status> {
        self.reads.list_tasks(request.into_inner()).await.map(Response::new)
    }

    async fn get_cluster(&self, request: Request<GetRequest>) -> Result<Response<Cluster>, Status> {
        self.reads.get_cluster(request.into_inner()).await.map(Response::new)
    }

    async fn status(&self, _request: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        self.reads.status().await.map(Response::new)
    }

    type WatchServiceStream = Replies<WatchServiceReply>;

    async fn watch_service(
        &self,
        request: Request<WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let watch = self.reads.watch_service(request.into_inner()).await?;
        Ok(Response::new(Box::pin(watch)))
    }
}

type Waiting = Result<tokio::sync::oneshot::Receiver<Answer>, Refusal>;

/// Hands a streamed command over at once, so that the order of the stream is the order of the turn.
fn submit(drive: &Drive, author: &Author, command: Command) -> (Option<CommandId>, Waiting) {
    let (id, bytes) = (command.id, command.encoded_len());
    (id, drive.submit(author.clone(), Asked::Command(command), bytes))
}
