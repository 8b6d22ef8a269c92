//! What the log needs of a file system: its own folder, with databases and small files in it.
//!
//! Names are relative to the log's folder. A file's bytes are durable after its sync; that a name
//! was made, given or taken away is durable after [`Files::sync_names`] of the folder it stands in.
//! Two implementations: the machine's file system, and a model that loses whatever was not synced.

use super::store::{Store, StoreError};
use std::{fmt::Debug, io, path::PathBuf};

#[cfg(any(test, feature = "model"))]
pub(crate) mod model;
pub(crate) mod os;
pub(crate) mod sealed;
#[cfg(any(test, feature = "model"))]
pub(crate) mod tables;

/// The log's folder.
pub(crate) trait Files: Send + Sync + 'static {
    /// Opens a database for work, and creates it if it is not there.
    fn open_store(&self, name: &str) -> Result<Box<dyn Store>, StoreError>;

    /// Opens a database for reading alone, without changing a byte.
    fn read_store(&self, name: &str) -> Result<Box<dyn Store>, StoreError>;

    /// Opens a small file for writing in place, and creates it if it is not there. It stays locked
    /// as long as the handle lives: a second opening is refused as [`io::ErrorKind::WouldBlock`].
    fn open_locked(&self, name: &str) -> io::Result<Box<dyn SlotFile>>;

    /// All bytes of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes a new file of these parts, or replaces an old one, and makes its bytes durable.
    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()>;

    /// Gives a file or a database another name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, or a folder with all that is in it. One that is not there is no error.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes a folder, and the log's own folder first. One that is there is no error.
    fn make_folder(&self, name: &str) -> io::Result<()>;

    /// The names in a folder; none where there is no such folder.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Whether there is a file or a folder of this name.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Makes durable which names there are in a folder.
    fn sync_names(&self, folder: &str) -> io::Result<()>;

    /// Where a name lies, for people.
    fn path(&self, name: &str) -> PathBuf;
}

/// A small file that is written in place.
pub(crate) trait SlotFile: Send + Debug {
    /// All its bytes.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// Writes from a byte on; not durable before the next sync.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
}
