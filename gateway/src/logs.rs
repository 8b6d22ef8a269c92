//! Lines on their way from agents to those who asked for them. Bounded: a slow reader holds its own
//! log back.
//!
//! What is ordered from which node, and in which order lines are passed on, is decided in
//! [`follow`].

pub mod follow;

use skep_proto::v1::LogChunk;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;

/// Chunks of one order waiting for its reader; at it the agent's stream of that order waits.
const READER_CHUNKS_MAX: usize = 64;

/// Open orders.
#[derive(Default)]
pub struct Broker {
    orders: Mutex<BTreeMap<u64, mpsc::Sender<LogChunk>>>,
    newest: AtomicU64,
}

impl Broker {
    /// Opens an order: its number, and where its chunks arrive.
    pub fn open(&self) -> (u64, mpsc::Receiver<LogChunk>) {
        let (send, receive) = mpsc::channel(READER_CHUNKS_MAX);
        // No node can guess the number of an order that it was not given.
        let request =
            getrandom::u64().unwrap_or_else(|_| self.newest.fetch_add(1, Ordering::Relaxed)).max(1);
        self.lock().insert(request, send);
        (request, receive)
    }

    /// Opens an order under the number that another manager has given it; none where that is taken.
    pub fn open_for_other(&self, request: u64) -> Option<mpsc::Receiver<LogChunk>> {
        let (send, receive) = mpsc::channel(READER_CHUNKS_MAX);
        match self.lock().entry(request) {
            Entry::Vacant(free) => {
                free.insert(send);
                Some(receive)
            }
            Entry::Occupied(_) => None,
        }
    }

    /// Ends an order; what still comes for it is dropped.
    pub fn close(&self, request: u64) {
        self.lock().remove(&request);
    }

    /// Passes a chunk on, waiting for its reader. False when the order is closed.
    pub async fn take(&self, chunk: LogChunk) -> bool {
        let (request, end) = (chunk.request, chunk.end);
        let Some(order) = self.lock().get(&request).cloned() else { return false };
        let wanted = order.send(chunk).await.is_ok();
        if end || !wanted {
            self.close(request);
        }
        wanted && !end
    }

    /// Passes a chunk on if there is room: for chunks on the agent's main stream, which must not
    /// wait.
    pub fn offer(&self, chunk: LogChunk) {
        let request = chunk.request;
        let Some(order) = self.lock().get(&request).cloned() else { return };
        if order.try_send(chunk).is_err() {
            self.close(request);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, mpsc::Sender<LogChunk>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
