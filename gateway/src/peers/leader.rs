//! The way to the manager that leads, for requests and reads that are made here.

use super::{ManagerPeers, connection::PeerError, is_refused};
use crate::{
    drive::{ForwardOutcome, LeaderIndex, LeaderLink, NO_LEADER},
    forwarded,
};
use futures::future::BoxFuture;
use skep_log::{Leadership, PeerLane};
use skep_proto::{
    Position, Revision, Timestamp,
    v1::{ForwardedRequests, ReadIndexRequest},
};
use std::{error::Error, io, time::Duration};
use tokio::{sync::watch, time::timeout};
use tonic::Status;

/// A leader that has not answered requests by then is left: what became of them is unknown.
const FORWARD_LIMIT: Duration = Duration::from_secs(15);
/// A leader that has not said by then how far history is does not answer.
const READ_INDEX_LIMIT: Duration = Duration::from_secs(1);

/// The way to the manager that leads.
pub struct LeaderClient {
    peers: ManagerPeers,
    leadership: watch::Receiver<Leadership>,
}

impl LeaderClient {
    /// `leadership` says who leads, as far as this manager's log knows.
    pub fn new(peers: ManagerPeers, leadership: watch::Receiver<Leadership>) -> LeaderClient {
        LeaderClient { peers, leadership }
    }

    fn leader(&self) -> Option<u64> {
        self.leadership.borrow().known_leader
    }
}

impl LeaderLink for LeaderClient {
    fn forward(&self, message: ForwardedRequests) -> BoxFuture<'static, ForwardOutcome> {
        let (peers, leader) = (self.peers.clone(), self.leader());
        let mut leadership = self.leadership.clone();
        Box::pin(async move {
            let Some(node) = leader.and_then(|leader| peers.numbered(leader)) else {
                return ForwardOutcome::NotTaken;
            };
            let (mut client, connection) = match peers.client(node, PeerLane::Bulk, "").await {
                Ok(client) => client,
                Err(error) => return not_taken(&error),
            };
            let changed = leadership.wait_for(|now| now.known_leader != leader);
            let asked = tokio::select! {
                asked = timeout(FORWARD_LIMIT, client.forward(message)) => asked,
                // It may be gone, and would never answer.
                _ = changed => return ForwardOutcome::Lost("the leader has changed".into()),
            };
            match asked {
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

    fn read_index(&self) -> BoxFuture<'static, Result<LeaderIndex, String>> {
        let (peers, leader) = (self.peers.clone(), self.leader());
        Box::pin(async move {
            let leader = leader.ok_or(NO_LEADER)?;
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
                return Err(NO_LEADER.into());
            }
            let (incarnation, revision) = (reply.incarnation, Revision(reply.revision));
            let position = Position { incarnation, revision };
            Ok(LeaderIndex { position, at: Timestamp(reply.at) })
        })
    }
}

fn not_taken(error: &PeerError) -> ForwardOutcome {
    tracing::debug!(%error, "the manager that leads is not reached");
    ForwardOutcome::NotTaken
}

fn failed(status: &Status) -> ForwardOutcome {
    let told = status.message().to_owned();
    if is_refused(status) || is_unsent(status) {
        tracing::debug!(error = told, "the manager that leads takes nothing from this one");
        return ForwardOutcome::NotTaken;
    }
    ForwardOutcome::Lost(told)
}

/// Whether there was not even a connection.
fn is_unsent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        let refused = error.downcast_ref::<io::Error>();
        if refused.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}
