//! The way to the manager that leads, for requests and reads that are made here.

use super::{ManagerPeers, answers::read_answers, fate};
use crate::drive::{ForwardOutcome, LeaderIndex, LeaderLink, NO_LEADER};
use futures::future::BoxFuture;
use skep_log::{Leadership, PeerLane};
use skep_proto::{
    Position, Revision, Timestamp,
    v1::{ForwardedRequests, ReadIndexRequest},
};
use std::time::Duration;
use tokio::{sync::watch, time::timeout};

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
                return ForwardOutcome::NotTaken(NO_LEADER.into());
            };
            let mut sent = false;
            let asking = async {
                let client = peers.client(node, PeerLane::Bulk, "").await;
                let (mut client, connection) = match client {
                    Ok(client) => client,
                    Err(error) => return ForwardOutcome::NotTaken(error.to_string()),
                };
                sent = true;
                let answered = timeout(FORWARD_LIMIT, client.forward(message)).await;
                answered.map_or_else(
                    |_| ForwardOutcome::Lost("the manager that leads has not answered".into()),
                    |answered| read_answers(answered, &connection),
                )
            };
            let changed = leadership.wait_for(|now| now.known_leader != leader);
            tokio::select! {
                outcome = asking => return outcome,
                // It may be gone, and would never answer.
                _ = changed => {}
            }
            let why = "the leader has changed".to_owned();
            if sent { ForwardOutcome::Lost(why) } else { ForwardOutcome::NotTaken(why) }
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
                format!("the manager that leads: {}", fate::reason(&status))
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
