//! The thread that writes the journal, and what waits to be written.
//!
//! A disk may hang for seconds, or be full for hours. The agent's loop, which sends the heartbeats,
//! never waits for it: it leaves what is new here and goes on. Notes need not be on the disk before
//! they are acted upon. The identity must be: the first steps of a node that has just joined wait
//! until [`JournalWriter::identity_written`] says that its name is on the disk. A disk that refuses
//! is tried again by itself, and [`JournalWriter::problem`] tells of it.

use super::{IdentityFile, Journal, JournalState, JournalWrite, ManagersFile, Stored};
use crate::core::{
    candidates::KnownAddress,
    memory::{Memory, Note},
};
use nix::fcntl::Flock;
use std::{
    fs::File,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use tokio::sync::watch;

/// Notes that wait for the disk. One more, and they are dropped: the journal is then rewritten
/// from the memory, which has them all.
const NOTES_WAITING_MAX: usize = 65_536;
/// Between two tries to write to a disk that refused.
const DISK_RETRY_PERIOD: Duration = Duration::from_millis(500);
/// Longest that an agent which ends waits for its last notes to be written. The manager sends again
/// what is not written by then.
const CLOSING_LIMIT: Duration = Duration::from_secs(2);

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// A fold of all notes, written or not.
    memory: Memory,
    notes: Vec<Note>,
    /// More notes came than may wait: only the memory has them all.
    overflowed: bool,
    identity: Option<Stored>,
    managers: Option<Vec<KnownAddress>>,
    is_closing: bool,
    is_closed: bool,
}

impl Backlog {
    pub(super) fn new(memory: Memory) -> Backlog {
        Backlog { memory, ..Backlog::default() }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn add(&mut self, notes: Vec<Note>) {
        for note in &notes {
            self.memory.apply(note);
        }
        if self.notes.len() + notes.len() > NOTES_WAITING_MAX {
            self.overflowed = true;
            self.notes = Vec::new();
        }
        if !self.overflowed {
            self.notes.extend(notes);
        }
    }

    /// What is to be written now to a journal in this state. One that lacks something, or has grown
    /// too large, is written whole.
    pub(super) fn take(&mut self, state: JournalState) -> Option<JournalWrite> {
        let is_behind = state == JournalState::Behind;
        if self.notes.is_empty() && !self.overflowed && !is_behind {
            return None;
        }
        let notes = std::mem::take(&mut self.notes);
        if std::mem::take(&mut self.overflowed) || state != JournalState::Current {
            return Some(JournalWrite::Whole(self.memory.notes()));
        }
        Some(JournalWrite::More(notes))
    }

    fn is_empty(&self) -> bool {
        self.notes.is_empty()
            && !self.overflowed
            && self.identity.is_none()
            && self.managers.is_none()
    }
}

/// The files that are written whole.
#[derive(Debug)]
pub(crate) struct AgentFiles {
    /// Who this node is.
    pub(crate) identity: IdentityFile,
    /// Where managers are found.
    pub(crate) managers: ManagersFile,
}

/// What is written at once.
struct PendingWrite {
    identity: Option<Stored>,
    managers: Option<Vec<KnownAddress>>,
    journal: Option<JournalWrite>,
}

#[derive(Debug)]
struct Shared {
    backlog: Mutex<Backlog>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the thread that writes. When it is dropped, the thread writes what is left and ends.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    shared: Arc<Shared>,
    written: Arc<watch::Sender<bool>>,
    problem: watch::Receiver<String>,
}

impl JournalWriter {
    /// Begins to write. `lock` is what keeps other agents from the folder, and is held until the
    /// last write is over.
    pub(crate) fn start(
        journal: Journal,
        memory: Memory,
        files: AgentFiles,
        lock: Flock<File>,
    ) -> io::Result<JournalWriter> {
        let backlog = Mutex::new(Backlog::new(memory));
        let shared = Arc::new(Shared { backlog, changed: Condvar::new() });
        let written = Arc::new(watch::Sender::new(true));
        let (waiting, tell) = (Arc::clone(&shared), Arc::clone(&written));
        let (problems, problem) = watch::channel(String::new());
        let writing = Writing {
            shared: waiting,
            journal,
            files,
            written: tell,
            identity_problem: String::new(),
            managers_problem: String::new(),
            problems,
        };
        thread::Builder::new().name("journal".into()).spawn(move || {
            let shared = Arc::clone(&writing.shared);
            writing.run();
            drop(lock);
            shared.lock().is_closed = true;
            shared.changed.notify_all();
        })?;
        Ok(JournalWriter { shared, written, problem })
    }

    /// Notes these; they are on the disk when the disk has taken them.
    pub(crate) fn note(&self, notes: Vec<Note>) {
        self.shared.lock().add(notes);
        self.shared.changed.notify_all();
    }

    /// Writes who this node is. It is tried until it succeeds.
    pub(crate) fn identify(&self, stored: &Stored) {
        let mut backlog = self.shared.lock();
        backlog.identity = Some(stored.clone());
        self.written.send_replace(false);
        drop(backlog);
        self.shared.changed.notify_all();
    }

    /// Writes where managers are found, for the next start. It is tried until it succeeds, or until
    /// there is a newer list.
    pub(crate) fn keep_managers(&self, known: Vec<KnownAddress>) {
        self.shared.lock().managers = Some(known);
        self.shared.changed.notify_all();
    }

    /// Whether the newest identity is on the disk.
    pub(crate) fn identity_written(&self) -> watch::Receiver<bool> {
        self.written.subscribe()
    }

    /// Why the disk does not take what is to be written, for people; empty while it does.
    pub(crate) fn problem(&self) -> watch::Receiver<String> {
        self.problem.clone()
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        let mut backlog = self.shared.lock();
        backlog.is_closing = true;
        self.shared.changed.notify_all();
        let closed = |backlog: &mut Backlog| !backlog.is_closed;
        drop(self.shared.changed.wait_timeout_while(backlog, CLOSING_LIMIT, closed));
    }
}

/// What the thread works with.
struct Writing {
    shared: Arc<Shared>,
    journal: Journal,
    files: AgentFiles,
    written: Arc<watch::Sender<bool>>,
    /// Why the identity could not be written at the last try; empty if it could.
    identity_problem: String,
    /// The same of the managers.
    managers_problem: String,
    problems: watch::Sender<String>,
}

impl Writing {
    fn run(mut self) {
        let mut journal_problem = String::new();
        while let Some(PendingWrite { identity, managers, journal }) = self.next() {
            if let Some(write) = journal {
                let written = self.journal.write(write);
                journal_problem = written.err().map(|error| error.to_string()).unwrap_or_default();
            }
            if let Some(stored) = identity {
                self.write_identity(stored);
            }
            if let Some(known) = managers {
                self.write_managers(known);
            }
            let problems = [&self.identity_problem, &journal_problem, &self.managers_problem];
            let problem = problems.into_iter().find(|problem| !problem.is_empty());
            self.say(problem.map_or("", String::as_str));
        }
    }

    /// Waits for something to write; none when no more will come. What the disk refused is tried
    /// again after a while, with all that was noted meanwhile.
    fn next(&self) -> Option<PendingWrite> {
        let lock = self.shared.lock();
        let changed = &self.shared.changed;
        let state = self.journal.state();
        let refused = !self.identity_problem.is_empty() || !self.managers_problem.is_empty();
        let mut backlog = if state == JournalState::Behind || refused {
            let open = |backlog: &mut Backlog| !backlog.is_closing;
            let waited = changed.wait_timeout_while(lock, DISK_RETRY_PERIOD, open);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let idle = |backlog: &mut Backlog| backlog.is_empty() && !backlog.is_closing;
            changed.wait_while(lock, idle).unwrap_or_else(PoisonError::into_inner)
        };
        if backlog.is_closing && backlog.is_empty() {
            return None;
        }
        let journal = backlog.take(state);
        let (identity, managers) = (backlog.identity.take(), backlog.managers.take());
        Some(PendingWrite { identity, managers, journal })
    }

    fn write_managers(&mut self, known: Vec<KnownAddress>) {
        let written = self.files.managers.write(&known);
        self.managers_problem = written.err().map(|error| error.to_string()).unwrap_or_default();
        let mut backlog = self.shared.lock();
        if !self.managers_problem.is_empty() && !backlog.is_closing {
            backlog.managers.get_or_insert(known);
        }
    }

    fn write_identity(&mut self, stored: Stored) {
        let written = self.files.identity.write(&stored);
        let mut backlog = self.shared.lock();
        match written {
            Ok(()) => {
                self.identity_problem.clear();
                self.written.send_replace(backlog.identity.is_none());
            }
            Err(error) => {
                self.identity_problem =
                    format!("{error}; the tasks of a node that has just joined wait for it");
                if !backlog.is_closing {
                    backlog.identity.get_or_insert(stored);
                }
            }
        }
    }

    /// The same problem is logged once, and so is its end.
    fn say(&self, problem: &str) {
        let changed = self.problems.send_if_modified(|told| {
            let changed = told.is_empty() != problem.is_empty();
            problem.clone_into(told);
            changed
        });
        match (changed, problem.is_empty()) {
            (false, _) => {}
            (true, true) => tracing::info!("the agent's state folder can be written again"),
            (true, false) => tracing::error!(
                "the agent's state folder cannot be written, trying again; work goes on: {problem}"
            ),
        }
    }
}
