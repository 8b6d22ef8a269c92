//! How far the log was once durable: a tiny file beside the store, written after each sync.
//!
//! The store's recovery silently drops whatever follows damage, so the store alone cannot tell a clean end from a
//! lost tail. This file can. It is never synced itself: it may lag behind the log, it can't run ahead, because it
//! names an index only after that was synced. The one time the log gets shorter on purpose, the file is lowered
//! first, and synced.
//!
//! Two slots of 64 bytes are written in turn, so that a torn write leaves the older one readable.
//! A slot: magic, 8 bytes · count of writes, u64 · raft index, u64 · revision, u64 · zeroes · CRC-32C of all that, u32.

use nix::fcntl::{Flock, FlockArg};
use skep_proto::Revision;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

const SLOT_BYTES: usize = 64;
const SUM_AT: usize = 60;
const MAGIC: &[u8; 8] = b"skephead";

/// What the file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mark {
    /// The last raft index that was durable, plus one: 0 is an empty log.
    pub(crate) next_index: u64,
    /// The last revision among those entries, as far as this process saw them.
    pub(crate) revision: Revision,
}

/// The file, open for writing, and locked as long as it is.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: Flock<File>,
    writes: u64,
    mark: Mark,
}

impl HeadFile {
    /// Opens the file and reads its newer readable slot. A file that is not there, or of which no slot is
    /// readable, says nothing: the log then counts as it is found. Would block where somebody else has it open.
    pub(crate) fn open(path: &Path) -> io::Result<HeadFile> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| io::Error::from(error))?;
        let (writes, mark) = newest(&file)?.unwrap_or_default();
        Ok(HeadFile { file, writes, mark })
    }

    /// Reads without creating or changing anything.
    pub(crate) fn read(path: &Path) -> io::Result<Mark> {
        match File::open(path) {
            Ok(file) => Ok(newest(&file)?.unwrap_or_default().1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Mark::default()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Writes the other slot. Not synced: losing it only makes the file lag.
    pub(crate) fn write(&mut self, mark: Mark) -> io::Result<()> {
        self.writes += 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..16].copy_from_slice(&self.writes.to_be_bytes());
        slot[16..24].copy_from_slice(&mark.next_index.to_be_bytes());
        slot[24..32].copy_from_slice(&mark.revision.0.to_be_bytes());
        let sum = crc32c::crc32c(&slot[..SUM_AT]);
        slot[SUM_AT..].copy_from_slice(&sum.to_be_bytes());
        self.file.write_all_at(&slot, (self.writes % 2) * SLOT_BYTES as u64)?;
        self.mark = mark;
        Ok(())
    }

    /// Says that the log ends earlier from now on, durably in both slots, before it is made to.
    pub(crate) fn lower(&mut self, mark: Mark) -> io::Result<()> {
        self.write(mark)?;
        self.write(mark)?;
        self.file.sync_data()
    }
}

fn newest(file: &File) -> io::Result<Option<(u64, Mark)>> {
    let mut found = None;
    for place in 0..2 {
        let mut slot = [0; SLOT_BYTES];
        match file.read_exact_at(&mut slot, place * SLOT_BYTES as u64) {
            Ok(()) => found = found.max(read_slot(&slot)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found.map(|(writes, next_index, revision)| (writes, Mark { next_index, revision })))
}

fn read_slot(slot: &[u8; SLOT_BYTES]) -> Option<(u64, u64, Revision)> {
    let number = |at: usize| slot[at..at + 8].try_into().ok().map(u64::from_be_bytes);
    let sum = u32::from_be_bytes(slot[SUM_AT..].try_into().ok()?);
    if &slot[..8] != MAGIC || crc32c::crc32c(&slot[..SUM_AT]) != sum {
        return None;
    }
    Some((number(8)?, number(16)?, Revision(number(24)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(next_index: u64) -> Mark {
        Mark { next_index, revision: Revision(next_index * 10) }
    }

    #[test]
    fn the_newest_write_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        assert_eq!(HeadFile::read(&path).unwrap(), Mark::default());
        let mut file = HeadFile::open(&path).unwrap();
        for index in 1..=5 {
            file.write(mark(index)).unwrap();
            assert_eq!(HeadFile::read(&path).unwrap(), mark(index));
        }
        drop(file);
        let mut file = HeadFile::open(&path).unwrap();
        assert_eq!(file.mark(), mark(5));
        file.lower(mark(2)).unwrap();
        assert_eq!(HeadFile::read(&path).unwrap(), mark(2));
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        let mut file = HeadFile::open(&path).unwrap();
        file.write(mark(1)).unwrap();
        file.write(mark(2)).unwrap();
        // The second mark stands in the first slot again.
        let newest_slot = 0;
        file.file.write_all_at(&[0xff; 20], newest_slot + 10).unwrap();
        assert_eq!(HeadFile::read(&path).unwrap(), mark(1));
        file.file.write_all_at(&[0xff; 128], 0).unwrap();
        assert_eq!(HeadFile::read(&path).unwrap(), Mark::default());
    }
}
