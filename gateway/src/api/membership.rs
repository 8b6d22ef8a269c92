//! The gRPC service that lets other machines in: join tokens, and the door to the network.

use crate::{
    admit::Refusal,
    authority::{AuthorityProblem, ManagerAuthority},
    door::{Door, DoorAddress},
    drive::Drive,
    reads,
};
use skep_projections::{View, node::PortAddresses};
use skep_proto::{
    Id,
    v1::{self, RefusalCode, membership_server::Membership},
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

/// How long somebody who wants the port opened waits for the manager's own node to join.
const JOINED_LIMIT: Duration = Duration::from_secs(5);

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
        let address = self.door.address();
        let address = address.map(|door| door.advertise.to_string()).unwrap_or_default();
        Ok(Response::new(v1::JoinTokenReply { token, address }))
    }

    async fn unlock_key(
        &self,
        _: Request<v1::UnlockKeyRequest>,
    ) -> Result<Response<v1::UnlockKeyReply>, Status> {
        let read = self.drive.read().await;
        let key = self.authority.unlock_key(&read.view);
        let key = key.map_err(|problem| reads::status(&of_authority(&problem)))?;
        let key = key.map(|key| key.to_text().to_string()).unwrap_or_default();
        // Without a majority it is shown too, since it may be what the others wait for; with the
        // note that it may have been rotated.
        Ok(reads::stale::response(v1::UnlockKeyReply { key }, read.stale))
    }

    async fn choose_port(
        &self,
        request: Request<v1::ChoosePortRequest>,
    ) -> Result<Response<v1::PortChoice>, Status> {
        let asked = request.into_inner();
        let recorded = self.recorded_port().await?;
        let (listen, advertise) = (&asked.listen_address, &asked.advertise_address);
        let chosen = self.door.choose(recorded, listen, advertise).await;
        let chosen = chosen.map_err(|error| reads::status(&error.refusal()))?;
        let PortAddresses { listen, advertise } = chosen.recorded();
        Ok(Response::new(v1::PortChoice {
            listen_address: listen,
            advertise_address: advertise,
            node_id: self.manager.to_bytes(),
            warnings: chosen.warning().into_iter().collect(),
        }))
    }

    async fn await_port(
        &self,
        request: Request<v1::PortChoice>,
    ) -> Result<Response<v1::PortChoice>, Status> {
        let choice = request.into_inner();
        let port = PortAddresses {
            listen: choice.listen_address.clone(),
            advertise: choice.advertise_address.clone(),
        };
        let address = DoorAddress::parse(&port)
            .ok_or_else(|| reads::status(&Refusal::invalid("that is not an address")))?;
        self.door.await_open(address).await.map_err(|error| reads::status(&error.refusal()))?;
        Ok(Response::new(choice))
    }
}

impl MembershipService {
    /// What the log says of this manager's port. Its own node may only just be joining.
    async fn recorded_port(&self) -> Result<Option<DoorAddress>, Status> {
        let mut published = self.drive.published();
        let has_joined = |view: &View| view.nodes().find(self.manager).is_some();
        let joined = published.wait_for(|published| has_joined(&published.view));
        match timeout(JOINED_LIMIT, joined).await {
            Ok(Ok(published)) => Ok(DoorAddress::of(self.manager, &published.view)),
            Ok(Err(_)) | Err(_) => {
                let message = "this manager's own node has not joined the cluster yet";
                let hint = "try again in a moment; its log says what its agent waits for";
                Err(reads::status(&Refusal::precondition(message).hint(hint)))
            }
        }
    }
}

fn of_authority(problem: &AuthorityProblem) -> Refusal {
    let (code, hint) = (RefusalCode::Precondition, problem.hint().into());
    Refusal { code, message: problem.to_string(), hint }
}
