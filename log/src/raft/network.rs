//! Raft's clients of other managers: each asks through the transport, and waits no longer than raft
//! says.

use super::{
    machine::SnapshotFile,
    peers::{self, NoPeerAnswer, PeerAddress, PeerAnswer, PeerLane, PeerRequest, PeerTransport},
    runtime::TaskRuntime,
    types::{Peer, Types, Vote},
    wire,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use openraft::{
    AsyncRuntime, OptionalSend, RaftNetworkFactory, RaftNetworkV2, async_runtime::Select2, errors,
    network::RPCOption, raft, type_config::alias::SnapshotOf,
};
use std::{future::Future, sync::Arc, time::Duration};

/// Bytes of a snapshot that travel at once, at most.
pub(crate) const SNAPSHOT_PART_BYTES_MAX: usize = 256 << 10;
/// A part of a snapshot that is not answered within this time is lost; the sender asks how much has
/// arrived, and goes on from there.
const SNAPSHOT_PART_LIMIT: Duration = Duration::from_secs(5);
/// The last part is answered when the snapshot is taken over; no longer than this is waited for it.
const SNAPSHOT_INSTALL_LIMIT: Duration = Duration::from_secs(60);
/// A receiver of which so many answers in a row have brought nothing new is given up for a while.
const IDLE_ANSWERS_MAX: u32 = 3;

/// The transport of a manager that has no other: every peer is unreachable, which is also the
/// honest answer for a membership that names one.
#[derive(Debug)]
pub(crate) struct NoTransport;

impl PeerTransport for NoTransport {
    fn ask(
        &self,
        to: PeerAddress,
        _: PeerLane,
        _: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NoPeerAnswer>> {
        let PeerAddress { raft_id: target, address, .. } = to;
        let cause = "this manager was opened without a way to others".to_owned();
        Box::pin(async move { Err(NoPeerAnswer::Unreachable { target, address, cause }) })
    }
}

/// Makes clients.
pub(crate) struct Network {
    pub(crate) transport: Arc<dyn PeerTransport>,
    pub(crate) own: peers::OwnIdentity,
    /// How much of a snapshot travels at once.
    pub(crate) part_bytes: usize,
}

/// A client of one peer.
pub(crate) struct PeerClient {
    transport: Arc<dyn PeerTransport>,
    own: peers::OwnIdentity,
    part_bytes: usize,
    to: PeerAddress,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, raft_id: u64, node: &Peer) -> PeerClient {
        let to = PeerAddress { raft_id, node: node.node, address: node.address.clone() };
        let Network { transport, own, part_bytes } = self;
        PeerClient { transport: transport.clone(), own: *own, part_bytes: *part_bytes, to }
    }
}

impl PeerClient {
    async fn ask(
        &self,
        request: PeerRequest,
        patience: Duration,
    ) -> Result<PeerAnswer, NoPeerAnswer> {
        let peers::OwnIdentity { raft_id: sender, lineage } = self.own;
        let envelope = wire::PeerEnvelope { sender, target: self.to.raft_id, lineage };
        let question = wire::encode_request(envelope, &request);
        let answer = self.transport.ask(self.to.clone(), request.lane(), question);
        let answer = TaskRuntime::timeout(patience, answer).await.unwrap_or_else(|_| {
            let PeerAddress { raft_id, address, .. } = &self.to;
            let late = format!("manager {raft_id} at {address:?} did not answer in {patience:?}");
            Err(NoPeerAnswer::Lost(late))
        });
        wire::decode_answer(answer?)
    }

    /// An answer to another question than the one that was asked.
    fn another_answer(&self) -> NoPeerAnswer {
        let PeerAddress { raft_id, address, .. } = &self.to;
        NoPeerAnswer::Refused(format!("manager {raft_id} at {address:?} answers something else"))
    }

    /// Sends a snapshot part by part, from where an earlier try ended.
    async fn send(
        &self,
        vote: Vote,
        snapshot: SnapshotFile,
    ) -> Result<raft::SnapshotResponse<Types>, NoPeerAnswer> {
        let body = snapshot.body().await.map_err(|error| NoPeerAnswer::Lost(error.to_string()))?;
        let part = |from: usize, to: usize| peers::SnapshotBytes {
            vote,
            named: snapshot.named.clone(),
            offset: from as u64,
            bytes: body.slice(from..to),
        };
        let (mut next, mut has, mut idle) = (part(0, 0), 0, 0);
        loop {
            let is_last = next.offset as usize + next.bytes.len() == body.len();
            let patience = if is_last { SNAPSHOT_INSTALL_LIMIT } else { SNAPSHOT_PART_LIMIT };
            match self.ask(PeerRequest::Snapshot(next), patience).await? {
                PeerAnswer::Installed(answer) => return Ok(answer),
                PeerAnswer::SnapshotHas(bytes) if bytes < body.len() as u64 => {
                    idle = if bytes > has { 0 } else { idle + 1 };
                    has = bytes;
                }
                PeerAnswer::SnapshotHas(_)
                | PeerAnswer::Append(_)
                | PeerAnswer::Vote(_)
                | PeerAnswer::TakeLead(_) => return Err(self.another_answer()),
            }
            if idle > IDLE_ANSWERS_MAX {
                return Err(NoPeerAnswer::Lost("the snapshot does not arrive".to_owned()));
            }
            let from = has as usize;
            next = part(from, body.len().min(from + self.part_bytes));
        }
    }
}

fn rpc(error: NoPeerAnswer) -> errors::RPCError<Types> {
    match error {
        NoPeerAnswer::Unreachable { .. } | NoPeerAnswer::Refused(_) => {
            errors::Unreachable::from_string(error).into()
        }
        NoPeerAnswer::Lost(_) => errors::NetworkError::from_string(error).into(),
    }
}

impl RaftNetworkV2<Types> for PeerClient {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: raft::AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<raft::AppendEntriesResponse<Types>, errors::RPCError<Types>> {
        let answer = self.ask(PeerRequest::Append(request), option.hard_ttl()).await;
        let PeerAnswer::Append(answer) = answer.map_err(rpc)? else {
            return Err(rpc(self.another_answer()));
        };
        Ok(answer)
    }

    async fn vote(
        &mut self,
        request: raft::VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<raft::VoteResponse<Types>, errors::RPCError<Types>> {
        let answer = self.ask(PeerRequest::Vote(request), option.hard_ttl()).await.map_err(rpc)?;
        let PeerAnswer::Vote(answer) = answer else { return Err(rpc(self.another_answer())) };
        Ok(answer)
    }

    async fn pre_vote(
        &mut self,
        request: raft::VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<raft::VoteResponse<Types>, errors::RPCError<Types>> {
        // The library's own default grants everything, which would make the rehearsal worthless.
        let answer =
            self.ask(PeerRequest::RehearseVote(request), option.hard_ttl()).await.map_err(rpc)?;
        let PeerAnswer::Vote(answer) = answer else { return Err(rpc(self.another_answer())) };
        Ok(answer)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = errors::ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<raft::SnapshotResponse<Types>, errors::StreamingError<Types>> {
        let answer = match TaskRuntime::select2(cancel, self.send(vote, snapshot.snapshot)).await {
            Select2::First(closed) => return Err(closed.into()),
            Select2::Second(answer) => answer,
        };
        answer.map_err(|error| match error {
            NoPeerAnswer::Unreachable { .. } | NoPeerAnswer::Refused(_) => {
                errors::Unreachable::from_string(error).into()
            }
            NoPeerAnswer::Lost(_) => errors::NetworkError::from_string(error).into(),
        })
    }

    async fn transfer_leader(
        &mut self,
        request: raft::TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<raft::TransferLeaderResponse<Types>, errors::RPCError<Types>> {
        let answer =
            self.ask(PeerRequest::TakeLead(request), option.hard_ttl()).await.map_err(rpc)?;
        let PeerAnswer::TakeLead(answer) = answer else { return Err(rpc(self.another_answer())) };
        Ok(answer)
    }
}
