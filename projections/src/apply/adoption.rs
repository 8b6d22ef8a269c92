//! Which tasks a new spec leaves as they are.
//!
//! A task names the version of the spec that it runs, and `rollout` replaces every task of an older
//! version. So when a spec changes, the tasks that already are what the new spec asks for are given
//! its version at once: those whose old spec is the same, those on a node that meets the new
//! constraints where nothing else changed, and those that have their image already where only the
//! registry's credentials changed. From then on they are judged by the new spec.
//!
//! A restart policy says what follows a task's end, not what the task runs. So from feature level
//! [`RESTART_POLICY_LEVEL`] on it is not compared. At level 1 a new policy replaced every task, and
//! older records keep that meaning.

use crate::{
    count::CountChange,
    digest::TaskPart,
    service::ServiceIdx,
    task::{TaskIdx, TaskRow},
    view::View,
};
use skep_proto::{
    RESTART_POLICY_LEVEL, Revision, defaults,
    v1::{Placement, ServiceSpec, TaskSpec, TaskState, task_spec::Runtime},
};
use std::collections::BTreeMap;

/// How an older spec differs from the newest one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Difference {
    /// Not in what a task runs.
    None,
    /// In the constraints alone.
    Constraints,
    /// In the registry's credentials alone.
    Credentials,
    /// In what a task runs.
    Everything,
}

impl View {
    /// Gives the newest version to the service's tasks that are what its spec asks for; answers
    /// which.
    pub(super) fn adopt_tasks(&mut self, service: ServiceIdx) -> Vec<TaskIdx> {
        let adopted = self.adoptable(service);
        let Some(newest) = self.services.get(service).map(|row| row.spec_version) else {
            return Vec::new();
        };
        for (task, before) in &adopted {
            let pending = self.pending.remove(&(service, *before, *task)).is_some();
            if pending {
                self.pending.insert((service, newest, *task));
            }
            self.edit_task(*task, &[TaskPart::Desired], |row| row.spec_version = newest);
            self.count_task(service, *before, CountChange::Less);
            self.count_task(service, newest, CountChange::More);
        }
        adopted.into_iter().map(|(task, _)| task).collect()
    }

    /// Tasks of older versions that the newest spec leaves as they are, with the versions they
    /// have.
    fn adoptable(&self, service: ServiceIdx) -> Vec<(TaskIdx, Revision)> {
        let Some(row) = self.services.get(service) else { return Vec::new() };
        let older = row.specs.iter().filter(|known| known.version != row.spec_version);
        let differences: BTreeMap<Revision, Difference> =
            older.map(|known| (known.version, self.difference(&known.spec, &row.spec))).collect();
        let is_adoptable = |task: &TaskRow| match differences.get(&task.spec_version) {
            Some(Difference::None) => true,
            Some(Difference::Constraints) => self.is_well_placed(task, &row.spec),
            Some(Difference::Credentials) => {
                (TaskState::Ready..=TaskState::Running).contains(&task.state)
            }
            Some(Difference::Everything) | None => false,
        };
        let tasks = self.tasks_of(service).filter(|(_, task)| is_adoptable(task));
        tasks.map(|(index, task)| (index, task.spec_version)).collect()
    }

    /// Whether the task's node meets the constraints; one without a node will get such a node.
    fn is_well_placed(&self, task: &TaskRow, spec: &ServiceSpec) -> bool {
        let node = task.node.map(|node| self.nodes.get(node));
        node.is_none_or(|node| node.is_some_and(|node| self.admits(spec, node)))
    }

    fn difference(&self, old: &ServiceSpec, new: &ServiceSpec) -> Difference {
        if old.endpoint != new.endpoint {
            return Difference::Everything;
        }
        let (Some(old), Some(new)) = (&old.task, &new.task) else {
            return if old.task == new.task { Difference::None } else { Difference::Everything };
        };
        if self.level < RESTART_POLICY_LEVEL {
            return task_difference(old, new);
        }
        let new = TaskSpec { restart: old.restart, ..new.clone() };
        task_difference(old, &new)
    }
}

fn task_difference(old: &TaskSpec, new: &TaskSpec) -> Difference {
    if old == new {
        Difference::None
    } else if without_constraints(old) == without_constraints(new) {
        Difference::Constraints
    } else if defaults::container(old).is_some()
        && without_credentials(old) == without_credentials(new)
    {
        Difference::Credentials
    } else {
        Difference::Everything
    }
}

/// An absent placement asks for as little as an empty one.
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
