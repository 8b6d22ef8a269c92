//! The answering end: the questions in bytes, and answers as bytes.

use super::{NoPeerMessage, PeerEnvelope, loaded, messages, stored};
use crate::{
    Entry, chain,
    raft::{
        codec,
        peers::{NoPeerAnswer, PeerAnswer, PeerRequest, SnapshotBytes},
        types::{Chained, RaftEntry, Types},
    },
};
use bytes::Bytes;
use messages::{AppendOutcome, Empty, Question, ReplyKind, TransferOutcome, WireBody};
use openraft::{EntryPayload, raft};
use prost::Message;
use skep_proto::Lineage;
use std::sync::Arc;

/// The question in these bytes. Entries are checked against their roots.
pub(crate) fn decode_request(bytes: Bytes) -> Result<(PeerEnvelope, PeerRequest), NoPeerMessage> {
    let message = messages::PeerMessage::decode(bytes)?;
    let messages::PeerMessage { sender, target, lineage, question } = message;
    let request = match question.ok_or(NoPeerMessage::Unknown)? {
        Question::Append(append) => {
            let entries = append.entries.into_iter().map(decode_entry);
            PeerRequest::Append(raft::AppendEntriesRequest {
                vote: codec::load_vote(&append.vote),
                prev_log_id: loaded(append.before),
                entries: entries.collect::<Result<_, _>>()?,
                leader_commit: loaded(append.committed),
            })
        }
        Question::Vote(asked) => PeerRequest::Vote(load_candidacy(asked)),
        Question::RehearseVote(asked) => PeerRequest::RehearseVote(load_candidacy(asked)),
        Question::SnapshotPart(part) => PeerRequest::Snapshot(SnapshotBytes {
            vote: codec::load_vote(&part.vote),
            named: part.named,
            offset: part.offset,
            bytes: part.bytes,
        }),
        Question::TakeLead(asked) => PeerRequest::TakeLead(raft::TransferLeaderRequest::new(
            codec::load_vote(&asked.from),
            asked.to,
            loaded(asked.last),
        )),
    };
    Ok((PeerEnvelope { sender, target, lineage: Lineage(lineage) }, request))
}

fn decode_entry(entry: messages::WireEntry) -> Result<RaftEntry, NoPeerMessage> {
    let payload = match entry.body {
        None => EntryPayload::Blank,
        Some(WireBody::Entry(bytes)) => {
            EntryPayload::Normal(Chained(Arc::new(Entry::from(chain::unseal(bytes)?))))
        }
        Some(WireBody::Membership(membership)) => {
            EntryPayload::Membership(codec::load_membership(&membership, entry.log_id.index)?)
        }
    };
    Ok(RaftEntry { log_id: codec::load_log_id(&entry.log_id), payload })
}

fn load_candidacy(asked: messages::Candidacy) -> raft::VoteRequest<Types> {
    let vote = raft::VoteRequest::new(codec::load_vote(&asked.vote), loaded(asked.last));
    raft::VoteRequest { leadership_transfer: asked.transferred, ..vote }
}

/// An answer, or why the question was not asked of raft.
pub(crate) fn encode_answer(answer: &Result<PeerAnswer, NoPeerAnswer>) -> Bytes {
    let reply = match answer {
        Ok(PeerAnswer::Append(answer)) => ReplyKind::Appended(appended(answer)),
        Ok(PeerAnswer::Vote(answer)) => ReplyKind::Ballot(messages::Ballot {
            vote: codec::store_vote(&answer.vote),
            granted: answer.vote_granted,
            last: stored(answer.last_log_id.as_ref()),
        }),
        Ok(PeerAnswer::SnapshotHas(bytes)) => ReplyKind::SnapshotHas(*bytes),
        Ok(PeerAnswer::Installed(answer)) => ReplyKind::Installed(codec::store_vote(&answer.vote)),
        Ok(PeerAnswer::TakeLead(answer)) => ReplyKind::Transfer(transfer(answer)),
        Err(why) => ReplyKind::Refused(why.to_string()),
    };
    messages::PeerReply { reply: Some(reply) }.encode_to_vec().into()
}

fn appended(answer: &raft::AppendEntriesResponse<Types>) -> messages::Appended {
    let outcome = Some(match answer {
        raft::AppendEntriesResponse::Success => AppendOutcome::All(Empty {}),
        raft::AppendEntriesResponse::PartialSuccess(log_id) => {
            AppendOutcome::UpTo(messages::Place { log_id: stored(log_id.as_ref()) })
        }
        raft::AppendEntriesResponse::Conflict => AppendOutcome::Conflict(Empty {}),
        raft::AppendEntriesResponse::HigherVote(vote) => {
            AppendOutcome::HigherVote(codec::store_vote(vote))
        }
    });
    messages::Appended { outcome }
}

fn transfer(answer: &raft::TransferLeaderResponse<Types>) -> messages::Transfer {
    let outcome = Some(match answer {
        Ok(()) => TransferOutcome::Taken(Empty {}),
        Err(raft::TransferLeaderError::VoteChanged { expected, actual }) => {
            let [expected, actual] = [expected, actual].map(codec::store_vote);
            TransferOutcome::OtherVote(messages::OtherVote { expected, actual })
        }
        Err(raft::TransferLeaderError::LogNotFlushed { expected, actual }) => {
            let [expected, actual] = [expected, actual].map(|log_id| stored(log_id.as_ref()));
            TransferOutcome::OtherLog(messages::OtherLog { expected, actual })
        }
    });
    messages::Transfer { outcome }
}
