//! Room on the disk: asked of the file system when somebody wants to know, and the last answer is
//! too old for that. The less room there is, the sooner it is.
//!
//! A file system can run out of bytes or of inodes; what is scarcer counts. Room again means work
//! again, without a restart.

use nix::sys::statvfs::statvfs;
use skep_proto::bytes_size;
use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// How long an answer of the file system counts: a disk fills while nobody looks.
const FREE_SPACE_PERIOD_MS: u64 = 100;
/// The same where less than [`FREE_SHARE_LOW_MAX`] is free.
const FREE_SPACE_LOW_PERIOD_MS: u64 = 1;
/// The free share below which the disk is asked nearly each time.
const FREE_SHARE_LOW_MAX: f64 = 0.10;

/// The share of free disk, in bytes and in inodes, below which the log takes nothing at all.
pub const FREE_SHARE_MIN: f64 = 0.01;

/// Room on the log's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What the log takes.
    pub log_bytes: u64,
    /// What is free on its disk, for this user.
    pub free_bytes: u64,
    /// What its disk holds in all.
    pub total_bytes: u64,
    /// Files that can still be made there.
    pub free_inodes: u64,
    /// Files that can be made there in all; 0 where the file system does not count them.
    pub total_inodes: u64,
}

impl Space {
    /// The free share of bytes or of inodes, whichever is less; 1 where the file system tells
    /// neither.
    pub fn free_share(&self) -> f64 {
        let share =
            |free: u64, total: u64| if total == 0 { 1.0 } else { free as f64 / total as f64 };
        share(self.free_bytes, self.total_bytes).min(share(self.free_inodes, self.total_inodes))
    }

    /// What is scarcest, for people: "3MiB of 128MiB are free".
    pub fn scarcest(&self) -> String {
        let Space { free_bytes, total_bytes, free_inodes, total_inodes, .. } = *self;
        let scarce_inodes = total_inodes > 0
            && free_inodes as f64 * total_bytes as f64 <= free_bytes as f64 * total_inodes as f64;
        if scarce_inodes {
            format!("{free_inodes} of {total_inodes} inodes are free")
        } else {
            format!("{} of {} are free", bytes_size(free_bytes), bytes_size(total_bytes))
        }
    }
}

fn fresh_ms(free_share: f64) -> u64 {
    if free_share < FREE_SHARE_LOW_MAX { FREE_SPACE_LOW_PERIOD_MS } else { FREE_SPACE_PERIOD_MS }
}

/// The last answer.
pub(crate) struct Gauge {
    dir: PathBuf,
    since: Instant,
    asked_ms: AtomicU64,
    free_bytes: AtomicU64,
    total_bytes: AtomicU64,
    free_inodes: AtomicU64,
    total_inodes: AtomicU64,
}

impl Gauge {
    pub(crate) fn new(dir: PathBuf) -> Gauge {
        let gauge = Gauge {
            dir,
            since: Instant::now(),
            asked_ms: AtomicU64::new(0),
            free_bytes: AtomicU64::new(u64::MAX),
            total_bytes: AtomicU64::new(0),
            free_inodes: AtomicU64::new(u64::MAX),
            total_inodes: AtomicU64::new(0),
        };
        gauge.ask();
        gauge
    }

    /// Room, as it was a moment ago at most.
    pub(crate) fn read(&self, log_bytes: u64) -> Space {
        let now = self.since.elapsed().as_millis() as u64;
        let asked = self.asked_ms.load(Relaxed);
        let known = self.known(log_bytes);
        // Of those who find it stale, one asks.
        if now < asked + fresh_ms(known.free_share())
            || self.asked_ms.compare_exchange(asked, now, Relaxed, Relaxed).is_err()
        {
            return known;
        }
        self.ask();
        self.known(log_bytes)
    }

    fn known(&self, log_bytes: u64) -> Space {
        Space {
            log_bytes,
            free_bytes: self.free_bytes.load(Relaxed),
            total_bytes: self.total_bytes.load(Relaxed),
            free_inodes: self.free_inodes.load(Relaxed),
            total_inodes: self.total_inodes.load(Relaxed),
        }
    }

    #[allow(clippy::unnecessary_cast, reason = "some systems count in 32 bits")]
    fn ask(&self) {
        // A file system that does not answer will refuse the write itself.
        if let Ok(found) = statvfs(&self.dir) {
            let block = found.fragment_size() as u64;
            self.free_bytes.store(found.blocks_available() as u64 * block, Relaxed);
            self.total_bytes.store(found.blocks() as u64 * block, Relaxed);
            self.free_inodes.store(found.files_available() as u64, Relaxed);
            self.total_inodes.store(found.files() as u64, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free_bytes: u64, free_inodes: u64, total_inodes: u64) -> Space {
        Space { log_bytes: 0, free_bytes, total_bytes: 1000 << 20, free_inodes, total_inodes }
    }

    #[test]
    fn the_less_room_there_is_the_sooner_the_disk_is_asked_again() {
        assert_eq!([1.0, 0.1, 0.099, 0.0].map(fresh_ms), [100, 100, 1, 1]);
    }

    #[test]
    fn the_scarcer_of_bytes_and_inodes_counts() {
        assert_eq!(space(500 << 20, 900, 1000).free_share(), 0.5);
        assert_eq!(space(500 << 20, 20, 1000).free_share(), 0.02);
        assert_eq!(
            space(500 << 20, 0, 0).free_share(),
            0.5,
            "some file systems do not count inodes"
        );
        assert_eq!(space(30 << 20, 900, 1000).scarcest(), "30MiB of 1000MiB are free");
        assert_eq!(space(500 << 20, 20, 1000).scarcest(), "20 of 1000 inodes are free");
    }
}
