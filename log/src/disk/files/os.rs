//! The log's folder on the machine's file system.

use super::{Files, SlotFile, Store, StoreError};
use crate::disk::store::rocks::Rocks;
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// A folder on disk.
#[derive(Clone, Debug)]
pub(crate) struct OsFiles {
    root: PathBuf,
}

impl OsFiles {
    pub(crate) fn new(root: &Path) -> OsFiles {
        OsFiles { root: root.to_path_buf() }
    }
}

impl Files for OsFiles {
    fn open_store(&self, name: &str) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(Rocks::open(&self.path(name))?))
    }

    fn read_store(&self, name: &str) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(Rocks::open_read_only(&self.path(name))?))
    }

    fn open_locked(&self, name: &str) -> io::Result<Box<dyn SlotFile>> {
        let path = self.path(name);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| io::Error::from(error))?;
        Ok(Box::new(LockedFile { file }))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(name))
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = File::create(self.path(name))?;
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            Some(_) | None => File::open(".")?.sync_all(),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let found = match fs::read_dir(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        found.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path(name).try_exists()
    }

    fn sync_names(&self, folder: &str) -> io::Result<()> {
        File::open(self.path(folder))?.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }
}

#[derive(Debug)]
struct LockedFile {
    file: Flock<File>,
}

impl SlotFile for LockedFile {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file: &File = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
