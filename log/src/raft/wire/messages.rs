//! What managers' rafts say to each other, as it travels. What lies on disk has forms of its own,
//! so that either can change without the other.

use crate::disk::keys::meta::{Snapshot, StoredLogId, StoredMembership, StoredVote};
use prost::{Message, Oneof};

/// A question of one manager's raft to another one's.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PeerMessage {
    /// Raft id of who asks.
    #[prost(uint64, tag = "1")]
    pub(crate) sender: u64,
    /// Raft id of who is asked.
    #[prost(uint64, tag = "2")]
    pub(crate) target: u64,
    /// Of the sender's cluster; 0 where it does not know one yet.
    #[prost(fixed64, tag = "3")]
    pub(crate) lineage: u64,
    #[prost(oneof = "Question", tags = "4, 5, 6, 7, 8")]
    pub(crate) question: Option<Question>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Question {
    #[prost(message, tag = "4")]
    Append(Append),
    #[prost(message, tag = "5")]
    Vote(Candidacy),
    #[prost(message, tag = "6")]
    RehearseVote(Candidacy),
    #[prost(message, tag = "7")]
    SnapshotPart(SnapshotPart),
    #[prost(message, tag = "8")]
    TakeLead(TakeLead),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Append {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: StoredVote,
    /// What lies before the entries.
    #[prost(message, optional, tag = "2")]
    pub(crate) before: Option<StoredLogId>,
    #[prost(message, optional, tag = "3")]
    pub(crate) committed: Option<StoredLogId>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) entries: Vec<WireEntry>,
}

/// What lies at one index.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireEntry {
    #[prost(message, required, tag = "1")]
    pub(crate) log_id: StoredLogId,
    #[prost(oneof = "WireBody", tags = "2, 3")]
    pub(crate) body: Option<WireBody>,
}

/// A blank entry has none.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum WireBody {
    #[prost(message, tag = "2")]
    Membership(StoredMembership),
    /// The bytes of an entry of the chain, as first encoded.
    #[prost(bytes = "bytes", tag = "3")]
    Entry(bytes::Bytes),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Candidacy {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: StoredVote,
    #[prost(message, optional, tag = "2")]
    pub(crate) last: Option<StoredLogId>,
    /// The leader itself has asked for it.
    #[prost(bool, tag = "3")]
    pub(crate) transferred: bool,
}

/// Bytes of a snapshot. Without any it asks how much has arrived.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotPart {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: StoredVote,
    #[prost(message, required, tag = "2")]
    pub(crate) named: Snapshot,
    #[prost(uint64, tag = "3")]
    pub(crate) offset: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) bytes: bytes::Bytes,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct TakeLead {
    #[prost(message, required, tag = "1")]
    pub(crate) from: StoredVote,
    #[prost(uint64, tag = "2")]
    pub(crate) to: u64,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<StoredLogId>,
}

/// An answer.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PeerReply {
    #[prost(oneof = "ReplyKind", tags = "1, 2, 3, 4, 5, 6")]
    pub(crate) reply: Option<ReplyKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ReplyKind {
    #[prost(message, tag = "1")]
    Appended(Appended),
    #[prost(message, tag = "2")]
    Ballot(Ballot),
    /// So many bytes of the snapshot have arrived.
    #[prost(uint64, tag = "3")]
    SnapshotHas(u64),
    /// The snapshot is taken over, or refused by a later vote.
    #[prost(message, tag = "4")]
    Installed(StoredVote),
    #[prost(message, tag = "5")]
    Transfer(Transfer),
    /// It was not asked of raft at all, and why.
    #[prost(string, tag = "6")]
    Refused(String),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Appended {
    #[prost(oneof = "AppendOutcome", tags = "1, 2, 3, 4")]
    pub(crate) outcome: Option<AppendOutcome>,
}

#[derive(Clone, Copy, PartialEq, Oneof)]
pub(crate) enum AppendOutcome {
    #[prost(message, tag = "1")]
    All(Empty),
    #[prost(message, tag = "2")]
    UpTo(Place),
    #[prost(message, tag = "3")]
    Conflict(Empty),
    #[prost(message, tag = "4")]
    HigherVote(StoredVote),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Empty {}

/// A log's end; none before its first entry.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Place {
    #[prost(message, optional, tag = "1")]
    pub(crate) log_id: Option<StoredLogId>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Ballot {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: StoredVote,
    #[prost(bool, tag = "2")]
    pub(crate) granted: bool,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<StoredLogId>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Transfer {
    #[prost(oneof = "TransferOutcome", tags = "1, 2, 3")]
    pub(crate) outcome: Option<TransferOutcome>,
}

#[derive(Clone, Copy, PartialEq, Oneof)]
pub(crate) enum TransferOutcome {
    #[prost(message, tag = "1")]
    Taken(Empty),
    #[prost(message, tag = "2")]
    OtherVote(OtherVote),
    #[prost(message, tag = "3")]
    OtherLog(OtherLog),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct OtherVote {
    #[prost(message, required, tag = "1")]
    pub(crate) expected: StoredVote,
    #[prost(message, required, tag = "2")]
    pub(crate) actual: StoredVote,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct OtherLog {
    #[prost(message, optional, tag = "1")]
    pub(crate) expected: Option<StoredLogId>,
    #[prost(message, optional, tag = "2")]
    pub(crate) actual: Option<StoredLogId>,
}
