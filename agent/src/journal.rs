//! The agent's memory on disk: who this node is, and what the cluster wants of it.
//!
//! Two files in the state folder. `identity` is written whole, synced and renamed, at the first
//! start, when the cluster names the node, and never else: losing it means joining as a new node.
//! `tasks` is a log of notes, each batch one frame (a very large one several):
//!
//! ```text
//! length u32 LE │ crc32c u32 LE │ protobuf of Batch       (after the line "skep agent tasks 1\n")
//! ```
//! Opening stops at the first frame that is not whole and cuts there. That, a lost tail and a full
//! disk all have the same harmless effect: the position is older than it could be, and the manager
//! tells the rest again. So appending is not synced and its failure stops nothing; the journal is
//! then behind, and is rewritten when there is room. A thread of its own does all the writing,
//! see [`writer`].
//!
//! Beside them, `managers` says where managers are found, for the next start.
//!
//! A file that cannot be read at all is put aside under another name, and the agent begins without
//! it, as after the loss of the folder: neither file holds anything that the cluster does not know.

mod identity;
mod managers;
mod writer;

pub use identity::{IdentityFile, Stored};
pub(crate) use managers::ManagersFile;
pub(crate) use writer::{AgentFiles, JournalWriter};

use crate::core::memory::{Memory, Note};
use prost::Message;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// A smaller file is never rewritten. A larger one is when it is also [`COMPACT_FACTOR_MIN`]
/// times as large as what it has to say.
const COMPACT_BYTES_MIN: u64 = 1 << 20;
/// How many times as large as its content a file of [`COMPACT_BYTES_MIN`] must be to be written
/// again.
const COMPACT_FACTOR_MIN: u64 = 4;
/// A longer frame is not one of ours: reading stops there.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Notes are parted into frames of about this size.
const FRAME_BYTES_SOFT_MAX: usize = 8 << 20;
const JOURNAL_MAGIC: &[u8] = b"skep agent tasks 1\n";
const HEADER_BYTES: usize = 8;
/// The journal's file in the agent's folder.
const TASKS_FILE: &str = "tasks";

/// Why the state folder cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// The identity cannot be read.
    #[error("{}: damaged ({message})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

#[derive(Clone, PartialEq, prost::Message)]
struct NoteBatch {
    #[prost(message, repeated, tag = "1")]
    notes: Vec<Note>,
}

/// What is written at once.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum JournalWrite {
    /// Notes behind those that are on the disk.
    More(Vec<Note>),
    /// All notes: a new file takes the place of the old one.
    Whole(Vec<Note>),
}

/// How a journal's file stands to what was noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JournalState {
    /// It holds everything, and more can be added.
    Current,
    /// It holds everything, and is too large: the next write is of all notes.
    Grown,
    /// It lacks something: the next write is of all notes.
    Behind,
}

/// The file of notes, open for more.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// What the file would hold if it were rewritten now, about.
    live_bytes: u64,
    /// The file lacks something that was noted.
    behind: bool,
}

impl Journal {
    /// Opens `tasks` in `folder`, made when absent, and reads what it holds; what follows a torn
    /// frame is cut off. A file that is no task journal of this version is put aside.
    pub(crate) fn open(folder: &Path) -> Result<(Journal, Memory), JournalError> {
        let path = folder.join(TASKS_FILE);
        let io = |source| JournalError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(io)?;
        // On a full disk it begins behind what it should hold, as it would go on.
        let mut behind = false;
        if content.len() < JOURNAL_MAGIC.len() && JOURNAL_MAGIC.starts_with(&content) {
            content = JOURNAL_MAGIC.to_vec();
            behind = file.rewind().and_then(|()| file.write_all(JOURNAL_MAGIC)).is_err();
        }
        let Some(frames) = content.strip_prefix(JOURNAL_MAGIC) else {
            let aside = put_aside(&path)?;
            tracing::warn!(
                "{} is not a task journal that this version can read; it is kept as {}, and the \
                 manager sends the tasks again",
                path.display(),
                aside.display()
            );
            return Journal::open(folder);
        };
        let (memory, whole) = read_frames(frames);
        let bytes = (JOURNAL_MAGIC.len() + whole) as u64;
        if !behind {
            file.set_len(bytes).and_then(|()| file.seek(io::SeekFrom::Start(bytes))).map_err(io)?;
        }
        let mut journal = Journal { path, file, bytes, live_bytes: bytes, behind };
        if journal.bytes > COMPACT_BYTES_MIN {
            // Where there is no room for it the old file stays, and this is tried again later.
            let _ = journal.write(JournalWrite::Whole(memory.notes()));
        }
        Ok((journal, memory))
    }

    /// Renames the file of this folder, if there is one, since its content is no longer valid.
    pub(crate) fn put_aside(folder: &Path) -> Result<(), JournalError> {
        let path = folder.join(TASKS_FILE);
        if path.exists() { put_aside(&path).map(drop) } else { Ok(()) }
    }

    /// How the file stands to what was noted.
    pub(crate) fn state(&self) -> JournalState {
        if self.behind {
            JournalState::Behind
        } else if self.bytes > COMPACT_BYTES_MIN.max(COMPACT_FACTOR_MIN * self.live_bytes) {
            JournalState::Grown
        } else {
            JournalState::Current
        }
    }

    /// Writes these as one whole. On an error the disk is behind.
    pub(crate) fn write(&mut self, write: JournalWrite) -> Result<(), JournalError> {
        self.behind = true;
        match write {
            JournalWrite::More(notes) => {
                let frames = frames(notes);
                self.file
                    .write_all(&frames)
                    .map_err(|source| JournalError::Io { path: self.path.clone(), source })?;
                self.bytes += frames.len() as u64;
            }
            JournalWrite::Whole(notes) => {
                let mut content = JOURNAL_MAGIC.to_vec();
                content.extend_from_slice(&frames(notes));
                self.file = replace(&self.path, &content)?;
                self.bytes = content.len() as u64;
                self.live_bytes = self.bytes;
            }
        }
        self.behind = false;
        Ok(())
    }
}

/// Puts a new file in the place of `path`, so that after a crash there is the old one or the new
/// one. Gives it back open at its end.
fn replace(path: &Path, content: &[u8]) -> Result<File, JournalError> {
    let io = |source| JournalError::Io { path: path.to_owned(), source };
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(io)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|source| {
        // On a full disk half a file would take the room that somebody makes.
        let _ = fs::remove_file(&fresh);
        io(source)
    })?;
    fs::rename(&fresh, path).map_err(io)?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    Ok(file)
}

/// Gives a file that cannot be used the first free name `NAME.damaged-N` beside it, where somebody
/// can look at it. Returns the new path.
fn put_aside(path: &Path) -> Result<PathBuf, JournalError> {
    let io = |source| JournalError::Io { path: path.to_owned(), source };
    let numbered = |number: u64| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    };
    let aside = (1..).map(numbered).find(|free| !free.exists()).unwrap_or_else(|| numbered(0));
    fs::rename(path, &aside).map_err(io)?;
    Ok(aside)
}

/// One frame, or several where they would be too long to be read again. A crash between two of them
/// loses the end, where the position stands: the manager then tells it again.
fn frames(notes: Vec<Note>) -> Vec<u8> {
    let mut frames = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for note in notes {
        let len = note.encoded_len();
        if bytes + len > FRAME_BYTES_SOFT_MAX && !batch.is_empty() {
            frames.extend(frame(std::mem::take(&mut batch)));
            bytes = 0;
        }
        bytes += len;
        batch.push(note);
    }
    frames.extend(frame(batch));
    frames
}

fn frame(notes: Vec<Note>) -> Vec<u8> {
    let body = NoteBatch { notes }.encode_to_vec();
    let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
    // No batch comes near four gibibytes: a memory of all tasks of a node is some megabytes.
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// The memory in these frames, and how many bytes of them are whole.
fn read_frames(frames: &[u8]) -> (Memory, usize) {
    let mut memory = Memory::default();
    let mut rest = frames;
    while let Some((batch, after)) = read_frame(rest) {
        for note in &batch.notes {
            memory.apply(note);
        }
        rest = after;
    }
    (memory, frames.len() - rest.len())
}

fn read_frame(bytes: &[u8]) -> Option<(NoteBatch, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length))
        .ok()
        .filter(|length| *length <= FRAME_BYTES_MAX)?;
    let (body, rest) = rest.split_at_checked(length)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    NoteBatch::decode(body).ok().map(|batch| (batch, rest))
}

#[cfg(test)]
mod tests;
