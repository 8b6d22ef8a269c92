//! Raft's questions and answers as bytes, and back. PURE.
//!
//! Whoever carries them need not know raft; and the simulator carries the same bytes as a network.

mod answering;
mod asking;
mod messages;

pub(crate) use answering::{decode_request, encode_answer};
pub(crate) use asking::{decode_answer, encode_request};

use super::{codec, types::LogId};
use crate::{chain, disk::keys::meta};
use skep_proto::Lineage;

/// Who asks whom, and of which cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PeerEnvelope {
    /// Raft id of who asks.
    pub(crate) sender: u64,
    /// Raft id of who is asked.
    pub(crate) target: u64,
    /// Of the sender's cluster; none where it does not know one yet.
    pub(crate) lineage: Lineage,
}

/// Why bytes are no message of another manager.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPeerMessage {
    #[error("it does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
    #[error("it asks nothing that this program knows")]
    Unknown,
    #[error("an entry is not what its header says: {0}")]
    Entry(#[from] chain::ChainError),
    #[error("{0}")]
    Membership(#[from] crate::disk::store::StoreError),
}

fn stored(log_id: Option<&LogId>) -> Option<meta::StoredLogId> {
    log_id.map(codec::store_log_id)
}

fn loaded(log_id: Option<meta::StoredLogId>) -> Option<LogId> {
    log_id.as_ref().map(codec::load_log_id)
}

#[cfg(test)]
mod tests;
