//! The harness that sets us beside etcd: both servers on this machine, loaded in turn by one generator.
//!
//! A figure alone says little on a machine that others use too; so the two sides alternate, and the median of the
//! pairs' ratios is what counts. CPU is read from `/proc`, for the servers alone.

pub mod etcd;
pub mod load;
pub mod server;
pub mod skep;

/// One side under one load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Operations answered in a second.
    pub rate: f64,
    /// Half of the answers came within this, microseconds.
    pub p50_us: f64,
    /// 99 of 100 came within this, microseconds.
    pub p99_us: f64,
    /// CPU of the server for one operation, microseconds.
    pub cpu_us: f64,
}

/// The middle one; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
