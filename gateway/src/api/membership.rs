//! The gRPC service that lets other machines in: join tokens, and the door to the network.

use crate::{
    admit::Refusal,
    authority::{AuthorityProblem, ManagerAuthority},
    door::{Door, DoorError},
    drive::Drive,
    reads,
};
use skep_proto::{
    Id,
    v1::{self, RefusalCode, membership_server::Membership},
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct MembershipService {
    drive: Drive,
    authority: Arc<ManagerAuthority>,
    door: Door,
    manager: Id,
}

impl MembershipService {
    /// Behind it the authority's key, and the door. `manager` is this manager's own node.
    pub fn new(
        drive: Drive,
        authority: Arc<ManagerAuthority>,
        door: Door,
        manager: Id,
    ) -> MembershipService {
        MembershipService { drive, authority, door, manager }
    }
}

#[tonic::async_trait]
impl Membership for MembershipService {
    async fn join_token(
        &self,
        request: Request<v1::JoinTokenRequest>,
    ) -> Result<Response<v1::JoinTokenReply>, Status> {
        let view = self.drive.newest().view.clone();
        let token = self.authority.join_token(&view, request.into_inner().role());
        let token = token.map_err(|problem| reads::status(&of_authority(&problem)))?.to_string();
        let address = self.door.address().await;
        let address = address.map(|door| door.advertise.to_string()).unwrap_or_default();
        Ok(Response::new(v1::JoinTokenReply { token, address }))
    }

    async fn open_door(
        &self,
        request: Request<v1::OpenDoorRequest>,
    ) -> Result<Response<v1::OpenDoorReply>, Status> {
        let asked = request.into_inner();
        let opened = self.door.open(&asked.listen_address, &asked.advertise_address).await;
        let opened = opened.map_err(|error| reads::status(&of_door(&error)))?;
        Ok(Response::new(v1::OpenDoorReply {
            listen_address: opened.listen.to_string(),
            advertise_address: opened.advertise.to_string(),
            node_id: self.manager.to_bytes(),
        }))
    }
}

fn of_authority(problem: &AuthorityProblem) -> Refusal {
    refused(RefusalCode::Precondition, problem, problem.hint())
}

fn of_door(error: &DoorError) -> Refusal {
    let (code, hint) = match error {
        DoorError::Address(_) => (RefusalCode::Invalid, ""),
        DoorError::Open(_) => (
            RefusalCode::Precondition,
            "to change it, stop the daemon, remove the file `door` from its state folder, start \
             the daemon, and open the port again",
        ),
        DoorError::Listen { .. } => (
            RefusalCode::Precondition,
            "free that address, or choose another one with --listen-addr",
        ),
        DoorError::File { .. } | DoorError::Stopping => (RefusalCode::Precondition, ""),
    };
    refused(code, error, hint)
}

fn refused(code: RefusalCode, error: &dyn std::error::Error, hint: &str) -> Refusal {
    Refusal { code, message: error.to_string(), hint: hint.into() }
}
