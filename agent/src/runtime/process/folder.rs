//! A task's folder: `tasks/TASK` below the agent's state folder, and what may stand in it.
//!
//! ```text
//!   plan.json     written last by `prepare`: where it is, the task is prepared
//!   control       FIFO; the shim reads orders from it; a writer that finds no reader finds no shim
//!   alive         FIFO; the shim holds its writing end: end of file is the shim's death, whoever caused it
//!   running.json  written by the shim when the program runs
//!   ended.json    written by the shim (or by the agent that finds a dead shim) when nothing of the task runs any more
//!   log, log.1    output; see the log's own room
//! ```
//! No process number is ever trusted alone, and nothing is polled: FIFOs say who lives, inotify says what
//! changed. Every note is written aside and renamed. The end's draft gets its disk blocks beforehand, so that
//! a full disk does not make a task immortal.

use super::notes::{Ending, Plan, Running};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Room that the end's note has on disk from the beginning; its words are cut to fit.
const ENDING_BYTES_MAX: usize = 4096;
/// Longest error text in an end's note: what does not fit is cut.
pub(crate) const ERROR_CHARS_MAX: usize = 512;

/// One task's folder; it need not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Folder {
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    pub(crate) fn alive(&self) -> PathBuf {
        self.0.join("alive")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(crate) fn log_aside(&self) -> PathBuf {
        self.0.join("log.1")
    }

    /// Whether the task was prepared here and not removed since.
    pub(crate) fn is_prepared(&self) -> bool {
        self.0.join("plan.json").exists()
    }

    pub(crate) fn plan(&self) -> io::Result<Option<Plan>> {
        read(&self.0.join("plan.json"))
    }

    pub(crate) fn running(&self) -> io::Result<Option<Running>> {
        read(&self.0.join("running.json"))
    }

    pub(crate) fn ended(&self) -> io::Result<Option<Ending>> {
        read(&self.0.join("ended.json"))
    }

    /// Makes the folder with everything that a start needs. What is there already is kept: a prepare that was
    /// cut short is taken up.
    pub(crate) fn make(&self, plan: &Plan) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        for fifo in [self.control(), self.alive()] {
            match nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)) {
                Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        fs::write(self.0.join("ended.draft"), vec![b' '; ENDING_BYTES_MAX])?;
        self.write("plan.json", plan)
    }

    pub(crate) fn write_running(&self, running: &Running) -> io::Result<()> {
        self.write("running.json", running)
    }

    /// The note of the end, opened early: writing and renaming then needs neither a file number nor disk
    /// space.
    pub(crate) fn draft_ending(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.0.join("ended.draft"))
    }

    /// Writes the end over its draft. The first one stands: an end never changes.
    pub(crate) fn write_ended(&self, draft: &mut File, ending: &Ending) -> io::Result<()> {
        let ended = self.0.join("ended.json");
        if ended.exists() {
            return Ok(());
        }
        let mut text = serde_json::to_vec(ending).map_err(io::Error::other)?;
        text.resize(text.len().max(ENDING_BYTES_MAX - 1), b' ');
        text.push(b'\n');
        draft.rewind()?;
        draft.write_all(&text)?;
        fs::rename(self.0.join("ended.draft"), ended)
    }

    fn write(&self, name: &str, note: &impl Serialize) -> io::Result<()> {
        let draft = self.0.join(format!("{name}.draft"));
        let mut text = serde_json::to_vec(note).map_err(io::Error::other)?;
        text.push(b'\n');
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&text)?;
        drop(file);
        fs::rename(draft, self.0.join(name))
    }

    /// Takes everything away.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let mut text = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut text)) {
        Ok(_) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| io::Error::other(format!("{} cannot be read: {error}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_stands() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("t"));
        folder.make(&Plan::default()).unwrap();
        let mut draft = folder.draft_ending().unwrap();
        folder.write_ended(&mut draft, &Ending { exit_code: Some(3), ..Ending::default() }).unwrap();
        assert_eq!(folder.ended().unwrap().unwrap().exit_code, Some(3));
        folder.make(&Plan::default()).unwrap();
        let mut late = folder.draft_ending().unwrap();
        folder.write_ended(&mut late, &Ending { exit_code: Some(4), ..Ending::default() }).unwrap();
        assert_eq!(folder.ended().unwrap().unwrap().exit_code, Some(3));
    }
}
