//! The way to other managers: raft's questions, requests for the leader, and reads that ask how far
//! history has come.
//!
//! Each other manager is reached over two connections, so that a vote never waits behind a
//! snapshot. A connection is made when something is to be sent, and given up when it fails. Where a
//! manager is says the log; whether it is the right one says its certificate.

mod answers;
mod connection;
mod fate;
mod joining;
mod leader;
mod logs;
mod room;

pub use connection::PeerError;
pub use joining::{ApplicationError, ManagerApplication};
pub use leader::LeaderClient;
pub use logs::OrderElsewhere;
pub(crate) use room::FREE_SHARE_UNIT;

use crate::drive::DriveState;
use bytes::Bytes;
use connection::PeerConnection;
use fate::CallFate;
use futures::future::BoxFuture;
use skep_log::{NoPeerAnswer, PeerAddress, PeerLane, PeerTransport};
use skep_projections::View;
use skep_proto::{Id, v1, v1::managers_client::ManagersClient};
use skep_trust::CertificateFolder;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};
use tokio::runtime::Handle;
use tonic::transport::Channel;

/// Largest message between managers: some hundred entries of raft.
pub const PEER_MESSAGE_BYTES_MAX: usize = 64 << 20;

/// One for each manager and lane that something was sent on.
type PeerConnections = BTreeMap<(Id, PeerLane), Arc<PeerConnection>>;

/// Where other managers are found, and what is shown to them; its clones are the same one.
#[derive(Clone)]
pub struct ManagerPeers {
    /// The folder with the key and the certificate of this manager's own node.
    certificates: CertificateFolder,
    runtime: Handle,
    /// Of which the view says where the others are. It is set once, when there is one.
    state: Arc<OnceLock<Weak<DriveState>>>,
    connections: Arc<Mutex<PeerConnections>>,
}

impl ManagerPeers {
    /// Shows what lies in this folder. Its connections live in the runtime that calls.
    pub fn new(certificates: CertificateFolder) -> ManagerPeers {
        ManagerPeers {
            certificates,
            runtime: Handle::current(),
            state: Arc::default(),
            connections: Arc::default(),
        }
    }

    /// From now on the view of this manager says where the others are.
    pub fn find_in(&self, state: &Arc<DriveState>) {
        // Nobody else sets it.
        self.state.set(Arc::downgrade(state)).ok();
    }

    /// Where a manager is now, as the log says.
    fn recorded(&self, node: Id) -> Option<String> {
        let state = self.state.get()?.upgrade()?;
        let view = &state.newest().view;
        let (_, row) = view.nodes().by_id(node)?;
        row.port.as_deref().map(|port| port.advertise.clone())
    }

    /// The manager with this number in raft.
    fn numbered(&self, raft_id: u64) -> Option<Id> {
        let state = self.state.get()?.upgrade()?;
        number_of(&state.newest().view, raft_id)
    }

    fn connection(&self, node: Id, lane: PeerLane) -> Arc<PeerConnection> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let (certificates, runtime) = (self.certificates.clone(), self.runtime.clone());
        let made = || Arc::new(PeerConnection::new(node, certificates, runtime));
        connections.entry((node, lane)).or_insert_with(made).clone()
    }

    /// A client of this manager; `hint` is where it was once, should the log not say where it is.
    async fn client(
        &self,
        node: Id,
        lane: PeerLane,
        hint: &str,
    ) -> Result<(ManagersClient<Channel>, Arc<PeerConnection>), PeerError> {
        let address = self.recorded(node).unwrap_or_else(|| hint.to_owned());
        let connection = self.connection(node, lane);
        let channel = connection.channel(&address).await?;
        Ok((limited(channel), connection))
    }
}

fn number_of(view: &View, raft_id: u64) -> Option<Id> {
    let is_it = |manager: skep_projections::node::ManagerNumber| manager.raft_id == raft_id;
    view.managers().find(|(_, row)| row.manager.is_some_and(is_it)).map(|(_, row)| row.id)
}

pub(super) fn limited(channel: Channel) -> ManagersClient<Channel> {
    ManagersClient::new(channel)
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
}

impl std::fmt::Debug for ManagerPeers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the network between managers")
    }
}

impl PeerTransport for ManagerPeers {
    fn ask(
        &self,
        to: PeerAddress,
        lane: PeerLane,
        question: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NoPeerAnswer>> {
        let peers = self.clone();
        Box::pin(async move {
            let PeerAddress { raft_id: target, node, address } = to;
            let unreachable = |cause: String| NoPeerAnswer::Unreachable {
                target,
                address: peers.recorded(node).unwrap_or_else(|| address.clone()),
                cause,
            };
            let client = peers.client(node, lane, &address).await;
            let (mut client, connection) =
                client.map_err(|error| unreachable(error.to_string()))?;
            match client.raft(v1::RaftMessage { body: question }).await {
                Ok(answer) => Ok(answer.into_inner().body),
                Err(status) => {
                    connection.note(&status);
                    let told = fate::reason(&status);
                    Err(match fate::of(&status) {
                        CallFate::NotDone => NoPeerAnswer::Refused(told),
                        CallFate::MayBeDone => NoPeerAnswer::Lost(told),
                    })
                }
            }
        })
    }
}
