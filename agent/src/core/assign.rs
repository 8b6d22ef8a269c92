//! Takes in what the cluster wants of this node. PURE.
//!
//! Positions decide: a set or a change is applied once, in order, or not at all. A position that is
//! not ahead of ours is an echo, one that skips something makes the session start again. Within an
//! incarnation what is desired only grows; a new incarnation is a history that went back, and there
//! the cluster's word counts as it is: tasks that it does not know go on and are reported, until
//! they are named as removed or given another desired state. A whole set may name removed tasks
//! too, and must where the decision about such a task came before it.
//!
//! Incarnations count up, and two restores of one backup count alike: the lineage tells them apart.
//! The first one that this node hears of is followed, the other refused.

use super::{
    memory::{Assigned, Desired, Note, NoteKind, PositionReached, TaskStanding},
    parts::GatheredParts,
    service::{self, ServiceVersion},
    task::AgentTask,
    work::{NodeWork, ReceivedSet},
};
use skep_proto::{
    Id, Lineage, Position, Revision, Timestamp,
    v1::{Assignment, Assignments, PartTaken, TaskState},
};
use std::collections::BTreeSet;

/// What a message brings to an agent at its position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AssignmentsKind {
    /// Nothing new.
    Echo,
    /// The whole set, of the history we know.
    Whole,
    /// The whole set, of another history.
    NewHistory,
    /// What follows ours.
    Change,
    /// Something between is missing.
    Gap,
}

impl NodeWork {
    /// Takes what the cluster sent, and applies it once all parts of it are there. Gives back what
    /// to tell the manager of a part. The message of an error says why the session must be started
    /// again.
    pub(crate) fn on_assignments(
        &mut self,
        mut message: Assignments,
        now: Timestamp,
    ) -> Result<Option<PartTaken>, String> {
        let to =
            Position { incarnation: message.incarnation, revision: Revision(message.revision) };
        let lineage = Lineage(message.lineage);
        if to.incarnation == self.position.incarnation
            && !self.lineage.is_none()
            && lineage != self.lineage
        {
            return Err(two_claim(to, self.lineage, lineage));
        }
        self.services.learn(std::mem::take(&mut message.services));
        match self.parts.take(message) {
            GatheredParts::Part(taken) => Ok(Some(taken)),
            GatheredParts::Echo => Ok(None),
            // The last part of what was applied before came once more.
            GatheredParts::Gap if to <= self.position => Ok(None),
            GatheredParts::Gap => {
                Err(format!("a part of the assignments that lead to {to} is missing"))
            }
            GatheredParts::Whole(message) => {
                self.apply(&message, now)?;
                if !self.parts.are_open() {
                    self.services.forget_unused(self.tasks.values().map(|task| &task.workload));
                }
                Ok(None)
            }
        }
    }

    /// A new stream: nothing was described on it, and no part has come.
    pub(crate) fn begin_stream(&mut self) {
        self.services.clear();
        self.parts.clear();
    }

    fn apply(&mut self, message: &Assignments, now: Timestamp) -> Result<(), String> {
        let unknown = message.changed.iter().find(|assignment| {
            let is_new = !self.tasks.contains_key(&Id::from_bytes(&assignment.task_id));
            let task = assignment.task.as_ref();
            is_new && task.is_some_and(|task| self.services.of(task).is_none())
        });
        if let Some(assignment) = unknown {
            let task = Id::from_bytes(&assignment.task_id);
            return Err(format!("the service of task {task} was not described"));
        }
        let to =
            Position { incarnation: message.incarnation, revision: Revision(message.revision) };
        let to_lineage = Lineage(message.lineage);
        match kind_of(self.position, to, message) {
            AssignmentsKind::Gap => {
                return Err(format!(
                    "assignments from {}.{} to {to} do not follow {}",
                    message.incarnation, message.after_revision, self.position
                ));
            }
            AssignmentsKind::Echo => self.on_nothing_new(to, to_lineage),
            AssignmentsKind::Whole => {
                self.lineage = to_lineage;
                self.replace(message, to, TaskStanding::Dropped, now);
            }
            AssignmentsKind::NewHistory => {
                self.lineage = to_lineage;
                self.replace(message, to, TaskStanding::Unknown, now);
            }
            AssignmentsKind::Change => {
                self.lineage = to_lineage;
                self.change(message, AssignedHistory::Same, now);
                self.reach(to, ReceivedSet::Complete);
            }
        }
        self.settle(now);
        Ok(())
    }

    /// An agent that came back and missed nothing: what no task claims is cleared away as after any
    /// other word.
    fn on_nothing_new(&mut self, to: Position, lineage: Lineage) {
        if to != self.position {
            return;
        }
        if lineage == self.lineage {
            self.receive(ReceivedSet::Complete);
        } else {
            // An incarnation of before feature level 3 is named when the level is raised.
            self.lineage = lineage;
            self.reach(to, ReceivedSet::Complete);
        }
    }

    fn replace(
        &mut self,
        message: &Assignments,
        to: Position,
        absent: TaskStanding,
        now: Timestamp,
    ) {
        let named: BTreeSet<Id> =
            message.changed.iter().map(|a| Id::from_bytes(&a.task_id)).collect();
        let missing = self
            .tasks
            .iter()
            .filter(|(id, task)| !named.contains(id) && task.standing == TaskStanding::Wanted);
        let missing: Vec<Id> = missing.map(|(id, _)| *id).collect();
        for id in missing {
            self.stand(id, absent);
        }
        match absent {
            TaskStanding::Wanted | TaskStanding::Dropped => {
                self.change(message, AssignedHistory::Same, now);
                self.reach(to, ReceivedSet::Complete);
            }
            TaskStanding::Unknown => {
                self.change(message, AssignedHistory::New, now);
                self.reach(to, ReceivedSet::NewHistory);
                self.report_all();
            }
        }
    }

    fn change(&mut self, message: &Assignments, history: AssignedHistory, now: Timestamp) {
        let mut noted = BTreeSet::new();
        for assignment in &message.changed {
            let id = Id::from_bytes(&assignment.task_id);
            if id.is_none() {
                continue;
            }
            if self.tasks.contains_key(&id) {
                self.want(id, assignment.desired(), history);
            } else {
                self.take_on(id, assignment, &mut noted, now);
            }
        }
        for id in &message.removed_ids {
            self.stand(Id::from_bytes(id), TaskStanding::Dropped);
        }
    }

    /// `noted` are the services that this message has put into the notes already.
    fn take_on(
        &mut self,
        id: Id,
        assignment: &Assignment,
        noted: &mut BTreeSet<ServiceVersion>,
        now: Timestamp,
    ) {
        let task = assignment.task.clone().unwrap_or_default();
        let desired = assignment.desired();
        let service = self.services.of(&task).unwrap_or_default();
        let workload = service.workload(self.node, id, &task);
        if task.spec.is_none() && noted.insert(service::key(&task)) {
            self.notes
                .push(Note::new(NoteKind::Service(Box::new(service.assignment.as_ref().clone()))));
        }
        self.tasks.insert(id, AgentTask::new(workload, desired, task.recorded()));
        let assigned =
            Assigned { task_id: id.to_bytes(), desired: desired.into(), task: Some(task) };
        self.notes.push(Note::new(NoteKind::Assigned(Box::new(assigned))));
        self.claim(id, now);
    }

    fn want(&mut self, id: Id, desired: TaskState, history: AssignedHistory) {
        self.stand(id, TaskStanding::Wanted);
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let desired = match history {
            AssignedHistory::Same => desired.max(task.desired),
            AssignedHistory::New => desired,
        };
        if desired != task.desired {
            task.desired = desired;
            self.touched.insert(id);
            let desired = Desired { task_id: id.to_bytes(), desired: desired.into() };
            self.notes.push(Note::new(NoteKind::Desired(desired)));
        }
    }

    fn receive(&mut self, received: ReceivedSet) {
        if self.received != ReceivedSet::NewHistory {
            self.received = received;
        }
        self.clear_strays();
    }

    fn reach(&mut self, to: Position, received: ReceivedSet) {
        self.receive(received);
        self.position = to;
        let reached = PositionReached {
            incarnation: to.incarnation,
            revision: to.revision.0,
            lineage: self.lineage.0,
        };
        self.notes.push(Note::new(NoteKind::Reached(reached)));
    }

    /// The node is no longer of the cluster: nothing is wanted of it any more.
    pub(crate) fn abandon(&mut self, now: Timestamp) {
        let ids: Vec<Id> = self.tasks.keys().copied().collect();
        for id in ids {
            self.stand(id, TaskStanding::Dropped);
        }
        // Where the node is a member again after all, it asks for everything.
        self.reach(Position::default(), ReceivedSet::Complete);
        self.received = ReceivedSet::Complete;
        self.clear_strays();
        self.settle(now);
    }
}

/// Which history a message speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AssignedHistory {
    /// The one that our position is in.
    Same,
    /// A later incarnation.
    New,
}

fn two_claim(to: Position, followed: Lineage, lineage: Lineage) -> String {
    format!(
        "two histories claim to be incarnation {}: this node follows lineage {followed}, and this manager has lineage \
         {lineage}; both were restored from one backup: stop the managers of the one that is not wanted",
        to.incarnation
    )
}

fn kind_of(at: Position, to: Position, message: &Assignments) -> AssignmentsKind {
    let first = at == Position::default();
    match to.incarnation.cmp(&at.incarnation) {
        std::cmp::Ordering::Less => AssignmentsKind::Echo,
        std::cmp::Ordering::Greater if !message.complete => AssignmentsKind::Gap,
        std::cmp::Ordering::Greater if first => AssignmentsKind::Whole,
        std::cmp::Ordering::Greater => AssignmentsKind::NewHistory,
        std::cmp::Ordering::Equal => {
            let after = Revision(message.after_revision);
            match (message.complete, to.revision.cmp(&at.revision)) {
                (_, std::cmp::Ordering::Less) => AssignmentsKind::Echo,
                (true, std::cmp::Ordering::Equal) if !first => AssignmentsKind::Echo,
                (true, _) => AssignmentsKind::Whole,
                // A set that was cut into several messages names one position in all of them.
                (false, _) if after == at.revision => AssignmentsKind::Change,
                (false, std::cmp::Ordering::Equal) => AssignmentsKind::Echo,
                (false, std::cmp::Ordering::Greater) => AssignmentsKind::Gap,
            }
        }
    }
}
