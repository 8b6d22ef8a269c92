//! The assignments that a node is sent: the whole set at first, then the changes, each message with
//! its position. PURE.

use super::{
    Session,
    parts::{AssignmentBatch, AssignmentItem, Described, task_assignment},
    recent::Recent,
};
use skep_projections::{Delta, NodeIdx, TaskIdx, TaskRow, View};
use skep_proto::{Id, Revision, v1::Assignment};
use std::collections::BTreeMap;

/// What changed for one node.
#[derive(Default)]
pub(super) struct Changes {
    tasks: Vec<TaskIdx>,
    gone: Vec<Id>,
}

/// Sorts a delta by the nodes it concerns.
pub(super) fn by_node(view: &View, delta: &Delta) -> BTreeMap<Id, Changes> {
    let mut nodes: BTreeMap<Id, Changes> = BTreeMap::new();
    for index in &delta.tasks {
        let Some(node) = view.tasks().get(*index).and_then(|task| task.node) else { continue };
        let Some(node) = view.nodes().get(node) else { continue };
        nodes.entry(node.id).or_default().tasks.push(*index);
    }
    for (task, node) in &delta.gone {
        nodes.entry(*node).or_default().gone.push(*task);
    }
    nodes
}

/// The first message of a session: only what the agent missed, where that is known, else
/// everything.
pub(super) fn first(
    view: &View,
    session: &mut Session,
    recent: &Recent,
) -> Option<AssignmentBatch> {
    let (incarnation, revision) = (session.hello.incarnation, Revision(session.hello.revision));
    let missed = recent.since(incarnation, revision, session.node);
    let (node, _) = view.nodes().by_id(session.node)?;
    session.told.clear();
    let mut batch =
        AssignmentBatch::new(view, if missed.is_some() { revision } else { Revision::ZERO });
    for (_, task) in view.tasks_on(node) {
        session.told.insert(task.id, task.desired);
        if missed.as_ref().is_none_or(|missed| missed.contains(&task.id)) {
            batch.push(whole(view, task, node));
        }
    }
    match &missed {
        None => batch.complete(),
        Some(missed) => {
            let gone = missed.iter().filter(|id| !session.told.contains_key(id));
            gone.for_each(|id| batch.push(AssignmentItem::Removed(*id)));
        }
    }
    session.revision = view.position().revision;
    Some(batch)
}

/// The part of these changes that the agent needs; none when they are only its own reports.
pub(super) fn next(
    view: &View,
    session: &mut Session,
    changes: &Changes,
) -> Option<AssignmentBatch> {
    let (node, _) = view.nodes().by_id(session.node)?;
    let mut batch = AssignmentBatch::new(view, session.revision);
    for id in &changes.gone {
        batch.push(AssignmentItem::Removed(*id));
        session.told.remove(id);
    }
    for index in &changes.tasks {
        let Some(task) = view.tasks().get(*index) else { continue };
        match session.told.insert(task.id, task.desired) {
            Some(desired) if desired == task.desired => {}
            Some(_) => batch.push(AssignmentItem::Changed(assignment(task), None)),
            None => batch.push(whole(view, task, node)),
        }
    }
    if batch.is_empty() {
        return None;
    }
    session.revision = view.position().revision;
    Some(batch)
}

fn assignment(task: &TaskRow) -> Assignment {
    Assignment { task_id: task.id.to_bytes(), desired: task.desired as i32, task: None }
}

fn whole(view: &View, task: &TaskRow, node: NodeIdx) -> AssignmentItem {
    let service = view.services().get(task.service).map(|service| service.id).unwrap_or_default();
    let node = view.nodes().get(node).map_or("", |node| node.hostname());
    let own = task_assignment(service, task.slot, task.spec_version, node, task.state as i32);
    let spec = view.spec_of(task).cloned().unwrap_or_default();
    let described = Described::new(service, task.spec_version, spec);
    AssignmentItem::Changed(Assignment { task: Some(own), ..assignment(task) }, Some(described))
}
