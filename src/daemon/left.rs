//! What becomes of the state of a machine that leaves its cluster: it is moved into a folder beside
//! what comes next, and stays readable there.
//!
//! A file says what is being moved and where to, so that a daemon that dies meanwhile goes on with
//! it at its next start. A machine never wakes up with half of a cluster's state.

use super::{durable, state::StateDir};
use anyhow::{Context, Result};
use skep_gateway::admit::Refusal;
use skep_proto::Timestamp;
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Holds the name of the folder that the state is being moved into.
const LEAVING_FILE: &str = "leaving";
/// What the names of such folders begin with.
const LEFT: &str = "left-";
/// What stays: the lock of the folder, the file above, and what a file system has of its own.
const STAYING: [&str; 4] = ["lock", LEAVING_FILE, "leaving.new", "lost+found"];

/// Moves the state aside; `now` names the folder, whose path is returned.
pub(super) fn move_aside(state: &StateDir, now: Timestamp) -> Result<PathBuf> {
    let name = free_name(state.path(), now);
    let marker = state.path().join(LEAVING_FILE);
    durable::replace(&marker, &name).with_context(|| marker.display().to_string())?;
    move_into(state.path(), &name)
}

/// Refuses to leave where the state can't be moved aside: what is a file system of its own stays
/// where it is mounted.
pub(super) fn check(state: &StateDir) -> Result<(), Refusal> {
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let own = device(state.path());
    let entries = fs::read_dir(state.path()).into_iter().flatten().flatten();
    let moved = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default();
        !is_left(name) && !STAYING.iter().any(|staying| name == *staying)
    });
    match moved.into_iter().find(|path| device(path) != own) {
        None => Ok(()),
        Some(mounted) => {
            let message = format!(
                "{} is a file system of its own, and can't be moved aside",
                mounted.display()
            );
            let hint = "stop the daemon, move what the state folder holds away by hand, and start it with --no-cluster";
            Err(Refusal::precondition(message).hint(hint))
        }
    }
}

/// Goes on with what a daemon that died meanwhile has begun.
pub(super) fn finish(state: &StateDir) -> Result<()> {
    let marker = state.path().join(LEAVING_FILE);
    let name = match fs::read_to_string(&marker) {
        Ok(name) => name,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| marker.display().to_string()),
    };
    anyhow::ensure!(
        is_left(OsStr::new(name.trim())) && !name.contains('/'),
        "{} does not hold the name of a folder {LEFT}TIME",
        marker.display()
    );
    let folder = move_into(state.path(), name.trim())?;
    tracing::info!(folder = %folder.display(), "this machine had begun to leave its cluster, and has left it now");
    Ok(())
}

/// Whether the machine has left a cluster: such a one does not found another by itself.
pub(super) fn has_left(state: &StateDir) -> bool {
    let entries = fs::read_dir(state.path()).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| is_left(&entry.file_name()))
}

fn move_into(state: &Path, name: &str) -> Result<PathBuf> {
    let folder = state.join(name);
    let failed = || format!("moving the state of the cluster into {}", folder.display());
    let moved = || -> io::Result<()> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(state)? {
            let entry = entry?.file_name();
            if !is_left(&entry) && !STAYING.iter().any(|staying| entry == *staying) {
                fs::rename(state.join(&entry), folder.join(&entry))?;
            }
        }
        fs::File::open(&folder)?.sync_all()?;
        durable::sync_folder_of(&folder)?;
        fs::remove_file(state.join(LEAVING_FILE))?;
        durable::sync_folder_of(&folder)
    };
    moved().with_context(failed)?;
    Ok(folder)
}

fn is_left(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(LEFT))
}

/// `left-` and the time, which no folder has yet.
fn free_name(state: &Path, now: Timestamp) -> String {
    let digits = |c: &char| c.is_ascii_alphanumeric();
    let second = Timestamp(now.0 - now.0 % 1_000_000_000).to_string();
    let time: String = second.chars().filter(digits).collect();
    let numbered = |number: u32| match number {
        0 => format!("{LEFT}{time}"),
        number => format!("{LEFT}{time}-{number}"),
    };
    (0..u32::MAX)
        .map(numbered)
        .find(|name| !state.join(name).exists())
        .unwrap_or_else(|| numbered(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28T02:10:00Z.
    const NOW: Timestamp = Timestamp(1_795_831_800_000_000_000);

    fn state_with(files: &[&str]) -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::hold(&dir.path().join("state")).expect("it is held");
        for file in files {
            let path = state.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("room for it");
            fs::write(path, file).expect("room for it");
        }
        (dir, state)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_state_is_moved_aside_and_the_folder_stays_held() {
        let (_dir, state) = state_with(&["manager-id", "log/store/1", "agent/journal"]);
        assert!(!has_left(&state));
        let folder = move_aside(&state, NOW).expect("it is moved");
        assert_eq!(folder.file_name().expect("a name"), "left-20261128T021000Z");
        assert_eq!(names(state.path()), ["left-20261128T021000Z", "lock"]);
        assert_eq!(names(&folder), ["agent", "log", "manager-id"]);
        assert!(has_left(&state));
        fs::write(state.path().join("joined"), "m1:2377").expect("room for it");
        let second = move_aside(&state, NOW).expect("it is moved");
        assert_eq!(second.file_name().expect("a name"), "left-20261128T021000Z-1");
        assert_eq!(names(&folder), ["agent", "log", "manager-id"], "what lies there stays");
    }

    #[test]
    fn a_daemon_that_died_meanwhile_goes_on_with_it() {
        let name = "left-20261128T021000Z";
        for moved in [&[][..], &["agent"], &["agent", "log"], &["agent", "log", "manager-id"]] {
            let (_dir, state) = state_with(&["manager-id", "log/1", "agent/journal"]);
            fs::write(state.path().join(LEAVING_FILE), name).expect("room for it");
            let folder = state.path().join(name);
            for entry in moved {
                fs::create_dir_all(&folder).expect("room for it");
                fs::rename(state.path().join(entry), folder.join(entry)).expect("it is moved");
            }
            finish(&state).expect("it goes on");
            assert_eq!(names(state.path()), [name, "lock"]);
            assert_eq!(names(&folder), ["agent", "log", "manager-id"]);
            finish(&state).expect("nothing is to be done");
        }
    }

    #[test]
    fn what_is_mounted_below_the_state_folder_keeps_the_machine_from_leaving() {
        let (_dir, state) = state_with(&["manager-id", "log/1"]);
        check(&state).expect("all of it can be moved");
        // A link to another file system is as far away as a mount.
        std::os::unix::fs::symlink("/proc/self", state.path().join("tasks")).expect("room for it");
        let refusal = check(&state).expect_err("it can't be moved");
        assert!(
            refusal
                .message
                .ends_with("tasks is a file system of its own, and can't be moved aside")
        );
    }

    #[test]
    fn a_file_that_names_no_such_folder_is_told_and_nothing_is_moved() {
        for text in ["", "../elsewhere", "left-/../x", "agent"] {
            let (_dir, state) = state_with(&["manager-id"]);
            fs::write(state.path().join(LEAVING_FILE), text).expect("room for it");
            let error = finish(&state).expect_err("it names none").to_string();
            assert!(error.contains("does not hold the name"), "{error}");
            assert_eq!(names(state.path()), ["leaving", "lock", "manager-id"]);
        }
    }
}
