//! The cluster at one revision, in memory.
//!
//! Tables of rows, and beside them the indexes that keep every question as cheap as its answer.
//! Fields are visible to this crate alone: `apply` writes, everybody else asks.

mod classes;
mod digest;

use crate::{
    apply::SetAside,
    classes::Classes,
    cluster::{ClusterRow, Tenure},
    digest::Digest,
    node::{NodeIdx, NodeRow},
    removed::RemovedNodes,
    service::{ServiceIdx, ServiceRow},
    stamps::{self, CommandStatus, Stamps},
    table::Table,
    task::{TaskIdx, TaskRow},
};
use skep_proto::{Id, Lineage, Position, Revision, Timestamp, v1};
use std::sync::Arc;

/// The fold of all records up to one revision. Cloned in O(1).
#[derive(Clone, Default)]
pub struct View {
    pub(crate) position: Position,
    pub(crate) at: Timestamp,
    pub(crate) level: u32,
    /// Of the position's incarnation.
    pub(crate) lineage: Lineage,
    pub(crate) cluster: ClusterRow,
    pub(crate) tenure: Tenure,
    pub(crate) nodes: Table<NodeIdx, NodeRow>,
    pub(crate) services: Table<ServiceIdx, ServiceRow>,
    pub(crate) tasks: Table<TaskIdx, TaskRow>,
    /// Lower-case name → service, of those not removed.
    pub(crate) services_by_name: imbl::OrdMap<Arc<str>, ServiceIdx>,
    /// (lower-case host name, node) of nodes not removed: host names need not be unique.
    pub(crate) nodes_by_hostname: imbl::OrdSet<(Arc<str>, NodeIdx)>,
    /// (service, slot, revision of creation, task).
    pub(crate) tasks_by_slot: imbl::OrdSet<(ServiceIdx, u32, Revision, TaskIdx)>,
    /// (node, task).
    pub(crate) tasks_by_node: imbl::OrdSet<(NodeIdx, TaskIdx)>,
    /// Tasks without a node that are wanted: (service, spec version, task).
    pub(crate) pending: imbl::OrdSet<(ServiceIdx, Revision, TaskIdx)>,
    /// Wanted live tasks of a service on a node; absent is 0.
    pub(crate) service_load: imbl::OrdMap<(ServiceIdx, NodeIdx), u32>,
    /// Placeable nodes by class, then by live tasks: the front of a class is its least loaded node.
    pub(crate) placeable: imbl::OrdSet<(u32, u32, NodeIdx)>,
    /// What tells nodes apart, and how many share it.
    pub(crate) classes: Classes,
    /// Nodes that have gone silent and are not down yet.
    pub(crate) silent: imbl::OrdSet<NodeIdx>,
    /// Nodes that only a condition keeps from new tasks.
    pub(crate) impaired: imbl::OrdSet<NodeIdx>,
    /// Nodes that are not ready: (state, since when, node).
    pub(crate) away: imbl::OrdSet<(i32, Timestamp, NodeIdx)>,
    /// Nodes that are managers, or are to become or were ones.
    pub(crate) managers: imbl::OrdSet<NodeIdx>,
    /// The newest number that was given to a manager in raft.
    pub(crate) newest_raft_id: u64,
    /// Services whose roll-out is under way.
    pub(crate) updating: imbl::OrdSet<ServiceIdx>,
    /// (protocol, port, node) of host ports taken by tasks that have not ended.
    pub(crate) nodes_by_port: imbl::OrdSet<(i32, u32, NodeIdx)>,
    /// Tasks that have ended and are still wanted: no reconciler has reacted to their end yet.
    pub(crate) unanswered: imbl::OrdSet<TaskIdx>,
    /// Tasks held until a time, by that time.
    pub(crate) held: imbl::OrdSet<(Timestamp, TaskIdx)>,
    /// (service, when, task) of tasks that failed or were rejected on a node.
    pub(crate) failures: imbl::OrdSet<(ServiceIdx, Timestamp, TaskIdx)>,
    /// Objects that a reconciler failed on.
    pub(crate) parked: imbl::OrdMap<Id, Arc<v1::ObjectParked>>,
    /// Tasks that agents have and this history does not know, by id.
    pub(crate) strays: imbl::OrdMap<Id, Arc<v1::StrayObserved>>,
    /// Nodes that were removed, from feature level 5 on.
    pub(crate) removed_nodes: RemovedNodes,
    /// Ids of recent commands.
    pub(crate) stamps: Stamps,
    pub(crate) digest: Digest,
    /// Records that contradicted the view and were set aside.
    pub(crate) set_aside: u64,
    /// The newest of them. It is in no snapshot: after a restart it may be unknown.
    pub(crate) newest_set_aside: Option<SetAside>,
}

impl View {
    /// Up to where it is folded.
    pub fn position(&self) -> Position {
        self.position
    }
    /// Time of the newest record.
    pub fn at(&self) -> Timestamp {
        self.at
    }
    /// What `apply` and the reconcilers mean; raised by a record.
    pub fn level(&self) -> u32 {
        self.level
    }
    /// The mark of the current incarnation; none before feature level 3.
    pub fn lineage(&self) -> Lineage {
        self.lineage
    }
    /// What became of a command of this author.
    pub fn command_status(&self, id: v1::CommandId, author: &v1::Author) -> CommandStatus {
        let author = stamps::author_mark(Some(author));
        let (lineage, newest) = (self.lineage, self.position.revision);
        self.stamps.lookup(id, stamps::AskedOf { author, lineage, newest })
    }
    /// The cluster itself.
    pub fn cluster(&self) -> &ClusterRow {
        &self.cluster
    }
    /// The current tenure.
    pub fn tenure(&self) -> Tenure {
        self.tenure
    }
    /// All nodes, those kept only for ended tasks included (`removed`).
    pub fn nodes(&self) -> &Table<NodeIdx, NodeRow> {
        &self.nodes
    }
    /// All services, those kept only for their last tasks included (`removed`).
    pub fn services(&self) -> &Table<ServiceIdx, ServiceRow> {
        &self.services
    }
    /// All tasks.
    pub fn tasks(&self) -> &Table<TaskIdx, TaskRow> {
        &self.tasks
    }
    /// Nodes that were removed, as far as that is remembered.
    pub fn removed_nodes(&self) -> &RemovedNodes {
        &self.removed_nodes
    }
    /// Ids of recent commands.
    pub fn stamps(&self) -> &Stamps {
        &self.stamps
    }
    /// Records that contradicted the view.
    pub fn set_aside(&self) -> u64 {
        self.set_aside
    }
    /// The newest of them and what did not fit, as far as it was folded since the start.
    pub fn newest_set_aside(&self) -> Option<SetAside> {
        self.newest_set_aside
    }

    /// The service of this name, in any case, unless removed.
    pub fn service_named(&self, name: &str) -> Option<ServiceIdx> {
        self.services_by_name.get(name.to_lowercase().as_str()).copied()
    }

    /// A task's name: its service's and its slot, `web.3`.
    pub fn task_name(&self, task: &TaskRow) -> String {
        let service = self.services.get(task.service).map_or("", |service| service.name());
        format!("{service}.{}", task.slot)
    }

    /// Nodes of this host name, in any case, unless removed.
    pub fn nodes_named(&self, hostname: &str) -> impl Iterator<Item = NodeIdx> + '_ {
        let name = lower_case(hostname);
        // Looked up one by one: a name is mostly one node's, and a range takes longer to begin.
        let mut next = Some((name, NodeIdx(0)));
        std::iter::from_fn(move || {
            let from = next.take()?;
            let (found, node) = self.nodes_by_hostname.get_next(&from)?;
            if *found != from.0 {
                return None;
            }
            next = node.0.checked_add(1).map(|after| (from.0, NodeIdx(after)));
            Some(*node)
        })
    }

    /// Tasks of a service, by slot, then oldest first.
    pub fn tasks_of(
        &self,
        service: ServiceIdx,
    ) -> impl DoubleEndedIterator<Item = (TaskIdx, &TaskRow)> {
        let low = (service, 0, Revision::ZERO, TaskIdx(0));
        let high = (ServiceIdx(service.0 + 1), 0, Revision::ZERO, TaskIdx(0));
        self.tasks_by_slot
            .range(low..high)
            .filter_map(|(.., task)| Some((*task, self.tasks.get(*task)?)))
    }

    /// The highest slot in which a service has a task, whatever its state; 0 if it has none.
    pub fn highest_slot(&self, service: ServiceIdx) -> u32 {
        let low = (service, 0, Revision::ZERO, TaskIdx(0));
        let high = (ServiceIdx(service.0 + 1), 0, Revision::ZERO, TaskIdx(0));
        self.tasks_by_slot.range(low..high).next_back().map_or(0, |(_, slot, ..)| *slot)
    }

    /// Tasks of one slot, oldest first.
    pub fn tasks_in_slot(
        &self,
        service: ServiceIdx,
        slot: u32,
    ) -> impl Iterator<Item = (TaskIdx, &TaskRow)> {
        let low = (service, slot, Revision::ZERO, TaskIdx(0));
        let high = (service, slot + 1, Revision::ZERO, TaskIdx(0));
        self.tasks_by_slot
            .range(low..high)
            .filter_map(|(.., task)| Some((*task, self.tasks.get(*task)?)))
    }

    /// Tasks bound to a node.
    pub fn tasks_on(&self, node: NodeIdx) -> impl Iterator<Item = (TaskIdx, &TaskRow)> {
        let (low, high) = ((node, TaskIdx(0)), (NodeIdx(node.0 + 1), TaskIdx(0)));
        self.tasks_by_node
            .range(low..high)
            .filter_map(|(_, task)| Some((*task, self.tasks.get(*task)?)))
    }

    /// Wanted tasks without a node, grouped by service and spec version.
    pub fn pending(&self) -> impl Iterator<Item = (ServiceIdx, Revision, TaskIdx)> + '_ {
        self.pending.iter().copied()
    }

    /// Wanted tasks of one service without a node.
    pub fn pending_of(
        &self,
        service: ServiceIdx,
    ) -> impl Iterator<Item = (Revision, TaskIdx)> + '_ {
        let low = (service, Revision::ZERO, TaskIdx(0));
        let high = (ServiceIdx(service.0 + 1), Revision::ZERO, TaskIdx(0));
        self.pending.range(low..high).map(|(_, version, task)| (*version, *task))
    }

    /// Wanted tasks without a node that run one version of a service's spec.
    pub fn pending_of_version(
        &self,
        service: ServiceIdx,
        version: Revision,
    ) -> impl Iterator<Item = TaskIdx> + '_ {
        let (low, high) = ((service, version, TaskIdx(0)), (service, version.next(), TaskIdx(0)));
        self.pending.range(low..high).map(|(.., task)| *task)
    }

    /// The versions of a service's spec that its wanted tasks without a node run, oldest first.
    pub fn pending_versions_of(&self, service: ServiceIdx) -> Vec<Revision> {
        let from = |version| {
            let low = (service, version, TaskIdx(0));
            let high = (ServiceIdx(service.0 + 1), Revision::ZERO, TaskIdx(0));
            self.pending.range(low..high).next().map(|(_, version, _)| *version)
        };
        std::iter::successors(from(Revision::ZERO), |version| from(version.next())).collect()
    }

    /// Live tasks of a service on a node.
    pub fn service_load(&self, service: ServiceIdx, node: NodeIdx) -> u32 {
        self.service_load.get(&(service, node)).copied().unwrap_or(0)
    }

    /// Nodes that have live tasks of a service, with how many.
    pub fn loads_of(&self, service: ServiceIdx) -> impl Iterator<Item = (NodeIdx, u32)> + '_ {
        let (low, high) = ((service, NodeIdx(0)), (ServiceIdx(service.0 + 1), NodeIdx(0)));
        self.service_load.range(low..high).map(|((_, node), load)| (*node, *load))
    }

    /// Placeable nodes of one class, least loaded first: (live tasks, node).
    pub fn placeable_in(&self, class: u32) -> impl Iterator<Item = (u32, NodeIdx)> + '_ {
        let (low, high) = ((class, 0, NodeIdx(0)), (class, u32::MAX, NodeIdx(u32::MAX)));
        self.placeable.range(low..=high).map(|(_, load, node)| (*load, *node))
    }

    /// How many nodes there are, removed ones not counted, and how many of them are placeable.
    pub fn node_counts(&self) -> (u32, u32) {
        self.classes.totals()
    }

    /// Nodes that are ready and active and get no new tasks because of a condition.
    pub fn impaired(&self) -> impl Iterator<Item = NodeIdx> + '_ {
        self.impaired.iter().copied()
    }

    /// How many of them there are.
    pub fn impaired_count(&self) -> u32 {
        u32::try_from(self.impaired.len()).unwrap_or(u32::MAX)
    }

    /// Nodes that are managers, and those that are to become or were ones.
    pub fn managers(&self) -> impl Iterator<Item = (NodeIdx, &NodeRow)> {
        self.managers.iter().filter_map(|index| Some((*index, self.nodes.get(*index)?)))
    }

    /// The newest number that was given to a manager in raft; 0 before the first.
    pub fn newest_raft_id(&self) -> u64 {
        self.newest_raft_id
    }

    /// Nodes whose agent has gone silent, until `liveness` has answered.
    pub fn silent(&self) -> impl Iterator<Item = NodeIdx> + '_ {
        self.silent.iter().copied()
    }

    /// Nodes on which a task that has not ended has taken the host port.
    pub fn nodes_with_port(&self, protocol: i32, port: u32) -> impl Iterator<Item = NodeIdx> + '_ {
        let (low, high) = ((protocol, port, NodeIdx(0)), (protocol, port, NodeIdx(u32::MAX)));
        self.nodes_by_port.range(low..=high).map(|(.., node)| *node)
    }

    /// Nodes in a state other than ready, and since when, longest first.
    pub fn nodes_away(
        &self,
        state: v1::NodeState,
    ) -> impl Iterator<Item = (Timestamp, NodeIdx)> + '_ {
        self.nodes_away_since(state, Timestamp::NEVER)
    }

    /// Those of them that got there at that time or later.
    pub fn nodes_away_since(
        &self,
        state: v1::NodeState,
        since: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, NodeIdx)> + '_ {
        let (low, high) =
            ((state as i32, since, NodeIdx(0)), (state as i32 + 1, Timestamp::NEVER, NodeIdx(0)));
        self.away.range(low..high).map(|(_, since, node)| (*since, *node))
    }

    /// Services whose roll-out is under way.
    pub fn updating(&self) -> impl Iterator<Item = ServiceIdx> + '_ {
        self.updating.iter().copied()
    }

    /// Services that have wanted tasks without a node, each once, however many those are.
    pub fn waiting_services(&self) -> impl Iterator<Item = ServiceIdx> + '_ {
        let first_from = |service| {
            self.pending.range((service, Revision::ZERO, TaskIdx(0))..).next().map(|p| p.0)
        };
        std::iter::successors(first_from(ServiceIdx(0)), move |found| {
            first_from(ServiceIdx(found.0 + 1))
        })
    }

    /// Ended tasks whose end no reconciler has answered.
    pub fn unanswered(&self) -> impl Iterator<Item = TaskIdx> + '_ {
        self.unanswered.iter().copied()
    }

    /// Failures of a service's tasks on their nodes since a time, oldest first, as far as the tasks
    /// are in the view.
    pub fn failures_since(
        &self,
        service: ServiceIdx,
        since: Timestamp,
    ) -> impl Iterator<Item = (TaskIdx, &TaskRow)> + '_ {
        let low = (service, since, TaskIdx(0));
        let high = (ServiceIdx(service.0 + 1), Timestamp::NEVER, TaskIdx(0));
        self.failures
            .range(low..high)
            .filter_map(|(_, _, task)| Some((*task, self.tasks.get(*task)?)))
    }

    /// Held tasks by the time when they have to be looked at, soonest first: see
    /// [`TaskRow::held_until`].
    pub fn held(&self) -> impl Iterator<Item = (Timestamp, TaskIdx)> + '_ {
        self.held.iter().copied()
    }

    /// Why an object is left alone, where it is.
    pub fn parked(&self, id: Id) -> Option<&Arc<v1::ObjectParked>> {
        self.parked.get(&id)
    }

    /// All strays: tasks that agents have and this history does not know.
    pub fn strays(&self) -> impl Iterator<Item = (Id, &Arc<v1::StrayObserved>)> {
        self.strays.iter().map(|(id, stray)| (*id, stray))
    }

    /// Those that one node has.
    pub fn strays_on(&self, node: Id) -> impl Iterator<Item = &Arc<v1::StrayObserved>> {
        self.strays.values().filter(move |stray| Id::from_bytes(&stray.node_id) == node)
    }

    /// One stray.
    pub fn stray(&self, id: Id) -> Option<&Arc<v1::StrayObserved>> {
        self.strays.get(&id)
    }

    /// All parked objects.
    pub fn all_parked(&self) -> impl Iterator<Item = (Id, &Arc<v1::ObjectParked>)> {
        self.parked.iter().map(|(id, parked)| (*id, parked))
    }

    /// The spec a task runs.
    pub fn spec_of(&self, task: &TaskRow) -> Option<&Arc<v1::ServiceSpec>> {
        self.services.get(task.service)?.spec_at(task.spec_version)
    }

    /// The sum of the hashes of all objects: equal views have equal digests, on every manager.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Names are compared without case. Most have small letters already.
pub(crate) fn lower_case(name: &str) -> Arc<str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        name.to_lowercase().into()
    } else {
        name.into()
    }
}
