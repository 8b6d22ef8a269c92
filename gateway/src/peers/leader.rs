//! The way to the manager that leads, for requests and reads that are made here.

use super::{ManagerPeers, connection::PeerError, is_refused};
use crate::{
    drive::{ForwardOutcome, LeaderLink},
    forwarded,
};
use futures::future::BoxFuture;
use skep_log::PeerLane;
use skep_proto::{
    Position, Revision,
    v1::{ForwardedRequests, ReadIndexRequest},
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tonic::Status;

/// A leader that has not answered requests by then is left: what became of them is unknown.
const FORWARD_LIMIT: Duration = Duration::from_secs(15);
/// A leader that has not said by then how far history is does not answer.
const READ_INDEX_LIMIT: Duration = Duration::from_secs(1);

/// Who leads, by its number in raft.
pub type LeaderSource = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// The way to the manager that leads.
pub struct ManagerLink {
    peers: ManagerPeers,
    leader: LeaderSource,
}

impl ManagerLink {
    /// `leader` says who leads, as far as this manager's log knows.
    pub fn new(peers: ManagerPeers, leader: LeaderSource) -> ManagerLink {
        ManagerLink { peers, leader }
    }
}

impl LeaderLink for ManagerLink {
    fn forward(&self, message: ForwardedRequests) -> BoxFuture<'static, ForwardOutcome> {
        let (peers, leader) = (self.peers.clone(), (self.leader)());
        Box::pin(async move {
            let Some(node) = leader.and_then(|leader| peers.numbered(leader)) else {
                return ForwardOutcome::NotTaken;
            };
            let (mut client, connection) = match peers.client(node, PeerLane::Bulk, "").await {
                Ok(client) => client,
                Err(error) => return not_taken(&error),
            };
            match timeout(FORWARD_LIMIT, client.forward(message)).await {
                Ok(Ok(answers)) if answers.get_ref().not_leading => ForwardOutcome::NotTaken,
                Ok(Ok(answers)) => {
                    let answers = answers.into_inner().answers;
                    let answers = answers.into_iter().map(forwarded::decode_answer);
                    ForwardOutcome::Answered(answers.collect())
                }
                Ok(Err(status)) => {
                    connection.note(&status);
                    failed(&status)
                }
                Err(_) => ForwardOutcome::Lost("the manager that leads has not answered".into()),
            }
        })
    }

    fn read_index(&self) -> BoxFuture<'static, Result<Position, String>> {
        let (peers, leader) = (self.peers.clone(), (self.leader)());
        Box::pin(async move {
            let leader = leader.ok_or("no manager leads now")?;
            let node = peers.numbered(leader).ok_or("nobody knows where the leader is")?;
            let client = peers.client(node, PeerLane::Urgent, "").await;
            let (mut client, connection) = client.map_err(|error| error.to_string())?;
            let asked = timeout(READ_INDEX_LIMIT, client.read_index(ReadIndexRequest {})).await;
            let reply = asked.map_err(|_| "the manager that leads does not answer".to_owned())?;
            let reply = reply.map_err(|status| {
                connection.note(&status);
                status.message().to_owned()
            })?;
            let reply = reply.into_inner();
            if !reply.leads {
                return Err("no manager leads now".into());
            }
            Ok(Position { incarnation: reply.incarnation, revision: Revision(reply.revision) })
        })
    }
}

fn not_taken(error: &PeerError) -> ForwardOutcome {
    tracing::debug!(%error, "the manager that leads is not reached");
    ForwardOutcome::NotTaken
}

fn failed(status: &Status) -> ForwardOutcome {
    let told = status.message().to_owned();
    if is_refused(status) {
        tracing::debug!(error = told, "the manager that leads takes nothing from this one");
        return ForwardOutcome::NotTaken;
    }
    ForwardOutcome::Lost(told)
}
