//! Between consensus's types and our own bytes: a new version of the library never changes what
//! lies on disk.

use super::types::{Chained, LogId, Membership, MembershipAt, Peer, RaftEntry, Vote, log_id};
use crate::disk::{
    entries::{Loaded, LoadedBody},
    keys::{StoredBody, meta},
    store::StoreError,
};
use openraft::EntryPayload;
use prost::Message;
use skep_proto::Id;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn store_body(entry: &RaftEntry) -> StoredBody {
    match &entry.payload {
        EntryPayload::Blank => StoredBody::Blank,
        EntryPayload::Normal(Chained(chained)) => StoredBody::Entry(chained.bytes().clone()),
        EntryPayload::Membership(membership) => {
            StoredBody::Membership(store_membership(membership).encode_to_vec().into())
        }
    }
}

pub(crate) fn load_entry(loaded: Loaded) -> Result<RaftEntry, StoreError> {
    let index = loaded.log_id.index;
    let payload = match loaded.body {
        LoadedBody::Blank => EntryPayload::Blank,
        LoadedBody::Entry(entry) => EntryPayload::Normal(Chained(entry)),
        LoadedBody::Membership(message) => {
            EntryPayload::Membership(load_membership(&message, index)?)
        }
    };
    Ok(RaftEntry { log_id: load_log_id(&loaded.log_id), payload })
}

pub(crate) fn store_membership(membership: &Membership) -> meta::StoredMembership {
    let voters = |ids: &BTreeSet<u64>| meta::Voters { ids: ids.iter().copied().collect() };
    let member = |(id, peer): (&u64, &Peer)| meta::Member {
        id: *id,
        node_id: peer.node.to_bytes(),
        address: peer.address.clone(),
    };
    meta::StoredMembership {
        voters: membership.get_joint_config().iter().map(voters).collect(),
        members: membership.nodes().map(member).collect(),
    }
}

pub(crate) fn load_membership(
    message: &meta::StoredMembership,
    index: u64,
) -> Result<Membership, StoreError> {
    if message.voters.is_empty() && message.members.is_empty() {
        return Ok(Membership::default());
    }
    let voters = message.voters.iter().map(|voters| voters.ids.iter().copied().collect()).collect();
    let peer = |member: &meta::Member| Peer {
        node: Id::from_bytes(&member.node_id),
        address: member.address.clone(),
    };
    let members: BTreeMap<u64, Peer> =
        message.members.iter().map(|member| (member.id, peer(member))).collect();
    Membership::new(voters, members).map_err(|error| {
        StoreError::Damaged(format!(
            "the membership at raft index {index} contradicts itself: {error}"
        ))
    })
}

pub(crate) fn store_vote(vote: &Vote) -> meta::StoredVote {
    meta::StoredVote {
        term: vote.leader_id.term,
        voted_for: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

pub(crate) fn load_vote(message: &meta::StoredVote) -> Vote {
    if message.committed {
        Vote::new_committed(message.term, message.voted_for)
    } else {
        Vote::new(message.term, message.voted_for)
    }
}

pub(crate) fn store_log_id(log_id: &LogId) -> meta::StoredLogId {
    meta::StoredLogId { term: log_id.leader_id.term, index: log_id.index }
}

pub(crate) fn load_log_id(message: &meta::StoredLogId) -> LogId {
    log_id(message.term, message.index)
}

/// A membership with the place it was written at.
pub(crate) fn load_membership_at(
    log_id: Option<&meta::StoredLogId>,
    message: &meta::StoredMembership,
) -> Result<MembershipAt, StoreError> {
    let membership = load_membership(message, log_id.map_or(0, |log_id| log_id.index))?;
    Ok(MembershipAt::new(log_id.map(load_log_id), membership))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Entry, chain,
        disk::{
            entries,
            keys::{self, StoredEntry},
        },
    };
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Through the bytes that lie on disk.
    fn round_trip(entry: &RaftEntry) -> RaftEntry {
        let stored = StoredEntry { term: entry.log_id.leader_id.term, body: store_body(entry) };
        let (prefix, packed) = keys::entry_value(&stored);
        let body = match (packed, stored.body) {
            (Some(packed), _) => packed.into(),
            (None, StoredBody::Blank) => bytes::Bytes::new(),
            (None, StoredBody::Membership(bytes) | StoredBody::Entry(bytes)) => bytes,
        };
        let value = [&prefix[..], &body].concat().into();
        load_entry(entries::load(entry.log_id.index, &value).unwrap()).unwrap()
    }

    fn memberships() -> impl Strategy<Value = Membership> {
        let ids = || prop::collection::btree_set(0u64..6, 1..4);
        (ids(), prop::option::of(ids()), any::<u128>(), "[a-z]{0,9}").prop_map(
            |(one, two, node, address)| {
                let peer = Peer { node: Id(node | 1), address };
                let voters: Vec<_> = [Some(one), two].into_iter().flatten().collect();
                let members: BTreeMap<u64, Peer> = (0..7).map(|id| (id, peer.clone())).collect();
                Membership::new(voters, members).unwrap()
            },
        )
    }

    proptest! {
        #[test]
        fn memberships_round_trip(term: u64, index: u64, membership in memberships()) {
            let entry = RaftEntry { log_id: log_id(term, index), payload: EntryPayload::Membership(membership) };
            prop_assert_eq!(round_trip(&entry), entry);
        }

        #[test]
        fn votes_and_places_round_trip(term: u64, id: u64, committed: bool) {
            let vote = if committed { Vote::new_committed(term, id) } else { Vote::new(term, id) };
            prop_assert_eq!(load_vote(&store_vote(&vote)), vote);
            prop_assert_eq!(load_log_id(&store_log_id(&log_id(term, id))), log_id(term, id));
        }
    }

    #[test]
    fn entries_of_the_chain_round_trip() {
        let sealed = chain::seal(&crate::testing::draft(chain::Hash::ZERO, 1, 3));
        let entry = RaftEntry {
            log_id: log_id(2, 9),
            payload: EntryPayload::Normal(Chained(Arc::new(Entry::from(sealed)))),
        };
        assert_eq!(round_trip(&entry), entry);
        let blank = RaftEntry { log_id: log_id(2, 9), payload: EntryPayload::Blank };
        assert_eq!(round_trip(&blank), blank);
    }
}
