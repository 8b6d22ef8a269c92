//! What becomes of the state of a machine that leaves its cluster: it is moved into a folder beside
//! what comes next, and stays readable there.
//!
//! A file says what is being moved and where to, so that a daemon that dies meanwhile goes on with
//! it at its next start. A machine never wakes up with half of a cluster's state.

use super::{advice::Advice, durable, state::StateDir};
use anyhow::{Context, Result};
use skep_gateway::admit::Refusal;
use skep_proto::{Timestamp, os_error};
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt},
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
    durable::replace(&marker, &name).map_err(|error| {
        let message = format!("{}: {}", marker.display(), os_error::message(&error));
        Advice::new(message, "make the state folder writable, with room in it, and start the daemon: it is a member still, and can leave then")
    })?;
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
        is_moved(name) && !is_socket(path)
    });
    // Where it can't be written down what is being moved, nothing is begun.
    let probe = state.path().join("leaving.new");
    let written = fs::write(&probe, "").and_then(|()| fs::remove_file(&probe));
    if let Err(error) = written {
        let message = format!("{}: {}", probe.display(), os_error::message(&error));
        let hint = "the state is moved aside when the machine has left: make the folder writable, with room in it";
        return Err(Refusal::precondition(message).hint(hint));
    }
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
    let name = match fs::read(&marker) {
        Ok(name) => String::from_utf8_lossy(&name).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| marker.display().to_string()),
    };
    if !is_left(OsStr::new(name.trim())) || name.contains('/') {
        let message = format!("{} does not hold the name of a folder {LEFT}TIME", marker.display());
        let hint = "skep did not write that: remove the file, and the daemon goes on with what the state folder holds";
        return Err(Advice::new(message, hint).into());
    }
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
    let failed = |error: io::Error| {
        let (folder, error) = (folder.display(), os_error::message(&error));
        let message = format!("moving the state of the cluster into {folder}: {error}");
        Advice::new(
            message,
            "make the state folder writable, with room in it, and start the daemon: it goes on with it",
        )
    };
    let moved = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        for entry in fs::read_dir(state)? {
            let entry = entry?.file_name();
            if is_moved(&entry) && !is_socket(&state.join(&entry)) {
                fs::rename(state.join(&entry), folder.join(&entry))?;
            }
        }
        fs::File::open(&folder)?.sync_all()?;
        durable::sync_folder_of(&folder)?;
        fs::remove_file(state.join(LEAVING_FILE))?;
        durable::sync_folder_of(&folder)
    };
    moved().map_err(failed)?;
    Ok(folder)
}

/// Whether what has this name is part of a cluster's state.
fn is_moved(name: &OsStr) -> bool {
    !is_left(name) && !STAYING.iter().any(|staying| name == *staying)
}

/// The daemon's own, which goes on answering, or one of somebody else's.
fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
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
        assert_eq!(fs::metadata(&folder).expect("it is there").mode() & 0o777, 0o700);
        assert!(has_left(&state));
        fs::write(state.path().join("joined"), "m1:2377").expect("room for it");
        let second = move_aside(&state, NOW).expect("it is moved");
        assert_eq!(second.file_name().expect("a name"), "left-20261128T021000Z-1");
        assert_eq!(names(&folder), ["agent", "log", "manager-id"], "what lies there stays");
    }

    #[test]
    fn who_can_not_begin_to_leave_is_a_member_still() {
        let (_dir, state) = state_with(&["manager-id"]);
        fs::create_dir(state.path().join(LEAVING_FILE)).expect("room for it");
        let error = move_aside(&state, NOW).expect_err("a folder is in the way");
        let hint = Advice::hint_of(&error).expect("a next step");
        assert!(hint.contains("it is a member still"), "{hint}");
    }

    #[test]
    fn what_can_not_be_moved_aside_is_told_with_the_next_step() {
        let (_dir, state) = state_with(&["log/1", "left-a/log/1"]);
        let error = move_into(state.path(), "left-a").expect_err("its place is taken");
        assert!(error.to_string().starts_with("moving the state of the cluster into"), "{error}");
        let hint = Advice::hint_of(&error).expect("a next step");
        assert!(hint.contains("start the daemon: it goes on with it"), "{hint}");
    }

    #[test]
    fn the_daemons_socket_stays_where_clients_find_it() {
        let (_dir, state) = state_with(&["joined"]);
        let socket = state.path().join("skep.sock");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).expect("room for it");
        check(&state).expect("it can be moved");
        move_aside(&state, NOW).expect("it is moved");
        assert_eq!(names(state.path()), ["left-20261128T021000Z", "lock", "skep.sock"]);
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
        for text in [&b""[..], b"../elsewhere", b"left-/../x", b"agent", b"\xff\xfe"] {
            let (_dir, state) = state_with(&["manager-id"]);
            fs::write(state.path().join(LEAVING_FILE), text).expect("room for it");
            let error = finish(&state).expect_err("it names none");
            assert!(error.to_string().contains("does not hold the name"), "{error}");
            assert!(Advice::hint_of(&error).is_some_and(|hint| hint.contains("remove the file")));
            assert_eq!(names(state.path()), ["leaving", "lock", "manager-id"]);
        }
    }
}
