//! A folder whose contents are sealed on their way to the disk: the entries in its databases, and
//! its snapshots.
//!
//! This is the one place where values are sealed and opened; above it nobody knows of it. What
//! older programs wrote in the clear is read as it is.

use super::{Files, SlotFile, Store, StoreError};
use crate::disk::{names, store::sealed::SealedStore};
use skep_trust::{ValueCipher, ValueError};
use std::{io, path::PathBuf, sync::Arc};

/// Begins like every snapshot, so that a program which does not know it keeps the file.
const SEALED_MAGIC: &[u8] = b"skep snapshot sealed 1\n";
/// What a snapshot is bound to. Its place is not part of it: a recovery moves it.
const SNAPSHOT_CONTEXT: &[u8] = b"skep snapshot";

/// A folder behind a cipher. Without one it is written in the clear, and what is sealed can't be
/// read.
pub(crate) struct SealedFiles {
    inner: Arc<dyn Files>,
    cipher: Option<Arc<ValueCipher>>,
}

impl SealedFiles {
    /// The same folder behind this cipher.
    pub(crate) fn over(inner: Arc<dyn Files>, cipher: Option<Arc<ValueCipher>>) -> Arc<dyn Files> {
        Arc::new(SealedFiles { inner, cipher })
    }

    fn store(&self, inner: Box<dyn Store>) -> Box<dyn Store> {
        Box::new(SealedStore { inner, cipher: self.cipher.clone() })
    }
}

fn is_snapshot(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(folder, _)| folder == names::SNAPSHOTS || folder == names::LOST_SNAPSHOTS)
}

/// What was altered will never be readable; whose key is missing may be.
fn unreadable(error: ValueError) -> io::Error {
    let kind = match error {
        ValueError::Malformed | ValueError::Altered => io::ErrorKind::InvalidData,
        ValueError::UnknownKey(_) => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Files for SealedFiles {
    fn open_store(&self, name: &str) -> Result<Box<dyn Store>, StoreError> {
        Ok(self.store(self.inner.open_store(name)?))
    }

    fn read_store(&self, name: &str) -> Result<Box<dyn Store>, StoreError> {
        Ok(self.store(self.inner.read_store(name)?))
    }

    fn open_locked(&self, name: &str) -> io::Result<Box<dyn SlotFile>> {
        self.inner.open_locked(name)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let bytes = self.inner.read(name)?;
        let sealed = bytes.strip_prefix(SEALED_MAGIC).filter(|_| is_snapshot(name));
        match (sealed, &self.cipher) {
            (Some(sealed), Some(cipher)) => {
                cipher.open(SNAPSHOT_CONTEXT, sealed).map_err(unreadable)
            }
            (Some(_), None) => Err(io::Error::other("it is sealed, and there are no keys")),
            (None, _) => Ok(bytes),
        }
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let Some(cipher) = self.cipher.as_ref().filter(|_| is_snapshot(name)) else {
            return self.inner.write(name, parts);
        };
        let sealed = cipher.seal(SNAPSHOT_CONTEXT, parts).map_err(unreadable)?;
        self.inner.write(name, &[SEALED_MAGIC, &sealed])
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        self.inner.make_folder(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.inner.exists(name)
    }

    fn sync_names(&self, folder: &str) -> io::Result<()> {
        self.inner.sync_names(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}
