//! The gRPC service for other managers. Who may call it is said by the permission table.

use crate::{authority::ManagerAuthority, drive::Drive, forwarded, reads};
use skep_log::BarrierError;
use skep_proto::v1::{self, managers_server::Managers};
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct ManagersService {
    drive: Drive,
    authority: Arc<ManagerAuthority>,
}

impl ManagersService {
    /// Behind it the log, the turn, and the authority's key.
    pub fn new(drive: Drive, authority: Arc<ManagerAuthority>) -> ManagersService {
        ManagersService { drive, authority }
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
        let requests = requests
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Status::invalid_argument("a request that this manager does not know"))?;
        let answers = self.drive.decide_forwarded(requests).await;
        // Each answer was given when all could see what it rests on.
        let seen = self.drive.newest().view.position().revision;
        let answers = answers.into_iter().map(|answer| forwarded::encode_answer(answer, seen));
        let answers = answers.collect();
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
            })),
            Err(BarrierError::NotLeader) => Ok(Response::new(v1::ReadIndexReply::default())),
            Err(error @ BarrierError::Failed(_)) => Err(reads::failure(Code::Unavailable, &error)),
        }
    }

    async fn authority_key(
        &self,
        _: Request<v1::AuthorityKeyRequest>,
    ) -> Result<Response<v1::AuthorityKeyReply>, Status> {
        let key = self.authority.key(&self.drive.newest().view);
        let key = key.map_err(|problem| reads::failure(Code::Unavailable, &problem))?;
        Ok(Response::new(v1::AuthorityKeyReply { key }))
    }
}
