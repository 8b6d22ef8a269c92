//! Placing the pending tasks of one service and spec version.
//!
//! The best node is the one where the service failed least (once it failed there often), then where
//! it has the fewest live tasks, then the one with the fewest live tasks in all, then the first. As
//! long as there is a node without a task of the service, that is simply the least loaded one; so
//! nodes are taken in the order of their load, and those that have some already wait in a second
//! heap until the others are used up.

use super::{
    node_pool::NodePool,
    requirement::{NodeRefusal, Requirement},
};
use skep_projections::{NodeIdx, ServiceIdx, TaskIdx, View};
use skep_proto::{Revision, Timestamp, time::SECOND_NS};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// Failures of a spec version on a node that make the node worse than one without.
pub const NODE_FAILURES_MAX: u32 = 5;
/// How long a failure counts against a node.
pub const NODE_FAILURES_LIMIT_NS: u64 = 300 * SECOND_NS;

/// One task's node, and what made it the best.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChosenNode {
    pub task: TaskIdx,
    pub node: NodeIdx,
    pub candidates: u32,
    pub service_tasks: u32,
    pub node_tasks: u32,
    pub recent_failures: u32,
}

/// What came of a group.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub chosen: Vec<ChosenNode>,
    /// Tasks that no node takes.
    pub left: Vec<TaskIdx>,
    /// How many nodes each filter refused: all of them if a task is left, otherwise as far as nodes
    /// were looked at.
    pub refused: BTreeMap<NodeRefusal, u32>,
}

/// A node that already has a task of the service, or failed too often: (failures, service's tasks,
/// all tasks, node).
type BusyNode = Reverse<(u32, u32, u32, NodeIdx)>;

struct Group<'f, 'v> {
    pool: &'f mut NodePool<'v>,
    needs: &'f Requirement,
    service: ServiceIdx,
    order: usize,
    failures: BTreeMap<NodeIdx, u32>,
    has_tasks: bool,
    earlier: &'f BTreeMap<NodeIdx, u32>,
    later: BinaryHeap<BusyNode>,
    refused: BTreeMap<NodeRefusal, u32>,
    /// Taken out of the order, with the load each had then.
    taken: Vec<(NodeIdx, u32)>,
}

/// Finds a node for each task, as far as there is one. `earlier` are tasks of the same service that
/// the same plan has placed, under another version of its spec.
pub(crate) fn place(
    pool: &mut NodePool<'_>,
    needs: &Requirement,
    (service, version): (ServiceIdx, Revision),
    tasks: &[TaskIdx],
    among: Option<&[NodeIdx]>,
    earlier: &BTreeMap<NodeIdx, u32>,
    now: Timestamp,
) -> Outcome {
    let order = pool.order_for(needs, among);
    let mut group = Group {
        failures: recent_failures(pool.view, service, version, now),
        has_tasks: pool.view.loads_of(service).next().is_some(),
        earlier,
        refused: pool.order(order).refused.clone(),
        later: BinaryHeap::new(),
        taken: Vec::new(),
        pool,
        needs,
        service,
        order,
    };
    let mut outcome = Outcome { chosen: Vec::with_capacity(tasks.len()), ..Outcome::default() };
    for task in tasks {
        match group.best() {
            Some(choice) => outcome.chosen.push(ChosenNode { task: *task, ..choice }),
            None => break,
        }
    }
    // They are all alike: where one finds no room, no other does.
    outcome.left.extend_from_slice(&tasks[outcome.chosen.len()..]);
    group.give_back();
    outcome.refused = group.refused;
    outcome
}

impl Group<'_, '_> {
    fn best(&mut self) -> Option<ChosenNode> {
        while let Some((load, node)) = self.pool.next(self.order) {
            self.taken.push((node, load));
            let service_tasks = self.service_tasks(node);
            let failures = self.failures_on(node);
            if let Some(refusal) = self.pool.refuses(node, self.needs, service_tasks) {
                self.refuse(refusal);
            } else if service_tasks > 0 || failures >= NODE_FAILURES_MAX {
                self.later.push(Reverse((shunned(failures), service_tasks, load, node)));
            } else {
                return Some(self.choose(node, 0, load));
            }
        }
        while let Some(Reverse((_, service_tasks, load, node))) = self.later.pop() {
            match self.pool.refuses(node, self.needs, service_tasks) {
                Some(refusal) => self.refuse(refusal),
                None => return Some(self.choose(node, service_tasks, load)),
            }
        }
        None
    }

    fn choose(&mut self, node: NodeIdx, service_tasks: u32, load: u32) -> ChosenNode {
        let recent_failures = self.failures_on(node);
        self.pool.place(node, load, self.needs);
        self.later.push(Reverse((shunned(recent_failures), service_tasks + 1, load + 1, node)));
        let examined: u32 = self.refused.values().sum();
        let refused_before: u32 = self.pool.order(self.order).refused.values().sum();
        let candidates = self.pool.order(self.order).nodes - (examined - refused_before);
        ChosenNode {
            task: TaskIdx(0),
            node,
            candidates,
            service_tasks,
            node_tasks: load,
            recent_failures,
        }
    }

    /// Live tasks of the service on a node, those that the plan has placed there included.
    fn service_tasks(&self, node: NodeIdx) -> u32 {
        let in_view =
            if self.has_tasks { self.pool.view.service_load(self.service, node) } else { 0 };
        in_view + self.earlier.get(&node).copied().unwrap_or(0)
    }

    fn failures_on(&self, node: NodeIdx) -> u32 {
        self.failures.get(&node).copied().unwrap_or(0)
    }

    fn refuse(&mut self, refusal: NodeRefusal) {
        *self.refused.entry(refusal).or_default() += 1;
    }

    fn give_back(&mut self) {
        for (node, load) in self.taken.drain(..) {
            self.pool.put_back(self.order, node, load);
        }
    }
}

/// Fewer failures than the limit count as none.
fn shunned(failures: u32) -> u32 {
    if failures >= NODE_FAILURES_MAX { failures } else { 0 }
}

/// Failures of the service's spec version within the last minutes, by node, as far as the view
/// still knows them.
fn recent_failures(
    view: &View,
    service: ServiceIdx,
    version: Revision,
    now: Timestamp,
) -> BTreeMap<NodeIdx, u32> {
    let since = Timestamp(now.0.saturating_sub(NODE_FAILURES_LIMIT_NS));
    let mut failures = BTreeMap::new();
    let of_version =
        view.failures_since(service, since).filter(|(_, task)| task.spec_version == version);
    for node in of_version.filter_map(|(_, task)| task.node) {
        *failures.entry(node).or_default() += 1;
    }
    failures
}
