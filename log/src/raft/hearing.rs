//! The receiving end of what managers' rafts ask each other.

use super::{
    arrivals::{Arrivals, Arrived},
    contact::LeaderContact,
    machine::{Raft, SnapshotFile, SnapshotSource},
    peers::{NoPeerAnswer, OwnIdentity, PeerAnswer, PeerRequest, SnapshotBytes},
    wire,
};
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};

/// Answers other managers in one session of raft.
pub(crate) struct PeerHearing {
    own: OwnIdentity,
    contact: LeaderContact,
    arrivals: Mutex<Arrivals>,
}

/// The answer where no raft runs.
pub(crate) fn nobody() -> Bytes {
    let stopped = "the log of this manager does not work now".to_owned();
    wire::encode_answer(&Err(NoPeerAnswer::Refused(stopped)))
}

impl PeerHearing {
    pub(super) fn new(own: OwnIdentity, contact: LeaderContact) -> PeerHearing {
        PeerHearing { own, contact, arrivals: Mutex::default() }
    }

    /// The answer to a question, both as bytes.
    pub(crate) async fn answer(&self, raft: Raft, question: Bytes) -> Bytes {
        wire::encode_answer(&self.carry_out(raft, question).await)
    }

    async fn carry_out(&self, raft: Raft, question: Bytes) -> Result<PeerAnswer, NoPeerAnswer> {
        let (envelope, request) = wire::decode_request(question)
            .map_err(|error| NoPeerAnswer::Refused(format!("the question: {error}")))?;
        self.own.check(envelope)?;
        if let PeerRequest::Append(_) | PeerRequest::Snapshot(_) = &request {
            self.contact.note();
        }
        match request {
            PeerRequest::Append(append) => {
                raft.append_entries(append).await.map(PeerAnswer::Append).map_err(lost)
            }
            PeerRequest::Vote(vote) => raft.vote(vote).await.map(PeerAnswer::Vote).map_err(lost),
            PeerRequest::RehearseVote(vote) => {
                raft.pre_vote(vote).await.map(PeerAnswer::Vote).map_err(lost)
            }
            PeerRequest::Snapshot(part) => self.take_part(raft, part).await,
            PeerRequest::TakeLead(request) => {
                raft.handle_transfer_leader(request).await.map(PeerAnswer::TakeLead).map_err(lost)
            }
        }
    }

    async fn take_part(&self, raft: Raft, part: SnapshotBytes) -> Result<PeerAnswer, NoPeerAnswer> {
        let arrived = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).take(&part)?;
        let bytes = match arrived {
            Arrived::Some(bytes) => return Ok(PeerAnswer::SnapshotHas(bytes)),
            Arrived::Whole(bytes) => bytes,
        };
        let whole = SnapshotFile { named: part.named, source: SnapshotSource::Arrived(bytes) };
        let snapshot = whole.of_raft().map_err(lost)?;
        let installed = raft.install_full_snapshot(part.vote, snapshot).await;
        installed.map(PeerAnswer::Installed).map_err(lost)
    }
}

fn lost(error: impl std::fmt::Display) -> NoPeerAnswer {
    NoPeerAnswer::Lost(error.to_string())
}
