//! The messages under `meta`, and the head of a snapshot's file.
//!
//! They are this manager's own and never travel, so their schema lives here and not with the
//! records. They are prost all the same: consensus comes from a library whose types may change,
//! what lies on disk may not.

use crate::disk::head::HeadMark;
use prost::Message;
use skep_proto::{Id, Position, Revision};

/// Under `vote`: whom this manager chose, and whether a majority did.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct StoredVote {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) voted_for: u64,
    #[prost(bool, tag = "3")]
    pub(crate) committed: bool,
}

/// Under `purged`, and wherever a raft index is named: the index and the term it was written in.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct StoredLogId {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
}

/// Under `identity`: who this manager is. Neither number is ever given to another one.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredIdentity {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) node_id: bytes::Bytes,
    #[prost(uint64, tag = "2")]
    pub(crate) raft_id: u64,
    /// Whether it follows a history that others have begun.
    #[prost(bool, tag = "3")]
    pub(crate) joined: bool,
    /// Of the cluster that it has joined.
    #[prost(fixed64, tag = "4")]
    pub(crate) lineage: u64,
}

/// Under `begun`: what a recovery left to be done.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PendingRecovery {
    /// The incarnation that the next records belong to, after history went back.
    #[prost(uint64, tag = "1")]
    pub(crate) incarnation: u64,
    /// What the head file said when the loss was accepted. It is lowered at the next opening, once.
    #[prost(message, optional, tag = "2")]
    pub(crate) accepted: Option<AcceptedMark>,
}

/// A head file's mark, whose loss an operator accepted.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct AcceptedMark {
    #[prost(uint64, tag = "1")]
    pub(crate) next_index: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) revision: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) incarnation: u64,
}

impl PendingRecovery {
    pub(crate) fn new(incarnation: u64, accepted: HeadMark) -> PendingRecovery {
        let HeadMark { next_index, revision, incarnation: marked } = accepted;
        let accepted = AcceptedMark { next_index, revision: revision.0, incarnation: marked };
        PendingRecovery { incarnation, accepted: Some(accepted) }
    }

    pub(crate) fn accepted(&self) -> Option<HeadMark> {
        self.accepted.map(|mark| HeadMark {
            next_index: mark.next_index,
            revision: Revision(mark.revision),
            incarnation: mark.incarnation,
        })
    }

    pub(crate) fn without_accepted(&self) -> PendingRecovery {
        PendingRecovery { incarnation: self.incarnation, accepted: None }
    }
}

/// Who decides, and who listens.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredMembership {
    /// More than one while a change is under way.
    #[prost(message, repeated, tag = "1")]
    pub(crate) voters: Vec<Voters>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) members: Vec<Member>,
}

/// One set of voters.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Voters {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) ids: Vec<u64>,
}

/// A voter or a learner.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Member {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) node_id: bytes::Bytes,
    #[prost(string, tag = "3")]
    pub(crate) address: String,
}

/// Under `snapshot/…`, and at the head of the file that it names.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Snapshot {
    #[prost(uint64, tag = "1")]
    pub(crate) incarnation: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) revision: u64,
    /// The chain's head there.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) head: bytes::Bytes,
    /// Where raft was; absent before its first entry.
    #[prost(message, optional, tag = "4")]
    pub(crate) applied: Option<StoredLogId>,
    #[prost(message, optional, tag = "5")]
    pub(crate) membership: Option<StoredMembership>,
    /// Where that membership was written.
    #[prost(message, optional, tag = "6")]
    pub(crate) membership_log_id: Option<StoredLogId>,
    /// The file, within the folder of snapshots.
    #[prost(string, tag = "7")]
    pub(crate) file: String,
    /// Bytes of the file's body, as stored and as handed over.
    #[prost(uint64, tag = "8")]
    pub(crate) stored_bytes: u64,
    #[prost(uint64, tag = "9")]
    pub(crate) view_bytes: u64,
    /// CRC-32C of the body as stored.
    #[prost(uint32, tag = "10")]
    pub(crate) checksum: u32,
    /// Of the incarnation; 0 before feature level 3.
    #[prost(fixed64, tag = "11")]
    pub(crate) lineage: u64,
}

impl Snapshot {
    pub(crate) fn position(&self) -> Position {
        Position { incarnation: self.incarnation, revision: Revision(self.revision) }
    }
}

impl StoredIdentity {
    pub(crate) fn node(&self) -> Id {
        Id::from_bytes(&self.node_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_loss_is_read_back_as_it_was_and_once() {
        let mark = HeadMark { next_index: 4, revision: Revision(9), incarnation: 2 };
        let begun = PendingRecovery::new(3, mark);
        assert_eq!((begun.incarnation, begun.accepted()), (3, Some(mark)));
        let lowered = begun.without_accepted();
        assert_eq!((lowered.incarnation, lowered.accepted()), (3, None));
    }
}
