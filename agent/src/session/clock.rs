//! The time that the core gets: the wall clock's at the start, and from there on the monotonic
//! clock.
//!
//! So it never goes back and never jumps, and a beat comes when it is due even while somebody sets
//! the clock.

use crate::wall;
use skep_proto::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    epoch: Timestamp,
    began: Instant,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock { epoch: Timestamp(wall::now_ns()), began: Instant::now() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.epoch + u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn instant(&self, at: Timestamp) -> Instant {
        self.began + Duration::from_nanos(at.since(self.epoch))
    }
}
