//! Finding the one object that a reconciler fails on, and hiding parked objects from all
//! reconcilers.

use crate::plan::Decision;
use skep_projections::{Delta, NodeIdx, ServiceIdx, TaskIdx, View};
use skep_proto::{Id, Revision, event};
use std::any::Any;

/// One thing that a delta names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Object {
    Cluster,
    Node(NodeIdx),
    Service(ServiceIdx),
    Task(TaskIdx),
}

impl Object {
    /// A change of this alone.
    pub(super) fn delta(self) -> Delta {
        let mut delta = Delta::default();
        match self {
            Object::Cluster => delta.cluster = true,
            Object::Node(node) => drop(delta.nodes.insert(node)),
            Object::Service(service) => drop(delta.services.insert(service)),
            Object::Task(task) => drop(delta.tasks.insert(task)),
        }
        delta
    }
}

/// Everything that a delta names, one by one.
pub(super) fn objects(delta: &Delta) -> Vec<Object> {
    let cluster = delta.cluster.then_some(Object::Cluster);
    let nodes = delta.nodes.iter().copied().map(Object::Node);
    let services = delta.services.iter().copied().map(Object::Service);
    let tasks = delta.tasks.iter().copied().map(Object::Task);
    cluster.into_iter().chain(nodes).chain(services).chain(tasks).collect()
}

/// The object's id, and the newest record that is known to be about it; [`Id::NONE`] when it has
/// gone.
pub(super) fn identity(view: &View, object: Object) -> (Id, Revision) {
    let found = match object {
        Object::Cluster => Some((view.cluster().id, view.cluster().version)),
        Object::Node(node) => view.nodes().get(node).map(|row| (row.id, row.last_revision)),
        Object::Service(service) => {
            view.services().get(service).map(|row| (row.id, row.last_revision))
        }
        Object::Task(task) => view.tasks().get(task).map(|row| (row.id, row.state_since.0)),
    };
    found.unwrap_or((Id::NONE, Revision::ZERO))
}

/// What a decision is about, as that which can be left alone: a task's service, since the next turn
/// may make another task of it; otherwise the object itself.
pub(super) fn subject(view: &View, said: &Decision) -> (Id, Revision) {
    let service_of = |id: Id| {
        let of_task =
            view.tasks().by_id(id).and_then(|(_, task)| view.services().get(task.service));
        of_task.map(|service| service.id).or_else(|| view.services().find(id).map(|_| id))
    };
    let named = || event::objects(&said.kind);
    let subject = named().find_map(service_of).or_else(|| named().next());
    (subject.unwrap_or(Id::NONE), said.cause)
}

/// Takes parked objects and the tasks of parked services out of a delta.
pub(super) fn drop_parked(view: &View, delta: &mut Delta) {
    let parked = |id: Id| view.parked(id).is_some();
    delta.nodes.retain(|node| !view.nodes().get(*node).is_some_and(|row| parked(row.id)));
    delta
        .services
        .retain(|service| !view.services().get(*service).is_some_and(|row| parked(row.id)));
    delta.tasks.retain(|task| {
        let Some(row) = view.tasks().get(*task) else { return true };
        !parked(row.id)
            && !view.services().get(row.service).is_some_and(|service| parked(service.id))
    });
}

/// What a panic said.
pub(super) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
