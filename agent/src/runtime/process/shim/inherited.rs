//! The open files that reach a shim by accident.
//!
//! What this program opens itself is closed at an exec, but not what its own parent left open. In
//! `exec 9>lock; flock -n 9; skep daemon` the lock's file is open in the daemon and in every
//! process below it: a task could write to it, and would keep the lock after the daemon's end. A
//! shim therefore closes all but its three standard files before it does anything else. It does so
//! itself, since the daemon has many threads, whose files it must not touch.

use nix::unistd;
use std::{fs, io};

/// Highest of the standard files: input, output and errors.
const LAST_STANDARD_FILE: i32 = 2;

/// Closes every open file of this process but the standard ones. Called while nothing in this
/// process owns any other.
pub(super) fn close_all() -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for file in open.into_iter().filter(|file| *file > LAST_STANDARD_FILE) {
        // The list's own is among them, and is closed already.
        let _ = unistd::close(file);
    }
    Ok(())
}
