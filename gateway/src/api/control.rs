//! The gRPC service for people: commands, and reads of the newest state or of a past one.

use super::ending::HeldPermit;
use crate::{
    admit::{self, Refusal, Request as Asked},
    drive::Drive,
    peer::{ConnectionPeer, SocketPeer},
    reads,
    turn::{self, Answer},
};
use futures::{Stream, StreamExt};
use prost::Message as _;
use skep_proto::{bytes_size, v1};
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::{sync, time::timeout};
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::Instrument;

/// Largest command, bytes encoded; a larger one is refused with its size.
pub const COMMAND_BYTES_MAX: usize = 3 << 19;
/// Largest message; a larger one is refused before it is read. A command that is too large but
/// below this is refused with its size and the bound.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 32 << 20;
/// Messages of one stream waiting for their answers; at it the stream's reading waits.
const STREAM_MESSAGES_MAX: usize = 128;

/// How long who asks for a stamp waits for a manager that has only just begun. After it the stamp
/// is of no use, and the refusal of the command says why.
const FOUNDING_LIMIT: Duration = Duration::from_secs(5);
/// Lists made and sent at once: each may be many megabytes. More wait.
const LISTS_MAX: usize = 8;
/// A list that has waited so long for others to be sent is refused.
const LIST_WAIT_LIMIT: Duration = Duration::from_secs(30);
/// Largest list that is answered, bytes encoded; a larger one is refused with its size.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

/// The service.
#[derive(Clone)]
pub struct ControlService {
    drive: Drive,
    reads: reads::Reads,
    lists: Arc<sync::Semaphore>,
    list_wait: Duration,
}

type ControlStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl ControlService {
    /// Behind it the turn and what it committed.
    pub fn new(drive: Drive, reads: reads::Reads) -> ControlService {
        let lists = Arc::new(sync::Semaphore::new(LISTS_MAX));
        ControlService { drive, reads, lists, list_wait: LIST_WAIT_LIMIT }
    }
}

impl ControlService {
    /// A list, and what it holds of the lists at once until it has been sent.
    async fn list<T: prost::Message>(
        &self,
        list: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Response<T>, Status> {
        let permit = timeout(self.list_wait, self.lists.clone().acquire_owned())
            .await
            .ok()
            .and_then(Result::ok);
        let permit = permit.ok_or_else(|| {
            let refusal = Refusal::exhausted(format!(
                "{LISTS_MAX} lists are being sent, and none has finished in time"
            ));
            reads::status(&refusal.hint("try again when some of them have been read"))
        })?;
        let mut response = list.await?;
        if let Some(refusal) = too_long(response.get_ref().encoded_len()) {
            return Err(reads::status(&refusal));
        }
        response.extensions_mut().insert(HeldPermit::new(permit));
        Ok(response)
    }
}

/// The author of what comes in on this connection.
pub(super) fn author<T>(request: &Request<T>) -> Result<v1::Author, Status> {
    let peer = request.extensions().get::<ConnectionPeer>().and_then(ConnectionPeer::person);
    peer.map(SocketPeer::author)
        .ok_or_else(|| Status::unauthenticated("the connection has no credentials"))
}

/// Hands a command over. What is waited on does not hold it, so that a small future stays small.
fn answer(
    drive: &Drive,
    author: v1::Author,
    mut command: v1::Command,
) -> impl Future<Output = v1::CommandReply> + use<> {
    let id = command.id;
    turn::bind(&mut command);
    let bytes = command.encoded_len();
    let request = Asked::Command(command);
    let span = tracing::debug_span!("command", kind = admit::describe(&request).0);
    let waiting = match too_large(bytes) {
        Some(refusal) => Err(refusal),
        None => Ok(span.in_scope(|| drive.submit(author, request, bytes))),
    };
    let answer = async move {
        match waiting {
            Ok(answer) => reply(id, answer.await.unwrap_or_else(|_| stopping())),
            Err(refusal) => reply(id, Answer::Refused(refusal)),
        }
    };
    answer.instrument(span)
}

/// A size and the bound that it exceeds, in bytes if they would read alike otherwise.
fn compared(bytes: usize, limit: usize) -> (String, String) {
    let sizes = [bytes, limit].map(|bytes| bytes_size(bytes as u64));
    match sizes {
        [size, bound] if size == bound => (format!("{bytes} bytes"), limit.to_string()),
        [size, bound] => (size, bound),
    }
}

/// The refusal of a list that is larger than any may be.
fn too_long(bytes: usize) -> Option<Refusal> {
    (bytes > REPLY_BYTES_MAX).then(|| {
        let (size, limit) = compared(bytes, REPLY_BYTES_MAX);
        Refusal::exhausted(format!("the list has {size}; at most {limit} are answered"))
            .hint("ask for less: name the objects, or use --filter")
    })
}

/// The refusal of a command that is larger than any may be.
fn too_large(bytes: usize) -> Option<Refusal> {
    (bytes > COMMAND_BYTES_MAX).then(|| {
        let (size, limit) = compared(bytes, COMMAND_BYTES_MAX);
        let message = format!("the command has {size}; at most {limit} are taken");
        Refusal::invalid(message)
            .hint("shorten its environment, arguments or labels; put large data into a volume")
    })
}

fn stopping() -> Answer {
    Answer::Unknown("the manager is stopping".into())
}

fn reply(id: Option<v1::CommandId>, answer: Answer) -> v1::CommandReply {
    let outcome = match answer {
        Answer::Accepted { revision, through, object, changed, warnings } => {
            v1::command_reply::Outcome::Accepted(v1::Accepted {
                revision: revision.0,
                through_revision: through.0,
                object_id: object.to_bytes(),
                changed,
                warnings,
            })
        }
        Answer::Refused(refusal) => v1::command_reply::Outcome::Refused(refusal.to_message()),
        Answer::Unknown(message) => {
            v1::command_reply::Outcome::Unknown(v1::UnknownOutcome { message })
        }
    };
    v1::CommandReply { id, outcome: Some(outcome) }
}

#[tonic::async_trait]
impl v1::control_server::Control for ControlService {
    async fn greet(
        &self,
        _request: Request<v1::GreetRequest>,
    ) -> Result<Response<v1::GreetReply>, Status> {
        let mut stamp = [0; 8];
        getrandom::fill(&mut stamp).map_err(|error| reads::failure(Code::Unavailable, &error))?;
        let newest = self.drive.founded(FOUNDING_LIMIT).await;
        Ok(Response::new(v1::GreetReply {
            // 0 is "no stamp".
            stamp: u64::from_be_bytes(stamp) | 1,
            given_revision: newest.view.position().revision.0,
            lineage: newest.view.lineage().0,
            version: env!("CARGO_PKG_VERSION").into(),
            cluster_id: newest.view.cluster().id.to_bytes(),
        }))
    }

    async fn submit(
        &self,
        request: Request<v1::Command>,
    ) -> Result<Response<v1::CommandReply>, Status> {
        let author = author(&request)?;
        Ok(Response::new(answer(&self.drive, author, request.into_inner()).await))
    }

    type SubmitStreamStream = ControlStream<v1::CommandReplies>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<v1::Commands>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let author = Arc::new(author(&request)?);
        let drive = self.drive.clone();
        // Handed over as they are read, so that the order of the stream is the order of the turn.
        let answers = request.into_inner().map(move |message| {
            let waiting = message.map(|message| submit_all(&drive, &author, message.commands));
            async move { Ok(replies(waiting?).await) }
        });
        Ok(Response::new(Box::pin(answers.buffered(STREAM_MESSAGES_MAX))))
    }

    async fn list_nodes(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::NodeList>, Status> {
        self.list(self.reads.list_nodes(request.into_inner())).await
    }

    async fn list_services(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ServiceList>, Status> {
        self.list(self.reads.list_services(request.into_inner())).await
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::TaskList>, Status> {
        self.list(self.reads.list_tasks(request.into_inner())).await
    }

    async fn list_strays(
        &self,
        request: Request<v1::ListStraysRequest>,
    ) -> Result<Response<v1::StrayList>, Status> {
        self.reads.list_strays(request.into_inner()).await
    }

    async fn get_cluster(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::Cluster>, Status> {
        self.list(self.reads.get_cluster(request.into_inner())).await
    }

    async fn status(
        &self,
        _request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusReply>, Status> {
        self.reads.status().await.map(Response::new)
    }

    type WatchServiceStream = ControlStream<v1::WatchServiceReply>;

    async fn watch_service(
        &self,
        request: Request<v1::WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let watch = self.reads.watch_service(request.into_inner()).await?;
        Ok(Response::new(Box::pin(watch)))
    }
}

/// What is known of a message's commands before they are decided.
struct AwaitedReplies {
    ids: Vec<Option<v1::CommandId>>,
    answers: sync::oneshot::Receiver<Vec<Answer>>,
}

fn submit_all(
    drive: &Drive,
    author: &Arc<v1::Author>,
    commands: Vec<v1::Command>,
) -> AwaitedReplies {
    let ids = commands.iter().map(|command| command.id).collect();
    let requests = commands.into_iter().map(|mut command| {
        turn::bind(&mut command);
        let bytes = command.encoded_len();
        too_large(bytes).map_or(Ok((Asked::Command(command), bytes)), Err)
    });
    AwaitedReplies { ids, answers: drive.submit_all(author, requests) }
}

async fn replies(waiting: AwaitedReplies) -> v1::CommandReplies {
    let AwaitedReplies { ids, answers } = waiting;
    let answers = answers.await.unwrap_or_default().into_iter();
    let answers = answers.chain(std::iter::repeat_with(stopping));
    v1::CommandReplies {
        replies: ids.into_iter().zip(answers).map(|(id, a)| reply(id, a)).collect(),
    }
}

#[cfg(test)]
mod tests;
