//! Which process holds a lock, asked without taking it: a reader that took it for a moment could
//! keep a daemon from starting.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// The process that holds the lock of a state folder; none where nobody does, or the system does
/// not tell.
pub(crate) fn holder_of(folder: &Path) -> Option<u32> {
    let lock = fs::metadata(folder.join("lock")).ok()?;
    let device = (nix::sys::stat::major(lock.dev()), nix::sys::stat::minor(lock.dev()));
    holder_in(&fs::read_to_string("/proc/locks").ok()?, device, lock.ino())
}

/// The holder of a file in the kernel's list, whose lines are like
/// `3: FLOCK  ADVISORY  WRITE 1887 fe:00:265 0 EOF`.
fn holder_in(locks: &str, (major, minor): (u64, u64), inode: u64) -> Option<u32> {
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, "WRITE", pid, locked, ..] if locked == file => pid.parse().ok(),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{Flock, FlockArg};

    #[test]
    fn the_holder_of_a_file_stands_in_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:00:265 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 8 fe:00:266 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 10 fe:00:265 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 9 fe:00:265 0 EOF\n";
        assert_eq!(holder_in(locks, (0xfe, 0), 265), Some(9));
        assert_eq!(holder_in(locks, (0xfe, 1), 265), None);
        assert_eq!(holder_in(locks, (0xfe, 0), 267), None);
        assert_eq!(holder_in("", (0xfe, 0), 265), None);
    }

    #[test]
    fn a_folder_is_held_while_its_lock_is() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(holder_of(dir.path()), None);
        let file = fs::File::create(dir.path().join("lock")).expect("room for it");
        assert_eq!(holder_of(dir.path()), None);
        let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).expect("nobody has it");
        assert_eq!(holder_of(dir.path()), Some(std::process::id()));
        drop(held);
        assert_eq!(holder_of(dir.path()), None);
    }
}
