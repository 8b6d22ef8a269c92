//! Keeps true: a pending task has the best node, or a reason why it has none.
//!
//! Tasks of one service and spec version are placed together. A service that found no node is
//! looked at again when a node changed or when something ended; if nothing but room became free,
//! only the nodes concerned are looked at, since no other can have become fit. A service
//! whose tasks would fill the plan comes last: the others need not wait for it.

pub mod features;

pub(crate) mod requirement;

mod explain;
mod group;
mod node_pool;

pub use group::{NODE_FAILURES_LIMIT_NS, NODE_FAILURES_MAX};

use crate::plan::{Plan, Reconciler, Turn};
use group::{ChosenNode, Outcome};
use node_pool::NodePool;
use requirement::Requirement;
use skep_projections::{Delta, NodeIdx, ServiceIdx, ServiceRow, TaskIdx, View};
use skep_proto::{
    Revision, Timestamp,
    v1::{self, TaskAssigned, event::Kind},
};
use std::collections::{BTreeMap, BTreeSet};

/// Nodes examined in one turn to renew the reasons why tasks are pending, over all services. Above
/// it waiting services keep their old reason, and only the nodes that changed are tried.
const EXPLAIN_LOOKS_MAX: usize = 100_000;

/// Gives each pending task the best node, or a reason why there is none.
pub struct Placement;

impl Reconciler for Placement {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Placement
    }

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        let asked = asked(view, delta);
        let freed = freed(view, delta);
        let mut waiting = asked.clone();
        if !freed.is_empty() || !delta.nodes.is_empty() {
            waiting.extend(view.waiting_services());
        }
        // A change of the nodes themselves may change the reasons too, so everything is looked at
        // again.
        let looks = waiting.len().saturating_mul(view.node_counts().0 as usize);
        let anew = !delta.nodes.is_empty() && looks <= EXPLAIN_LOOKS_MAX;
        let mut pool = NodePool::new(view);
        let mut waiting: Vec<ServiceIdx> = waiting.into_iter().collect();
        waiting.sort_by_cached_key(|index| view.pending_of(*index).nth(room).is_some());
        for service in waiting {
            let among = if anew || asked.contains(&service) { None } else { Some(&freed) };
            if among.is_some_and(BTreeMap::is_empty) {
                continue;
            }
            place_service(&mut pool, service, among, turn, &mut plan);
        }
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let tasks = view.pending().map(|(.., task)| task).collect();
        (Delta { tasks, ..Delta::default() }, None)
    }
}

/// Services with tasks to place that are new, or that changed themselves: one that was parked has
/// missed what happened to the nodes meanwhile. And services whose tasks wait for a reason that is
/// no longer theirs, since the tasks of the spec that it was about have gone.
fn asked(view: &View, delta: &Delta) -> BTreeSet<ServiceIdx> {
    let is_waiting = |index: &ServiceIdx| view.pending_of(*index).next().is_some();
    let mut asked: BTreeSet<_> = delta.services.iter().copied().filter(is_waiting).collect();
    let mut touched = BTreeSet::new();
    for task in delta.tasks.iter().filter_map(|index| view.tasks().get(*index)) {
        if task.is_pending() {
            asked.insert(task.service)
        } else {
            touched.insert(task.service)
        };
    }
    asked.extend(touched.into_iter().filter(|index| waits_without_reason(view, *index)));
    asked
}

fn waits_without_reason(view: &View, index: ServiceIdx) -> bool {
    let Some(service) = view.services().get(index) else { return false };
    let about = service.blocked.as_ref().map(|blocked| Revision(blocked.spec_version));
    let mut pending = view.pending_of(index).peekable();
    pending.peek().is_some() && !pending.any(|(version, _)| Some(version) == about)
}

/// Nodes that may have become fit for something, and the record that made them so.
fn freed(view: &View, delta: &Delta) -> BTreeMap<NodeIdx, Revision> {
    let mut freed = BTreeMap::new();
    for index in &delta.nodes {
        if let Some(node) = view.nodes().get(*index).filter(|node| node.is_placeable()) {
            freed.insert(*index, node.last_revision);
        }
    }
    for task in delta.tasks.iter().filter_map(|index| view.tasks().get(*index)) {
        if let (Some(node), false) = (task.node, task.is_live()) {
            let cause = freed.entry(node).or_insert(Revision::ZERO);
            *cause = (*cause).max(task.state_since.0).max(task.desired_revision);
        }
    }
    freed
}

fn place_service(
    pool: &mut NodePool<'_>,
    index: ServiceIdx,
    among: Option<&BTreeMap<NodeIdx, Revision>>,
    turn: &Turn,
    plan: &mut Plan,
) {
    let Some(service) = pool.view.services().get(index) else { return };
    if service.removed || pool.view.parked(service.id).is_some() {
        return;
    }
    let nodes: Option<Vec<NodeIdx>> = among.map(|among| among.keys().copied().collect());
    let mut blocked = BlockedNews::Untold;
    let mut earlier: BTreeMap<NodeIdx, u32> = BTreeMap::new();
    let versions = pool.view.pending_versions_of(index);
    // The newest spec first: it is the one to explain if both find no node.
    for version in versions.iter().copied().rev() {
        if plan.is_full() {
            break;
        }
        let Some(spec) = service.spec_at(version) else { continue };
        let needs = Requirement::of(spec);
        let pending = pool.view.pending_of_version(index, version);
        let same: Vec<TaskIdx> = pending.take(plan.room()).collect();
        let outcome = group::place(
            pool,
            &needs,
            (index, version),
            &same,
            nodes.as_deref(),
            &earlier,
            turn.now,
        );
        assign(pool.view, &outcome, among, plan);
        if versions.len() > 1 {
            outcome.chosen.iter().for_each(|choice| *earlier.entry(choice.node).or_default() += 1);
        }
        if among.is_none() {
            blocked = speak(pool.view, service, version, &outcome, blocked, plan);
        }
    }
    match among {
        Some(freed) if plan.is_full() => plan.left.nodes.extend(freed.keys()),
        None if plan.is_full() => drop(plan.left.services.insert(index)),
        Some(_) | None => {}
    }
}

fn assign(
    view: &View,
    outcome: &Outcome,
    among: Option<&BTreeMap<NodeIdx, Revision>>,
    plan: &mut Plan,
) {
    for choice in &outcome.chosen {
        let (Some(task), Some(node)) =
            (view.tasks().get(choice.task), view.nodes().get(choice.node))
        else {
            continue;
        };
        let freed =
            among.and_then(|among| among.get(&choice.node)).copied().unwrap_or(Revision::ZERO);
        let ChosenNode { candidates, service_tasks, node_tasks, recent_failures, .. } = *choice;
        let assigned = TaskAssigned {
            task_id: task.id.to_bytes(),
            node_id: node.id.to_bytes(),
            candidates,
            service_tasks,
            node_tasks,
            recent_failures,
        };
        plan.decide(task.created.0.max(freed), Kind::TaskAssigned(assigned));
    }
}

/// Whether this turn has said of a service that no node fits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockedNews {
    Untold,
    Told,
}

/// Says what filters refused, if that is new. Of several versions that find no node only the first
/// is spoken about.
fn speak(
    view: &View,
    service: &ServiceRow,
    version: Revision,
    outcome: &Outcome,
    blocked: BlockedNews,
    plan: &mut Plan,
) -> BlockedNews {
    let (nodes, _) = view.node_counts();
    let tasks = outcome.chosen.iter().map(|choice| &choice.task).chain(&outcome.left);
    let created = tasks.filter_map(|task| view.tasks().get(*task)).map(|task| task.created.0).max();
    let cause = created.unwrap_or(service.version);
    if outcome.left.is_empty() {
        if version == service.spec_version
            && let Some(said) = explain::explained(service, version, nodes, &outcome.refused)
        {
            plan.decide(cause, Kind::PlacementExplained(said));
        }
        return blocked;
    }
    if blocked == BlockedNews::Untold
        && let Some(said) = explain::blocked(service, version, nodes, &outcome.refused)
    {
        plan.decide(cause, Kind::PlacementBlocked(said));
    }
    BlockedNews::Told
}
