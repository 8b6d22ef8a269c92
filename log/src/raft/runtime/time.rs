//! Raft's clock and timers: tokio's, or those of the virtual time that this thread is in.

use crate::raft::virtual_time::{self, VirtualSleep};
use openraft::async_runtime::Instant;
use std::{
    ops::{Add, AddAssign, Sub, SubAssign},
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant as TokioInstant, Sleep};

/// The moment at which all virtual times begin.
static BEGINNING: OnceLock<TokioInstant> = OnceLock::new();

/// A moment of a clock that is never set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RaftInstant(TokioInstant);

/// Waits for a moment.
pub(crate) enum RaftSleep {
    Tokio(Pin<Box<Sleep>>),
    Virtual(VirtualSleep),
}

/// Waits for a future, but not beyond a moment.
pub(crate) struct RaftTimeout<F> {
    future: Pin<Box<F>>,
    sleep: RaftSleep,
}

/// The time was up.
#[derive(Debug, thiserror::Error)]
#[error("the time was up")]
pub(crate) struct TimedOut;

fn beginning() -> TokioInstant {
    *BEGINNING.get_or_init(TokioInstant::now)
}

impl Instant for RaftInstant {
    fn now() -> RaftInstant {
        RaftInstant(match virtual_time::here() {
            Some(world) => beginning() + world.now(),
            None => TokioInstant::now(),
        })
    }
}

impl Add<Duration> for RaftInstant {
    type Output = RaftInstant;

    fn add(self, duration: Duration) -> RaftInstant {
        RaftInstant(self.0 + duration)
    }
}

impl AddAssign<Duration> for RaftInstant {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

impl Sub<Duration> for RaftInstant {
    type Output = RaftInstant;

    fn sub(self, duration: Duration) -> RaftInstant {
        RaftInstant(self.0 - duration)
    }
}

impl SubAssign<Duration> for RaftInstant {
    fn sub_assign(&mut self, duration: Duration) {
        self.0 -= duration;
    }
}

impl Sub for RaftInstant {
    type Output = Duration;

    fn sub(self, earlier: RaftInstant) -> Duration {
        self.0 - earlier.0
    }
}

impl RaftSleep {
    pub(crate) fn until(deadline: RaftInstant) -> RaftSleep {
        match virtual_time::here() {
            Some(world) => {
                let since = deadline.0.saturating_duration_since(beginning());
                RaftSleep::Virtual(world.sleep_until(since))
            }
            None => RaftSleep::Tokio(Box::pin(tokio::time::sleep_until(deadline.0))),
        }
    }
}

impl Future for RaftSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            RaftSleep::Tokio(sleep) => sleep.as_mut().poll(context),
            RaftSleep::Virtual(sleep) => Pin::new(sleep).poll(context),
        }
    }
}

impl<F> RaftTimeout<F> {
    pub(crate) fn new(deadline: RaftInstant, future: F) -> RaftTimeout<F> {
        RaftTimeout { future: Box::pin(future), sleep: RaftSleep::until(deadline) }
    }
}

impl<F: Future> Future for RaftTimeout<F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut self.sleep).poll(context).map(|()| Err(TimedOut))
    }
}
