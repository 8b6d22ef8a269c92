//! Room on the disk: asked of the file system at most once a second, and only when somebody proposes.
//!
//! Below the reserve nothing is accepted, so that what runs can still be read, stopped and repaired. Room again
//! means work again, without a restart.

use nix::sys::statvfs::statvfs;
use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// How long an answer of the file system counts.
const FRESH_MS: u64 = 1000;

/// Room, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What the log takes.
    pub log_bytes: u64,
    /// What is free on its disk, for this user.
    pub free_bytes: u64,
    /// What its disk holds in all.
    pub total_bytes: u64,
}

/// The last answer.
pub(crate) struct Gauge {
    dir: PathBuf,
    since: Instant,
    asked_ms: AtomicU64,
    free: AtomicU64,
    total: AtomicU64,
}

impl Gauge {
    pub(crate) fn new(dir: PathBuf) -> Gauge {
        let gauge = Gauge {
            dir,
            since: Instant::now(),
            asked_ms: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
            total: AtomicU64::new(0),
        };
        gauge.ask();
        gauge
    }

    /// Free and total bytes, a second old at most.
    pub(crate) fn read(&self) -> (u64, u64) {
        let now = self.since.elapsed().as_millis() as u64;
        let asked = self.asked_ms.load(Relaxed);
        // Of those who find it stale, one asks.
        if now >= asked + FRESH_MS && self.asked_ms.compare_exchange(asked, now, Relaxed, Relaxed).is_ok() {
            self.ask();
        }
        (self.free.load(Relaxed), self.total.load(Relaxed))
    }

    /// Whether less than this share of the disk is free.
    pub(crate) fn is_below(&self, share: f64) -> bool {
        let (free, total) = self.read();
        total > 0 && (free as f64) < total as f64 * share
    }

    #[allow(clippy::unnecessary_cast, reason = "some systems count in 32 bits")]
    fn ask(&self) {
        // A file system that does not answer will refuse the write itself.
        if let Ok(found) = statvfs(&self.dir) {
            let block = found.fragment_size() as u64;
            self.free.store(found.blocks_available() as u64 * block, Relaxed);
            self.total.store(found.blocks() as u64 * block, Relaxed);
        }
    }
}
