//! How far the log was once durable: a tiny file beside the store, written after each sync.
//!
//! The store's recovery silently drops whatever follows damage, so the store alone cannot tell a
//! clean end from a lost tail. This file can. It is never synced itself: it may lag behind the log,
//! it can't run ahead, because it names an index only after that was synced. The one time the log
//! gets shorter on purpose, the file is lowered first, and synced.
//!
//! Two slots of 64 bytes are written in turn, so that a torn write leaves the older one readable. A
//! slot: magic, 8 bytes · count of writes, u64 · raft index, u64 · revision, u64 · incarnation, u64
//! · zeroes · CRC-32C of all that, u32.

use super::{
    files::{Files, SlotFile},
    names,
};
use skep_proto::Revision;
use std::io;

const SLOT_BYTES: usize = 64;
const SUM_AT: usize = 60;
const HEAD_MAGIC: &[u8; 8] = b"skephead";

/// What the file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct HeadMark {
    /// The last raft index that was durable, plus one: 0 is an empty log.
    pub(crate) next_index: u64,
    /// The last revision among those entries, as far as this process saw them.
    pub(crate) revision: Revision,
    /// The incarnation that it was written in.
    pub(crate) incarnation: u64,
}

/// The file, open for writing, and locked as long as it is.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: Box<dyn SlotFile>,
    writes: u64,
    mark: HeadMark,
}

impl HeadFile {
    /// Opens the file and reads the newer of its readable slots. Where the file is missing or no
    /// slot is readable, the log is taken as complete. The error is `WouldBlock` if another process
    /// has the file open.
    pub(crate) fn open(files: &dyn Files) -> io::Result<HeadFile> {
        let file = files.open_locked(names::HEAD)?;
        let (writes, mark) = newest(&file.read()?).unwrap_or_default();
        Ok(HeadFile { file, writes, mark })
    }

    /// Reads without creating or changing anything.
    pub(crate) fn read(files: &dyn Files) -> io::Result<HeadMark> {
        match files.read(names::HEAD) {
            Ok(bytes) => Ok(newest(&bytes).unwrap_or_default().1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HeadMark::default()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn mark(&self) -> HeadMark {
        self.mark
    }

    /// Writes the other slot. Not synced: losing it only makes the file lag.
    pub(crate) fn write(&mut self, mark: HeadMark) -> io::Result<()> {
        self.writes += 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(HEAD_MAGIC);
        slot[8..16].copy_from_slice(&self.writes.to_be_bytes());
        slot[16..24].copy_from_slice(&mark.next_index.to_be_bytes());
        slot[24..32].copy_from_slice(&mark.revision.0.to_be_bytes());
        slot[32..40].copy_from_slice(&mark.incarnation.to_be_bytes());
        let sum = crc32c::crc32c(&slot[..SUM_AT]);
        slot[SUM_AT..].copy_from_slice(&sum.to_be_bytes());
        self.file.write_at((self.writes % 2) * SLOT_BYTES as u64, &slot)?;
        self.mark = mark;
        Ok(())
    }

    /// Says that the log ends earlier from now on, durably in both slots, before it is made to.
    pub(crate) fn lower(&mut self, mark: HeadMark) -> io::Result<()> {
        self.write(mark)?;
        self.write(mark)?;
        self.file.sync()
    }
}

fn newest(bytes: &[u8]) -> Option<(u64, HeadMark)> {
    let slots = bytes.chunks_exact(SLOT_BYTES).take(2);
    slots.filter_map(read_slot).max_by_key(|(writes, _)| *writes)
}

fn read_slot(slot: &[u8]) -> Option<(u64, HeadMark)> {
    let number = |at: usize| slot[at..at + 8].try_into().ok().map(u64::from_be_bytes);
    let sum = u32::from_be_bytes(slot[SUM_AT..].try_into().ok()?);
    if &slot[..8] != HEAD_MAGIC || crc32c::crc32c(&slot[..SUM_AT]) != sum {
        return None;
    }
    let mark = HeadMark {
        next_index: number(16)?,
        revision: Revision(number(24)?),
        incarnation: number(32)?,
    };
    Some((number(8)?, mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::files::os::OsFiles;

    fn mark(next_index: u64) -> HeadMark {
        HeadMark { next_index, revision: Revision(next_index * 10), incarnation: next_index + 7 }
    }

    #[test]
    fn the_newest_write_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let files = OsFiles::new(dir.path());
        assert_eq!(HeadFile::read(&files).unwrap(), HeadMark::default());
        let mut file = HeadFile::open(&files).unwrap();
        for index in 1..=5 {
            file.write(mark(index)).unwrap();
            assert_eq!(HeadFile::read(&files).unwrap(), mark(index));
        }
        let second = HeadFile::open(&files).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock, "it is locked as long as it is open");
        drop(file);
        let mut file = HeadFile::open(&files).unwrap();
        assert_eq!(file.mark(), mark(5));
        file.lower(mark(2)).unwrap();
        assert_eq!(HeadFile::read(&files).unwrap(), mark(2));
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let files = OsFiles::new(dir.path());
        let mut file = HeadFile::open(&files).unwrap();
        file.write(mark(1)).unwrap();
        file.write(mark(2)).unwrap();
        // The second mark stands in the first slot again.
        let newest_slot = 0;
        file.file.write_at(newest_slot + 10, &[0xff; 20]).unwrap();
        assert_eq!(HeadFile::read(&files).unwrap(), mark(1));
        file.file.write_at(0, &[0xff; 128]).unwrap();
        assert_eq!(HeadFile::read(&files).unwrap(), HeadMark::default());
    }
}
