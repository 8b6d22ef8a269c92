//! Small files that are there whole or not at all, whatever happens while they are written.

use std::{fs, io, path::Path};

/// Writes a file that is on the disk when this returns, in place of one that may be there.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, text)?;
    fs::File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_folder_of(path)
}

/// Has the disk know what was made, renamed or removed at a path.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}
