//! Raft's dice: the operating system's, or those of the virtual time that this thread is in.

use super::Tokio;
use crate::raft::virtual_time::{self, VirtualTime};
use openraft::AsyncRuntime;
use rand_core::{Rng, TryRng};
use std::convert::Infallible;

/// Where raft's random numbers come from.
pub(crate) enum RaftDice {
    Thread(<Tokio as AsyncRuntime>::ThreadLocalRng),
    Virtual(VirtualTime),
}

impl RaftDice {
    pub(crate) fn here() -> RaftDice {
        match virtual_time::here() {
            Some(world) => RaftDice::Virtual(world),
            None => RaftDice::Thread(Tokio::thread_rng()),
        }
    }
}

impl TryRng for RaftDice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| number as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(match self {
            RaftDice::Thread(thread) => thread.next_u64(),
            RaftDice::Virtual(world) => world.draw(),
        })
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}
