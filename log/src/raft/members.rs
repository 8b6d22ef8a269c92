//! How the set of managers changes: one voter at a time, never by joint consensus, and each change
//! on the membership that it was decided on.
//!
//! The rules are here; that only one voter changes, and that the membership before is committed,
//! raft checks once more.

use super::{
    machine::Raft,
    types::{Membership, Peer, Types},
};
use openraft::{
    EntryPayload, ReadPolicy,
    async_runtime::{Instant, WatchReceiver},
    errors::{ClientWriteError, RaftError},
    raft::Precondition,
};
use skep_proto::Id;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A manager that has not answered for so long does not count for a quorum that is to be kept.
const HEARD_LIMIT: Duration = Duration::from_secs(1);
/// Entries that a manager may lack when others come to depend on it.
const LAG_MAX: u64 = 100;

/// A change of the set of managers.
#[derive(Clone, Debug)]
pub enum MemberChange {
    /// A new manager follows the log, without a vote. Its raft id was never used before.
    Add {
        /// Its raft id.
        raft_id: u64,
        /// Its node.
        node: Id,
        /// Where it is.
        address: String,
    },
    /// One that follows gets a vote.
    Promote {
        /// Its raft id.
        raft_id: u64,
    },
    /// One that votes only follows from now on.
    Demote {
        /// Its raft id.
        raft_id: u64,
    },
    /// One without a vote leaves.
    Remove {
        /// Its raft id.
        raft_id: u64,
    },
}

/// Why a change was not made, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMemberChange {
    /// It is so already: nothing had to be done.
    #[error("manager {0} is so already")]
    AlreadySo(u64),
    /// Nothing was done.
    #[error("{0}")]
    Refused(String),
    /// It was taken, and whether it was done or will be is not known.
    #[error("whether it was done is not known: {0}")]
    Unknown(String),
}

/// Who takes part in raft.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftMembers {
    /// The manager that says so.
    pub own: u64,
    /// Who leads, as far as that is known. It may have lost its majority.
    pub leader: Option<u64>,
    /// Those who vote.
    pub voters: BTreeSet<u64>,
    /// Those who only follow.
    pub followers: BTreeSet<u64>,
    /// On the leader alone: how long each of the others has not answered, if it ever did.
    pub silent_for: BTreeMap<u64, Duration>,
}

/// What the leader knows of the managers.
#[derive(Clone, Debug, Default)]
pub(crate) struct MembersView {
    leader: u64,
    voters: BTreeSet<u64>,
    peers: BTreeMap<u64, Peer>,
    /// The index of the last entry of the leader's log.
    last: u64,
    /// How far each one's log is known to agree with the leader's; none where nothing is known.
    matched: BTreeMap<u64, Option<u64>>,
    /// Those who answered within a moment, and the leader.
    heard: BTreeSet<u64>,
}

/// Changes the set of managers, if this one leads and nothing speaks against it.
pub(crate) async fn change(raft: Raft, change: MemberChange) -> Result<(), NoMemberChange> {
    let (view, unchanged) = MembersView::of(&raft).await?;
    let (voters, peers) = view.after(&change)?;
    let next = Membership::new(vec![voters], peers).or_else(|error| refused(error.to_string()))?;
    match raft.append_membership(next, EntryPayload::Blank, [unchanged]).await {
        Ok(_) => Ok(()),
        Err(RaftError::APIError(
            error @ (ClientWriteError::ForwardToLeader(_)
            | ClientWriteError::ChangeMembershipError(_)
            | ClientWriteError::PreconditionFailed(_)),
        )) => refused(format!("nothing was changed: {error}")),
        Err(error) => Err(NoMemberChange::Unknown(error.to_string())),
    }
}

/// Hands leadership over to another manager that votes, answers and has caught up. Raft itself
/// would give it up for any number, and a sole voter would never take it up again.
pub(crate) async fn hand_over(raft: Raft, to: u64) -> Result<(), NoMemberChange> {
    let (view, _) = MembersView::of(&raft).await?;
    view.may_lead(to)?;
    let given = raft.trigger().transfer_leader(to).await;
    given.map_err(|error| NoMemberChange::Unknown(error.to_string()))
}

/// Who takes part, as far as this manager knows.
pub(crate) fn members(raft: &Raft) -> RaftMembers {
    let metrics = raft.metrics();
    let now = metrics.borrow_watched();
    // Its own entry there is as old as its lead.
    let heard = now.heartbeat.iter().flatten().filter(|(raft_id, _)| **raft_id != now.id);
    RaftMembers {
        own: now.id,
        leader: now.current_leader,
        voters: now.membership_config.voter_ids().collect(),
        followers: now.membership_config.membership().learner_ids().collect(),
        silent_for: heard
            .filter_map(|(raft_id, heard)| Some((*raft_id, heard.as_ref()?.into_inner().elapsed())))
            .collect(),
    }
}

fn refused<T>(why: String) -> Result<T, NoMemberChange> {
    Err(NoMemberChange::Refused(why))
}

impl MembersView {
    /// What is known now, by a leader that a majority still follows, and the condition that the
    /// membership is still this one.
    async fn of(raft: &Raft) -> Result<(MembersView, Precondition<Types>), NoMemberChange> {
        // A machine that was suspended believes old answers to be new.
        if raft.ensure_linearizable(ReadPolicy::ReadIndex).await.is_err() {
            return refused("this manager does not lead, or no majority answers".into());
        }
        let metrics = raft.metrics();
        let now = metrics.borrow_watched();
        let (Some(replication), Some(heartbeat)) = (&now.replication, &now.heartbeat) else {
            return refused("this manager does not lead".into());
        };
        let membership = &now.membership_config;
        if membership.log_id() != now.committed_membership_config.log_id() {
            return refused("another change is under way; try again".into());
        }
        let heard = heartbeat.iter().filter(|(_, heard)| {
            heard.is_some_and(|heard| heard.into_inner().elapsed() < HEARD_LIMIT)
        });
        let view = MembersView {
            leader: now.id,
            voters: membership.voter_ids().collect(),
            peers: membership.nodes().map(|(raft_id, peer)| (*raft_id, peer.clone())).collect(),
            last: now.last_log_index.unwrap_or_default(),
            matched: replication
                .iter()
                .map(|(raft_id, log_id)| (*raft_id, log_id.as_ref().map(|log_id| log_id.index)))
                .collect(),
            heard: heard.map(|(raft_id, _)| *raft_id).chain([now.id]).collect(),
        };
        let unchanged =
            Precondition::LastMembershipLogId { last_membership_log_id: *membership.log_id() };
        Ok((view, unchanged))
    }

    /// Voters and members after a change, or why it must not be.
    fn after(
        &self,
        change: &MemberChange,
    ) -> Result<(BTreeSet<u64>, BTreeMap<u64, Peer>), NoMemberChange> {
        let (mut voters, mut peers) = (self.voters.clone(), self.peers.clone());
        match change {
            MemberChange::Add { raft_id, node, address } => {
                let peer = Peer { node: *node, address: address.clone() };
                if peers.insert(*raft_id, peer).is_some() {
                    return Err(NoMemberChange::AlreadySo(*raft_id));
                }
            }
            MemberChange::Promote { raft_id } => {
                self.exists(*raft_id)?;
                if !voters.insert(*raft_id) {
                    return Err(NoMemberChange::AlreadySo(*raft_id));
                }
                // It would hold up every entry, and vote for a log that it does not have.
                self.follows(*raft_id)?;
            }
            MemberChange::Demote { raft_id } => {
                if !voters.remove(raft_id) {
                    return Err(NoMemberChange::AlreadySo(*raft_id));
                }
                self.keeps_quorum(*raft_id, &voters)?;
            }
            MemberChange::Remove { raft_id } => {
                if voters.contains(raft_id) {
                    return refused(format!("manager {raft_id} votes: demote it first"));
                }
                if peers.remove(raft_id).is_none() {
                    return Err(NoMemberChange::AlreadySo(*raft_id));
                }
            }
        }
        Ok((voters, peers))
    }

    fn exists(&self, raft_id: u64) -> Result<(), NoMemberChange> {
        if self.peers.contains_key(&raft_id) {
            return Ok(());
        }
        refused(format!("there is no manager {raft_id}"))
    }

    /// Whether a manager answers and has caught up.
    fn follows(&self, raft_id: u64) -> Result<(), NoMemberChange> {
        let matched = self.matched.get(&raft_id).copied().flatten();
        match matched.filter(|matched| matched + LAG_MAX >= self.last) {
            _ if !self.heard.contains(&raft_id) => {
                refused(format!("manager {raft_id} does not answer"))
            }
            Some(_) => Ok(()),
            None => refused(format!(
                "manager {raft_id} has {} of {} entries; try again when it has caught up",
                matched.map_or(0, |matched| matched + 1),
                self.last + 1
            )),
        }
    }

    fn keeps_quorum(&self, leaving: u64, voters: &BTreeSet<u64>) -> Result<(), NoMemberChange> {
        if voters.is_empty() {
            return refused(format!("manager {leaving} is the last one that votes"));
        }
        if leaving == self.leader {
            return refused(format!("manager {leaving} leads: it must hand over first"));
        }
        let follow = voters
            .iter()
            .filter(|voter| **voter == self.leader || self.follows(**voter).is_ok())
            .count();
        if 2 * follow > voters.len() {
            return Ok(());
        }
        refused(format!(
            "only {follow} of the {} voters that would remain answer and have caught up: that is no majority",
            voters.len()
        ))
    }

    fn may_lead(&self, to: u64) -> Result<(), NoMemberChange> {
        if to == self.leader {
            return Err(NoMemberChange::AlreadySo(to));
        }
        if !self.voters.contains(&to) {
            return refused(format!("manager {to} has no vote, and can't lead"));
        }
        self.follows(to)
    }
}

#[cfg(test)]
mod tests;
