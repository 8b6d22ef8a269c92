//! Assignments on their way to one agent: in parts of bounded size, each spec once. PURE.
//!
//! The assignments of a node may be large: hundreds of tasks, each spec as large as a command may
//! be. So a message is cut into parts, a service and spec version is described once in a
//! stream, and no more than a few parts are sent before the agent has taken them. Messages that fit
//! into one part wait for nothing.

use prost::Message as _;
use skep_projections::View;
use skep_proto::{
    Id, Revision,
    v1::{Assignment, Assignments, ServiceAssignment, ServiceSpec, TaskAssignment},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// A part is closed before it grows beyond this many bytes; one item may be larger alone.
pub(super) const PART_BYTES_MAX: usize = 1 << 20;
/// Parts sent and not yet taken by the agent; at it the next part waits.
pub(super) const PARTS_AHEAD_MAX: u32 = 4;
/// Messages waiting behind one that travels in parts; at it the session ends, and the agent comes
/// back.
const MESSAGES_WAITING_MAX: usize = 8_192;

type ServiceKey = (Id, Revision);

/// One item of a message.
#[allow(clippy::large_enum_variant, reason = "nearly all items are changes")]
pub(super) enum AssignmentItem {
    /// A task, whole or its desired state alone.
    Changed(Assignment, Option<Described>),
    /// A task that is no longer the node's.
    Removed(Id),
}

/// The service that a whole task belongs to.
pub(super) struct Described {
    key: ServiceKey,
    spec: Arc<ServiceSpec>,
}

impl Described {
    pub(super) fn new(service: Id, version: Revision, spec: Arc<ServiceSpec>) -> Described {
        Described { key: (service, version), spec }
    }

    fn message(&self) -> ServiceAssignment {
        let annotations = self.spec.annotations.clone().unwrap_or_default();
        ServiceAssignment {
            service_id: self.key.0.to_bytes(),
            spec_version: self.key.1.0,
            service_name: annotations.name,
            spec: self.spec.task.clone(),
            service_labels: annotations.labels,
            ports: self.spec.endpoint.as_ref().map(|e| e.ports.clone()).unwrap_or_default(),
        }
    }
}

/// A message that has not been sent as a whole.
pub(super) struct AssignmentBatch {
    head: Assignments,
    items: VecDeque<AssignmentItem>,
    next_part: u32,
}

impl AssignmentBatch {
    /// A message with these positions and no items yet.
    pub(super) fn new(view: &View, after: Revision) -> AssignmentBatch {
        let position = view.position();
        let head = Assignments {
            incarnation: position.incarnation,
            revision: position.revision.0,
            after_revision: after.0,
            lineage: view.lineage().0,
            ..Assignments::default()
        };
        AssignmentBatch { head, items: VecDeque::new(), next_part: 0 }
    }

    pub(super) fn complete(&mut self) {
        self.head.complete = true;
    }

    pub(super) fn push(&mut self, item: AssignmentItem) {
        self.items.push_back(item);
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.head.complete && self.items.is_empty()
    }
}

/// Whether a message could be queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Queued {
    Yes,
    /// Too much waits: the agent does not keep up.
    Full,
}

/// What one agent's stream has been sent, and what waits.
#[derive(Default)]
pub(super) struct Outbound {
    batches: VecDeque<AssignmentBatch>,
    ahead: u32,
    /// What the stream has described, and how many tasks that were sent name it.
    described: BTreeMap<ServiceKey, (Arc<ServiceSpec>, u32)>,
    sent: BTreeMap<Id, ServiceKey>,
}

impl Outbound {
    /// Queues a message behind those that wait.
    pub(super) fn push(&mut self, batch: AssignmentBatch) -> Queued {
        if self.batches.len() >= MESSAGES_WAITING_MAX {
            return Queued::Full;
        }
        self.batches.push_back(batch);
        Queued::Yes
    }

    /// The agent has taken a part.
    pub(super) fn taken(&mut self) {
        self.ahead = self.ahead.saturating_sub(1);
    }

    /// The next part to send; none when nothing waits, or the agent has to take others first.
    pub(super) fn next(&mut self) -> Option<Assignments> {
        if self.ahead >= PARTS_AHEAD_MAX {
            return None;
        }
        let AssignmentBatch { head, mut items, next_part } = self.batches.pop_front()?;
        let mut part = Assignments { part: next_part, ..head.clone() };
        let mut bytes = 0;
        while let Some(item) = items.pop_front() {
            let service = self.service_to_describe(&item);
            let size =
                item_bytes(&item) + service.as_ref().map_or(0, |service| service.encoded_len());
            if bytes > 0 && bytes + size > PART_BYTES_MAX {
                items.push_front(item);
                break;
            }
            bytes += size;
            self.add(&mut part, item, service);
        }
        if !items.is_empty() {
            part.more = true;
            self.ahead += 1;
            self.batches.push_front(AssignmentBatch { head, items, next_part: next_part + 1 });
        }
        Some(part)
    }

    /// What must be described before this item; nothing where the stream knows it already.
    fn service_to_describe(&self, item: &AssignmentItem) -> Option<ServiceAssignment> {
        let AssignmentItem::Changed(_, Some(described)) = item else { return None };
        let known = self.described.get(&described.key);
        known.is_none_or(|(spec, _)| !same(spec, &described.spec)).then(|| described.message())
    }

    fn add(
        &mut self,
        part: &mut Assignments,
        item: AssignmentItem,
        service: Option<ServiceAssignment>,
    ) {
        match item {
            AssignmentItem::Removed(task) => {
                part.removed_ids.push(task.to_bytes());
                self.forget(task);
            }
            AssignmentItem::Changed(assignment, described) => {
                if let Some(described) = described {
                    let task = Id::from_bytes(&assignment.task_id);
                    let entry = self
                        .described
                        .entry(described.key)
                        .or_insert_with(|| (described.spec.clone(), 0));
                    if service.is_some() {
                        entry.0 = described.spec;
                    }
                    if self.sent.insert(task, described.key).is_none() {
                        entry.1 += 1;
                    }
                }
                part.services.extend(service);
                part.changed.push(assignment);
            }
        }
    }

    /// The agent forgets a service with its last task, so it must be described again for the next
    /// one.
    fn forget(&mut self, task: Id) {
        let Some(key) = self.sent.remove(&task) else { return };
        let Some((_, tasks)) = self.described.get_mut(&key) else { return };
        *tasks = tasks.saturating_sub(1);
        if *tasks == 0 {
            self.described.remove(&key);
        }
    }
}

/// Whether tasks of both specs are described alike: a service that was scaled has another spec and
/// the same tasks.
fn same(a: &Arc<ServiceSpec>, b: &Arc<ServiceSpec>) -> bool {
    Arc::ptr_eq(a, b)
        || (&a.annotations, &a.task, &a.endpoint) == (&b.annotations, &b.task, &b.endpoint)
}

fn item_bytes(item: &AssignmentItem) -> usize {
    match item {
        AssignmentItem::Changed(assignment, _) => assignment.encoded_len(),
        AssignmentItem::Removed(_) => size_of::<Id>(),
    }
}

/// A task's own part of its assignment.
pub(super) fn task_assignment(
    service: Id,
    slot: u32,
    version: Revision,
    node: &str,
    recorded: i32,
) -> TaskAssignment {
    TaskAssignment {
        service_id: service.to_bytes(),
        slot: u64::from(slot),
        spec_version: version.0,
        node_name: node.to_owned(),
        recorded,
        ..TaskAssignment::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::World;

    /// A change of exactly so many bytes.
    fn change(bytes: usize) -> AssignmentItem {
        let of = |name: usize| Assignment {
            task_id: Id(1).to_bytes(),
            task: Some(TaskAssignment { node_name: "n".repeat(name), ..TaskAssignment::default() }),
            ..Assignment::default()
        };
        let mut name = bytes;
        while of(name).encoded_len() > bytes {
            name -= 1;
        }
        assert_eq!(of(name).encoded_len(), bytes, "the length has no gap here");
        AssignmentItem::Changed(of(name), None)
    }

    /// How many items each part has, where every part is taken at once.
    fn parts(items: Vec<AssignmentItem>) -> Vec<(usize, bool)> {
        let mut batch = AssignmentBatch::new(&World::empty().view, Revision::ZERO);
        items.into_iter().for_each(|item| batch.push(item));
        let mut outbound = Outbound::default();
        assert_eq!(outbound.push(batch), Queued::Yes);
        let mut parts = Vec::new();
        while let Some(part) = outbound.next() {
            assert_eq!(part.part as usize, parts.len());
            parts.push((part.changed.len() + part.removed_ids.len(), part.more));
            outbound.taken();
        }
        parts
    }

    #[test]
    fn a_part_is_filled_to_its_last_byte() {
        let half = PART_BYTES_MAX / 2;
        assert_eq!(parts(vec![change(half), change(half)]), [(2, false)]);
        assert_eq!(parts(vec![change(half), change(half + 1)]), [(1, true), (1, false)]);
        let large = change(PART_BYTES_MAX + 1_000);
        assert_eq!(parts(vec![large, change(100)]), [(1, true), (1, false)], "alone in its part");
    }

    #[test]
    fn removed_tasks_count_as_their_ids() {
        let removed = |count: u128| (0..count).map(|n| AssignmentItem::Removed(Id(n))).collect();
        let full = (PART_BYTES_MAX / 16) as u128;
        assert_eq!(parts(removed(full)), [(full as usize, false)]);
        assert_eq!(parts(removed(full + 1)), [(full as usize, true), (1, false)]);
    }

    #[test]
    fn a_batch_that_changes_nothing_is_empty_unless_it_is_the_whole_set() {
        let mut batch = AssignmentBatch::new(&World::empty().view, Revision::ZERO);
        assert!(batch.is_empty());
        batch.complete();
        assert!(!batch.is_empty(), "an empty set is news");
        let mut batch = AssignmentBatch::new(&World::empty().view, Revision::ZERO);
        batch.push(AssignmentItem::Removed(Id(1)));
        assert!(!batch.is_empty());
    }

    #[test]
    fn messages_wait_up_to_a_bound() {
        let mut outbound = Outbound::default();
        let view = World::empty().view;
        let batch = || AssignmentBatch::new(&view, Revision::ZERO);
        for _ in 0..MESSAGES_WAITING_MAX {
            assert_eq!(outbound.push(batch()), Queued::Yes);
        }
        assert_eq!(outbound.push(batch()), Queued::Full);
    }
}
