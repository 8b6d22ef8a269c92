//! Whatever managers say to each other is the same behind the bytes, and other bytes are refused.

use super::*;
use crate::{
    Entry,
    raft::{
        peers::{NoPeerAnswer, PeerAnswer, PeerRequest, SnapshotBytes},
        types::{Chained, Peer, RaftEntry, Vote, log_id},
    },
};
use bytes::Bytes;
use openraft::{EntryPayload, raft};
use proptest::prelude::*;
use skep_proto::Id;
use std::{collections::BTreeMap, sync::Arc};

const ENVELOPE: PeerEnvelope = PeerEnvelope { sender: 1, target: 3, lineage: Lineage(7) };

fn votes() -> impl Strategy<Value = Vote> {
    (any::<u64>(), 0u64..9, any::<bool>()).prop_map(|(term, id, committed)| match committed {
        true => Vote::new_committed(term, id),
        false => Vote::new(term, id),
    })
}

fn places() -> impl Strategy<Value = Option<LogId>> {
    prop::option::of((any::<u64>(), any::<u64>()).prop_map(|(term, index)| log_id(term, index)))
}

fn entries() -> impl Strategy<Value = RaftEntry> {
    let payload = prop_oneof![
        Just(EntryPayload::Blank),
        (1u64..9, 1u64..4).prop_map(|(first, records)| {
            let sealed = chain::seal(&crate::testing::draft(chain::Hash::ZERO, first, records));
            let sealed = chain::unseal(sealed.bytes).expect("it is as sealed");
            EntryPayload::Normal(Chained(Arc::new(Entry::from(sealed))))
        }),
        "[a-z0-9.:]{0,12}".prop_map(|address| {
            let peer = Peer { node: Id(9), address };
            let members = BTreeMap::from([(1, peer.clone()), (2, peer)]);
            let membership = openraft::Membership::new(vec![[1].into()], members);
            EntryPayload::Membership(membership.expect("it is one"))
        }),
    ];
    (any::<u64>(), any::<u64>(), payload)
        .prop_map(|(term, index, payload)| RaftEntry { log_id: log_id(term, index), payload })
}

fn requests() -> impl Strategy<Value = PeerRequest> {
    let candidacy = || {
        (votes(), places(), any::<bool>()).prop_map(|(vote, last, transferred)| {
            let asked = raft::VoteRequest::new(vote, last);
            raft::VoteRequest { leadership_transfer: transferred, ..asked }
        })
    };
    let append = (votes(), places(), prop::collection::vec(entries(), 0..4), places());
    prop_oneof![
        append.prop_map(|(vote, prev_log_id, entries, leader_commit)| {
            let append = raft::AppendEntriesRequest { vote, prev_log_id, entries, leader_commit };
            PeerRequest::Append(append)
        }),
        candidacy().prop_map(PeerRequest::Vote),
        candidacy().prop_map(PeerRequest::RehearseVote),
        (votes(), any::<u64>(), "[a-z]{0,9}", any::<Vec<u8>>()).prop_map(
            |(vote, offset, file, bytes)| {
                let named = meta::Snapshot { file, revision: 4, ..meta::Snapshot::default() };
                PeerRequest::Snapshot(SnapshotBytes { vote, named, offset, bytes: bytes.into() })
            }
        ),
        (votes(), any::<u64>(), places()).prop_map(|(from, to, last)| {
            PeerRequest::TakeLead(raft::TransferLeaderRequest::new(from, to, last))
        }),
    ]
}

fn answers() -> impl Strategy<Value = Result<PeerAnswer, NoPeerAnswer>> {
    let appended = prop_oneof![
        Just(raft::AppendEntriesResponse::Success),
        places().prop_map(raft::AppendEntriesResponse::PartialSuccess),
        Just(raft::AppendEntriesResponse::Conflict),
        votes().prop_map(raft::AppendEntriesResponse::HigherVote),
    ];
    let transfers = prop_oneof![
        Just(Ok(())),
        (votes(), votes()).prop_map(|(expected, actual)| {
            Err(raft::TransferLeaderError::VoteChanged { expected, actual })
        }),
        (places(), places()).prop_map(|(expected, actual)| {
            Err(raft::TransferLeaderError::LogNotFlushed { expected, actual })
        }),
    ];
    prop_oneof![
        appended.prop_map(|answer| Ok(PeerAnswer::Append(answer))),
        (votes(), places(), any::<bool>()).prop_map(|(vote, last, granted)| {
            Ok(PeerAnswer::Vote(raft::VoteResponse::new(vote, last, granted)))
        }),
        any::<u64>().prop_map(|bytes| Ok(PeerAnswer::SnapshotHas(bytes))),
        votes().prop_map(|vote| Ok(PeerAnswer::Installed(raft::SnapshotResponse { vote }))),
        transfers.prop_map(|answer| Ok(PeerAnswer::TakeLead(answer))),
        "[a-z ]{0,20}".prop_map(|why| Err(NoPeerAnswer::Refused(why))),
    ]
}

/// Neither kind of message can be compared; what is written of them says all.
fn told(message: &impl std::fmt::Debug) -> String {
    format!("{message:?}")
}

proptest! {
    #[test]
    fn questions_are_the_same_behind_the_bytes(request in requests()) {
        let (envelope, read) = decode_request(encode_request(ENVELOPE, &request)).unwrap();
        prop_assert_eq!(envelope, ENVELOPE);
        prop_assert_eq!(told(&read), told(&request));
    }

    #[test]
    fn answers_are_the_same_behind_the_bytes(answer in answers()) {
        prop_assert_eq!(told(&decode_answer(encode_answer(&answer))), told(&answer));
    }

    #[test]
    fn other_bytes_are_refused_and_harm_nobody(bytes: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
        drop((decode_request(bytes.clone().into()), decode_answer(bytes.into())));
        let request = PeerRequest::Vote(raft::VoteRequest::new(Vote::new(3, 1), None));
        let mut altered = encode_request(ENVELOPE, &request).to_vec();
        let at = at.index(altered.len());
        altered[at] ^= 1 << bit;
        drop(decode_request(altered.into()));
    }
}

#[test]
fn an_entry_that_was_altered_on_its_way_is_refused() {
    let sealed = chain::seal(&crate::testing::draft(chain::Hash::ZERO, 1, 3));
    let payload = EntryPayload::Normal(Chained(Arc::new(Entry::from(sealed))));
    let append = raft::AppendEntriesRequest {
        vote: Vote::new_committed(1, 1),
        prev_log_id: None,
        entries: vec![RaftEntry { log_id: log_id(1, 1), payload }],
        leader_commit: None,
    };
    let mut bytes = encode_request(ENVELOPE, &PeerRequest::Append(append)).to_vec();
    // The last byte is of the last record.
    *bytes.last_mut().expect("there are some") ^= 1;
    let refused = decode_request(bytes.into()).expect_err("it is not as sealed");
    assert!(refused.to_string().contains("is not what its header says"), "{refused}");
}

#[test]
fn a_question_that_this_program_does_not_know_is_refused() {
    for bytes in [Bytes::new(), Bytes::from_static(&[0x7a, 0x00])] {
        let refused = decode_request(bytes).expect_err("it asks nothing");
        assert_eq!(refused.to_string(), "it asks nothing that this program knows");
    }
}

#[test]
fn what_is_for_somebody_else_or_of_another_cluster_is_refused_and_both_are_named() {
    let own = |raft_id, lineage| crate::raft::peers::OwnIdentity { raft_id, lineage };
    let refused = |own: crate::raft::peers::OwnIdentity| match own.check(ENVELOPE) {
        Err(NoPeerAnswer::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(own(3, Lineage(7)).check(ENVELOPE), Ok(()));
    assert_eq!(own(3, Lineage::NONE).check(ENVELOPE), Ok(()), "it does not know its cluster yet");
    let other = refused(own(2, Lineage(7)));
    assert_eq!(other, "this is manager 2, and the question is for 3");
    let foreign = refused(own(3, Lineage(8)));
    assert!(foreign.contains(&Lineage(7).to_string()) && foreign.contains(&Lineage(8).to_string()));
}

/// Managers of different versions speak to each other during an upgrade.
#[test]
fn the_bytes_of_each_question_and_answer_stay_as_they_are() {
    let hex = |bytes: Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (vote, last) = (Vote::new_committed(5, 2), Some(log_id(4, 9)));
    let peer = Peer { node: Id(7), address: "10.0.0.1:2377".into() };
    let membership = openraft::Membership::new(vec![[1].into()], BTreeMap::from([(1, peer)]))
        .expect("it is one");
    let entries = [EntryPayload::Blank, EntryPayload::Membership(membership)]
        .map(|payload| RaftEntry { log_id: log_id(5, 10), payload });
    let append = raft::AppendEntriesRequest {
        vote,
        prev_log_id: last,
        entries: entries.into(),
        leader_commit: last,
    };
    let named = meta::Snapshot { revision: 3, lineage: 7, ..meta::Snapshot::default() };
    let bytes = Bytes::from_static(b"part");
    let requests = [
        PeerRequest::Append(append),
        PeerRequest::Vote(raft::VoteRequest::new(vote, last)),
        PeerRequest::RehearseVote(raft::VoteRequest::new(vote, None)),
        PeerRequest::Snapshot(SnapshotBytes { vote, named, offset: 64, bytes }),
        PeerRequest::TakeLead(raft::TransferLeaderRequest::new(vote, 3, last)),
    ];
    let answers = [
        Ok(PeerAnswer::Append(raft::AppendEntriesResponse::Success)),
        Ok(PeerAnswer::Append(raft::AppendEntriesResponse::PartialSuccess(last))),
        Ok(PeerAnswer::Append(raft::AppendEntriesResponse::Conflict)),
        Ok(PeerAnswer::Append(raft::AppendEntriesResponse::HigherVote(vote))),
        Ok(PeerAnswer::Vote(raft::VoteResponse::new(vote, last, true))),
        Ok(PeerAnswer::SnapshotHas(64)),
        Ok(PeerAnswer::Installed(raft::SnapshotResponse { vote })),
        Ok(PeerAnswer::TakeLead(Ok(()))),
        Err(NoPeerAnswer::Refused("no".into())),
    ];
    let requests = requests.iter().map(|request| hex(encode_request(ENVELOPE, request)));
    let answers = answers.iter().map(|answer| hex(encode_answer(answer)));
    let told = requests.chain(answers).collect::<Vec<_>>().join("\n");
    assert_eq!(told, include_str!("golden.txt").trim_end());
}
