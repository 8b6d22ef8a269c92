//! The newest history in memory, for those who follow it.
//!
//! A follower that keeps up never touches the disk. One that falls behind the ring reads from the
//! store until it has caught up; nobody waits for it, and nothing is kept for its sake.

use crate::Entry;
use skep_proto::Revision;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::sync::watch;

/// Bytes kept. Above it the oldest entries leave; who still wants them reads the store.
const RING_BYTES_MAX: usize = 32 << 20;
/// What an entry takes beside its bytes, about.
const RING_ENTRY_OVERHEAD_BYTES: usize = 256;

/// The newest entries, and the revision that history has reached.
pub(crate) struct Ring {
    held: Mutex<RingEntries>,
    newest: watch::Sender<Revision>,
    closed: AtomicBool,
}

#[derive(Default)]
struct RingEntries {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
}

/// What the ring says to somebody who wants a revision.
pub(crate) enum RingRead {
    /// The entry that holds it, and the next ones.
    Entries(Vec<Arc<Entry>>),
    /// It is history, but not here.
    Gone,
    /// It is not history yet.
    Ahead,
    /// It is not history, and nothing more comes.
    Closed,
}

impl Ring {
    /// An empty ring behind `newest`.
    pub(crate) fn new(newest: Revision) -> Ring {
        Ring {
            held: Mutex::default(),
            newest: watch::Sender::new(newest),
            closed: AtomicBool::new(false),
        }
    }

    /// Keeps the next entry. Followers are woken by [`Ring::publish`], once for many.
    pub(crate) fn push(&self, entry: Arc<Entry>) {
        let mut held = self.held();
        held.bytes += entry.bytes().len() + RING_ENTRY_OVERHEAD_BYTES;
        held.entries.push_back(entry);
        while held.bytes > RING_BYTES_MAX && held.entries.len() > 1 {
            let left = held
                .entries
                .pop_front()
                .map_or(0, |entry| entry.bytes().len() + RING_ENTRY_OVERHEAD_BYTES);
            held.bytes -= left;
        }
    }

    /// Says that history goes up to `newest` now.
    pub(crate) fn publish(&self, newest: Revision) {
        self.newest.send_if_modified(|known| {
            let grown = *known < newest;
            *known = newest.max(*known);
            grown
        });
    }

    /// Starts again behind a snapshot.
    pub(crate) fn restart(&self, newest: Revision) {
        *self.held() = RingEntries::default();
        self.publish(newest);
    }

    /// Nothing more comes: wakes all who wait.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.newest.send_modify(|_| {});
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    /// At most `count` entries from the one that holds `from`.
    pub(crate) fn take(&self, from: Revision, count: usize) -> RingRead {
        let held = self.held();
        if *self.newest.borrow() < from {
            return if self.closed.load(Relaxed) { RingRead::Closed } else { RingRead::Ahead };
        }
        let start = held.entries.partition_point(|entry| entry.last() < from);
        match held.entries.get(start) {
            Some(entry) if entry.first() <= from => {
                RingRead::Entries(held.entries.range(start..).take(count).cloned().collect())
            }
            Some(_) | None => RingRead::Gone,
        }
    }

    fn held(&self) -> MutexGuard<'_, RingEntries> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
