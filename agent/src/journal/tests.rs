//! The journal after crashes: whatever the tail looks like, what is read is a prefix of what was
//! noted.

use super::{writer::Backlog, *};
use crate::core::memory::{Assigned, NoteKind, PositionReached};
use skep_proto::{
    Id, Position, Revision,
    v1::{RuntimeKind, TaskAssignment, TaskObserved, TaskSpec, TaskState},
};
use std::os::unix::fs::PermissionsExt;

/// The journal and what waits for it, written at once.
struct NotedJournal {
    journal: Journal,
    backlog: Backlog,
}

impl NotedJournal {
    fn open(folder: &Path) -> Result<NotedJournal, JournalError> {
        let (journal, memory) = Journal::open(folder)?;
        Ok(NotedJournal { journal, backlog: Backlog::new(memory) })
    }

    fn append(&mut self, notes: Vec<Note>) -> Result<(), JournalError> {
        self.backlog.add(notes);
        let write = self.backlog.take(self.journal.state()).expect("something to write");
        self.journal.write(write)
    }

    fn memory(&self) -> &Memory {
        self.backlog.memory()
    }
}

fn batch(n: u64) -> Vec<Note> {
    let task_id = Id(u128::from(n)).to_bytes();
    let task = TaskAssignment {
        service_id: Id(100).to_bytes(),
        service_name: format!("service-{n}"),
        spec: Some(TaskSpec::default()),
        slot: n,
        ..TaskAssignment::default()
    };
    vec![
        Note::new(NoteKind::Assigned(Box::new(Assigned {
            task_id: task_id.clone(),
            desired: TaskState::Running.into(),
            task: Some(task),
        }))),
        Note::new(NoteKind::Observed(TaskObserved {
            task_id,
            state: TaskState::Accepted.into(),
            ..TaskObserved::default()
        })),
        Note::new(NoteKind::Reached(PositionReached { incarnation: 1, revision: n, lineage: 0 })),
    ]
}

fn at(n: u64) -> Position {
    Position { incarnation: u64::from(n > 0), revision: Revision(n) }
}

#[test]
fn what_was_noted_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = NotedJournal::open(folder.path()).unwrap();
    for n in 1..=5 {
        journal.append(batch(n)).unwrap();
    }
    journal.append(vec![Note::new(NoteKind::Forgotten(Id(2).to_bytes()))]).unwrap();
    let memory = journal.memory().clone();
    drop(journal);
    let journal = NotedJournal::open(folder.path()).unwrap();
    assert_eq!(*journal.memory(), memory);
    assert_eq!(journal.memory().position, at(5));
    assert_eq!(
        journal.memory().tasks.keys().copied().collect::<Vec<_>>(),
        [Id(1), Id(3), Id(4), Id(5)]
    );
    let mode = fs::metadata(folder.path().join("tasks")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_torn_at_any_byte_is_a_prefix_and_can_be_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks");
    let mut journal = NotedJournal::open(folder.path()).unwrap();
    let mut ends = vec![journal.journal.bytes];
    for n in 1..=3 {
        journal.append(batch(n)).unwrap();
        ends.push(journal.journal.bytes);
    }
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let mut journal = NotedJournal::open(folder.path()).unwrap();
        let batches = ends.iter().skip(1).filter(|end| **end <= length as u64).count() as u64;
        assert_eq!(journal.memory().position, at(batches), "torn at {length}");
        journal.append(batch(9)).unwrap();
        drop(journal);
        assert_eq!(
            NotedJournal::open(folder.path()).unwrap().memory().position,
            at(9),
            "torn at {length}, then written on"
        );
    }
}

#[test]
fn a_damaged_byte_ends_the_reading_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks");
    let mut journal = NotedJournal::open(folder.path()).unwrap();
    journal.append(batch(1)).unwrap();
    let first = usize::try_from(journal.journal.bytes).unwrap();
    journal.append(batch(2)).unwrap();
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for index in first..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(
            NotedJournal::open(folder.path()).unwrap().memory().position,
            at(1),
            "byte {index}"
        );
    }
}

#[test]
fn a_long_history_does_not_grow_the_file_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = NotedJournal::open(folder.path()).unwrap();
    let tokens = "x".repeat(10_000);
    for n in 1..=1000 {
        let mut notes = batch(1);
        notes.push(Note::new(NoteKind::Observed(TaskObserved {
            task_id: Id(1).to_bytes(),
            message: format!("{tokens}{n}"),
            ..TaskObserved::default()
        })));
        journal.append(notes).unwrap();
    }
    assert!(journal.journal.bytes < COMPACT_BYTES_MIN + 100_000, "{} bytes", journal.journal.bytes);
    let memory = journal.memory().clone();
    drop(journal);
    assert_eq!(*NotedJournal::open(folder.path()).unwrap().memory(), memory);
}

#[test]
fn a_file_that_is_no_journal_is_kept_aside_and_the_agent_begins_without_it() {
    let folder = tempfile::tempdir().unwrap();
    for (number, content) in [(1, "skep agent tasks 2\nand more"), (2, "\0\0\0\0")] {
        fs::write(folder.path().join("tasks"), content).unwrap();
        let mut journal = NotedJournal::open(folder.path()).unwrap();
        assert_eq!(*journal.memory(), Memory::default());
        let aside = folder.path().join(format!("tasks.damaged-{number}"));
        assert_eq!(fs::read_to_string(aside).unwrap(), content);
        journal.append(batch(1)).unwrap();
        drop(journal);
        assert_eq!(NotedJournal::open(folder.path()).unwrap().memory().position, at(1));
    }
}

#[test]
fn a_damaged_identity_is_kept_aside_with_the_tasks_that_may_be_another_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    NotedJournal::open(folder.path()).unwrap().append(batch(1)).unwrap();
    let file = IdentityFile::new(folder.path());
    fs::write(path("identity"), "no identity").unwrap();
    assert_eq!(file.read_or_put_aside().unwrap(), None);
    assert_eq!(fs::read_to_string(path("identity.damaged-1")).unwrap(), "no identity");
    assert!(path("tasks.damaged-1").exists() && !path("identity").exists());
    assert_eq!(*NotedJournal::open(folder.path()).unwrap().memory(), Memory::default());
    assert_eq!(file.read_or_put_aside().unwrap(), None, "as at a first start");
}

#[test]
fn a_disk_that_refuses_makes_it_behind_and_it_catches_up_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = NotedJournal::open(folder.path()).unwrap();
    journal.append(batch(1)).unwrap();
    journal.journal.file = File::open(folder.path().join("tasks")).unwrap();
    assert!(journal.append(batch(2)).is_err(), "not open for writing");
    assert_eq!(journal.journal.state(), JournalState::Behind);
    assert_eq!(journal.memory().position, at(2), "what is noted counts for this run");
    journal.append(batch(3)).unwrap();
    assert_eq!(journal.journal.state(), JournalState::Current);
    assert_eq!(NotedJournal::open(folder.path()).unwrap().memory().position, at(3));
}

#[test]
fn a_journal_that_lacks_something_is_written_whole_without_anything_new_to_note() {
    let mut backlog = Backlog::new(Memory::default());
    backlog.add(batch(1));
    assert!(matches!(backlog.take(JournalState::Current), Some(JournalWrite::More(_))));
    assert_eq!(backlog.take(JournalState::Current), None);
    assert_eq!(backlog.take(JournalState::Grown), None, "it holds everything");
    let whole = Some(JournalWrite::Whole(backlog.memory().notes()));
    assert_eq!(backlog.take(JournalState::Behind), whole);
}

#[test]
fn more_notes_than_may_wait_are_written_from_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut noted = NotedJournal::open(folder.path()).unwrap();
    noted.append(batch(1)).unwrap();
    let seen = |n: u64| {
        let observed =
            TaskObserved { task_id: Id(1).to_bytes(), observed_at: n, ..TaskObserved::default() };
        vec![Note::new(NoteKind::Observed(observed)); 1000]
    };
    for n in 0..=66 {
        noted.backlog.add(seen(n));
    }
    let Some(JournalWrite::Whole(notes)) = noted.backlog.take(JournalState::Current) else {
        panic!("too many")
    };
    assert!(notes.len() < 10, "{} notes of one task", notes.len());
    assert_eq!(noted.backlog.take(JournalState::Current), None, "nothing waits any more");
    noted.journal.write(JournalWrite::Whole(notes)).unwrap();
    noted.append(seen(67)).unwrap();
    let memory = noted.memory().clone();
    assert_eq!(memory.tasks[&Id(1)].observed.observed_at, 67);
    assert_eq!(*NotedJournal::open(folder.path()).unwrap().memory(), memory);
}

#[test]
fn the_identity_is_kept_for_its_owner_alone_and_damage_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let file = IdentityFile::new(folder.path());
    assert_eq!(file.read().unwrap(), None);
    for earlier_secret in [Some([9; 32]), None] {
        let stored = Stored {
            node_id: Id(7),
            cluster_id: Id(8),
            earlier_secret,
            runtime: RuntimeKind::Process,
        };
        file.write(&stored).unwrap();
        assert_eq!(file.read().unwrap(), Some(stored));
    }
    let path = folder.path().join("identity");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut content = fs::read(&path).unwrap();
    content[5] ^= 1;
    fs::write(&path, content).unwrap();
    let error = file.read().expect_err("one bit differs").to_string();
    assert!(error.ends_with("identity: damaged (its checksum differs)"), "{error}");
}
