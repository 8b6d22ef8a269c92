//! The managers of which the cluster has told, for the next start: an agent whose first manager is
//! gone by then still finds the others.
//!
//! One line each, `NODEID HOST:PORT`. The cluster tells it all again with each session, so what
//! cannot be read is left out with a warning, and never keeps an agent from starting.

use super::{JournalError, replace};
use crate::core::candidates::KnownAddress;
use skep_proto::Id;
use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

/// Longest list of managers that is read, bytes: no agent writes so many. A longer one is ignored.
const MANAGERS_FILE_BYTES_MAX: u64 = 32 << 10;

/// The file `managers` of the agent's folder.
#[derive(Clone, Debug)]
pub(crate) struct ManagersFile {
    path: PathBuf,
}

impl ManagersFile {
    /// The file in this folder, which need not be there.
    pub(crate) fn new(folder: &Path) -> ManagersFile {
        ManagersFile { path: folder.join("managers") }
    }

    /// Those that it names, as far as it can be read.
    pub(crate) fn read(&self) -> Vec<KnownAddress> {
        let text = match self.text() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(
                    "{}: {error}; the managers that it names are not known until one of them \
                     tells it again",
                    self.path.display()
                );
                return Vec::new();
            }
        };
        let read: Vec<Option<KnownAddress>> = text.lines().map(manager_of).collect();
        let unread = read.iter().filter(|manager| manager.is_none()).count();
        if unread > 0 {
            tracing::warn!(
                "{}: {unread} lines name no manager and are ignored",
                self.path.display()
            );
        }
        read.into_iter().flatten().collect()
    }

    /// Writes it whole; returns when it is on the disk.
    pub(crate) fn write(&self, managers: &[KnownAddress]) -> Result<(), JournalError> {
        let line = |manager: &KnownAddress| format!("{} {}\n", manager.node, manager.address);
        let text: String = managers.iter().map(line).collect();
        replace(&self.path, text.as_bytes()).map(drop)
    }

    fn text(&self) -> io::Result<String> {
        let file = fs::File::open(&self.path)?;
        let mut text = String::new();
        let read = file.take(MANAGERS_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if read as u64 > MANAGERS_FILE_BYTES_MAX {
            return Err(io::Error::other("it is too long"));
        }
        Ok(text)
    }
}

fn manager_of(line: &str) -> Option<KnownAddress> {
    let (node, address) = line.split_once(' ')?;
    KnownAddress::new(Id::parse(node)?, address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::candidates::{KNOWN_MANAGERS_MAX, MANAGER_ADDRESS_BYTES_MAX};

    fn manager(node: u128, address: &str) -> KnownAddress {
        KnownAddress { node: Id(node), address: address.into() }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = ManagersFile::new(folder.path());
        assert_eq!(file.read(), [], "before anything was told");
        for managers in [vec![manager(1, "m1:2377"), manager(2, "[::1]:2377")], Vec::new()] {
            file.write(&managers).unwrap();
            assert_eq!(file.read(), managers);
        }
    }

    #[test]
    fn the_longest_list_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = ManagersFile::new(folder.path());
        let host = "m".repeat(MANAGER_ADDRESS_BYTES_MAX - 5);
        let all: Vec<_> = (0..KNOWN_MANAGERS_MAX)
            .map(|n| manager(u128::MAX - n as u128, &format!("{host}:{:04}", 1000 + n)))
            .collect();
        file.write(&all).unwrap();
        assert_eq!(file.read(), all);
    }

    #[test]
    fn a_line_that_is_garbage_costs_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = ManagersFile::new(folder.path());
        let good = format!("{} m1:2377", Id(1));
        let lines = ["", "m2:2377", "x m2:2377", &good, &format!("{} m2", Id(2)), "\u{0}"];
        fs::write(&file.path, lines.join("\n")).unwrap();
        assert_eq!(file.read(), [manager(1, "m1:2377")]);
    }

    #[test]
    fn what_cannot_be_read_at_all_is_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = ManagersFile::new(folder.path());
        fs::write(&file.path, [0xff; 100]).unwrap();
        assert_eq!(file.read(), []);
        let good = format!("{} m1:2377\n", Id(1));
        fs::write(&file.path, good.repeat(1_000)).unwrap();
        assert_eq!(file.read(), [], "too long");
        fs::remove_file(&file.path).unwrap();
        fs::create_dir(&file.path).unwrap();
        assert_eq!(file.read(), [], "a folder");
    }
}
