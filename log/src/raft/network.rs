//! Raft's clients of other managers: each asks through the transport, and waits no longer than raft
//! says.

use super::{
    machine::SnapshotFile,
    peers::{NoPeerAnswer, PeerAddress, PeerAnswer, PeerRequest, Transport},
    runtime::TaskRuntime,
    types::{Peer, Types, Vote},
};
use futures::future::BoxFuture;
use openraft::{
    AsyncRuntime, OptionalSend, RaftNetworkFactory, RaftNetworkV2, async_runtime::Select2, errors,
    network::RPCOption, raft, type_config::alias::SnapshotOf,
};
use std::{future::Future, sync::Arc, time::Duration};

/// The transport of a manager that has no other: every peer is unreachable, which is also the
/// honest answer for a membership that names one.
pub(crate) struct NoTransport;

impl Transport for NoTransport {
    fn ask(
        &self,
        to: PeerAddress,
        _: PeerRequest,
    ) -> BoxFuture<'static, Result<PeerAnswer, NoPeerAnswer>> {
        let PeerAddress { raft_id: target, address } = to;
        let cause = "there is no transport between managers yet".to_owned();
        Box::pin(async move { Err(NoPeerAnswer::Unreachable { target, address, cause }) })
    }
}

/// Makes clients.
pub(crate) struct Network(pub(crate) Arc<dyn Transport>);

/// A client of one peer.
pub(crate) struct PeerClient {
    transport: Arc<dyn Transport>,
    to: PeerAddress,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, raft_id: u64, node: &Peer) -> PeerClient {
        let to = PeerAddress { raft_id, address: node.address.clone() };
        PeerClient { transport: self.0.clone(), to }
    }
}

impl PeerClient {
    async fn ask(
        &self,
        request: PeerRequest,
        patience: Duration,
    ) -> Result<PeerAnswer, NoPeerAnswer> {
        let answer = self.transport.ask(self.to.clone(), request);
        TaskRuntime::timeout(patience, answer).await.unwrap_or_else(|_| {
            let PeerAddress { raft_id, address } = &self.to;
            let late = format!("manager {raft_id} at {address:?} did not answer in {patience:?}");
            Err(NoPeerAnswer::Lost(late))
        })
    }

    /// An answer to another question than the one that was asked.
    fn another_answer(&self) -> errors::RPCError<Types> {
        let PeerAddress { raft_id, address } = &self.to;
        let message = format!("manager {raft_id} at {address:?} answers something else");
        errors::Unreachable::from_string(message).into()
    }
}

fn rpc(error: NoPeerAnswer) -> errors::RPCError<Types> {
    match error {
        NoPeerAnswer::Unreachable { .. } => errors::Unreachable::from_string(error).into(),
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
            return Err(self.another_answer());
        };
        Ok(answer)
    }

    async fn vote(
        &mut self,
        request: raft::VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<raft::VoteResponse<Types>, errors::RPCError<Types>> {
        let answer = self.ask(PeerRequest::Vote(request), option.hard_ttl()).await.map_err(rpc)?;
        let PeerAnswer::Vote(answer) = answer else { return Err(self.another_answer()) };
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
        let PeerAnswer::Vote(answer) = answer else { return Err(self.another_answer()) };
        Ok(answer)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = errors::ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<raft::SnapshotResponse<Types>, errors::StreamingError<Types>> {
        let answer = self.ask(PeerRequest::Install(vote, Box::new(snapshot)), option.hard_ttl());
        let answer = match TaskRuntime::select2(cancel, answer).await {
            Select2::First(closed) => return Err(closed.into()),
            Select2::Second(answer) => answer,
        };
        match answer {
            Ok(PeerAnswer::Install(answer)) => Ok(answer),
            Ok(_) => {
                Err(errors::Unreachable::from_string("the peer answers something else").into())
            }
            Err(error @ NoPeerAnswer::Unreachable { .. }) => {
                Err(errors::Unreachable::from_string(error).into())
            }
            Err(error @ NoPeerAnswer::Lost(_)) => {
                Err(errors::NetworkError::from_string(error).into())
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: raft::TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<raft::TransferLeaderResponse<Types>, errors::RPCError<Types>> {
        let answer =
            self.ask(PeerRequest::TakeLead(request), option.hard_ttl()).await.map_err(rpc)?;
        let PeerAnswer::TakeLead(answer) = answer else { return Err(self.another_answer()) };
        Ok(answer)
    }
}
