//! What managers' rafts ask each other, and who carries it.

use super::{
    types::{Types, Vote},
    wire,
};
use crate::disk::keys::meta;
use bytes::Bytes;
use futures::future::BoxFuture;
use openraft::raft;
use skep_proto::{Id, Lineage};

/// What one manager asks of another one.
#[derive(Clone, Debug)]
pub(crate) enum PeerRequest {
    Append(raft::AppendEntriesRequest<Types>),
    Vote(raft::VoteRequest<Types>),
    /// Whether it would give its vote.
    RehearseVote(raft::VoteRequest<Types>),
    Snapshot(SnapshotBytes),
    TakeLead(raft::TransferLeaderRequest<Types>),
}

/// Bytes of a snapshot on their way. Without any they ask how much has arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SnapshotBytes {
    /// Of the leader that sends it.
    pub(crate) vote: Vote,
    pub(crate) named: meta::Snapshot,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum PeerAnswer {
    Append(raft::AppendEntriesResponse<Types>),
    /// To a rehearsal too.
    Vote(raft::VoteResponse<Types>),
    /// So many bytes of the snapshot have arrived.
    SnapshotHas(u64),
    /// All of it has, and is taken over, unless a later vote refuses it.
    Installed(raft::SnapshotResponse<Types>),
    TakeLead(raft::TransferLeaderResponse<Types>),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPeerAnswer {
    /// Nothing answers there: there is no use in asking again at once.
    #[error("manager {target} at {address:?} can't be reached: {cause}")]
    Unreachable {
        /// Its raft id.
        target: u64,
        /// Where it was looked for.
        address: String,
        /// What is in the way.
        cause: String,
    },
    /// The question or its answer was lost; it may have been carried out all the same.
    #[error("{0}")]
    Lost(String),
    /// Whoever answers there will not carry it out, asked again or not.
    #[error("{0}")]
    Refused(String),
}

/// How a question travels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PeerLane {
    /// Votes and heartbeats: small, and late is lost. They never wait behind what is large.
    Urgent,
    /// Entries and snapshots.
    Bulk,
}

impl PeerRequest {
    /// How it travels.
    pub(crate) fn lane(&self) -> PeerLane {
        match self {
            PeerRequest::Append(append) if append.entries.is_empty() => PeerLane::Urgent,
            PeerRequest::Vote(_) | PeerRequest::RehearseVote(_) | PeerRequest::TakeLead(_) => {
                PeerLane::Urgent
            }
            PeerRequest::Append(_) | PeerRequest::Snapshot(_) => PeerLane::Bulk,
        }
    }
}

/// Another manager, and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerAddress {
    /// Its raft id.
    pub raft_id: u64,
    /// Its node's id.
    pub node: Id,
    /// Where it was when it joined; it may have moved.
    pub address: String,
}

/// What carries the questions of this manager's raft to other managers, and their answers back. At
/// the other end [`Log::hear`](crate::Log::hear) answers them.
pub trait PeerTransport: std::fmt::Debug + Send + Sync + 'static {
    /// Who drops what this gives waits no longer.
    fn ask(
        &self,
        to: PeerAddress,
        lane: PeerLane,
        question: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NoPeerAnswer>>;
}

/// Who this manager is to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OwnIdentity {
    pub(crate) raft_id: u64,
    /// Of its cluster; none where it does not know one yet.
    pub(crate) lineage: Lineage,
}

impl OwnIdentity {
    /// Refuses what is meant for somebody else, or comes from another cluster.
    pub(crate) fn check(&self, envelope: wire::PeerEnvelope) -> Result<(), NoPeerAnswer> {
        let wire::PeerEnvelope { sender, target, lineage } = envelope;
        let OwnIdentity { raft_id, lineage: own } = *self;
        if target != raft_id {
            let other = format!("this is manager {raft_id}, and the question is for {target}");
            return Err(NoPeerAnswer::Refused(other));
        }
        if !own.is_none() && !lineage.is_none() && own != lineage {
            return Err(NoPeerAnswer::Refused(format!(
                "manager {sender} is of lineage {lineage}, and manager {raft_id} of lineage {own}: \
                 they are not of one cluster"
            )));
        }
        Ok(())
    }
}
