//! The harness that sets us beside etcd: both servers on this machine, loaded in turn by one
//! generator.
//!
//! A figure alone says little on a machine that others use too; so the two sides alternate, and the
//! median of the pairs' ratios is what counts. CPU is read from `/proc`, for the servers alone.

pub mod encoded;
pub mod etcd;
pub mod load;
mod members;
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

/// What both sides write: 256 bytes, never the same twice. Mostly one piece of text, so that making
/// it costs the generator, which shares the machine with the servers, next to nothing.
fn value(caller: usize, turn: u64) -> String {
    const PLAIN: &str = match std::str::from_utf8(&[b'.'; 232]) {
        Ok(text) => text,
        Err(_) => "",
    };
    format!("{caller:08}{turn:016}{PLAIN}")
}
