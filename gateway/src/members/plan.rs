//! What the leader does next so that raft's members are those that the log wants. PURE.
//!
//! One voter changes at a time, and the leader never demotes itself: it hands over first. A number
//! that the log has never given belongs to a cluster of before there were numbers, and is left
//! alone.

use skep_log::{MemberChange, RaftMembers};
use skep_projections::{NodeRow, View};
use skep_proto::{
    Id, defaults,
    v1::{NodeRole, NodeState, RaftMembership},
};
use std::{collections::BTreeMap, time::Duration};

/// The next thing to do.
#[derive(Clone, Debug)]
pub enum MemberStep {
    /// Say what a node is in raft now.
    Record {
        /// The node.
        node: Id,
        /// Its number.
        raft_id: u64,
        /// What it is.
        membership: RaftMembership,
    },
    /// Change raft's members.
    Change(MemberChange),
    /// Let another manager lead, because this one is to be none.
    HandOver {
        /// Its number in raft.
        to: u64,
    },
}

/// What is not as the log wants it, in the order in which it is to be tried. One that raft refuses
/// does not keep the others back: a manager that never answers would, for ever.
pub fn steps(view: &View, members: &RaftMembers) -> Vec<MemberStep> {
    let wanted = wanted(view);
    let mut steps = records(view, members);
    steps.extend(take_out(view, members, &wanted));
    steps.extend(take_in(members, &wanted));
    steps
}

/// The nodes that are to be managers, by their numbers.
fn wanted(view: &View) -> BTreeMap<u64, &NodeRow> {
    let is_wanted = |row: &&NodeRow| row.spec.desired_role() == NodeRole::Manager;
    let rows = view.managers().map(|(_, row)| row).filter(is_wanted);
    rows.filter_map(|row| Some((row.manager?.raft_id, row))).collect()
}

fn membership(members: &RaftMembers, raft_id: u64) -> RaftMembership {
    if members.voters.contains(&raft_id) {
        RaftMembership::Votes
    } else if members.followers.contains(&raft_id) {
        RaftMembership::Follows
    } else {
        RaftMembership::None
    }
}

/// A node of which the log says something else than raft. One that has not been taken in yet is no
/// member, and keeps its number as long as it is wanted.
fn records(view: &View, members: &RaftMembers) -> Vec<MemberStep> {
    let rows = view.managers().filter_map(|(_, row)| {
        let known = row.manager?;
        let membership = membership(members, known.raft_id);
        let waits = known.membership == RaftMembership::None
            && row.spec.desired_role() == NodeRole::Manager;
        let differs = match membership {
            RaftMembership::None => !waits,
            RaftMembership::Follows | RaftMembership::Votes => membership != known.membership,
        };
        let (node, raft_id) = (row.id, known.raft_id);
        differs.then_some(MemberStep::Record { node, raft_id, membership })
    });
    rows.collect()
}

fn take_out(
    view: &View,
    members: &RaftMembers,
    wanted: &BTreeMap<u64, &NodeRow>,
) -> Vec<MemberStep> {
    let unwanted =
        |raft_id: &&u64| **raft_id <= view.newest_raft_id() && !wanted.contains_key(*raft_id);
    let voters = members.voters.iter().filter(unwanted).filter_map(|raft_id| {
        if *raft_id != members.own {
            return Some(MemberStep::Change(MemberChange::Demote { raft_id: *raft_id }));
        }
        let others = members.voters.iter().filter(|other| wanted.contains_key(*other));
        heard_last(members, others).map(|to| MemberStep::HandOver { to })
    });
    let followers = members.followers.iter().filter(unwanted);
    let removals =
        followers.map(|raft_id| MemberStep::Change(MemberChange::Remove { raft_id: *raft_id }));
    voters.chain(removals).collect()
}

/// The one that answered last: another one may be gone.
fn heard_last<'a>(members: &RaftMembers, others: impl Iterator<Item = &'a u64>) -> Option<u64> {
    let silent =
        |raft_id: &&u64| members.silent_for.get(*raft_id).copied().unwrap_or(Duration::MAX);
    others.min_by_key(silent).copied()
}

fn take_in(members: &RaftMembers, wanted: &BTreeMap<u64, &NodeRow>) -> Vec<MemberStep> {
    let steps = wanted.iter().filter_map(|(raft_id, row)| match membership(members, *raft_id) {
        RaftMembership::Votes => None,
        RaftMembership::Follows => {
            Some(MemberStep::Change(MemberChange::Promote { raft_id: *raft_id }))
        }
        // Its port is recorded when its log is there to be written.
        RaftMembership::None => row.port.as_deref().map(|port| {
            MemberStep::Change(MemberChange::Add {
                raft_id: *raft_id,
                node: row.id,
                address: port.advertise.clone(),
            })
        }),
    });
    steps.collect()
}

/// Sessions at managers that have not answered the leader for as long as a node may be silent:
/// nobody else would say that those nodes are gone. Each that lives comes back at another manager.
pub fn abandoned_sessions(view: &View, members: &RaftMembers) -> Vec<(Id, u64)> {
    let period_ns = defaults::heartbeat_period_ns(&view.cluster().spec);
    let grace = Duration::from_nanos(period_ns * defaults::HEARTBEAT_GRACE_PERIODS);
    let is_silent = |row: &NodeRow| {
        let silent = row.manager.and_then(|known| members.silent_for.get(&known.raft_id));
        silent.is_some_and(|silent| *silent >= grace)
    };
    let silent: Vec<Id> =
        view.managers().filter(|(_, row)| is_silent(row)).map(|(_, row)| row.id).collect();
    if silent.is_empty() {
        return Vec::new();
    }
    let holds = |row: &NodeRow| {
        !row.removed
            && !row.silent
            && row.state == NodeState::Ready
            && silent.contains(&row.session_manager)
    };
    view.nodes()
        .iter()
        .filter(|(_, row)| holds(row))
        .map(|(_, row)| (row.id, row.session))
        .collect()
}

#[cfg(test)]
mod tests;
