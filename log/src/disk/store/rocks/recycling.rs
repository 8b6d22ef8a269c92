//! Write-ahead files that are written over, so that a sync costs less.
//!
//! A file that grows makes each sync write its new length too: the file system's journal is then
//! committed with the data. RocksDB keeps full write-ahead
//! files and writes over them, but it has none when it opens, and it fills the first ones for hours
//! where little happens. So once a store is in use, a thread fills two of them with bytes that mean
//! nothing (a record that holds a comment and no change), lets RocksDB retire them, and ends.

use crate::disk::store::StoreTable;
use nix::sys::statvfs::statvfs;
use rocksdb::{DB, FlushOptions, WriteBatch, WriteOptions};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

/// Full write-ahead files that are kept to be written over.
pub(super) const RECYCLED_FILES_MAX: usize = 2;
/// Synced commits after which a store counts as in use, and files are filled for it.
pub(super) const COMMITS_BEFORE_FILLING_MIN: u64 = 512;
/// Bytes that a write-ahead file is filled with: as many as it holds when its tables are written.
pub(super) const FILLED_BYTES_MAX: usize = 12 << 20;
/// Bytes of one write while a file is filled: commits wait for at most one such write.
const FILLING_STEP_BYTES_MAX: usize = 256 << 10;
/// Free bytes of the disk below which no file is filled.
const FILLING_FREE_BYTES_MIN: u64 = 1 << 30;
/// A key that is never written: deleting it gives RocksDB something to flush.
const NO_KEY: &[u8] = b"filled";

/// Decides when files are filled, and ends it when the store is closed.
#[derive(Default)]
pub(super) struct Recycling {
    commits: AtomicU64,
    stopped: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Recycling {
    /// A commit was synced.
    pub(super) fn synced(&self, db: &Arc<DB>) {
        // Only the counter's exact value counts, so it is reached once.
        if self.commits.fetch_add(1, Relaxed) + 1 != COMMITS_BEFORE_FILLING_MIN {
            return;
        }
        let (db, stopped) = (db.clone(), self.stopped.clone());
        let fill = move || {
            if let Err(error) = fill(&db, &stopped) {
                tracing::warn!(%error, "no write-ahead files could be prepared; syncs take longer");
            }
        };
        let thread = thread::Builder::new().name("skep-fill".into()).spawn(fill);
        // Without it all works, only slower.
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = thread.ok();
    }

    /// Ends the filling, and waits until it has ended.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.wait();
    }

    pub(super) fn wait(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of it has been printed.
            drop(thread.join());
        }
    }
}

/// Fills and retires as many files as are kept.
fn fill(db: &DB, stopped: &AtomicBool) -> Result<(), rocksdb::Error> {
    let bytes = vec![0; FILLING_STEP_BYTES_MAX];
    for _ in 0..RECYCLED_FILES_MAX {
        for _ in 0..FILLED_BYTES_MAX / FILLING_STEP_BYTES_MAX {
            if stopped.load(Relaxed) || !has_room(db) {
                return Ok(());
            }
            let mut comment = WriteBatch::new();
            comment.put_log_data(&bytes);
            db.write_opt(comment, &WriteOptions::default())?;
            db.flush_wal(true)?;
        }
        retire(db)?;
    }
    Ok(())
}

/// Writes what is in memory into tables: the write-ahead file of all that is no longer needed then.
fn retire(db: &DB) -> Result<(), rocksdb::Error> {
    let families: Vec<_> =
        StoreTable::ALL.iter().filter_map(|table| db.cf_handle(table.name())).collect();
    if let Some(meta) = db.cf_handle(StoreTable::Meta.name()) {
        db.delete_cf(meta, NO_KEY)?;
    }
    db.flush_cfs_opt(&families, &FlushOptions::default())
}

fn has_room(db: &DB) -> bool {
    let free = |disk: nix::sys::statvfs::Statvfs| disk.blocks_available() * disk.fragment_size();
    statvfs(db.path()).is_ok_and(|disk| free(disk) >= FILLING_FREE_BYTES_MIN)
}
