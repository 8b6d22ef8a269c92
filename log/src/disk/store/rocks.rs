//! The store on disk: RocksDB, one column family a table.
//!
//! A synced commit is one write-ahead record and one fdatasync. Recovery stops at the first damaged
//! record (point in time), since a power cut may tear unsynced writes anywhere in the tail; all
//! families are flushed together, so that such a stop never finds one of them ahead of the others.
//!
//! Write-ahead files are written over once they are full, see [`recycling`]: a sync then writes
//! data alone, and not the file's new length with it. RocksDB finds the end of such a file by the
//! sequence numbers in it, which must have no gaps: nothing may be ingested here, and nothing be
//! written past the write-ahead log.

use super::{
    Batch, Change, Durability, KeyValue, Page, ScanOrder, Span, Store, StoreError, StoreTable,
};
use bytes::Bytes;
use nix::sys::statvfs::statvfs;
use recycling::{RECYCLED_FILES_MAX, Recycling};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, DB, DBCompactionStyle, DBCompressionType,
    DBRecoveryMode, DEFAULT_COLUMN_FAMILY_NAME, ErrorKind, IteratorMode, LogLevel, Options,
    ReadOptions, WriteBatch, WriteOptions,
};
use std::{path::Path, sync::Arc};

mod recycling;
#[cfg(test)]
mod tests;

/// Memory for blocks that were read: what time travel and audit queries work in.
const BLOCK_CACHE_BYTES_MAX: usize = 32 << 20;
/// Of writes that are not yet in tables. It is what a restart has to read again.
const WRITE_BUFFER_BYTES_MAX: usize = 8 << 20;
/// When the write-ahead files outgrow this, tables are written.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// A disk that holds less than this in all is small: files reserve less ahead on it, and none is
/// kept to be written over.
const SMALL_DISK_BYTES_MAX: u64 = 256 << 20;
/// Bytes of writes on a small disk that are not yet in tables.
const SMALL_WRITE_BUFFER_BYTES_MAX: usize = 1 << 20;
/// When the write-ahead files on a small disk outgrow this, tables are written.
const SMALL_WAL_BYTES_MAX: u64 = 4 << 20;
/// Bytes that the list of tables reserves ahead on a small disk.
const SMALL_MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Files held open at once; others are opened when they are read.
const OPEN_FILES_MAX: i32 = 256;

/// RocksDB, open for reading and writing or for reading alone.
pub(crate) struct Rocks {
    db: Arc<DB>,
    recycling: Recycling,
    synced: WriteOptions,
    later: WriteOptions,
    access: StoreAccess,
}

/// What an open store is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoreAccess {
    ReadWrite,
    ReadOnly,
}

impl Rocks {
    /// Opens the store, and creates it if nothing is there.
    pub(crate) fn open(path: &Path) -> Result<Rocks, StoreError> {
        let disk = DiskSize::of(path);
        let mut families =
            StoreTable::ALL.map(|table| (table.name(), family(table, disk))).to_vec();
        // Nothing is written to it, but a write-ahead file reserves as much as its buffer may hold.
        families.push((DEFAULT_COLUMN_FAMILY_NAME, buffered(disk)));
        let db = DB::open_cf_with_opts(&options(disk), path, families)
            .map_err(|error| refused(&error))?;
        Ok(Rocks::new(db, StoreAccess::ReadWrite))
    }

    /// Opens what a stopped manager left, without changing a byte.
    pub(crate) fn open_read_only(path: &Path) -> Result<Rocks, StoreError> {
        match path.join("CURRENT").try_exists() {
            Ok(true) => {}
            Ok(false) => {
                return Err(StoreError::Absent(format!("there is no log in {}", path.display())));
            }
            // The folder may not be entered, or its disk fails: nobody knows what is there.
            Err(error) => return Err(StoreError::Failed(error.to_string())),
        }
        let mut options = options(DiskSize::Usual);
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        let families = StoreTable::ALL.map(|table| (table.name(), family(table, DiskSize::Usual)));
        let db = DB::open_cf_with_opts_for_read_only(&options, path, families, false)
            .map_err(|error| refused(&error))?;
        Ok(Rocks::new(db, StoreAccess::ReadOnly))
    }

    fn new(db: DB, access: StoreAccess) -> Rocks {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        let db = Arc::new(db);
        Rocks {
            db,
            recycling: Recycling::default(),
            synced,
            later: WriteOptions::default(),
            access,
        }
    }

    fn family(&self, table: StoreTable) -> Result<&ColumnFamily, StoreError> {
        let missing = || StoreError::Damaged(format!("the store lacks its table {}", table.name()));
        self.db.cf_handle(table.name()).ok_or_else(missing)
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        self.recycling.stop();
        // A background thread that outlives the process's end would abort it.
        self.db.cancel_all_background_work(true);
    }
}

impl Store for Rocks {
    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let mut writes = WriteBatch::new();
        for change in batch.changes() {
            match change {
                Change::Put { table, key, value } => writes.put_cf(self.family(table)?, key, value),
                Change::Delete { table, key } => writes.delete_cf(self.family(table)?, key),
                Change::DeleteSpan { table, from, to } => {
                    writes.delete_range_cf(self.family(table)?, from, to)
                }
            }
        }
        let options = match durability {
            Durability::Later => &self.later,
            Durability::Synced => &self.synced,
        };
        self.db.write_opt(writes, options).map_err(|error| refused(&error))?;
        if durability == Durability::Synced {
            self.recycling.synced(&self.db);
        }
        Ok(())
    }

    fn get(&self, table: StoreTable, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.db.get_cf(self.family(table)?, key).map_err(|error| refused(&error))?;
        Ok(value.map(Bytes::from))
    }

    fn scan(
        &self,
        table: StoreTable,
        span: &Span,
        way: ScanOrder,
        page: Page,
    ) -> Result<Vec<KeyValue>, StoreError> {
        if span.to.as_ref().is_some_and(|to| *to <= span.from) {
            return Ok(Vec::new());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(span.from.clone());
        if let Some(to) = &span.to {
            options.set_iterate_upper_bound(to.clone());
        }
        let mode = match way {
            ScanOrder::Up => IteratorMode::Start,
            ScanOrder::Down => IteratorMode::End,
        };
        let mut rows = Vec::new();
        let mut bytes = 0;
        for row in self.db.iterator_cf_opt(self.family(table)?, options, mode).take(page.rows) {
            let (key, value) = row.map_err(|error| refused(&error))?;
            bytes += key.len() + value.len();
            if !rows.is_empty() && bytes > page.bytes {
                break;
            }
            rows.push((Bytes::from(key), Bytes::from(value)));
        }
        Ok(rows)
    }

    fn bytes(&self) -> u64 {
        let property = |name: &str| -> u64 {
            let value =
                |table| self.db.property_int_value_cf(self.family(table).ok()?, name).ok()?;
            StoreTable::ALL.into_iter().filter_map(value).sum()
        };
        let unwritten = match self.access {
            StoreAccess::ReadWrite => property("rocksdb.cur-size-all-mem-tables"),
            StoreAccess::ReadOnly => 0,
        };
        property("rocksdb.total-sst-files-size") + unwritten
    }
}

/// How much the disk of a store holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DiskSize {
    Usual,
    Small,
}

impl DiskSize {
    /// Of the disk that a path lies on, or will lie on. One that does not tell is a usual one.
    fn of(path: &Path) -> DiskSize {
        let told = path.ancestors().find_map(|folder| statvfs(folder).ok());
        let bytes = |disk: nix::sys::statvfs::Statvfs| disk.blocks() * disk.fragment_size();
        match told.map(bytes) {
            Some(bytes) if bytes < SMALL_DISK_BYTES_MAX => DiskSize::Small,
            Some(_) | None => DiskSize::Usual,
        }
    }
}

fn options(disk: DiskSize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_atomic_flush(true);
    match disk {
        DiskSize::Usual => {
            options.set_recycle_log_file_num(RECYCLED_FILES_MAX);
            options.set_max_total_wal_size(WAL_BYTES_MAX);
        }
        DiskSize::Small => {
            options.set_max_total_wal_size(SMALL_WAL_BYTES_MAX);
            options.set_manifest_preallocation_size(SMALL_MANIFEST_BYTES_MAX);
        }
    }
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(2);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options
}

/// What is written is gathered in memory up to this size.
fn buffered(disk: DiskSize) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(match disk {
        DiskSize::Usual => WRITE_BUFFER_BYTES_MAX,
        DiskSize::Small => SMALL_WRITE_BUFFER_BYTES_MAX,
    });
    options
}

/// Keys of `entries` and `revisions` only grow, and bodies are compressed before they come here
/// where that saves something. So their tables are never written again: with one compression at all
/// levels a compaction only moves them. The rows of `objects` come in no order: their tables are
/// merged with others of about their size, which writes each row a few times and not dozens.
fn family(table: StoreTable, disk: DiskSize) -> Options {
    let mut options = buffered(disk);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES_MAX / StoreTable::ALL.len()));
    blocks.set_format_version(5);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    match table {
        StoreTable::Objects => options.set_compaction_style(DBCompactionStyle::Universal),
        StoreTable::Entries | StoreTable::Revisions | StoreTable::Sealed | StoreTable::Meta => {}
    }
    options
}

fn refused(error: &rocksdb::Error) -> StoreError {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Corruption => StoreError::Damaged(message),
        // The lock's own kind is "IO error"; only its message tells it from a failing disk.
        ErrorKind::IOError
            if message.contains("LOCK") || message.contains("lock hold by current process") =>
        {
            StoreError::Locked(message)
        }
        ErrorKind::NotFound
        | ErrorKind::NotSupported
        | ErrorKind::InvalidArgument
        | ErrorKind::IOError
        | ErrorKind::MergeInProgress
        | ErrorKind::Incomplete
        | ErrorKind::ShutdownInProgress
        | ErrorKind::TimedOut
        | ErrorKind::Aborted
        | ErrorKind::Busy
        | ErrorKind::Expired
        | ErrorKind::TryAgain
        | ErrorKind::CompactionTooLarge
        | ErrorKind::ColumnFamilyDropped
        | ErrorKind::Unknown => StoreError::Failed(message),
    }
}
