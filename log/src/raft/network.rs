//! How managers reach each other: not at all yet, there is one.
//!
//! The shape is whole, so that a transport only has to fill it in: a client per target, appends
//! that are pipelined, votes, a rehearsal of votes, snapshots as files, and the handing over of
//! leadership. Until then every peer is unreachable, which is also the honest answer for a
//! membership that names one.

use super::{
    machine::SnapshotFile,
    types::{Peer, Types, Vote},
};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::SnapshotOf,
};
use std::future::Future;

/// Makes clients.
pub(crate) struct Network;

/// A client of one peer.
pub(crate) struct PeerClient {
    target: u64,
    address: String,
}

impl PeerClient {
    fn unreachable(&self) -> Unreachable<Types> {
        let PeerClient { target, address } = self;
        Unreachable::from_string(format!(
            "manager {target} at {address:?}: there is no transport between managers yet"
        ))
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &Peer) -> PeerClient {
        PeerClient { target, address: node.address.clone() }
    }
}

impl RaftNetworkV2<Types> for PeerClient {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(self.unreachable().into())
    }

    async fn pre_vote(
        &mut self,
        _: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        // The library's own default grants everything, which would make the rehearsal worthless.
        Err(self.unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: SnapshotOf<Types, SnapshotFile>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(self.unreachable().into())
    }

    async fn transfer_leader(
        &mut self,
        _: TransferLeaderRequest<Types>,
        _: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        Err(self.unreachable().into())
    }
}
