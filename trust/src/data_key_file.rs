//! The file with the keys of a manager's log.

use crate::{
    DataKeys, FolderError, KeyLock, LockSalt,
    files::{self, damaged},
    folder::opened,
    key_lock::{SealedContent, salt_of},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// In the log's own folder, so that a folder that is moved or copied stays readable.
const DATA_KEYS_FILE: &str = "keys";

/// The file with the keys of the log in a folder.
#[derive(Clone, Debug)]
pub struct DataKeyFile {
    log: PathBuf,
    lock: KeyLock,
}

impl DataKeyFile {
    /// Of the log in this folder. `lock` knows what opens it, where it is sealed.
    pub fn of(log: impl Into<PathBuf>, lock: KeyLock) -> DataKeyFile {
        DataKeyFile { log: log.into(), lock }
    }

    /// The same file with another lock.
    #[must_use]
    pub fn with_lock(&self, lock: KeyLock) -> DataKeyFile {
        DataKeyFile { log: self.log.clone(), lock }
    }

    /// The keys; none where the log's values lie in the clear, as older programs wrote them.
    pub fn read(&self) -> Result<Option<DataKeys>, FolderError> {
        let path = self.log.join(DATA_KEYS_FILE);
        let Some(written) = files::read(&path)? else { return Ok(None) };
        let text = opened(&self.lock, SealedContent::DataKeys, &path, written)?;
        DataKeys::parse(&text).map(Some).map_err(|error| damaged(&path, error))
    }

    /// The keys, which are made and written where there are none.
    pub fn read_or_make(&self) -> Result<DataKeys, FolderError> {
        if let Some(keys) = self.read()? {
            return Ok(keys);
        }
        let keys = DataKeys::generate()?;
        make_folder(&self.log)?;
        self.write(&keys)?;
        Ok(keys)
    }

    /// Removes what a crash left of keys that were being written.
    pub fn remove_leftover(&self) -> Result<(), FolderError> {
        files::remove_leftover(&self.log, DATA_KEYS_FILE)
    }

    /// What the keys are sealed with; none where they lie in the clear, or are not there.
    pub fn sealed_with(&self) -> Result<Option<LockSalt>, FolderError> {
        Ok(files::read(&self.log.join(DATA_KEYS_FILE))?.and_then(|text| salt_of(&text)))
    }

    /// Writes the keys, sealed as the lock says now. They are on the disk when this returns.
    pub fn write(&self, keys: &DataKeys) -> Result<(), FolderError> {
        let text = self.lock.close(SealedContent::DataKeys, &keys.to_text())?;
        files::replace(&self.log, DATA_KEYS_FILE, &text)
    }
}

/// A folder that is new is known to the one above it before anything in it counts.
fn make_folder(folder: &Path) -> Result<(), FolderError> {
    let made = fs::create_dir_all(folder);
    let synced = made.and_then(|()| match folder.parent() {
        Some(above) => fs::File::open(above).and_then(|above| above.sync_all()),
        None => Err(io::Error::from(io::ErrorKind::NotFound)),
    });
    synced.map_err(|source| FolderError::Io { path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CertificateAuthority;
    use skep_proto::Timestamp;

    #[test]
    fn the_keys_are_made_once_and_read_with_the_key_that_they_were_sealed_with() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let lock = KeyLock::default();
        let file = DataKeyFile::of(&log, lock.clone());
        assert!(matches!(file.read(), Ok(None)));
        let keys = file.read_or_make().unwrap();
        assert_eq!(file.read_or_make().unwrap(), keys);
        let authority = CertificateAuthority::found(Timestamp(1 << 60)).unwrap();
        let salt = LockSalt([3; 16]);
        lock.seal_with(Some(salt), &authority);
        let keys = keys.with_another().unwrap();
        file.write(&keys).unwrap();
        assert_eq!(file.read().unwrap().as_ref(), Some(&keys));
        let other = DataKeyFile::of(&log, KeyLock::default());
        assert!(matches!(other.read(), Err(FolderError::Locked { salt: LockSalt([3, ..]), .. })));
        fs::write(log.join(DATA_KEYS_FILE), "nothing").unwrap();
        assert!(matches!(other.read(), Err(FolderError::Damaged { .. })));
    }
}
