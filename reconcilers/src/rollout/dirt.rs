//! Whether a task runs something else than its service asks for now.

use skep_projections::{ServiceRow, TaskRow, View};
use skep_proto::{
    Revision, defaults,
    v1::{Placement, ServiceSpec, TaskSpec, TaskState, task_spec::Runtime},
};
use std::collections::BTreeMap;

use crate::placement::requirement::admits;

/// How an old spec differs from the newest one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Difference {
    /// Not in what a task runs.
    None,
    /// In the constraints alone: a task on a node that meets the new ones may stay.
    Constraints,
    /// In the registry's credentials alone: a task that has its image already may stay.
    Credentials,
    /// In what a task runs.
    Everything,
}

/// Compares specs, each old one once.
pub(super) struct Dirt<'a> {
    view: &'a View,
    service: &'a ServiceRow,
    known: BTreeMap<Revision, Difference>,
}

impl<'a> Dirt<'a> {
    pub(super) fn new(view: &'a View, service: &'a ServiceRow) -> Dirt<'a> {
        Dirt { view, service, known: BTreeMap::new() }
    }

    /// Whether the task has to be replaced.
    pub(super) fn is_dirty(&mut self, task: &TaskRow) -> bool {
        if task.spec_version == self.service.spec_version {
            return false;
        }
        let difference = *self.known.entry(task.spec_version).or_insert_with(|| {
            let old = self.service.spec_at(task.spec_version);
            old.map_or(Difference::Everything, |old| difference(old, &self.service.spec))
        });
        match difference {
            Difference::None => false,
            Difference::Constraints => !self.is_well_placed(task),
            Difference::Credentials => !(TaskState::Ready..=TaskState::Running).contains(&task.state),
            Difference::Everything => true,
        }
    }

    fn is_well_placed(&self, task: &TaskRow) -> bool {
        let node = task.node.and_then(|node| self.view.nodes().get(node));
        node.is_some_and(|node| admits(self.view, &self.service.spec, node))
    }
}

fn difference(old: &ServiceSpec, new: &ServiceSpec) -> Difference {
    if old.endpoint != new.endpoint {
        return Difference::Everything;
    }
    let (Some(old), Some(new)) = (&old.task, &new.task) else {
        return if old.task == new.task { Difference::None } else { Difference::Everything };
    };
    if old == new {
        Difference::None
    } else if without_constraints(old) == without_constraints(new) {
        Difference::Constraints
    } else if defaults::container(old).is_some() && without_credentials(old) == without_credentials(new) {
        Difference::Credentials
    } else {
        Difference::Everything
    }
}

fn without_constraints(task: &TaskSpec) -> TaskSpec {
    let placement = task.placement.clone().unwrap_or_default();
    TaskSpec { placement: Some(Placement { constraints: Vec::new(), ..placement }), ..task.clone() }
}

fn without_credentials(task: &TaskSpec) -> TaskSpec {
    let mut task = task.clone();
    if let Some(Runtime::Container(container)) = &mut task.runtime {
        container.registry_credential_ref.clear();
    }
    task
}
