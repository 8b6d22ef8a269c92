//! The door for people: commands, and reads of the newest state or of a past one.

use super::reads::Reads;
use crate::{
    admit::{self, Request as Asked},
    drive::Drive,
    peer::Peer,
    turn::Answer,
};
use futures::{Stream, StreamExt};
use prost::Message as _;
use skep_proto::v1::{
    Accepted, Author, Cluster, Command, CommandId, CommandReplies, CommandReply, Commands, GetRequest,
    GreetReply, GreetRequest, ListRequest, NodeList, RefusalCode, Refused, ServiceList, StatusReply,
    StatusRequest, TaskList, WatchServiceReply, WatchServiceRequest, command_reply::Outcome,
    control_server::Control,
};
use std::pin::Pin;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

/// Largest command, bytes encoded; a larger one is refused before it is read.
pub const COMMAND_BYTES_MAX: usize = 3 << 19;
/// Messages of one stream waiting for their answers; at it the stream's reading waits.
const STREAM_MESSAGES_MAX: usize = 128;

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

/// Hands a command over. What is waited on does not hold it, so that a small future stays small.
fn answer(drive: &Drive, author: Author, command: Command) -> impl Future<Output = CommandReply> + use<> {
    let (id, bytes) = (command.id, command.encoded_len());
    let request = Asked::Command(command);
    let span = tracing::debug_span!("command", kind = admit::describe(&request).0);
    let waiting = span.in_scope(|| drive.submit(author, request, bytes));
    let answer = async move {
        match waiting {
            Ok(answer) => reply(id, answer.await.unwrap_or_else(|_| stopping())),
            Err(refusal) => reply(id, Answer::Refused(refusal)),
        }
    };
    answer.instrument(span)
}

fn stopping() -> Answer {
    Answer::Unknown("the manager is stopping".into())
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
        Ok(Response::new(answer(&self.drive, author, request.into_inner()).await))
    }

    type SubmitStreamStream = Replies<CommandReplies>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<Commands>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let author = author(&request)?;
        let drive = self.drive.clone();
        // Handed over as they are read, so that the order of the stream is the order of the turn.
        let answers = request.into_inner().map(move |message| {
            let waiting = message.map(|message| submit_all(&drive, &author, message.commands));
            async move { Ok(replies(waiting?).await) }
        });
        Ok(Response::new(Box::pin(answers.buffered(STREAM_MESSAGES_MAX))))
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

/// What is known of a message's commands before they are decided.
struct Waiting {
    ids: Vec<Option<CommandId>>,
    answers: oneshot::Receiver<Vec<Answer>>,
}

fn submit_all(drive: &Drive, author: &Author, commands: Vec<Command>) -> Waiting {
    let ids = commands.iter().map(|command| command.id).collect();
    let asks = commands.into_iter().map(|command| {
        let bytes = command.encoded_len();
        (Asked::Command(command), bytes)
    });
    Waiting { ids, answers: drive.submit_all(author, asks.collect()) }
}

async fn replies(waiting: Waiting) -> CommandReplies {
    let Waiting { ids, answers } = waiting;
    let answers = answers.await.unwrap_or_else(|_| ids.iter().map(|_| stopping()).collect());
    CommandReplies { replies: ids.into_iter().zip(answers).map(|(id, answer)| reply(id, answer)).collect() }
}
