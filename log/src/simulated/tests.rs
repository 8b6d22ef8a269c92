//! Seeds that run with each change, in parts that run beside each other; `simulate --managers` runs
//! others.

use super::*;
use crate::raft::virtual_time::{Process, ProcessClock};
use std::{ops::RangeInclusive, time::Duration};

fn check(seeds: RangeInclusive<u64>) {
    let runs = seeds.map(|seed| (seed, simulate_raft(seed)));
    let (mut crashes, mut reads, mut tenures, mut installed) = (0, 0, 0, 0);
    for (seed, run) in runs {
        assert!(run.broken.is_empty(), "seed {seed}: {run:#?}");
        (crashes, reads) = (crashes + run.crashes, reads + run.reads);
        (tenures, installed) = (tenures + run.tenures, installed + run.installed);
    }
    // A run in which nothing happens proves nothing.
    let all = (crashes, reads, tenures, installed);
    assert!(crashes > 10 && reads > 300 && tenures > 20 && installed > 5, "{all:?}");
}

#[test]
fn the_first_seeds_break_no_invariant() {
    check(1..=8);
}

#[test]
fn the_next_seeds_break_no_invariant() {
    check(9..=16);
}

#[test]
fn the_last_seeds_break_no_invariant() {
    check(17..=24);
}

#[test]
fn a_seed_gives_one_run() {
    for seed in [3, 5] {
        assert_eq!(simulate_raft(seed), simulate_raft(seed), "seed {seed}");
    }
}

/// What is done to a cluster of so many managers that nobody harms.
fn play<T>(size: u64, story: impl AsyncFnOnce(&VirtualTime, &mut Cluster) -> T) -> T {
    let world = VirtualTime::new(1);
    let told = world.block_on(async {
        let mut cluster = Cluster::of(&world, size);
        cluster.start_all();
        world.sleep(Duration::from_secs(5)).await;
        story(&world, &mut cluster).await
    });
    world.end();
    told
}

/// The places of those that say that they lead.
fn leaders(cluster: &Cluster) -> Vec<usize> {
    let leads = |at: &usize| {
        let log = cluster.managers[*at].life.as_ref().and_then(|life| life.log.get());
        log.is_some_and(|log| log.listeners.status.now().leader)
    };
    (0..cluster.managers.len()).filter(leads).collect()
}

#[test]
fn a_leader_without_a_majority_leads_no_more_after_one_lease() {
    play(3, async |world, cluster| {
        let [leader] = leaders(cluster)[..] else { panic!("{:?}", leaders(cluster)) };
        let alone = cluster.managers[leader].raft_id;
        for other in [1, 2, 3].into_iter().filter(|other| *other != alone) {
            cluster.wire.cut(alone, other);
            cluster.wire.cut(other, alone);
        }
        world.sleep(Duration::from_millis(900)).await;
        assert!(!leaders(cluster).contains(&leader), "its lease is over");
        world.sleep(Duration::from_secs(3)).await;
        let [successor] = leaders(cluster)[..] else { panic!("{:?}", leaders(cluster)) };
        assert_ne!(successor, leader);
        cluster.wire.mend();
        world.sleep(Duration::from_secs(3)).await;
        assert_eq!(leaders(cluster).len(), 1);
    });
}

#[test]
fn a_leader_whose_majority_answers_again_leads_again() {
    play(3, async |world, cluster| {
        let [leader] = leaders(cluster)[..] else { panic!("{:?}", leaders(cluster)) };
        let processes = cluster.managers.iter().filter_map(|manager| manager.life.as_ref());
        let others: Vec<Process> = processes
            .map(|life| life.process)
            .enumerate()
            .filter(|(at, _)| *at != leader)
            .map(|(_, process)| process)
            .collect();
        others.iter().for_each(|process| world.stand_still(*process, ProcessClock::StandsStill));
        world.sleep(Duration::from_secs(10)).await;
        assert!(leaders(cluster).is_empty());
        others.iter().for_each(|process| world.resume(*process));
        world.sleep(Duration::from_secs(5)).await;
        assert_eq!(leaders(cluster).len(), 1);
    });
}

#[test]
fn a_manager_that_votes_alone_leads_without_asking_anybody() {
    play(1, async |world, cluster| {
        assert_eq!(leaders(cluster), [0]);
        world.sleep(Duration::from_secs(30)).await;
        assert_eq!(leaders(cluster), [0]);
    });
}

#[test]
fn leadership_that_is_handed_over_is_taken_up_at_once() {
    play(3, async |world, cluster| {
        let [leader] = leaders(cluster)[..] else { panic!("{:?}", leaders(cluster)) };
        let to = (leader + 1) % 3;
        roles::hand_over(cluster, cluster.managers[to].raft_id);
        world.sleep(Duration::from_millis(300)).await;
        assert_eq!(leaders(cluster), [to]);
        // To itself, or to nobody, nothing is given up.
        roles::hand_over(cluster, cluster.managers[to].raft_id);
        roles::hand_over(cluster, 77);
        world.sleep(Duration::from_secs(2)).await;
        assert_eq!(leaders(cluster), [to]);
    });
}
