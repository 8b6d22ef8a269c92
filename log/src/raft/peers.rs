//! What managers ask each other, whatever carries it.

use super::{
    machine::SnapshotFile,
    types::{Types, Vote},
};
use futures::future::BoxFuture;
use openraft::{
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::SnapshotOf,
};

/// What one manager asks of another one.
#[derive(Clone)]
#[cfg_attr(
    not(any(test, feature = "model")),
    expect(dead_code, reason = "nothing carries it yet but the simulator")
)]
pub(crate) enum PeerRequest {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
    /// Whether it would give its vote.
    RehearseVote(VoteRequest<Types>),
    Install(Vote, Box<SnapshotOf<Types, SnapshotFile>>),
    TakeLead(TransferLeaderRequest<Types>),
}

/// What it answers.
#[cfg_attr(
    not(any(test, feature = "model")),
    expect(dead_code, reason = "nothing carries it yet but the simulator")
)]
pub(crate) enum PeerAnswer {
    Append(AppendEntriesResponse<Types>),
    /// To a rehearsal too.
    Vote(VoteResponse<Types>),
    Install(SnapshotResponse<Types>),
    TakeLead(TransferLeaderResponse<Types>),
}

/// Why there is no answer; it may have been carried out all the same.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NoPeerAnswer {
    /// Nothing answers there: there is no use in asking again at once.
    #[error("manager {target} at {address:?} can't be reached: {cause}")]
    Unreachable { target: u64, address: String, cause: String },
    /// The request or its answer was lost.
    #[error("{0}")]
    Lost(String),
}

/// Another manager, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct PeerAddress {
    pub(crate) raft_id: u64,
    pub(crate) address: String,
}

/// What carries requests to other managers, and their answers back.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Who drops what this gives waits no longer.
    fn ask(
        &self,
        to: PeerAddress,
        request: PeerRequest,
    ) -> BoxFuture<'static, Result<PeerAnswer, NoPeerAnswer>>;
}

/// Carries out what another manager asks.
#[cfg(any(test, feature = "model"))]
pub(crate) async fn answer(
    raft: super::machine::Raft,
    request: PeerRequest,
) -> Result<PeerAnswer, NoPeerAnswer> {
    match request {
        PeerRequest::Append(append) => {
            raft.append_entries(append).await.map(PeerAnswer::Append).map_err(lost)
        }
        PeerRequest::Vote(vote) => raft.vote(vote).await.map(PeerAnswer::Vote).map_err(lost),
        PeerRequest::RehearseVote(vote) => {
            raft.pre_vote(vote).await.map(PeerAnswer::Vote).map_err(lost)
        }
        PeerRequest::Install(vote, snapshot) => {
            raft.install_full_snapshot(vote, *snapshot).await.map(PeerAnswer::Install).map_err(lost)
        }
        PeerRequest::TakeLead(request) => {
            raft.handle_transfer_leader(request).await.map(PeerAnswer::TakeLead).map_err(lost)
        }
    }
}

#[cfg(any(test, feature = "model"))]
fn lost(error: impl std::fmt::Display) -> NoPeerAnswer {
    NoPeerAnswer::Lost(error.to_string())
}
