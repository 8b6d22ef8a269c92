//! Small files of keys and certificates: written whole, synced and renamed to their names, and
//! readable by their owner alone.

use crate::folder_error::FolderError;
use std::{
    error::Error as StdError,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};
use zeroize::Zeroizing;

/// Largest file of a certificate or key that is read; a larger one is reported as damaged.
const CERTIFICATE_FILE_BYTES_MAX: u64 = 64 << 10;

/// Makes the folder, for its owner alone, and puts a file with this content in the place of the one
/// of this name.
pub(crate) fn write(folder: &Path, name: &str, content: &str) -> Result<(), FolderError> {
    let in_folder = |source| FolderError::Io { path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(in_folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(in_folder)?;
    replace(folder, name, content)
}

/// Puts a file with this content in the place of the one of this name.
pub(crate) fn replace(folder: &Path, name: &str, content: &str) -> Result<(), FolderError> {
    let in_folder = |source| FolderError::Io { path: folder.to_owned(), source };
    let (path, fresh) = (folder.join(name), folder.join(format!("{name}.new")));
    if content.len() as u64 > CERTIFICATE_FILE_BYTES_MAX {
        // It could not be read again.
        let source = io::Error::from(io::ErrorKind::FileTooLarge);
        return Err(FolderError::Io { path, source });
    }
    write_new(&fresh, content)
        .and_then(|()| fs::rename(&fresh, &path))
        .map_err(|source| FolderError::Io { path, source })?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(in_folder)
}

/// Removes what a crash left of a file that was being written.
pub(crate) fn remove_leftover(folder: &Path, name: &str) -> Result<(), FolderError> {
    let path = folder.join(format!("{name}.new"));
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FolderError::Io { path, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a file that only its owner may read. What a crash left under this name is removed first,
/// since it would keep its permissions.
fn write_new(path: &Path, content: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| {
        // On a full disk half a file would take the room that somebody makes.
        let _ = fs::remove_file(path);
    })
}

/// The text of a file; none where there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, FolderError> {
    let io = |source| FolderError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(source)),
    };
    let mut content = Zeroizing::new(Vec::new());
    file.take(CERTIFICATE_FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(io)?;
    if content.len() as u64 > CERTIFICATE_FILE_BYTES_MAX {
        return Err(damaged(path, format!("over {CERTIFICATE_FILE_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(&content).map_err(|error| damaged(path, error))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

pub(crate) fn damaged(
    path: &Path,
    source: impl Into<Box<dyn StdError + Send + Sync>>,
) -> FolderError {
    FolderError::Damaged { path: path.to_owned(), source: source.into() }
}
