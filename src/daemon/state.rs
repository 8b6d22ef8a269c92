//! The state folder: ours alone, and held by one process at a time.

use super::advice::Advice;
use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A state folder that this process holds until it is dropped.
pub(super) struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes the folder if need be, closes it to others, and takes its lock.
    pub(super) fn hold(path: &Path) -> Result<StateDir> {
        fs::create_dir_all(path).with_context(|| format!("state folder {}", path.display()))?;
        let path =
            fs::canonicalize(path).with_context(|| format!("state folder {}", path.display()))?;
        let owner =
            fs::metadata(&path).with_context(|| format!("state folder {}", path.display()))?.uid();
        let us = nix::unistd::geteuid().as_raw();
        if owner != us {
            let message = format!(
                "state folder {} belongs to uid {owner}, this process runs as uid {us}",
                path.display()
            );
            return Err(Advice::new(
                message,
                format!("start it as uid {owner}, or choose another --state-dir"),
            )
            .into());
        }
        fs::set_permissions(&path, Permissions::from_mode(0o700))
            .with_context(|| format!("state folder {}", path.display()))?;
        let lock = lock(&path.join("lock"))?;
        Ok(StateDir { path, _lock: lock })
    }

    /// Where it is, without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The lock says who holds it, for the one who comes second.
fn lock(path: &Path) -> Result<Flock<File>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .with_context(|| path.display().to_string())?;
    let mut holder = String::new();
    file.read_to_string(&mut holder).with_context(|| path.display().to_string())?;
    let Ok(mut held) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
        let holder = holder.trim();
        let folder = path.parent().unwrap_or(path).display();
        let message = format!("state folder {folder} is in use by process {holder}");
        return Err(
            Advice::new(message, "stop that one first, or choose another --state-dir").into()
        );
    };
    held.rewind()?;
    held.set_len(0)?;
    writeln!(held, "{}", std::process::id())?;
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_at_a_time_and_closed_to_others() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("state");
        let held = StateDir::hold(&path).expect("the first holds it");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o700);
        let Err(second) = StateDir::hold(&path) else { panic!("two hold one folder") };
        assert!(
            second.to_string().contains(&format!("in use by process {}", std::process::id())),
            "{second}"
        );
        drop(held);
        StateDir::hold(&path).expect("free again");
    }
}
