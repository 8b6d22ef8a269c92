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

/// The bits of a mode that let others than the owner in.
const OTHERS: u32 = 0o077;

/// What a new file system holds: a disk of its own for the state is an empty folder.
const FILE_SYSTEMS_OWN: &str = "lost+found";

/// The folder of a manager's history in its state folder.
const MANAGERS_LOG: &str = "log";

/// A state folder that this process holds until it is dropped.
pub(super) struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes the folder if need be, closes it to others, and takes its lock.
    pub(super) fn hold(path: &Path) -> Result<StateDir> {
        refuse_file(path)?;
        fs::create_dir_all(path).with_context(|| format!("state folder {}", path.display()))?;
        StateDir::hold_existing(path)
    }

    /// Takes the lock of a folder in which a manager has run. Any other is left as it is.
    pub(super) fn hold_of_manager(path: &Path) -> Result<StateDir> {
        refuse_file(path)?;
        let message = match (path.is_dir(), path.join(MANAGERS_LOG).is_dir()) {
            (true, true) => return StateDir::hold_existing(path),
            (true, false) => format!("state folder {} holds no history", path.display()),
            (false, _) => format!("there is no state folder {}", path.display()),
        };
        Err(Advice::new(message, "name the folder of a stopped manager with --state-dir").into())
    }

    fn hold_existing(path: &Path) -> Result<StateDir> {
        let path =
            fs::canonicalize(path).with_context(|| format!("state folder {}", path.display()))?;
        let found =
            fs::metadata(&path).with_context(|| format!("state folder {}", path.display()))?;
        let owner = found.uid();
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
        if found.mode() & OTHERS != 0 && use_of(&path)? == FolderUse::Foreign {
            let message = format!(
                "state folder {} holds other files, and other users may enter it",
                path.display()
            );
            return Err(Advice::new(message, "choose an empty folder, or a new one").into());
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

/// What stands where a folder was meant: the path itself, or something that it leads through.
pub(crate) fn file_in_place_of(folder: &Path) -> Option<&Path> {
    let mut present = folder.ancestors().filter(|part| fs::metadata(part).is_ok());
    present.next().filter(|found| !found.is_dir())
}

/// Refuses a path at which something else than a folder is.
fn refuse_file(path: &Path) -> Result<()> {
    match file_in_place_of(path) {
        Some(file) => {
            let message =
                format!("state folder {}: {} is not a folder", path.display(), file.display());
            Err(Advice::wrong_input(message, "name a folder, or one to be made").into())
        }
        None => Ok(()),
    }
}

/// What a folder is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FolderUse {
    /// It is empty, or a state folder already.
    State,
    /// It holds something else, and would be closed to those who use that: `/tmp`, say.
    Foreign,
}

fn use_of(folder: &Path) -> Result<FolderUse> {
    let context = || format!("state folder {}", folder.display());
    // Each state folder has the first, and those of managers the second.
    let is_ours = ["lock", "manager-id"].iter().any(|name| {
        fs::symlink_metadata(folder.join(name)).is_ok_and(|found| found.file_type().is_file())
    });
    if is_ours {
        return Ok(FolderUse::State);
    }
    for entry in fs::read_dir(folder).with_context(context)? {
        if entry.with_context(context)?.file_name() != FILE_SYSTEMS_OWN {
            return Ok(FolderUse::Foreign);
        }
    }
    Ok(FolderUse::State)
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
        let folder = path.parent().unwrap_or(path).display();
        // The agent inside a manager's process locks its folder without a number.
        let holder = match holder.trim() {
            "" => "another process".to_owned(),
            number => format!("process {number}"),
        };
        let message = format!("state folder {folder} is in use by {holder}");
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

    #[test]
    fn a_holder_without_a_number_is_told_without_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let held = StateDir::hold(dir.path()).expect("the first holds it");
        fs::write(dir.path().join("lock"), "").expect("it is ours");
        let Err(second) = StateDir::hold(dir.path()) else { panic!("two hold one folder") };
        assert!(second.to_string().ends_with("is in use by another process"), "{second}");
        drop(held);
    }

    #[test]
    fn a_file_is_no_state_folder_and_nothing_is_made_beside_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("notes");
        fs::write(&file, "mine").expect("room for it");
        for path in [file.clone(), file.join("below")] {
            for held in [StateDir::hold(&path), StateDir::hold_of_manager(&path)] {
                let Err(error) = held else { panic!("a file is held as a folder") };
                let told = format!("{} is not a folder", file.display());
                assert!(error.to_string().ends_with(&told), "{error}");
                assert!(Advice::is_wrong_input(&error), "{error}");
            }
        }
        assert_eq!(fs::read(&file).expect("it is still there"), b"mine");
    }

    #[test]
    fn a_folder_without_history_is_not_changed_to_recover_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let missing = dir.path().join("missing");
        let Err(error) = StateDir::hold_of_manager(&missing) else { panic!("nothing is there") };
        assert!(error.to_string().starts_with("there is no state folder"), "{error}");
        assert!(!missing.exists());
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("it is ours");
        let Err(error) = StateDir::hold_of_manager(dir.path()) else { panic!("it is empty") };
        assert!(error.to_string().ends_with("holds no history"), "{error}");
        let found = fs::metadata(dir.path()).expect("it is there");
        assert_eq!(found.mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
        fs::create_dir(dir.path().join(MANAGERS_LOG)).expect("room for it");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).expect("it is ours");
        StateDir::hold_of_manager(dir.path()).expect("a manager has run here");
    }

    #[test]
    fn a_folder_that_others_use_is_not_closed_to_them() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let open = Permissions::from_mode(0o755);
        let path = dir.path().join("shared");
        fs::create_dir(&path).expect("room for it");
        fs::set_permissions(&path, open.clone()).expect("it is ours");
        fs::create_dir(path.join(FILE_SYSTEMS_OWN)).expect("room for it");
        drop(StateDir::hold(&path).expect("an empty folder becomes one of state"));
        fs::set_permissions(&path, open.clone()).expect("it is ours");
        drop(StateDir::hold(&path).expect("a folder of state stays one"));

        fs::remove_file(path.join("lock")).expect("it is there");
        fs::write(path.join("notes"), "mine").expect("room for it");
        fs::set_permissions(&path, open).expect("it is ours");
        let Err(error) = StateDir::hold(&path) else { panic!("it holds other files") };
        assert!(error.to_string().contains("holds other files"), "{error}");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o755);
    }
}
