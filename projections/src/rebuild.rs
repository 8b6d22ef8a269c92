//! What follows from the rows, recomputed: indexes, counters, digest.
//!
//! A snapshot holds facts alone, so it cannot disagree with itself, and an index can change its
//! shape without a new format. Everything is gathered in plain vectors and put in order once, which
//! is faster than to add task by task, and is another way to the same answer: so tests, the
//! simulator and `doctor` can ask whether `apply` has kept every index exactly.

mod faults;

use crate::{
    NodeIdx, ServiceIdx, TaskIdx, TaskRow, View,
    apply::upkeep::{away_key, host_ports, is_updating, placeable_key},
    classes::{ClassKey, Classes},
    count::CountChange,
};
use skep_proto::{Revision, Timestamp, v1::TaskState};
use std::{collections::BTreeMap, sync::Arc};

/// What the tasks of a node add up to.
#[derive(Default, Clone)]
struct NodeTotals {
    live_tasks: u32,
    nano_cpus: i64,
    memory_bytes: i64,
    ports: Vec<(i32, u32)>,
}

/// What the tasks of a service add up to.
#[derive(Default, Clone)]
struct ServiceTotals {
    tasks: u32,
    live: u32,
    running: u32,
    specs: BTreeMap<Revision, u32>,
}

/// Index entries and sums over all tasks.
#[derive(Default)]
struct DerivedRows {
    by_slot: Vec<(ServiceIdx, u32, Revision, TaskIdx)>,
    by_node: Vec<(NodeIdx, TaskIdx)>,
    pending: Vec<(ServiceIdx, Revision, TaskIdx)>,
    unanswered: Vec<TaskIdx>,
    held: Vec<(Timestamp, TaskIdx)>,
    failures: Vec<(ServiceIdx, Timestamp, TaskIdx)>,
    loads: Vec<(ServiceIdx, NodeIdx)>,
    nodes: Vec<NodeTotals>,
    services: Vec<ServiceTotals>,
}

impl View {
    /// Computes everything that follows from rows, parked objects and stamps, whatever stood there
    /// before. Nothing when the rows contradict each other.
    pub(crate) fn rebuild(mut self, free_classes: Vec<u32>) -> Option<View> {
        let mut gathered = DerivedRows::default();
        for (index, row) in self.tasks.by_index() {
            gathered.add(&self, index, row)?;
        }
        self.settle_services(std::mem::take(&mut gathered.services))?;
        self.settle_nodes(std::mem::take(&mut gathered.nodes), free_classes)?;
        self.tasks_by_slot = sorted(gathered.by_slot).collect();
        self.tasks_by_node = sorted(gathered.by_node).collect();
        self.pending = sorted(gathered.pending).collect();
        self.unanswered = sorted(gathered.unanswered).collect();
        self.held = sorted(gathered.held).collect();
        self.failures = sorted(gathered.failures).collect();
        let loads: Vec<_> = sorted(gathered.loads).collect();
        self.service_load =
            loads.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect();
        self.digest = self.recomputed_digest();
        Some(self)
    }

    fn settle_services(&mut self, mut counted: Vec<ServiceTotals>) -> Option<()> {
        self.services_by_name.clear();
        self.updating.clear();
        for index in self.services.by_index().map(|(index, _)| index).collect::<Vec<_>>() {
            let sums = counted.get_mut(index.0 as usize).map(std::mem::take).unwrap_or_default();
            let row = self.services.get_mut(index)?;
            (row.tasks, row.live_tasks, row.running_tasks) = (sums.tasks, sums.live, sums.running);
            for known in Arc::make_mut(&mut row.specs) {
                known.tasks = sums.specs.get(&known.version).copied().unwrap_or(0);
            }
            if is_updating(row) {
                self.updating.insert(index);
            }
            if !row.removed {
                let name = row.name().to_lowercase().into();
                self.services_by_name.insert(name, index).is_none().then_some(())?;
            }
        }
        Some(())
    }

    fn settle_nodes(&mut self, mut taken: Vec<NodeTotals>, free_classes: Vec<u32>) -> Option<()> {
        let present = self.nodes.by_index().filter(|(_, row)| !row.removed);
        self.classes =
            Classes::restore(present.map(|(_, row)| (row.class, ClassKey::of(row))), free_classes)?;
        let (mut names, mut silent, mut ports, mut placeable) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut away, mut impaired, mut managers) = (Vec::new(), Vec::new(), Vec::new());
        for index in self.nodes.by_index().map(|(index, _)| index).collect::<Vec<_>>() {
            let sums = taken.get_mut(index.0 as usize).map(std::mem::take).unwrap_or_default();
            let row = self.nodes.get_mut(index)?;
            row.live_tasks = sums.live_tasks;
            (row.reserved_nano_cpus, row.reserved_memory_bytes) =
                (sums.nano_cpus, sums.memory_bytes);
            row.host_ports = Arc::new(sorted(sums.ports).collect());
            ports.extend(row.host_ports.iter().map(|(protocol, port)| (*protocol, *port, index)));
            placeable.extend(placeable_key(row, index));
            silent.extend(row.silent.then_some(index));
            impaired.extend(row.is_impaired().then_some(index));
            managers.extend(row.is_among_managers().then_some(index));
            away.extend(away_key(row, index));
            if !row.removed {
                names.push((row.hostname().to_lowercase().into(), index));
            }
        }
        placeable
            .iter()
            .for_each(|(class, ..)| self.classes.count_placeable(*class, CountChange::More));
        self.nodes_by_hostname = sorted(names).collect();
        self.silent = silent.into_iter().collect();
        self.impaired = impaired.into_iter().collect();
        self.managers = managers.into_iter().collect();
        self.away = sorted(away).collect();
        self.nodes_by_port = sorted(ports).collect();
        self.placeable = sorted(placeable).collect();
        Some(())
    }
}

impl DerivedRows {
    /// Adds a task; nothing when it names a row that is not there.
    fn add(&mut self, view: &View, index: TaskIdx, row: &TaskRow) -> Option<()> {
        let spec = view.services.get(row.service)?.spec_at(row.spec_version)?;
        let (live, ended) = (row.is_live(), row.has_ended());
        self.by_slot.push((row.service, row.slot, row.created.0, index));
        if row.is_pending() {
            self.pending.push((row.service, row.spec_version, index));
        }
        if ended && row.is_wanted() {
            self.unanswered.push(index);
        }
        if row.held_until() != Timestamp::NEVER {
            self.held.push((row.held_until(), index));
        }
        if row.failed_at() != Timestamp::NEVER {
            self.failures.push((row.service, row.failed_at(), index));
        }
        let service = at(&mut self.services, row.service.0);
        service.tasks += 1;
        service.live += u32::from(live);
        service.running += u32::from(row.state == TaskState::Running && row.is_wanted());
        *service.specs.entry(row.spec_version).or_default() += 1;
        let Some(node) = row.node else { return Some(()) };
        view.nodes.get(node)?;
        self.by_node.push((node, index));
        let sums = at(&mut self.nodes, node.0);
        if live {
            sums.live_tasks += 1;
            self.loads.push((row.service, node));
        }
        if !ended {
            let resources = spec.task.as_ref().and_then(|task| task.resources.as_ref());
            if let Some(wanted) = resources.and_then(|resources| resources.reservations.as_ref()) {
                sums.nano_cpus = sums.nano_cpus.wrapping_add(wanted.nano_cpus);
                sums.memory_bytes = sums.memory_bytes.wrapping_add(wanted.memory_bytes);
            }
            sums.ports.extend(host_ports(spec));
        }
        Some(())
    }
}

/// The sums of an index; indexes are dense.
fn at<T: Default + Clone>(sums: &mut Vec<T>, index: u32) -> &mut T {
    let index = index as usize;
    if sums.len() <= index {
        sums.resize(index + 1, T::default());
    }
    &mut sums[index]
}

/// In order: a sorted list goes into a tree two to three times as fast.
fn sorted<T: Ord>(mut entries: Vec<T>) -> impl Iterator<Item = T> {
    entries.sort_unstable();
    entries.into_iter()
}
