//! People who change the set of managers: one joins and is given a vote, one loses it and leaves,
//! leadership is handed over. They try again for a while, as a person would.

use super::{cluster::Cluster, manager::node_of, wire::ManagerNetwork, witness::Witness};
use crate::raft::{
    members::{self, MemberChange, NoMemberChange},
    runtime,
    virtual_time::VirtualTime,
};
use std::time::Duration;

/// Managers that there are at once, at most.
const SIMULATED_MANAGERS_MAX: usize = 6;
/// How often a change is tried.
const TRIES_MAX: u32 = 20;
/// Between two tries.
const TRY_PERIOD: Duration = Duration::from_millis(700);
/// How long an answer is waited for.
const CHANGE_ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// A new manager starts, joins, and gets a vote.
pub(super) fn grow(cluster: &mut Cluster) {
    if cluster.managers.len() >= SIMULATED_MANAGERS_MAX {
        return;
    }
    let raft_id = cluster.add();
    let (person, node) = (Person::of(cluster), node_of(raft_id));
    person.witness.seen().joining.insert(raft_id);
    cluster.world.spawn(Box::pin(async move {
        if person.ask(MemberChange::Add { raft_id, node, address: String::new() }).await {
            person.ask(MemberChange::Promote { raft_id }).await;
        }
        person.witness.seen().joining.remove(&raft_id);
    }));
}

/// A manager loses its vote and leaves; its process ends then.
pub(super) fn shrink(cluster: &Cluster, raft_id: u64) {
    let person = Person::of(cluster);
    // Whoever joins is asked for again and again: one that left meanwhile would join once more.
    if person.witness.seen().joining.contains(&raft_id) {
        return;
    }
    cluster.world.spawn(Box::pin(async move {
        if person.ask(MemberChange::Demote { raft_id }).await
            && person.ask(MemberChange::Remove { raft_id }).await
        {
            person.witness.seen().removed.insert(raft_id);
        }
    }));
}

/// Whoever leads hands over to this one.
pub(super) fn hand_over(cluster: &Cluster, to: u64) {
    for raft in cluster.wire.running().into_iter().filter_map(|at| cluster.wire.handle(at)) {
        cluster.world.spawn(Box::pin(async move {
            drop(raft.run(move |raft| members::hand_over(raft, to)).await);
        }));
    }
}

struct Person {
    world: VirtualTime,
    wire: ManagerNetwork,
    witness: Witness,
}

impl Person {
    fn of(cluster: &Cluster) -> Person {
        Person {
            world: cluster.world.clone(),
            wire: cluster.wire.clone(),
            witness: cluster.witness.clone(),
        }
    }

    /// Asks all managers, one after the other, until one has done it.
    async fn ask(&self, change: MemberChange) -> bool {
        for _ in 0..TRIES_MAX {
            for manager in self.wire.running() {
                let Some(raft) = self.wire.handle(manager) else { continue };
                let change = change.clone();
                let done = raft.run(move |raft| members::change(raft, change));
                match runtime::within(CHANGE_ANSWER_LIMIT, done).await {
                    Ok(Some(Ok(()))) => return true,
                    // An earlier try was carried out, and nobody heard of it.
                    Ok(Some(Err(NoMemberChange::AlreadySo(_)))) => return true,
                    Ok(Some(Err(_)) | None) | Err(_) => {}
                }
            }
            self.world.sleep(TRY_PERIOD).await;
        }
        false
    }
}
