//! What a node asks of the managers before it is one of them: the authority's key, and to be
//! reached where it listens.

use super::{
    connection::{ExpectedPeer, PeerError, connect},
    limited,
};
use crate::{door::DoorAddress, forwarded, turn::Answer};
use skep_projections::node::PortAddresses;
use skep_proto::{FEATURE_LEVEL, Id, author, v1, v1::managers_client::ManagersClient};
use skep_trust::{AuthorityError, CertificateAuthority, CertificateFolder, FolderError, LockSalt};
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;
use tonic::{Status, transport::Channel};

/// A manager that has not answered by then is left for the next one.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// Where a node that becomes a manager finds the others.
#[derive(Clone, Debug)]
pub struct ManagerApplication {
    /// The folder with the key and the certificate of the node.
    pub certificates: CertificateFolder,
    /// `HOST:PORT` each.
    pub managers: Vec<String>,
}

/// Why a node does not become a manager yet.
#[derive(Debug, Error)]
pub enum ApplicationError {
    /// The own certificate, or no manager is reached.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The own folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A manager says no.
    #[error("the manager at {address}: {message}")]
    Refused {
        /// Where.
        address: String,
        /// What it says.
        message: String,
    },
    /// What came is not the authority's key.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// There is nobody to ask.
    #[error("this node knows no other manager")]
    Nobody,
    /// None of them leads.
    #[error("no manager leads now")]
    NoLeader,
}

impl ManagerApplication {
    /// The cluster's authority with its key, from the first manager that gives it; and what the key
    /// is sealed with on the disk, where the cluster is locked.
    pub async fn authority(
        &self,
    ) -> Result<(CertificateAuthority, Option<LockSalt>), ApplicationError> {
        let issued = self.certificates.read_node()?;
        let issued = issued.and_then(|files| files.issued).ok_or(PeerError::NoCertificate)?;
        let mut problem = ApplicationError::Nobody;
        for address in &self.managers {
            let asked = async {
                let mut client = self.client(address).await?;
                let ask = v1::AuthorityKeyRequest { feature_level: FEATURE_LEVEL };
                let reply = timeout(ASK_LIMIT, client.authority_key(ask)).await;
                answered(address, reply)
            };
            match asked.await {
                Ok(v1::AuthorityKeyReply { key, lock_salt }) => {
                    let key = std::str::from_utf8(&key).unwrap_or_default();
                    let authority = CertificateAuthority::from_pem(issued.root.pem(), key)?;
                    return Ok((authority, lock_salt.as_ref().try_into().ok().map(LockSalt)));
                }
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// Has the leader record where this node listens.
    pub async fn announce(&self, node: Id, port: DoorAddress) -> Result<(), ApplicationError> {
        let PortAddresses { listen, advertise } = port.recorded();
        let open = v1::command::Action::OpenPort(v1::OpenPort {
            node_id: node.to_bytes(),
            listen_address: listen,
            advertise_address: advertise,
        });
        let command = v1::Command { action: Some(open), ..v1::Command::default() };
        let request = crate::admit::Request::Command(command);
        let request = forwarded::encode_request(&author::manager(node), &request);
        let message = v1::ForwardedRequests { requests: request.into_iter().collect() };
        let mut problem = ApplicationError::Nobody;
        for address in &self.managers {
            let asked = async {
                let mut client = self.client(address).await?;
                let reply = timeout(ASK_LIMIT, client.forward(message.clone())).await;
                let reply = answered(address, reply)?;
                let answer = reply.answers.into_iter().next().and_then(forwarded::decode_answer);
                match answer {
                    Some((Answer::Accepted { .. }, _)) => Ok(()),
                    Some((Answer::Refused(refusal), _)) => Err(refused(address, &refusal.message)),
                    Some((Answer::Unknown(why), _)) => Err(refused(address, &why)),
                    None => Err(ApplicationError::NoLeader),
                }
            };
            match asked.await {
                Ok(()) => return Ok(()),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    async fn client(&self, address: &str) -> Result<ManagersClient<Channel>, PeerError> {
        let expected = ExpectedPeer::Any;
        Ok(limited(connect(address, expected, self.certificates.clone()).await?))
    }
}

fn refused(address: &str, message: &str) -> ApplicationError {
    ApplicationError::Refused { address: address.to_owned(), message: message.to_owned() }
}

fn answered<T>(
    address: &str,
    reply: Result<Result<tonic::Response<T>, Status>, tokio::time::error::Elapsed>,
) -> Result<T, ApplicationError> {
    match reply {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(refused(address, status.message())),
        Err(_) => Err(refused(address, "it does not answer")),
    }
}
