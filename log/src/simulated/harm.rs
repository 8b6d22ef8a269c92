//! What is done to a cluster: one thing after the other, drawn from the seed. Each seed draws its
//! own mixture, so that one fault does not cover up what another one would have shown.

use super::{cluster::Cluster, roles, wire::NetworkQuality};
use crate::raft::virtual_time::ProcessClock;
use std::time::Duration;

/// How long harm is done.
const HARM_PERIOD: Duration = Duration::from_secs(60);
/// Until a cluster that nobody has harmed yet leads.
const UNHARMED_PERIOD: Duration = Duration::from_secs(3);

#[derive(Clone, Copy)]
enum Harm {
    Crash,
    CrashAll,
    Partition,
    OneWay,
    Mend,
    Weather,
    Stop,
    Suspend,
    SlowDisk,
    FullDisk,
    FailingDisk,
    Grow,
    Shrink,
    HandOver,
    Start,
}

/// Of these a run draws some.
const HARMS: [Harm; 13] = [
    Harm::Crash,
    Harm::CrashAll,
    Harm::Partition,
    Harm::OneWay,
    Harm::Weather,
    Harm::Stop,
    Harm::Suspend,
    Harm::SlowDisk,
    Harm::FullDisk,
    Harm::FailingDisk,
    Harm::Grow,
    Harm::Shrink,
    Harm::HandOver,
];

/// Does harm for a while.
pub(super) async fn do_harm(cluster: &mut Cluster) {
    let world = cluster.world.clone();
    let mut mixture = vec![Harm::Mend; 2];
    mixture.extend([Harm::Start; 5]);
    mixture.extend(HARMS.into_iter().filter(|_| world.below(2) == 0));
    let pause = [200, 1000, 4000][world.below(3) as usize];
    world.sleep(UNHARMED_PERIOD).await;
    let until = world.now() + HARM_PERIOD;
    while world.now() < until {
        let drawn = mixture[world.below(mixture.len() as u64) as usize];
        harm(cluster, drawn);
        world.sleep(Duration::from_millis(world.below(pause))).await;
        cluster.look();
    }
}

fn harm(cluster: &mut Cluster, harm: Harm) {
    let world = cluster.world.clone();
    let size = cluster.managers.len() as u64;
    let at = world.below(size) as usize;
    if size == 0 {
        return;
    }
    let ids: Vec<u64> = cluster.managers.iter().map(|manager| manager.raft_id).collect();
    match harm {
        Harm::Crash => cluster.crash(at),
        Harm::CrashAll => (0..ids.len()).for_each(|at| cluster.crash(at)),
        Harm::Start => cluster.start(at),
        Harm::Partition => {
            let side: Vec<bool> = ids.iter().map(|_| world.below(2) == 0).collect();
            for (from, to) in pairs(&ids).filter(|(from, to)| side[*from] != side[*to]) {
                cluster.wire.cut(ids[from], ids[to]);
            }
        }
        Harm::OneWay => {
            for (from, to) in pairs(&ids).filter(|(from, _)| *from == at) {
                if world.below(2) == 0 {
                    cluster.wire.cut(ids[from], ids[to]);
                }
            }
        }
        Harm::Mend => {
            cluster.wire.mend();
            cluster.mend_disks();
        }
        Harm::FullDisk => cluster.refuse(at),
        Harm::FailingDisk => cluster.fail_soon(at),
        Harm::Weather => cluster.wire.weather(NetworkQuality {
            lost: [0, 10, 100, 300][world.below(4) as usize],
            repeated: [0, 50, 300][world.below(3) as usize],
            travels: Duration::from_millis([2, 20, 300][world.below(3) as usize]),
        }),
        Harm::Stop => stand_still(cluster, at, ProcessClock::GoesOn),
        Harm::Suspend => stand_still(cluster, at, ProcessClock::StandsStill),
        Harm::Grow => roles::grow(cluster),
        Harm::Shrink => roles::shrink(cluster, ids[at]),
        Harm::HandOver => roles::hand_over(cluster, ids[at]),
        Harm::SlowDisk => {
            if let Some(life) = &cluster.managers[at].life {
                let sync = Duration::from_millis([1, 30, 800, 3000][world.below(4) as usize]);
                world.slow_disk(life.process, sync);
            }
        }
    }
}

/// The process goes on by itself after a while.
fn stand_still(cluster: &Cluster, at: usize, clock: ProcessClock) {
    let (world, later) = (cluster.world.clone(), cluster.world.clone());
    let Some(life) = &cluster.managers[at].life else { return };
    let (process, lasts) = (life.process, Duration::from_millis(world.below(8000)));
    world.stand_still(process, clock);
    world.spawn(Box::pin(async move {
        later.sleep(lasts).await;
        later.resume(process);
    }));
}

/// All pairs of two managers, by their places.
fn pairs(ids: &[u64]) -> impl Iterator<Item = (usize, usize)> + use<> {
    let size = ids.len();
    (0..size)
        .flat_map(move |from| (0..size).map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
}
