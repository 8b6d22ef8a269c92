//! The only place in this crate that reads the machine's clocks.
//!
//! Two clocks are read together. The monotonic clock measures: silence, delays, back-off. Nobody
//! can set it, so a measured duration is right by a stopwatch. The wall clock only gives a tenure
//! the time of day to begin with, and tells how far the log's time differs from it.

use skep_proto::Timestamp;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds of the monotonic clock since the manager was started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Uptime(pub u64);

impl Uptime {
    /// Nanoseconds from `earlier` to this; 0 when that is not earlier.
    pub fn since(self, earlier: Uptime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<u64> for Uptime {
    type Output = Uptime;
    /// This plus so many nanoseconds; stays at the end of time rather than wrapping.
    fn add(self, ns: u64) -> Uptime {
        Uptime(self.0.saturating_add(ns))
    }
}

/// Both clocks, read together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Now {
    /// By the monotonic clock.
    pub uptime: Uptime,
    /// By the wall clock, which may be wrong and may be set at any moment.
    pub wall: Timestamp,
}

/// The machine's clocks. Copies agree with each other: all count from the same start.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Begins to count.
    pub fn start() -> SystemClock {
        SystemClock { started: Instant::now() }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now { uptime: self.uptime(), wall: wall() }
    }

    /// The monotonic clock alone.
    pub fn uptime(&self) -> Uptime {
        Uptime(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long to wait until `at`; nothing when that has passed.
    pub fn until(&self, at: Uptime) -> Duration {
        Duration::from_nanos(at.since(self.uptime()))
    }
}

/// The wall clock.
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
