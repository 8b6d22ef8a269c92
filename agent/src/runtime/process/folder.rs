//! A task's folder: `tasks/TASK` below the agent's state folder, and what may stand in it.
//!
//! ```text
//!   program.json  arguments and environment, which may be large; read at the start
//!   plan.json     written last by `prepare`: where it is, the task is prepared
//!   control       FIFO; the shim reads orders from it; a writer that finds no reader finds no shim
//!   alive         FIFO; the shim holds its writing end: end of file means that the shim is dead
//!   running.json  written by the shim when the program runs
//!   ended.json    written by the shim (or by the agent that finds a dead shim) when nothing of the task runs any more
//!   log, log.1    output; see the module `log`
//! ```
//! No process number is ever trusted alone, and nothing is polled: FIFOs say who lives, inotify
//! says what changed. Every note is written aside, synced and renamed, and the folder is synced
//! after it: a power cut leaves the old note or the new one, never an empty file. The end's draft
//! gets its disk blocks beforehand, so that a full disk does not make a task immortal. A note that
//! cannot be read all the same is [`NoteFile::Damaged`]: it costs its own task and no other.

use super::notes::{ProcessEnding, ProcessPlan, ProgramInput, RunningProcess};
use nix::errno::Errno;
use serde::{Serialize, de::DeserializeOwned};
use skep_proto::Id;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Bytes that the note of the end has on disk from the beginning; its message is cut to fit.
const ENDING_BYTES_MAX: usize = 4096;
/// Longest error text in an end's note: what does not fit is cut.
pub(crate) const ERROR_CHARS_MAX: usize = 512;

/// What is known of one file of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NoteFile<T> {
    /// There is no such file.
    Absent,
    /// What it says.
    Read(T),
    /// It is there and cannot be read; the error message names the file.
    Damaged(String),
}

impl<T> NoteFile<T> {
    /// What it says, if it can be read.
    pub(crate) fn read(self) -> Option<T> {
        match self {
            NoteFile::Read(content) => Some(content),
            NoteFile::Absent | NoteFile::Damaged(_) => None,
        }
    }
}

/// Whether an error is about this machine at this moment rather than about one file: trying again
/// may help.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    let passing = [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOMEM,
        Errno::ENOSPC,
        Errno::EDQUOT,
        Errno::EINTR,
        Errno::EAGAIN,
        Errno::ENOBUFS,
    ];
    error.kind() == io::ErrorKind::ResourceBusy
        || error
            .raw_os_error()
            .is_some_and(|number| passing.iter().any(|errno| *errno as i32 == number))
}

/// One task's folder; it need not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Folder {
        Folder(path)
    }

    /// A task's folder below `tasks`.
    pub(crate) fn of(tasks: &Path, task: Id) -> Folder {
        Folder(tasks.join(task.to_string()))
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

    /// Whether there is anything of the task.
    pub(crate) fn exists(&self) -> bool {
        self.0.exists()
    }

    /// The plan, without the program's arguments and environment: it is read often.
    pub(crate) fn plan(&self) -> io::Result<NoteFile<ProcessPlan>> {
        read(&self.0.join("plan.json"))
    }

    /// The program's arguments and environment.
    pub(crate) fn surroundings(&self) -> io::Result<NoteFile<ProgramInput>> {
        read(&self.0.join("program.json"))
    }

    pub(crate) fn running(&self) -> io::Result<NoteFile<RunningProcess>> {
        read(&self.0.join("running.json"))
    }

    pub(crate) fn ended(&self) -> io::Result<NoteFile<ProcessEnding>> {
        read(&self.0.join("ended.json"))
    }

    /// Whether a shim has written that the program runs, or how it ended.
    pub(crate) fn was_begun(&self) -> io::Result<bool> {
        let absent = matches!(self.running()?, NoteFile::Absent)
            && matches!(self.ended()?, NoteFile::Absent);
        Ok(!absent)
    }

    /// Makes the folder with everything that a start needs. What is there already is kept: a
    /// prepare that was cut short is taken up.
    pub(crate) fn make(&self, plan: &ProcessPlan) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        for fifo in [self.control(), self.alive()] {
            match nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)) {
                Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        fs::write(self.0.join("ended.draft"), vec![b' '; ENDING_BYTES_MAX])?;
        self.write("program.json", &plan.surroundings)?;
        self.write("plan.json", plan)
    }

    pub(crate) fn write_running(&self, running: &RunningProcess) -> io::Result<()> {
        self.write("running.json", running)
    }

    /// The note of the end, opened early: writing and renaming then needs neither a file number nor
    /// disk space.
    pub(crate) fn draft_ending(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.0.join("ended.draft"))
    }

    /// Writes the end over its draft. The first one that can be read stands: an end never changes.
    pub(crate) fn write_ended(&self, draft: &mut File, ending: &ProcessEnding) -> io::Result<()> {
        let ended = self.0.join("ended.json");
        if let NoteFile::Read(_) = self.ended()? {
            return Ok(());
        }
        if ended.is_dir() {
            fs::remove_dir_all(&ended)?;
        }
        let mut text = serde_json::to_vec(ending).map_err(io::Error::other)?;
        text.resize(text.len().max(ENDING_BYTES_MAX - 1), b' ');
        text.push(b'\n');
        draft.rewind()?;
        draft.write_all(&text)?;
        draft.sync_all()?;
        fs::rename(self.0.join("ended.draft"), ended)?;
        self.sync()
    }

    /// Writes the end in the name of a shim that will not.
    pub(crate) fn end(&self, ending: &ProcessEnding) -> io::Result<()> {
        self.write_ended(&mut self.draft_ending()?, ending)
    }

    fn write(&self, name: &str, note: &impl Serialize) -> io::Result<()> {
        let draft = self.0.join(format!("{name}.draft"));
        let mut text = serde_json::to_vec(note).map_err(io::Error::other)?;
        text.push(b'\n');
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&text)?;
        file.sync_all()?;
        drop(file);
        fs::rename(draft, self.0.join(name))?;
        self.sync()
    }

    /// A new name is on the disk when its folder is.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    /// Takes everything away.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<NoteFile<T>> {
    let mut text = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut text)) {
        Ok(_) => Ok(match serde_json::from_slice(&text) {
            Ok(content) => NoteFile::Read(content),
            Err(error) => damaged(path, &error),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(NoteFile::Absent),
        Err(error) if is_passing(&error) => Err(error),
        Err(error) => Ok(damaged(path, &error)),
    }
}

/// The note of a file that is there and of no use.
pub(crate) fn damaged<T>(path: &Path, why: &dyn std::fmt::Display) -> NoteFile<T> {
    NoteFile::Damaged(format!("{} cannot be read: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_that_can_be_read_stands() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("t"));
        folder.make(&ProcessPlan::default()).unwrap();
        let code = || folder.ended().unwrap().read().and_then(|ending| ending.exit_code);
        fs::write(folder.path().join("ended.json"), "").unwrap();
        folder.end(&ProcessEnding { exit_code: Some(3), ..ProcessEnding::default() }).unwrap();
        assert_eq!(code(), Some(3));
        folder.end(&ProcessEnding { exit_code: Some(4), ..ProcessEnding::default() }).unwrap();
        assert_eq!(code(), Some(3));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_damaged_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("t"));
        assert_eq!(folder.plan().unwrap(), NoteFile::Absent);
        folder.make(&ProcessPlan::default()).unwrap();
        assert_eq!(folder.plan().unwrap(), NoteFile::Read(ProcessPlan::default()));
        let plan = folder.path().join("plan.json");
        let whole = fs::read(&plan).unwrap();
        for bytes in [&b""[..], &whole[..20], b"\0\0\0\0"] {
            fs::write(&plan, bytes).unwrap();
            let NoteFile::Damaged(message) = folder.plan().unwrap() else { panic!("{bytes:?}") };
            assert!(message.contains("t/plan.json cannot be read"), "{message}");
        }
        fs::remove_file(&plan).unwrap();
        fs::create_dir(&plan).unwrap();
        assert!(matches!(folder.plan().unwrap(), NoteFile::Damaged(_)));
    }
}
