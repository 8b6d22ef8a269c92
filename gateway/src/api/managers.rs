//! The gRPC service for other managers. Who may call it is said by the permission table.

use crate::{
    authority::ManagerAuthority, drive::Drive, forwarded, hub::Hub, logs::Broker,
    peers::FREE_SHARE_UNIT, reads,
};
use futures::{Stream, StreamExt};
use skep_log::BarrierError;
use skep_proto::{
    FEATURE_LEVEL, Id, MANAGERS_LEVEL,
    v1::{self, managers_server::Managers, to_agent::Message},
};
use std::{pin::Pin, sync::Arc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct ManagersService {
    drive: Drive,
    authority: Arc<ManagerAuthority>,
    hub: Hub,
    broker: Arc<Broker>,
}

/// An order of another manager. Dropping it ends the order, at the agent too.
struct OrderOfOther {
    service: ManagersService,
    node: Id,
    request: u64,
}

impl Drop for OrderOfOther {
    fn drop(&mut self) {
        let OrderOfOther { service, node, request } = self;
        service.broker.close(*request);
        let (hub, node) = (service.hub.clone(), *node);
        let cancel = Message::Cancel(v1::LogCancel { request: *request });
        tokio::spawn(async move { hub.order(node, told(cancel)).await });
    }
}

fn told(message: Message) -> v1::ToAgent {
    v1::ToAgent { message: Some(message) }
}

impl ManagersService {
    /// Behind it the log, the turn, the authority's key, and the agents' sessions.
    pub fn new(
        drive: Drive,
        authority: Arc<ManagerAuthority>,
        hub: Hub,
        broker: Arc<Broker>,
    ) -> ManagersService {
        ManagersService { drive, authority, hub, broker }
    }
}

#[tonic::async_trait]
impl Managers for ManagersService {
    async fn raft(
        &self,
        request: Request<v1::RaftMessage>,
    ) -> Result<Response<v1::RaftMessage>, Status> {
        let body = self.drive.log().hear(request.into_inner().body).await;
        Ok(Response::new(v1::RaftMessage { body }))
    }

    async fn forward(
        &self,
        request: Request<v1::ForwardedRequests>,
    ) -> Result<Response<v1::ForwardedAnswers>, Status> {
        if !self.drive.log().leadership().borrow().leader {
            let not_leading = true;
            return Ok(Response::new(v1::ForwardedAnswers { answers: Vec::new(), not_leading }));
        }
        let requests = request.into_inner().requests.into_iter().map(forwarded::decode_request);
        let requests: Vec<_> = requests.collect();
        let known: Vec<bool> = requests.iter().map(Option::is_some).collect();
        let answers = self.drive.decide_forwarded(requests.into_iter().flatten().collect()).await;
        // Each answer was given when all could see what it rests on.
        let seen = self.drive.newest().view.position().revision;
        let mut answers = answers.into_iter();
        let answers = known.into_iter().map(|known| match known {
            true => answers.next().flatten(),
            // One that this program does not know keeps no other back.
            false => Some(forwarded::unknown_request()),
        });
        let answers = answers.map(|answer| forwarded::encode_answer(answer, seen)).collect();
        Ok(Response::new(v1::ForwardedAnswers { answers, not_leading: false }))
    }

    async fn read_index(
        &self,
        _: Request<v1::ReadIndexRequest>,
    ) -> Result<Response<v1::ReadIndexReply>, Status> {
        match self.drive.log().barrier().await {
            Ok(position) => Ok(Response::new(v1::ReadIndexReply {
                leads: true,
                incarnation: position.incarnation,
                revision: position.revision.0,
                at: self.drive.log_time().0,
            })),
            Err(BarrierError::NotLeader) => Ok(Response::new(v1::ReadIndexReply::default())),
            Err(error @ BarrierError::Failed(_)) => Err(reads::failure(Code::Unavailable, &error)),
        }
    }

    type ReadLogsStream = Pin<Box<dyn Stream<Item = Result<v1::LogChunk, Status>> + Send>>;

    async fn read_logs(
        &self,
        request: Request<v1::NodeLogOrder>,
    ) -> Result<Response<Self::ReadLogsStream>, Status> {
        let v1::NodeLogOrder { node_id, order } = request.into_inner();
        let (node, order) = (Id::from_bytes(&node_id), order.unwrap_or_default());
        let request = order.request;
        let chunks = self.broker.open_for_other(request);
        let chunks =
            chunks.ok_or_else(|| Status::already_exists("an order of this number is open"))?;
        let held = OrderOfOther { service: self.clone(), node, request };
        if !self.hub.order(node, told(Message::Logs(order))).await {
            return Err(Status::not_found("the node has no session with this manager"));
        }
        let chunks = ReceiverStream::new(chunks).map(move |chunk| {
            let _until_the_end = &held;
            Ok(chunk)
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn add_to_order(
        &self,
        request: Request<v1::NodeLogOrder>,
    ) -> Result<Response<v1::AddedToOrder>, Status> {
        let v1::NodeLogOrder { node_id, order } = request.into_inner();
        let order = told(Message::Logs(order.unwrap_or_default()));
        let taken = self.hub.order(Id::from_bytes(&node_id), order).await;
        Ok(Response::new(v1::AddedToOrder { taken }))
    }

    async fn room(&self, _: Request<v1::RoomRequest>) -> Result<Response<v1::RoomReply>, Status> {
        let free = self.drive.log().free_share() * FREE_SHARE_UNIT;
        let (free_millionths, feature_level) = (free as u32, FEATURE_LEVEL);
        Ok(Response::new(v1::RoomReply { free_millionths, feature_level }))
    }

    async fn authority_key(
        &self,
        request: Request<v1::AuthorityKeyRequest>,
    ) -> Result<Response<v1::AuthorityKeyReply>, Status> {
        let view = &self.drive.newest().view;
        // A program that does not know the cluster's level would halt at its records.
        let knows = request.into_inner().feature_level.max(MANAGERS_LEVEL);
        if knows < view.level() {
            let message = format!(
                "the records of this cluster are of feature level {}, and the program of the node \
                 that is to be a manager knows level {knows}: \
                 install the version of the other managers there",
                view.level()
            );
            return Err(Status::failed_precondition(message));
        }
        let key = self.authority.key(view);
        let key = key.map_err(|problem| reads::failure(Code::Unavailable, &problem))?;
        let lock_salt = crate::authority::lock_salt(view);
        Ok(Response::new(v1::AuthorityKeyReply { key, lock_salt }))
    }
}
