//! What a node is told of its tasks: the whole set at first, then what changed, each message with its position. PURE.

use super::{Session, recent::Recent, says_nothing};
use skep_projections::{Delta, NodeIdx, TaskIdx, TaskRow, View};
use skep_proto::{
    Id, Revision,
    v1::{Assignment, Assignments, TaskAssignment},
};
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
    for place in &delta.tasks {
        let Some(node) = view.tasks().get(*place).and_then(|task| task.node) else { continue };
        let Some(node) = view.nodes().get(node) else { continue };
        nodes.entry(node.id).or_default().tasks.push(*place);
    }
    for (task, node) in &delta.gone {
        nodes.entry(*node).or_default().gone.push(*task);
    }
    nodes
}

/// The first message of a session: only what the agent missed, where that is known, else everything.
pub(super) fn first(view: &View, session: &mut Session, recent: &Recent) -> Assignments {
    let (incarnation, revision) = (session.hello.incarnation, Revision(session.hello.revision));
    let missed = recent.since(incarnation, revision, session.node);
    let Some((node, _)) = view.nodes().by_id(session.node) else { return Assignments::default() };
    session.told.clear();
    let mut message = begin(view, session);
    for (_, task) in view.tasks_on(node) {
        session.told.insert(task.id, task.desired);
        if missed.as_ref().is_none_or(|missed| missed.contains(&task.id)) {
            message.changed.push(whole(view, task, node));
        }
    }
    match &missed {
        None => message.complete = true,
        Some(missed) => {
            let gone = missed.iter().filter(|id| !session.told.contains_key(id));
            message.removed_ids = gone.map(|id| id.to_bytes()).collect();
            message.after_revision = revision.0;
        }
    }
    session.revision = view.position().revision;
    message
}

/// What the agent must hear of these changes; none when they are its own reports come back.
pub(super) fn next(view: &View, session: &mut Session, changes: &Changes) -> Option<Assignments> {
    let (node, _) = view.nodes().by_id(session.node)?;
    let mut message = begin(view, session);
    for id in &changes.gone {
        message.removed_ids.push(id.to_bytes());
        session.told.remove(id);
    }
    for place in &changes.tasks {
        let Some(task) = view.tasks().get(*place) else { continue };
        match session.told.insert(task.id, task.desired) {
            Some(desired) if desired == task.desired => {}
            Some(_) => message.changed.push(Assignment {
                task_id: task.id.to_bytes(),
                desired: task.desired as i32,
                task: None,
            }),
            None => message.changed.push(whole(view, task, node)),
        }
    }
    if says_nothing(&message) {
        return None;
    }
    session.revision = view.position().revision;
    Some(message)
}

fn begin(view: &View, session: &Session) -> Assignments {
    let position = view.position();
    Assignments {
        complete: false,
        incarnation: position.incarnation,
        revision: position.revision.0,
        after_revision: session.revision.0,
        changed: Vec::new(),
        removed_ids: Vec::new(),
    }
}

fn whole(view: &View, task: &TaskRow, node: NodeIdx) -> Assignment {
    let service = view.services().get(task.service);
    let spec = view.spec_of(task);
    let annotations = spec.and_then(|s| s.annotations.clone()).unwrap_or_default();
    let assignment = TaskAssignment {
        service_id: service.map(|s| s.id.to_bytes()).unwrap_or_default(),
        service_name: annotations.name,
        slot: u64::from(task.slot),
        spec_version: task.spec_version.0,
        spec: spec.and_then(|s| s.task.clone()),
        service_labels: annotations.labels,
        node_name: view.nodes().get(node).map(|n| n.hostname().to_owned()).unwrap_or_default(),
        recorded: task.state as i32,
        ports: spec.and_then(|s| s.endpoint.as_ref()).map(|e| e.ports.clone()).unwrap_or_default(),
    };
    Assignment { task_id: task.id.to_bytes(), desired: task.desired as i32, task: Some(assignment) }
}
