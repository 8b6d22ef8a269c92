//! What tasks of one service and spec version have in common, held once however many of them there
//! are. PURE.
//!
//! A spec may be as large as a command, over a megabyte, and a node may run hundreds of its tasks.
//! So the stream and the journal carry it once, and all tasks refer to it.

use crate::runtime::Workload;
use skep_proto::{
    Id,
    v1::{ServiceAssignment, TaskAssignment, TaskSpec},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Service and spec version.
pub(crate) type ServiceVersion = (Id, u64);

/// One service at one spec version.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Service {
    /// As the cluster describes it.
    pub assignment: Arc<ServiceAssignment>,
    /// Its spec, for those who need nothing else.
    pub spec: Arc<TaskSpec>,
}

impl Service {
    /// A service as the cluster describes it.
    pub fn new(assignment: Arc<ServiceAssignment>) -> Service {
        let spec = Arc::new(assignment.spec.clone().unwrap_or_default());
        Service { assignment, spec }
    }

    /// What a runtime must know to run this task. A service without a spec makes a workload without
    /// one, which any runtime rejects.
    pub(crate) fn workload(&self, node_id: Id, task_id: Id, task: &TaskAssignment) -> Workload {
        let Service { assignment, spec } = self;
        Workload {
            task_id,
            node_id,
            node_name: task.node_name.clone(),
            service_id: Id::from_bytes(&assignment.service_id),
            spec_version: assignment.spec_version,
            service_name: assignment.service_name.clone(),
            slot: task.slot,
            spec: spec.clone(),
            service_labels: assignment.service_labels.clone(),
            ports: assignment.ports.clone(),
        }
    }
}

/// What a task's assignment says of its service itself; none where it only names the service.
pub(crate) fn inline(task: &TaskAssignment) -> Option<Arc<ServiceAssignment>> {
    (task.spec.is_some() || task.service_id.is_empty()).then(|| {
        Arc::new(ServiceAssignment {
            service_id: task.service_id.clone(),
            spec_version: task.spec_version,
            service_name: task.service_name.clone(),
            spec: task.spec.clone(),
            service_labels: task.service_labels.clone(),
            ports: task.ports.clone(),
        })
    })
}

/// The assignment without what its service says.
pub(crate) fn slim(task: &TaskAssignment) -> TaskAssignment {
    TaskAssignment {
        service_id: task.service_id.clone(),
        slot: task.slot,
        spec_version: task.spec_version,
        node_name: task.node_name.clone(),
        recorded: task.recorded,
        ..TaskAssignment::default()
    }
}

/// Which service a task's assignment names.
pub(crate) fn key(task: &TaskAssignment) -> ServiceVersion {
    (Id::from_bytes(&task.service_id), task.spec_version)
}

/// Services that may be known beyond twice those in use before the unused ones are looked for.
const SERVICES_SPARE_MAX: usize = 16;

/// The services that a stream has described so far.
#[derive(Debug, Default)]
pub(crate) struct Services {
    known: BTreeMap<ServiceVersion, Service>,
    /// Above this many the unused ones are forgotten: to look for them costs a walk over all tasks.
    limit: usize,
}

impl Services {
    /// Takes up what a message describes.
    pub(crate) fn learn(&mut self, described: Vec<ServiceAssignment>) {
        for service in described {
            let key = (Id::from_bytes(&service.service_id), service.spec_version);
            self.known.insert(key, Service::new(Arc::new(service)));
        }
    }

    /// The service of a task: one that was described, or what the assignment itself says.
    pub(crate) fn of(&self, task: &TaskAssignment) -> Option<Service> {
        inline(task).map(Service::new).or_else(|| self.known.get(&key(task)).cloned())
    }

    /// Forgets those that none of these tasks runs, when there are many: the manager describes them
    /// again where it needs them.
    pub(crate) fn forget_unused<'a>(&mut self, tasks: impl Iterator<Item = &'a Workload>) {
        if self.known.len() <= self.limit.max(SERVICES_SPARE_MAX) {
            return;
        }
        let used: BTreeSet<ServiceVersion> =
            tasks.map(|task| (task.service_id, task.spec_version)).collect();
        self.known.retain(|key, _| used.contains(key));
        self.limit = 2 * self.known.len() + SERVICES_SPARE_MAX;
    }

    /// A new stream begins: nothing has been described on it.
    pub(crate) fn clear(&mut self) {
        *self = Services::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(range: std::ops::Range<u64>) -> Vec<ServiceAssignment> {
        let service = |n: u64| ServiceAssignment {
            service_id: Id(u128::from(n)).to_bytes(),
            spec_version: n,
            ..ServiceAssignment::default()
        };
        range.map(service).collect()
    }

    fn running(n: u64) -> Workload {
        Workload { service_id: Id(u128::from(n)), spec_version: n, ..Workload::default() }
    }

    #[test]
    fn services_that_no_task_runs_are_forgotten_when_there_are_many() {
        let mut services = Services::default();
        let tasks = [running(1), running(2)];
        services.learn(described(1..17));
        services.forget_unused(tasks.iter());
        assert_eq!(services.known.len(), SERVICES_SPARE_MAX, "they are few");
        services.learn(described(17..18));
        services.forget_unused(tasks.iter());
        let left: Vec<ServiceVersion> = services.known.keys().copied().collect();
        assert_eq!(left, [(Id(1), 1), (Id(2), 2)]);
        services.learn(described(3..21));
        services.forget_unused(tasks.iter());
        assert_eq!(services.known.len(), 20, "twice what was in use, and the spare ones");
        services.learn(described(21..22));
        services.forget_unused(tasks.iter());
        assert_eq!(services.known.len(), 2);
    }
}
