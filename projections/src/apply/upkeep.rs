//! Changing a row together with all that follows from it: digest, counters, indexes.
//!
//! What follows from a row is computed before and after the change; where the two differ, the
//! indexes are moved from one to the other. So no record can forget an index, and a change that
//! moves nothing costs nothing.

use super::{Step, misfit::ApplyResult};
use crate::{
    count::CountChange,
    digest::{NodePart, ServicePart, TaskPart, parts},
    node::{NodeIdx, NodeRow},
    service::{ServiceIdx, ServiceRow},
    task::{TaskIdx, TaskRow},
    view::View,
};
use skep_proto::{
    Id, Timestamp,
    v1::{NodeState, PublishMode, RolloutState, ServiceSpec, TaskState},
};
use std::sync::Arc;

/// Something for the delta.
#[derive(Clone, Copy)]
pub(super) enum Changed {
    Cluster,
    Node(NodeIdx),
    Service(ServiceIdx),
    Task(TaskIdx),
}

impl Step<'_> {
    /// Names a change; always fits, so that it can end a fold.
    pub(super) fn changed(&mut self, what: Changed) -> ApplyResult {
        let Some(delta) = self.delta.as_deref_mut() else { return Ok(()) };
        match what {
            Changed::Cluster => delta.cluster = true,
            Changed::Node(index) => drop(delta.nodes.insert(index)),
            Changed::Service(index) => drop(delta.services.insert(index)),
            Changed::Task(index) => drop(delta.tasks.insert(index)),
        }
        Ok(())
    }
}

/// What follows from a task for others; the default is that of no task at all.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TaskContribution {
    live: bool,
    running: bool,
    pending: bool,
    unanswered: bool,
    /// Held until then; never, where it is not.
    held: Timestamp,
    /// When it failed; never, where it did not.
    failed: Timestamp,
    /// The node it is live on.
    live_on: Option<NodeIdx>,
    /// The node whose resources it takes.
    takes_of: Option<NodeIdx>,
}

impl TaskContribution {
    pub(crate) fn of(row: &TaskRow) -> TaskContribution {
        let (live, ended) = (row.is_live(), row.has_ended());
        TaskContribution {
            live,
            running: row.state == TaskState::Running && row.is_wanted(),
            pending: row.is_pending(),
            unanswered: ended && row.is_wanted(),
            held: row.held_until(),
            failed: row.failed_at(),
            live_on: row.node.filter(|_| live),
            takes_of: row.node.filter(|_| !ended),
        }
    }
}

impl View {
    /// Changes a task in the parts named. The node may be set, never changed.
    pub(super) fn edit_task(
        &mut self,
        index: TaskIdx,
        parts: &[TaskPart],
        change: impl FnOnce(&mut TaskRow),
    ) {
        let Some(row) = self.tasks.get_mut(index) else { return };
        let before = TaskContribution::of(row);
        // Identity, the only part that needs the service's id, never changes; placement is nothing
        // before it is set.
        parts.iter().for_each(|part| self.digest.take(part.hash(row, Id::NONE, Id::NONE)));
        change(row);
        let node = if parts.contains(&TaskPart::Placement) { row.node } else { None };
        let node = node.and_then(|node| self.nodes.get(node)).map(|row| row.id).unwrap_or_default();
        parts.iter().for_each(|part| self.digest.put(part.hash(row, Id::NONE, node)));
        let after = TaskContribution::of(row);
        if before != after {
            self.move_standing(index, before, after);
        }
    }

    /// Moves counters and indexes from what followed from a task to what follows now; its row is in
    /// the table.
    pub(crate) fn move_standing(
        &mut self,
        index: TaskIdx,
        before: TaskContribution,
        after: TaskContribution,
    ) {
        let Some(row) = self.tasks.get(index) else { return };
        let (service, version) = (row.service, row.spec_version);
        if before.pending != after.pending {
            let key = (service, version, index);
            if after.pending {
                self.pending.insert(key)
            } else {
                self.pending.remove(&key)
            };
        }
        if before.unanswered != after.unanswered {
            if after.unanswered {
                self.unanswered.insert(index)
            } else {
                self.unanswered.remove(&index)
            };
        }
        if before.held != after.held {
            self.held.remove(&(before.held, index));
            if after.held != Timestamp::NEVER {
                self.held.insert((after.held, index));
            }
        }
        if before.failed != after.failed {
            self.failures.remove(&(service, before.failed, index));
            if after.failed != Timestamp::NEVER {
                self.failures.insert((service, after.failed, index));
            }
        }
        if (before.live, before.running) != (after.live, after.running) {
            let step = |count: &mut u32, was: bool, is: bool| {
                *count = *count + u32::from(is) - u32::from(was)
            };
            self.edit_service(service, &[], |row| {
                step(&mut row.live_tasks, before.live, after.live);
                step(&mut row.running_tasks, before.running, after.running);
            });
        }
        if before.takes_of != after.takes_of {
            let spec = self.services.get(service).and_then(|row| row.spec_at(version)).cloned();
            self.take_resources(before.takes_of, spec.as_deref(), CountChange::Less);
            self.take_resources(after.takes_of, spec.as_deref(), CountChange::More);
        }
        if before.live_on != after.live_on {
            self.load(service, before.live_on, CountChange::Less);
            self.load(service, after.live_on, CountChange::More);
        }
        if before.pending && !after.pending {
            self.unblock(service);
        }
    }

    /// A service that waits for no node any more is not blocked.
    fn unblock(&mut self, service: ServiceIdx) {
        let blocked = self.services.get(service).is_some_and(|row| row.blocked.is_some());
        if blocked && self.pending_of(service).next().is_none() {
            self.edit_service(service, &[ServicePart::Status], |row| row.blocked = None);
        }
    }

    fn take_resources(
        &mut self,
        node: Option<NodeIdx>,
        spec: Option<&ServiceSpec>,
        change: CountChange,
    ) {
        let (Some(node), Some(spec)) = (node, spec) else { return };
        let wanted = spec
            .task
            .as_ref()
            .and_then(|t| t.resources.as_ref())
            .and_then(|r| r.reservations.as_ref());
        let (cpus, memory) = wanted.map_or((0, 0), |r| (r.nano_cpus, r.memory_bytes));
        let ports: Vec<_> = host_ports(spec).collect();
        if (cpus, memory) == (0, 0) && ports.is_empty() {
            return;
        }
        self.edit_node(node, &[], |row| {
            // They wrap: what is given back is exactly what was taken, however wild the numbers.
            let sign = match change {
                CountChange::More => 1,
                CountChange::Less => -1,
            };
            row.reserved_nano_cpus = row.reserved_nano_cpus.wrapping_add(cpus.wrapping_mul(sign));
            row.reserved_memory_bytes =
                row.reserved_memory_bytes.wrapping_add(memory.wrapping_mul(sign));
        });
        ports.into_iter().for_each(|port| self.take_port(node, port, change));
    }

    fn take_port(&mut self, node: NodeIdx, port: (i32, u32), change: CountChange) {
        let Some(row) = self.nodes.get_mut(node) else { return };
        let ports = Arc::make_mut(&mut row.host_ports);
        let at = ports.partition_point(|taken| *taken < port);
        match change {
            CountChange::More => {
                ports.insert(at, port);
                self.nodes_by_port.insert((port.0, port.1, node));
            }
            CountChange::Less if ports.get(at) == Some(&port) => {
                ports.remove(at);
                if ports.get(at) != Some(&port) {
                    self.nodes_by_port.remove(&(port.0, port.1, node));
                }
            }
            CountChange::Less => {}
        }
    }

    fn load(&mut self, service: ServiceIdx, node: Option<NodeIdx>, change: CountChange) {
        let Some(node) = node else { return };
        let key = (service, node);
        let load = self.service_load.get(&key).copied().unwrap_or(0);
        match change.of(load) {
            0 => drop(self.service_load.remove(&key)),
            load => drop(self.service_load.insert(key, load)),
        }
        self.edit_node(node, &[], |row| row.live_tasks = change.of(row.live_tasks));
    }

    /// Changes a node, and the digest in the parts named. Class and host name stay: see
    /// `describe_node`.
    pub(super) fn edit_node(
        &mut self,
        index: NodeIdx,
        parts: &[NodePart],
        change: impl FnOnce(&mut NodeRow),
    ) {
        let Some(row) = self.nodes.get_mut(index) else { return };
        parts.iter().for_each(|part| self.digest.take(part.hash(row)));
        let before = placeable_key(row, index);
        let (silent, away) = (row.silent, away_key(row, index));
        change(row);
        let is_away = away_key(row, index);
        parts.iter().for_each(|part| self.digest.put(part.hash(row)));
        let (after, is_silent) = (placeable_key(row, index), row.silent);
        self.move_placeable(before, after);
        self.move_impaired(index);
        if silent != is_silent {
            if is_silent {
                self.silent.insert(index)
            } else {
                self.silent.remove(&index)
            };
        }
        self.move_away(away, is_away);
        self.move_manager(index);
    }

    /// Moves a node in the index of placeable ones.
    pub(crate) fn move_placeable(
        &mut self,
        before: Option<(u32, u32, NodeIdx)>,
        after: Option<(u32, u32, NodeIdx)>,
    ) {
        if before == after {
            return;
        }
        if let Some(key) = before {
            self.placeable.remove(&key);
        }
        if let Some(key) = after {
            self.placeable.insert(key);
        }
        let class = |key: Option<(u32, u32, NodeIdx)>| key.map(|(class, ..)| class);
        if class(before) != class(after) {
            class(before)
                .into_iter()
                .for_each(|class| self.classes.count_placeable(class, CountChange::Less));
            class(after)
                .into_iter()
                .for_each(|class| self.classes.count_placeable(class, CountChange::More));
        }
    }

    /// Takes a node into the index of those that only a condition keeps from new tasks, or out of
    /// it.
    pub(super) fn move_impaired(&mut self, index: NodeIdx) {
        let impaired = self.nodes.get(index).is_some_and(NodeRow::is_impaired);
        if impaired == self.impaired.contains(&index) {
            return;
        }
        if impaired {
            self.impaired.insert(index);
        } else {
            self.impaired.remove(&index);
        }
    }

    /// Puts a node into the index of managers, or takes it out.
    pub(super) fn move_manager(&mut self, index: NodeIdx) {
        let is_among = self.nodes.get(index).is_some_and(NodeRow::is_among_managers);
        if is_among == self.managers.contains(&index) {
            return;
        }
        if is_among {
            self.managers.insert(index);
        } else {
            self.managers.remove(&index);
        }
    }

    /// Counts a number of raft that was given.
    pub(super) fn count_raft_id(&mut self) {
        self.digest.take(parts::newest_raft_id(self.newest_raft_id));
        self.newest_raft_id += 1;
        self.digest.put(parts::newest_raft_id(self.newest_raft_id));
    }

    /// Moves a node in the index of those that are not ready.
    pub(super) fn move_away(
        &mut self,
        before: Option<(i32, Timestamp, NodeIdx)>,
        after: Option<(i32, Timestamp, NodeIdx)>,
    ) {
        if before == after {
            return;
        }
        if let Some(key) = before {
            self.away.remove(&key);
        }
        if let Some(key) = after {
            self.away.insert(key);
        }
    }

    /// Changes a service, and the digest in the parts named. The name stays: see `rename_service`.
    pub(super) fn edit_service(
        &mut self,
        index: ServiceIdx,
        parts: &[ServicePart],
        change: impl FnOnce(&mut ServiceRow),
    ) {
        let Some(row) = self.services.get_mut(index) else { return };
        parts.iter().for_each(|part| self.digest.take(part.hash(row)));
        let was_updating = is_updating(row);
        change(row);
        let updating = is_updating(row);
        parts.iter().for_each(|part| self.digest.put(part.hash(row)));
        if was_updating != updating {
            if updating {
                self.updating.insert(index)
            } else {
                self.updating.remove(&index)
            };
        }
    }
}

/// Where a placeable node stands in its index.
pub(crate) fn placeable_key(row: &NodeRow, index: NodeIdx) -> Option<(u32, u32, NodeIdx)> {
    row.is_placeable().then_some((row.class, row.live_tasks, index))
}

/// Ports of the node itself that a task of this spec takes, as (protocol, port).
pub(crate) fn host_ports(spec: &ServiceSpec) -> impl Iterator<Item = (i32, u32)> + '_ {
    let ports = spec.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
    let fixed = ports.filter(|p| p.publish_mode() == PublishMode::Host && p.published_port != 0);
    fixed.map(|p| (p.protocol, p.published_port))
}

/// Where a node that is not ready stands in its index.
pub(crate) fn away_key(row: &NodeRow, index: NodeIdx) -> Option<(i32, Timestamp, NodeIdx)> {
    let away = !row.removed && row.state != NodeState::Ready;
    away.then_some((row.state as i32, row.state_at, index))
}

/// Whether a service's roll-out is under way.
pub(crate) fn is_updating(row: &ServiceRow) -> bool {
    !row.removed
        && row.rollout.as_ref().is_some_and(|rollout| rollout.state == RolloutState::Updating)
}
