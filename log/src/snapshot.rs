//! Snapshots of the view, as files: written beside their place, synced, renamed, and only then named in `meta`.
//!
//! A file: 16 bytes of magic · length of the head, u32 · the head, a protobuf message · the view as zstd. A file
//! that is not named is rubbish from a crash. All are kept as long as the history they start.

use crate::{keys::meta, store::StoreError};
use prost::Message;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 16] = b"skep snapshot 1\n";
/// Views shrink to a fifth at this level; higher ones cost more than they save.
const ZSTD_LEVEL: i32 = 1;
/// A file that claims to hold more than this is damage.
const VIEW_BYTES_MAX: u64 = 16 << 30;

/// The folder of snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    dir: PathBuf,
}

impl Snapshots {
    pub(crate) fn new(dir: &Path) -> Snapshots {
        Snapshots { dir: dir.join("snapshots") }
    }

    pub(crate) fn path(&self, snapshot: &meta::Snapshot) -> PathBuf {
        self.dir.join(&snapshot.file)
    }

    /// Writes a view's file, durably, and fills in what is only known then.
    pub(crate) fn write(&self, mut snapshot: meta::Snapshot, view: &[u8]) -> io::Result<meta::Snapshot> {
        if !self.dir.exists() {
            fs::create_dir_all(&self.dir)?;
            sync_parent(&self.dir)?;
        }
        let body = zstd::bulk::compress(view, ZSTD_LEVEL)?;
        let place = snapshot.applied.map_or(0, |place| place.index);
        snapshot.file = format!("{:020}-{:020}.snapshot", snapshot.revision, place);
        snapshot.view_bytes = view.len() as u64;
        snapshot.stored_bytes = body.len() as u64;
        snapshot.checksum = crc32c::crc32c(&body);
        let head = snapshot.encode_to_vec();
        let path = self.path(&snapshot);
        let unfinished = path.with_extension("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(MAGIC)?;
        file.write_all(&(head.len() as u32).to_be_bytes())?;
        file.write_all(&head)?;
        file.write_all(&body)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        sync_parent(&path)?;
        Ok(snapshot)
    }

    /// Reads a view back.
    pub(crate) fn read(&self, snapshot: &meta::Snapshot) -> Result<Vec<u8>, StoreError> {
        read(&self.path(snapshot), snapshot)
    }

    /// Deletes files that are in nobody's list: leftovers of a crash.
    pub(crate) fn sweep(&self, named: &[meta::Snapshot]) -> io::Result<()> {
        let files = match fs::read_dir(&self.dir) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for file in files {
            let file = file?;
            if !named.iter().any(|snapshot| *snapshot.file == *file.file_name()) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }
}

/// Makes a new file's or folder's name durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

/// Reads a view from wherever its file lies, and checks it against its name.
pub(crate) fn read(path: &Path, snapshot: &meta::Snapshot) -> Result<Vec<u8>, StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("the snapshot {} {what}", path.display()));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|error| damaged(&format!("can't be read: {error}")))?;
    let body = body(&bytes).ok_or_else(|| damaged("has no readable head"))?;
    if body.len() as u64 != snapshot.stored_bytes || crc32c::crc32c(body) != snapshot.checksum {
        return Err(damaged("does not match its checksum"));
    }
    if snapshot.view_bytes > VIEW_BYTES_MAX {
        return Err(damaged("claims an impossible size"));
    }
    zstd::bulk::decompress(body, snapshot.view_bytes as usize).map_err(|_| damaged("does not decompress"))
}

fn body(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (len, rest) = rest.split_at_checked(4)?;
    let len = u32::from_be_bytes(len.try_into().ok()?) as usize;
    Some(rest.split_at_checked(len)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_comes_back_as_it_was_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(dir.path());
        let view: Vec<u8> = (0..100_000u32).flat_map(|i| (i % 991).to_be_bytes()).collect();
        let head = meta::Snapshot { incarnation: 1, revision: 42, ..Default::default() };
        let named = snapshots.write(head, &view).unwrap();
        assert_eq!(snapshots.read(&named).unwrap(), view);
        assert!(named.stored_bytes < named.view_bytes / 2);
        let path = snapshots.path(&named);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = snapshots.read(&named).unwrap_err().to_string();
        assert!(error.contains("checksum") && error.contains(".snapshot"), "{error}");
        fs::write(&path, b"short").unwrap();
        assert!(snapshots.read(&named).is_err());
    }

    #[test]
    fn leftovers_are_swept_and_named_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(dir.path());
        snapshots.sweep(&[]).unwrap();
        let one = snapshots.write(meta::Snapshot { revision: 1, ..Default::default() }, b"one").unwrap();
        let two = snapshots.write(meta::Snapshot { revision: 2, ..Default::default() }, b"two").unwrap();
        snapshots.sweep(std::slice::from_ref(&two)).unwrap();
        assert!(snapshots.read(&one).is_err());
        assert_eq!(snapshots.read(&two).unwrap(), b"two");
    }
}
