//! Keeps true: tasks leave nodes that are drained or down, or that no longer match.
//!
//! A node that is drained or silent gives its tasks to others at once. A node that changed under
//! its tasks (labels, resources) keeps those that still fit, oldest first, and the rest is
//! rejected; `restart` answers those like any other end. Each task is held to the spec that it
//! runs: moving it to a newer one is for `rollout`, one slot at a time. Tasks on a paused node
//! stay, and so do those on a node whose state is unknown.

use crate::{
    attempts::SuccessorReason,
    placement::requirement::Reservation,
    plan::{Plan, Reconciler, Turn},
    succession::succeed,
};
use skep_projections::{Delta, NodeIdx, NodeRow, TaskIdx, TaskRow, View};
use skep_proto::{
    Timestamp,
    v1::{self, NodeAvailability, NodeState, TaskRejected, TaskState, event::Kind},
};

/// Takes tasks off nodes that are no longer fit for them.
pub struct Fitness;

impl Reconciler for Fitness {
    fn name(&self) -> v1::Reconciler {
        v1::Reconciler::Fitness
    }

    fn reconcile(&self, view: &View, delta: &Delta, turn: &Turn, room: usize) -> Plan {
        let mut plan = Plan::with_room(room);
        // A node with more tasks than the plan holds comes last: others need not wait for it.
        let mut nodes: Vec<_> = delta.nodes.iter().collect();
        let fills = |node: &NodeRow| node.live_tasks as usize > room;
        nodes.sort_by_key(|index| view.nodes().get(**index).is_some_and(fills));
        for index in nodes {
            let Some(node) = view.nodes().get(*index) else { continue };
            match must_leave(node) {
                Some(why) => empty(view, (*index, node), why, turn, &mut plan),
                None => reject_misfits(view, (*index, node), &mut plan),
            }
        }
        plan
    }

    fn resume(&self, view: &View) -> (Delta, Option<Timestamp>) {
        let nodes =
            view.nodes().iter().filter(|(_, node)| !node.removed).map(|(index, _)| index).collect();
        (Delta { nodes, ..Delta::default() }, None)
    }
}

/// Why no task may stay, where none may. What a removed node ran has ended with it.
fn must_leave(node: &NodeRow) -> Option<SuccessorReason> {
    if node.removed {
        None
    } else if node.state == NodeState::Down {
        Some(SuccessorReason::NodeDown)
    } else {
        match node.spec.availability() {
            NodeAvailability::Drain => Some(SuccessorReason::Drained),
            NodeAvailability::Active | NodeAvailability::Pause => None,
        }
    }
}

fn empty(
    view: &View,
    (index, node): (NodeIdx, &NodeRow),
    why: SuccessorReason,
    turn: &Turn,
    plan: &mut Plan,
) {
    for (task, row) in
        view.tasks_on(index).filter(|(_, row)| row.is_live() && !is_left_alone(view, row))
    {
        if plan.is_full() {
            plan.left.nodes.insert(index);
            return;
        }
        succeed(view, (task, row), why, node.last_revision, turn, plan);
    }
}

fn reject_misfits(view: &View, (index, node): (NodeIdx, &NodeRow), plan: &mut Plan) {
    if node.removed
        || node.spec.availability() != NodeAvailability::Active
        || node.state != NodeState::Ready
    {
        return;
    }
    let mut tasks: Vec<(TaskIdx, &TaskRow)> =
        view.tasks_on(index).filter(|(_, row)| row.is_live()).collect();
    tasks.sort_by_key(|(task, row)| (row.created.0, *task));
    let mut free = Reservation::of_node(node);
    for (_, task) in tasks {
        let spec = view.spec_of(task);
        let needs = spec.map(|spec| Reservation::of_spec(spec)).unwrap_or_default();
        let matches = spec.is_none_or(|spec| view.admits(spec, node));
        if matches && free.covers(&needs) {
            free.take(&needs);
            continue;
        }
        if is_left_alone(view, task) {
            continue;
        }
        if plan.is_full() {
            plan.left.nodes.insert(index);
            return;
        }
        let why = if matches {
            "has no room for its reservation"
        } else {
            "no longer meets its constraints"
        };
        let error = format!("node {} {why}", node.hostname());
        plan.decide(
            node.last_revision,
            Kind::TaskRejected(TaskRejected { task_id: task.id.to_bytes(), error }),
        );
    }
}

fn is_left_alone(view: &View, task: &TaskRow) -> bool {
    let service =
        view.services().get(task.service).is_some_and(|row| view.parked(row.id).is_some());
    service || view.parked(task.id).is_some() || task.state < TaskState::Assigned
}
