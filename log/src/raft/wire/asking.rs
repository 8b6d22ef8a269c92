//! The asking end: questions as bytes, and the answers in them.

use super::{NoPeerMessage, PeerEnvelope, loaded, messages, stored};
use crate::raft::{
    codec,
    peers::{NoPeerAnswer, PeerAnswer, PeerRequest},
    types::{Chained, RaftEntry, Types},
};
use bytes::Bytes;
use messages::{AppendOutcome, Question, ReplyKind, TransferOutcome, WireBody};
use openraft::{EntryPayload, raft};
use prost::Message;

/// A question.
pub(crate) fn encode_request(envelope: PeerEnvelope, request: &PeerRequest) -> Bytes {
    let PeerEnvelope { sender, target, lineage } = envelope;
    let question = Some(match request {
        PeerRequest::Append(append) => Question::Append(messages::Append {
            vote: codec::store_vote(&append.vote),
            before: stored(append.prev_log_id.as_ref()),
            committed: stored(append.leader_commit.as_ref()),
            entries: append.entries.iter().map(encode_entry).collect(),
        }),
        PeerRequest::Vote(asked) => Question::Vote(candidacy(asked)),
        PeerRequest::RehearseVote(asked) => Question::RehearseVote(candidacy(asked)),
        PeerRequest::Snapshot(part) => Question::SnapshotPart(messages::SnapshotPart {
            vote: codec::store_vote(&part.vote),
            named: part.named.clone(),
            offset: part.offset,
            bytes: part.bytes.clone(),
        }),
        PeerRequest::TakeLead(asked) => Question::TakeLead(messages::TakeLead {
            from: codec::store_vote(asked.from_leader()),
            to: *asked.to_node_id(),
            last: stored(asked.last_log_id()),
        }),
    });
    messages::PeerMessage { sender, target, lineage: lineage.0, question }.encode_to_vec().into()
}

fn encode_entry(entry: &RaftEntry) -> messages::WireEntry {
    let body = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(Chained(chained)) => Some(WireBody::Entry(chained.bytes().clone())),
        EntryPayload::Membership(membership) => {
            Some(WireBody::Membership(codec::store_membership(membership)))
        }
    };
    messages::WireEntry { log_id: codec::store_log_id(&entry.log_id), body }
}

fn candidacy(asked: &raft::VoteRequest<Types>) -> messages::Candidacy {
    messages::Candidacy {
        vote: codec::store_vote(&asked.vote),
        last: stored(asked.last_log_id.as_ref()),
        transferred: asked.leadership_transfer,
    }
}

/// The answer in these bytes.
pub(crate) fn decode_answer(bytes: Bytes) -> Result<PeerAnswer, NoPeerAnswer> {
    let no_answer = |error: NoPeerMessage| NoPeerAnswer::Refused(error.to_string());
    let reply = messages::PeerReply::decode(bytes).map_err(|error| no_answer(error.into()))?.reply;
    Ok(match reply.ok_or_else(|| no_answer(NoPeerMessage::Unknown))? {
        ReplyKind::Appended(answer) => PeerAnswer::Append(
            load_appended(answer).ok_or_else(|| no_answer(NoPeerMessage::Unknown))?,
        ),
        ReplyKind::Ballot(answer) => PeerAnswer::Vote(raft::VoteResponse::new(
            codec::load_vote(&answer.vote),
            loaded(answer.last),
            answer.granted,
        )),
        ReplyKind::SnapshotHas(bytes) => PeerAnswer::SnapshotHas(bytes),
        ReplyKind::Installed(vote) => {
            PeerAnswer::Installed(raft::SnapshotResponse { vote: codec::load_vote(&vote) })
        }
        ReplyKind::Transfer(answer) => PeerAnswer::TakeLead(
            load_transfer(answer).ok_or_else(|| no_answer(NoPeerMessage::Unknown))?,
        ),
        ReplyKind::Refused(why) => return Err(NoPeerAnswer::Refused(why)),
    })
}

fn load_appended(answer: messages::Appended) -> Option<raft::AppendEntriesResponse<Types>> {
    Some(match answer.outcome? {
        AppendOutcome::All(_) => raft::AppendEntriesResponse::Success,
        AppendOutcome::UpTo(place) => {
            raft::AppendEntriesResponse::PartialSuccess(loaded(place.log_id))
        }
        AppendOutcome::Conflict(_) => raft::AppendEntriesResponse::Conflict,
        AppendOutcome::HigherVote(vote) => {
            raft::AppendEntriesResponse::HigherVote(codec::load_vote(&vote))
        }
    })
}

fn load_transfer(answer: messages::Transfer) -> Option<raft::TransferLeaderResponse<Types>> {
    Some(match answer.outcome? {
        TransferOutcome::Taken(_) => Ok(()),
        TransferOutcome::OtherVote(other) => Err(raft::TransferLeaderError::VoteChanged {
            expected: codec::load_vote(&other.expected),
            actual: codec::load_vote(&other.actual),
        }),
        TransferOutcome::OtherLog(other) => Err(raft::TransferLeaderError::LogNotFlushed {
            expected: loaded(other.expected),
            actual: loaded(other.actual),
        }),
    })
}
