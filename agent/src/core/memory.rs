//! What an agent remembers over its own death: its position, and each task's assignment and newest
//! state. PURE.
//!
//! The core says what to remember as [`Note`]s; a journal keeps them in order. A journal that ends
//! too early is only behind: the agent then gives the manager an older position and hears the rest
//! again. So notes need not be on the disk before they are acted upon, and no step of a task waits
//! for a sync.

use super::service::{self, ServiceVersion};
use bytes::Bytes;
use skep_proto::{
    Id, Lineage, Position, Revision,
    v1::{NodeDescription, ServiceAssignment, TaskAssignment, TaskObserved, TaskState},
};
use std::{collections::BTreeMap, sync::Arc};

/// One thing to remember. Encoded as protobuf; tags are never used twice.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Note {
    /// What about.
    #[prost(oneof = "NoteKind", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub kind: Option<NoteKind>,
}

/// The kinds of [`Note`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum NoteKind {
    /// All assignments up to here have been noted before this.
    #[prost(message, tag = "1")]
    Reached(PositionReached),
    /// A task became this node's business.
    #[prost(message, boxed, tag = "2")]
    Assigned(Box<Assigned>),
    /// What the cluster wants of it changed.
    #[prost(message, tag = "3")]
    Desired(Desired),
    /// The agent saw a new state.
    #[prost(message, tag = "4")]
    Observed(TaskObserved),
    /// Why the agent has it changed.
    #[prost(message, tag = "5")]
    Stands(StandingChanged),
    /// Nothing is left of it.
    #[prost(bytes = "bytes", tag = "6")]
    Forgotten(Bytes),
    /// The runtime described this node.
    #[prost(message, boxed, tag = "8")]
    Described(Box<NodeDescription>),
    /// What tasks of a service have in common: for those assigned before the next position.
    #[prost(message, boxed, tag = "7")]
    Service(Box<ServiceAssignment>),
}

/// A position.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PositionReached {
    /// Its incarnation.
    #[prost(uint64, tag = "1")]
    pub incarnation: u64,
    /// Its revision.
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    /// The incarnation's lineage; 0 where the cluster has named none.
    #[prost(fixed64, tag = "3")]
    pub lineage: u64,
}

/// A task as it was assigned.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Assigned {
    /// The task.
    #[prost(bytes = "bytes", tag = "1")]
    pub task_id: Bytes,
    /// What the cluster wants of it.
    #[prost(enumeration = "TaskState", tag = "2")]
    pub desired: i32,
    /// What to run.
    #[prost(message, optional, tag = "3")]
    pub task: Option<TaskAssignment>,
}

/// A change of what is wanted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Desired {
    /// The task.
    #[prost(bytes = "bytes", tag = "1")]
    pub task_id: Bytes,
    /// What the cluster wants of it now.
    #[prost(enumeration = "TaskState", tag = "2")]
    pub desired: i32,
}

/// A change of standing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StandingChanged {
    /// The task.
    #[prost(bytes = "bytes", tag = "1")]
    pub task_id: Bytes,
    /// Its standing now.
    #[prost(enumeration = "TaskStanding", tag = "2")]
    pub standing: i32,
}

/// Why the agent has a task at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
pub enum TaskStanding {
    /// The cluster assigned it.
    Wanted = 0,
    /// Assigned in a history that the cluster no longer knows: it goes on and is reported until
    /// somebody decides.
    Unknown = 1,
    /// No longer this node's business: what is left is stopped and removed.
    Dropped = 2,
}

impl Note {
    /// A note of this kind.
    pub fn new(kind: NoteKind) -> Note {
        Note { kind: Some(kind) }
    }
}

/// All that is remembered: a fold of notes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Memory {
    /// The newest position whose assignments are in here.
    pub position: Position,
    /// The lineage of its incarnation.
    pub lineage: Lineage,
    /// Every task that is not forgotten.
    pub tasks: BTreeMap<Id, RememberedTask>,
    /// As the runtime described this node last.
    pub description: Option<NodeDescription>,
    /// Services that were described since the last position.
    services: BTreeMap<ServiceVersion, Arc<ServiceAssignment>>,
}

/// What is remembered of one task.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RememberedTask {
    /// What the cluster wants of it.
    pub desired: TaskState,
    /// The task's own part of its assignment.
    pub task: TaskAssignment,
    /// What it has in common with others of its service.
    pub service: Arc<ServiceAssignment>,
    /// What was seen last.
    pub observed: TaskObserved,
    /// Why it is here.
    pub standing: TaskStanding,
}

impl Memory {
    /// Takes up one note. Notes about tasks that nobody mentioned before are left aside.
    pub fn apply(&mut self, note: &Note) {
        match &note.kind {
            None => {}
            Some(NoteKind::Reached(at)) => {
                self.position =
                    Position { incarnation: at.incarnation, revision: Revision(at.revision) };
                self.lineage = Lineage(at.lineage);
                self.services.clear();
            }
            Some(NoteKind::Assigned(assigned)) => {
                let task = assigned.task.clone().unwrap_or_default();
                let service = service::inline(&task)
                    .or_else(|| self.services.get(&service::key(&task)).cloned());
                let kept = self.tasks.entry(Id::from_bytes(&assigned.task_id)).or_default();
                kept.desired = assigned.desired();
                kept.service = service.unwrap_or_default();
                kept.task = service::slim(&task);
                kept.standing = TaskStanding::Wanted;
            }
            Some(NoteKind::Desired(desired)) => {
                if let Some(kept) = self.tasks.get_mut(&Id::from_bytes(&desired.task_id)) {
                    kept.desired = desired.desired();
                }
            }
            Some(NoteKind::Observed(observed)) => {
                if let Some(kept) = self.tasks.get_mut(&Id::from_bytes(&observed.task_id)) {
                    kept.observed = observed.clone();
                }
            }
            Some(NoteKind::Stands(stands)) => {
                if let Some(kept) = self.tasks.get_mut(&Id::from_bytes(&stands.task_id)) {
                    kept.standing = stands.standing();
                }
            }
            Some(NoteKind::Service(described)) => {
                let key = (Id::from_bytes(&described.service_id), described.spec_version);
                self.services.insert(key, Arc::new(described.as_ref().clone()));
            }
            Some(NoteKind::Forgotten(task)) => {
                self.tasks.remove(&Id::from_bytes(task));
            }
            Some(NoteKind::Described(description)) => {
                self.description = Some(description.as_ref().clone());
            }
        }
    }

    /// The fewest notes that make this memory again.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut described: BTreeMap<ServiceVersion, &Arc<ServiceAssignment>> = BTreeMap::new();
        for (id, kept) in &self.tasks {
            let key = service::key(&kept.task);
            // A service may have been described again between two of its tasks.
            if described.get(&key).is_none_or(|known| !Arc::ptr_eq(known, &kept.service)) {
                described.insert(key, &kept.service);
                notes.push(Note::new(NoteKind::Service(Box::new(kept.service.as_ref().clone()))));
            }
            let task_id = id.to_bytes();
            let task = Some(kept.task.clone());
            let desired = kept.desired.into();
            let assigned = Assigned { task_id: task_id.clone(), desired, task };
            notes.push(Note::new(NoteKind::Assigned(Box::new(assigned))));
            if kept.observed != TaskObserved::default() {
                notes.push(Note::new(NoteKind::Observed(kept.observed.clone())));
            }
            if kept.standing != TaskStanding::Wanted {
                let standing = kept.standing.into();
                notes.push(Note::new(NoteKind::Stands(StandingChanged { task_id, standing })));
            }
        }
        if let Some(description) = &self.description {
            notes.push(Note::new(NoteKind::Described(Box::new(description.clone()))));
        }
        let Position { incarnation, revision } = self.position;
        notes.push(Note::new(NoteKind::Reached(PositionReached {
            incarnation,
            revision: revision.0,
            lineage: self.lineage.0,
        })));
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::TaskSpec;

    fn noted(memory: &mut Memory, kind: NoteKind) {
        memory.apply(&Note::new(kind));
    }

    fn assigned(task: u128, version: u64) -> NoteKind {
        let service_id = Id(9).to_bytes();
        let task_part = TaskAssignment { service_id, spec_version: version, ..Default::default() };
        NoteKind::Assigned(Box::new(Assigned {
            task_id: Id(task).to_bytes(),
            desired: TaskState::Running.into(),
            task: Some(task_part),
        }))
    }

    fn described(name: &str) -> NoteKind {
        NoteKind::Service(Box::new(ServiceAssignment {
            service_id: Id(9).to_bytes(),
            service_name: name.to_owned(),
            spec_version: 1,
            spec: Some(TaskSpec::default()),
            ..ServiceAssignment::default()
        }))
    }

    fn stands(task: u128, standing: TaskStanding) -> NoteKind {
        NoteKind::Stands(StandingChanged {
            task_id: Id(task).to_bytes(),
            standing: standing.into(),
        })
    }

    fn folded(notes: &[Note]) -> Memory {
        let mut memory = Memory::default();
        notes.iter().for_each(|note| memory.apply(note));
        memory
    }

    /// Two tasks of a service, one of it after it was described anew, each in another state.
    fn memory() -> Memory {
        let mut memory = Memory::default();
        noted(&mut memory, described("web"));
        noted(&mut memory, assigned(1, 1));
        noted(&mut memory, assigned(2, 1));
        noted(&mut memory, described("renamed"));
        noted(&mut memory, assigned(3, 1));
        let state = TaskState::Starting.into();
        let observed = TaskObserved { task_id: Id(1).to_bytes(), state, ..Default::default() };
        noted(&mut memory, NoteKind::Observed(observed));
        noted(&mut memory, stands(2, TaskStanding::Unknown));
        let description = NodeDescription { hostname: "n1".into(), ..NodeDescription::default() };
        noted(&mut memory, NoteKind::Described(Box::new(description)));
        noted(
            &mut memory,
            NoteKind::Reached(PositionReached { incarnation: 2, revision: 7, lineage: 5 }),
        );
        memory
    }

    #[test]
    fn the_notes_of_a_memory_make_it_again_and_are_no_more_than_that_takes() {
        let memory = memory();
        let notes = memory.notes();
        let again = folded(&notes);
        assert_eq!(again, memory);
        let [first, second, third] = [1, 2, 3].map(|task| &again.tasks[&Id(task)].service);
        assert!(Arc::ptr_eq(first, second) && !Arc::ptr_eq(first, third));
        // Two descriptions, three tasks, a state, a standing, the node, and the position.
        assert_eq!(notes.len(), 9);
        assert_eq!(again.services, BTreeMap::new(), "no task is assigned with these any more");
    }

    #[test]
    fn a_task_that_is_assigned_again_is_wanted_again() {
        let mut memory = memory();
        noted(&mut memory, described("web"));
        noted(&mut memory, assigned(2, 1));
        assert_eq!(memory.tasks[&Id(2)].standing, TaskStanding::Wanted);
    }
}
