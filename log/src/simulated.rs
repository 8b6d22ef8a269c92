//! Clusters of managers in virtual time: raft itself, with our store, writer and applier, on disks
//! that lose what was not synced and a network that loses, delays, repeats and reorders.
//!
//! ```text
//!   people ─► manager (raft, writer, applier, model disk) ◄─► wire ◄─► manager …
//!                 ▲ crash, power cut, standstill, slow disk      ▲ partition, loss, delay
//!                 └──────────────── harm, drawn from the seed ───┘
//!   witness: what each manager applied, what was acknowledged, who led, what was read
//! ```
//!
//! One seed is one run, step by step. What it does not reach: in which order tokio's own watch,
//! which carries the status, wakes several waiters; here one waits for each.

mod cluster;
mod harm;
mod kept;
mod manager;
mod people;
pub(crate) mod report;
mod roles;
mod wire;
mod witness;

use crate::raft::virtual_time::VirtualTime;
use cluster::Cluster;

/// Runs one cluster from its beginning until it has come to rest after all harm.
pub fn simulate_raft(seed: u64) -> report::RaftRun {
    let world = VirtualTime::new(seed);
    let run = world.block_on(async {
        let mut cluster = Cluster::new(&world);
        cluster.start_all();
        harm::do_harm(&mut cluster).await;
        cluster.heal();
        cluster.come_to_rest().await;
        cluster.report()
    });
    world.end();
    run
}

#[cfg(test)]
mod tests;
