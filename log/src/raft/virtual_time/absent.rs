//! In a program that is not simulated there is no virtual time, and nothing is compiled for it.

pub(crate) use self::{NoVirtualSleep as VirtualSleep, NoVirtualTime as VirtualTime};

use futures::future::BoxFuture;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// There is none.
#[derive(Clone)]
pub(crate) struct NoVirtualTime(Nothing);

/// Nobody waits for a moment of it.
pub(crate) struct NoVirtualSleep(Nothing);

#[derive(Clone, Copy)]
enum Nothing {}

/// None.
pub(crate) fn here() -> Option<VirtualTime> {
    None
}

impl NoVirtualTime {
    pub(crate) fn now(&self) -> Duration {
        match self.0 {}
    }

    pub(crate) fn draw(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn spawn(&self, _: BoxFuture<'static, ()>) {
        match self.0 {}
    }

    pub(crate) fn sync_disk(&self) -> VirtualSleep {
        match self.0 {}
    }

    pub(crate) fn sleep_until(&self, _: Duration) -> VirtualSleep {
        match self.0 {}
    }

    pub(crate) fn block_on<T>(&self, _: impl Future<Output = T>) -> T {
        match self.0 {}
    }
}

impl Future for NoVirtualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.0 {}
    }
}
