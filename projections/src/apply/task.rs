//! Records about tasks: the state machine.
//!
//! Observed and desired state have different writers and both only move forward. An end is final:
//! nothing that is heard of a task afterwards changes it. A task that was never placed has nothing
//! that could be observed.

use super::{
    Step,
    misfit::{ApplyResult, Misfit, ObjectKind},
    upkeep::{Changed, TaskContribution},
};
use crate::{
    count::CountChange,
    digest::TaskPart,
    node::NodeIdx,
    task::{TaskDetail, TaskIdx, TaskRow},
    view::View,
};
use skep_proto::{Id, Revision, Timestamp, v1};
use std::sync::Arc;

/// The highest slot: one below what fits, so that the slot after it can always be named.
const SLOT_MAX: u64 = u32::MAX as u64 - 1;

impl View {
    fn task(&self, id: &[u8]) -> Result<(TaskIdx, &TaskRow), Misfit> {
        self.tasks.by_id(Id::from_bytes(id)).ok_or(Misfit::missing(ObjectKind::Task, id))
    }

    /// Adds a task with all that follows from it.
    fn add_task(&mut self, row: TaskRow) -> Option<TaskIdx> {
        let (service, slot, created, version) =
            (row.service, row.slot, row.created.0, row.spec_version);
        let (standing, hash) = (TaskContribution::of(&row), self.task_hash(&row));
        let index = self.tasks.insert(row)?;
        self.digest.put(hash);
        self.tasks_by_slot.insert((service, slot, created, index));
        self.count_task(service, version, CountChange::More);
        self.move_standing(index, TaskContribution::default(), standing);
        Some(index)
    }

    /// Takes a task away with all that followed from it; rows kept only for its sake go too.
    fn remove_task(&mut self, index: TaskIdx) {
        let Some(row) = self.tasks.get(index) else { return };
        let (service, node, id) = (row.service, row.node, row.id);
        let (slot, version, standing) = (
            (service, row.slot, row.created.0, index),
            row.spec_version,
            TaskContribution::of(row),
        );
        self.digest.take(self.task_hash(row));
        self.move_standing(index, standing, TaskContribution::default());
        self.tasks_by_slot.remove(&slot);
        self.tasks.remove(index);
        self.unpark(id);
        self.count_task(service, version, CountChange::Less);
        self.drop_unused(service);
        if let Some(node) = node {
            self.tasks_by_node.remove(&(node, index));
            self.drop_node_if_unused(node);
        }
    }
}

impl Step<'_> {
    pub(super) fn task_created(&mut self, e: &v1::TaskCreated) -> ApplyResult {
        let id = Id::from_bytes(&e.task_id);
        let (service, wanted_by) = self
            .view
            .services
            .by_id(Id::from_bytes(&e.service_id))
            .filter(|(_, row)| !row.removed)
            .ok_or(Misfit::missing(ObjectKind::Service, &e.service_id))?;
        let version = Revision(e.spec_version);
        let desired = e.desired();
        let may_begin = matches!(desired, v1::TaskState::Ready | v1::TaskState::Running);
        let spec_known = wanted_by.spec_at(version).is_some();
        if id.is_none() {
            return Err(Misfit::NoId(ObjectKind::Task));
        }
        if e.slot > SLOT_MAX {
            return Err(Misfit::Slot(id));
        }
        if !spec_known {
            return Err(Misfit::OtherSpec { service: wanted_by.id, version: e.spec_version });
        }
        if !may_begin {
            return Err(Misfit::Step { task: id, from: v1::TaskState::New, to: desired });
        }
        if self.view.tasks.find(id).is_some() {
            return Err(Misfit::Exists(ObjectKind::Task, id));
        }
        let moment = self.moment();
        let held =
            |at| if desired == v1::TaskState::Ready { Timestamp(at) } else { Timestamp::NEVER };
        let row = TaskRow {
            id,
            service,
            node: None,
            slot: e.slot as u32,
            attempt: e.attempt,
            desired,
            desire_reason: v1::DesireReason::Start,
            state: v1::TaskState::Pending,
            spec_version: version,
            created: moment,
            state_since: moment,
            desired_revision: moment.0,
            running_at: Timestamp::NEVER,
            start_at: held(e.start_at),
            start_by: held(e.start_by_at.max(e.start_at)),
            replaces: Id::from_bytes(&e.replaces_id),
            detail: None,
        };
        let index = self.view.add_task(row).ok_or(Misfit::Full(ObjectKind::Task))?;
        self.changed(Changed::Task(index))
    }

    /// Bound to a node for ever.
    pub(super) fn task_assigned(&mut self, e: &v1::TaskAssigned) -> ApplyResult {
        let (index, row) = self.view.task(&e.task_id)?;
        let (node, _) = self
            .view
            .nodes
            .by_id(Id::from_bytes(&e.node_id))
            .filter(|(_, row)| !row.removed)
            .ok_or(Misfit::missing(ObjectKind::Node, &e.node_id))?;
        if !row.is_pending() {
            return Err(Misfit::Placement(row.id));
        }
        let moment = self.moment();
        self.bind(index, node);
        self.view.edit_task(index, &[TaskPart::Placement, TaskPart::Observed], |row| {
            row.node = Some(node);
            (row.state, row.state_since) = (v1::TaskState::Assigned, moment);
        });
        self.changed(Changed::Task(index))
    }

    fn bind(&mut self, task: TaskIdx, node: NodeIdx) {
        self.view.tasks_by_node.insert((node, task));
    }

    pub(super) fn task_desired(&mut self, e: &v1::TaskDesired) -> ApplyResult {
        let (index, row) = self.view.task(&e.task_id)?;
        let desired = e.desired();
        if desired <= row.desired || desired.meaning().desired.is_none() {
            return Err(Misfit::Step { task: row.id, from: row.desired, to: desired });
        }
        let (revision, _) = self.moment();
        self.view.edit_task(index, &[TaskPart::Desired], |row| {
            (row.desired, row.desire_reason, row.desired_revision) =
                (desired, e.reason(), revision);
            (row.start_at, row.start_by) = (Timestamp::NEVER, Timestamp::NEVER);
        });
        self.changed(Changed::Task(index))
    }

    pub(super) fn task_rejected(&mut self, e: &v1::TaskRejected) -> ApplyResult {
        let detail = TaskDetail { error: e.error.clone(), ..TaskDetail::default() };
        self.end(&e.task_id, v1::TaskState::Rejected, Some(detail))
    }

    pub(super) fn task_orphaned(&mut self, e: &v1::TaskOrphaned) -> ApplyResult {
        self.end(&e.task_id, v1::TaskState::Orphaned, None)
    }

    /// The cluster itself decides that a task is over.
    fn end(
        &mut self,
        task: &[u8],
        state: v1::TaskState,
        detail: Option<TaskDetail>,
    ) -> ApplyResult {
        let (index, row) = self.view.task(task)?;
        if row.has_ended() {
            return Err(Misfit::HasEnded { task: row.id, state: row.state });
        }
        let moment = self.moment();
        self.view.edit_task(index, &[TaskPart::Observed, TaskPart::Detail], |row| {
            (row.state, row.state_since) = (state, moment);
            if let Some(mut detail) = detail {
                detail.container = row.detail.as_ref().and_then(|known| known.container.clone());
                row.detail = Some(Arc::new(detail));
            }
        });
        self.changed(Changed::Task(index))
    }

    /// What an agent saw. The same state again is news only if something else in it is.
    pub(super) fn task_observed(&mut self, e: &v1::TaskObserved) -> ApplyResult {
        let (index, row) = self.view.task(&e.task_id)?;
        let state = e.state();
        let can_be_seen = v1::TaskState::Assigned < state && state < v1::TaskState::Remove;
        if row.node.is_none() {
            return Err(Misfit::Placement(row.id));
        }
        if row.has_ended() {
            return Err(Misfit::HasEnded { task: row.id, state: row.state });
        }
        if !can_be_seen || state < row.state {
            return Err(Misfit::Step { task: row.id, from: row.state, to: state });
        }
        let moment = self.moment();
        let detail = Detail::of(e, row.detail.as_deref());
        let again = state == row.state;
        if again && detail == Detail::Same {
            return Ok(());
        }
        let edit = |row: &mut TaskRow| {
            if !again {
                (row.state, row.state_since) = (state, moment);
            }
            if state == v1::TaskState::Running && row.running_at == Timestamp::NEVER {
                row.running_at = moment.1;
            }
        };
        match detail {
            Detail::Same => self.view.edit_task(index, &[TaskPart::Observed], edit),
            Detail::New(detail) => {
                self.view.edit_task(index, &[TaskPart::Observed, TaskPart::Detail], |row| {
                    edit(row);
                    row.detail = detail;
                })
            }
        }
        self.changed(Changed::Task(index))
    }

    /// History keeps it; the view does not. One that may still run somewhere, or is still wanted,
    /// stays.
    pub(super) fn task_reaped(&mut self, e: &v1::TaskReaped) -> ApplyResult {
        let (index, row) = self.view.task(&e.task_id)?;
        let never_placed = row.node.is_none() && !row.is_wanted();
        if !row.has_ended() && !never_placed {
            return Err(Misfit::Step { task: row.id, from: row.state, to: v1::TaskState::Remove });
        }
        let service = row.service;
        let node =
            row.node.and_then(|node| self.view.nodes.get(node)).map(|node| (row.id, node.id));
        self.view.remove_task(index);
        if let Some(delta) = self.delta.as_deref_mut() {
            delta.gone.extend(node);
        }
        self.changed(Changed::Service(service))?;
        self.changed(Changed::Task(index))
    }
}

/// The message, error and container of an observation, compared with those in the view.
#[derive(PartialEq)]
enum Detail {
    Same,
    New(Option<Arc<TaskDetail>>),
}

impl Detail {
    /// A report without a container leaves the one known: an agent need not repeat it.
    fn of(e: &v1::TaskObserved, known: Option<&TaskDetail>) -> Detail {
        let (message, error, container) =
            known.map_or(("", "", None), |k| (&*k.message, &*k.error, k.container.as_ref()));
        let same_container = e.container.is_none() || e.container.as_ref() == container;
        if same_text(&e.message, message) && same_text(&e.error, error) && same_container {
            return Detail::Same;
        }
        let nothing = e.container.is_none() && container.is_none();
        if e.message.is_empty() && e.error.is_empty() && nothing {
            return Detail::New(None);
        }
        Detail::New(Some(Arc::new(TaskDetail {
            message: e.message.clone(),
            error: e.error.clone(),
            container: e.container.as_ref().or(container).cloned(),
        })))
    }
}

/// Whether two texts are equal, most of which are empty. Processors with AVX-512 take some 150 ns
/// to compare no bytes at all at the address of an empty string: a quarter of a whole fold.
fn same_text(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}
