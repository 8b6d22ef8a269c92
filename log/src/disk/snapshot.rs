//! Snapshots of the view, as files: written under another name, synced, renamed, and only then
//! named in `meta`.
//!
//! A file: 16 bytes of magic · length of the head, u32 · the head, a protobuf message · the view as
//! zstd. A file that is not named is a leftover of a crash. All are kept as long as the history
//! they start.

use super::{
    files::Files,
    keys::{self, meta},
    names,
    store::{Batch, StoreError, StoreTable},
};
use bytes::Bytes;
use prost::Message;
use skep_proto::Revision;
use std::{io, sync::Arc};

const SNAPSHOT_MAGIC: &[u8; 16] = b"skep snapshot 1\n";
/// What all versions of the format begin with.
const SNAPSHOT_MAGIC_OF_ALL: &[u8] = b"skep snapshot ";
/// A file that claims to hold more than this is damage.
const VIEW_BYTES_MAX: u64 = 16 << 30;

/// The folder of snapshots.
#[derive(Clone)]
pub(crate) struct Snapshots {
    files: Arc<dyn Files>,
}

/// Why a snapshot's view can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotReadError {
    /// Its bytes are not what was written, or are gone: it will never be readable.
    #[error("the snapshot {file} {what}")]
    Damaged { file: String, what: &'static str },
    /// A newer program wrote it: that program can read it.
    #[error("the snapshot {file} has a format that this program does not read")]
    Newer { file: String },
    /// The file system refuses now; the file may be whole.
    #[error("the snapshot {file} can't be read now: {source}")]
    Unreadable { file: String, source: io::Error },
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "snapshots in {}", self.files.path(names::SNAPSHOTS).display())
    }
}

impl Snapshots {
    pub(crate) fn new(files: Arc<dyn Files>) -> Snapshots {
        Snapshots { files }
    }

    /// Writes a view's file, durably, and fills in what is only known then.
    pub(crate) fn write(
        &self,
        mut snapshot: meta::Snapshot,
        view: &[u8],
    ) -> io::Result<meta::Snapshot> {
        let body = zstd::bulk::compress(view, keys::ZSTD_LEVEL)?;
        snapshot.view_bytes = view.len() as u64;
        snapshot.stored_bytes = body.len() as u64;
        snapshot.checksum = crc32c::crc32c(&body);
        self.keep(snapshot, &body)
    }

    /// Writes the file of a view that is packed already, durably. Its name is made here, whatever
    /// another manager called it.
    pub(crate) fn keep(
        &self,
        mut snapshot: meta::Snapshot,
        body: &[u8],
    ) -> io::Result<meta::Snapshot> {
        self.files.make_folder(names::SNAPSHOTS)?;
        let index = snapshot.applied.map_or(0, |applied| applied.index);
        snapshot.file = format!("{:020}-{index:020}.snapshot", snapshot.revision);
        let head = snapshot.encode_to_vec();
        let name = name_of(&snapshot);
        let unfinished = format!("{name}.unfinished");
        self.files.write(
            &unfinished,
            &[SNAPSHOT_MAGIC, &(head.len() as u32).to_be_bytes(), &head, body],
        )?;
        self.files.rename(&unfinished, &name)?;
        self.files.sync_names(names::SNAPSHOTS)?;
        Ok(snapshot)
    }

    /// Reads a view back, and checks it against its name.
    pub(crate) fn read(&self, snapshot: &meta::Snapshot) -> Result<Vec<u8>, SnapshotReadError> {
        self.unpack(snapshot, &self.read_body(snapshot)?)
    }

    /// The view as it is stored, as it lies in the file.
    pub(crate) fn read_body(&self, snapshot: &meta::Snapshot) -> Result<Bytes, SnapshotReadError> {
        let file = || self.files.path(&name_of(snapshot)).display().to_string();
        let damaged = |what| SnapshotReadError::Damaged { file: file(), what };
        let bytes = self.files.read(&name_of(snapshot)).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                damaged("is gone")
            } else if source.kind() == io::ErrorKind::InvalidData {
                damaged("is not what was sealed")
            } else {
                SnapshotReadError::Unreadable { file: file(), source }
            }
        })?;
        if !bytes.starts_with(SNAPSHOT_MAGIC) && bytes.starts_with(SNAPSHOT_MAGIC_OF_ALL) {
            return Err(SnapshotReadError::Newer { file: file() });
        }
        let begins = body_at(&bytes).ok_or_else(|| damaged("has no readable head"))?;
        Ok(Bytes::from(bytes).slice(begins..))
    }

    /// The view in these bytes, checked against what is announced of it.
    pub(crate) fn unpack(
        &self,
        snapshot: &meta::Snapshot,
        body: &[u8],
    ) -> Result<Vec<u8>, SnapshotReadError> {
        let file = || self.files.path(&name_of(snapshot)).display().to_string();
        let damaged = |what| SnapshotReadError::Damaged { file: file(), what };
        if body.len() as u64 != snapshot.stored_bytes || crc32c::crc32c(body) != snapshot.checksum {
            return Err(damaged("does not match its checksum"));
        }
        if snapshot.view_bytes > VIEW_BYTES_MAX {
            return Err(damaged("claims an impossible size"));
        }
        zstd::bulk::decompress(body, snapshot.view_bytes as usize)
            .map_err(|_| damaged("does not decompress"))
    }

    /// Takes files away that are in nobody's list. Leftovers of a crash are deleted. Those of
    /// revisions after `end`, where history ends, are from a history that was lost and cut off:
    /// they may be all that is left of it, so they are only put aside.
    pub(crate) fn sweep(&self, named: &[meta::Snapshot], end: Revision) -> io::Result<()> {
        for file in self.files.list(names::SNAPSHOTS)? {
            if named.iter().any(|snapshot| snapshot.file == file) {
                continue;
            }
            let name = format!("{}/{file}", names::SNAPSHOTS);
            if revision_of(&file).is_some_and(|revision| revision > end) {
                self.files.make_folder(names::LOST_SNAPSHOTS)?;
                self.files.rename(&name, &format!("{}/{file}", names::LOST_SNAPSHOTS))?;
            } else {
                self.files.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// The revision in a finished file's name.
fn revision_of(file: &str) -> Option<Revision> {
    let (revision, _) = file.strip_suffix(".snapshot")?.split_once('-')?;
    revision.parse().ok().map(Revision)
}

/// Gives a written snapshot its name: from then on it is found.
pub(crate) fn put_name(batch: &mut Batch, named: &meta::Snapshot) {
    batch.put(
        StoreTable::Meta,
        &keys::snapshot_key(named.position().revision),
        &[&named.encode_to_vec()],
    );
}

impl From<SnapshotReadError> for StoreError {
    fn from(error: SnapshotReadError) -> StoreError {
        match error {
            SnapshotReadError::Damaged { .. } => StoreError::Damaged(error.to_string()),
            SnapshotReadError::Newer { .. } | SnapshotReadError::Unreadable { .. } => {
                StoreError::Failed(error.to_string())
            }
        }
    }
}

fn name_of(snapshot: &meta::Snapshot) -> String {
    format!("{}/{}", names::SNAPSHOTS, snapshot.file)
}

/// Where the view begins, behind magic and head.
fn body_at(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(SNAPSHOT_MAGIC)?;
    let (len, rest) = rest.split_at_checked(4)?;
    let len = u32::from_be_bytes(len.try_into().ok()?) as usize;
    (len <= rest.len()).then_some(SNAPSHOT_MAGIC.len() + 4 + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::files::{model::ModelDisk, os::OsFiles};
    use std::fs;

    #[test]
    fn a_view_comes_back_as_it_was_and_damage_is_told_from_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(Arc::new(OsFiles::new(dir.path())));
        let view: Vec<u8> = (0..100_000u32).flat_map(|i| (i % 991).to_be_bytes()).collect();
        let head = meta::Snapshot { incarnation: 1, revision: 42, ..Default::default() };
        let named = snapshots.write(head, &view).unwrap();
        assert_eq!(snapshots.read(&named).unwrap(), view);
        assert!(named.stored_bytes < named.view_bytes / 2);
        let path = dir.path().join(name_of(&named));
        let bytes = fs::read(&path).unwrap();
        let mut altered = bytes.clone();
        *altered.last_mut().unwrap() ^= 1;
        fs::write(&path, &altered).unwrap();
        let error = snapshots.read(&named).unwrap_err();
        assert!(
            error.to_string().contains("checksum") && error.to_string().contains(".snapshot"),
            "{error}"
        );
        fs::write(&path, b"short").unwrap();
        assert!(matches!(snapshots.read(&named), Err(SnapshotReadError::Damaged { .. })));
        fs::write(&path, b"skep snapshot 2\nwhatever").unwrap();
        assert!(matches!(snapshots.read(&named), Err(SnapshotReadError::Newer { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(snapshots.read(&named), Err(SnapshotReadError::Damaged { .. })));
        // A folder where the file should be: the file system refuses, as it does with EIO or
        // EMFILE.
        fs::create_dir(&path).unwrap();
        assert!(matches!(snapshots.read(&named), Err(SnapshotReadError::Unreadable { .. })));
    }

    #[test]
    fn leftovers_are_swept_and_named_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        for files in
            [Arc::new(OsFiles::new(dir.path())) as Arc<dyn Files>, Arc::new(ModelDisk::default())]
        {
            let snapshots = Snapshots::new(files);
            snapshots.sweep(&[], Revision(9)).unwrap();
            let one = snapshots
                .write(meta::Snapshot { revision: 1, ..Default::default() }, b"one")
                .unwrap();
            let two = snapshots
                .write(meta::Snapshot { revision: 2, ..Default::default() }, b"two")
                .unwrap();
            let lost = snapshots
                .write(meta::Snapshot { revision: 3, ..Default::default() }, b"lost")
                .unwrap();
            snapshots.sweep(std::slice::from_ref(&two), Revision(2)).unwrap();
            assert!(snapshots.read(&one).is_err());
            assert_eq!(snapshots.read(&two).unwrap(), b"two");
            assert!(snapshots.read(&lost).is_err());
            assert_eq!(snapshots.files.list(names::LOST_SNAPSHOTS).unwrap(), [lost.file]);
        }
    }
}
