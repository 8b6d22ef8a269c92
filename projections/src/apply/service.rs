//! Records about services: what is wanted, and how far it has got.
//!
//! The version of a spec that tasks refer to (`spec_version`) moves only when something that a task
//! runs has changed: the task's spec or its endpoint. A new label, a number of replicas or another
//! update policy leaves it where it is, and the tasks with it. The newest entry of `specs` is
//! always the service's own spec.

use super::{
    Step,
    misfit::{ApplyResult, Misfit, ObjectKind},
    upkeep::Changed,
};
use crate::{
    count::CountChange,
    digest::ServicePart,
    service::{Rollout, ServiceIdx, ServiceRow, SpecVersion},
    view::View,
};
use skep_proto::{Id, Revision, Timestamp, v1};
use std::sync::Arc;

impl View {
    /// A service that somebody wants.
    fn present_service(&self, id: &[u8]) -> Result<(ServiceIdx, &ServiceRow), Misfit> {
        let found = self.services.by_id(Id::from_bytes(id)).filter(|(_, row)| !row.removed);
        found.ok_or(Misfit::missing(ObjectKind::Service, id))
    }

    /// Drops a spec that nothing refers to, and a removed service's row with its last task.
    pub(super) fn drop_unused(&mut self, index: ServiceIdx) {
        let Some(row) = self.services.get(index) else { return };
        if row.removed && row.tasks == 0 {
            ServicePart::ALL.iter().for_each(|part| self.digest.take(part.hash(row)));
            self.services.remove(index);
            return;
        }
        let newest = row.spec_version;
        if row.specs.iter().any(|known| known.tasks == 0 && known.version != newest) {
            self.edit_service(index, &[ServicePart::OlderSpecs], |row| {
                Arc::make_mut(&mut row.specs)
                    .retain(|known| known.tasks > 0 || known.version == newest);
            });
        }
    }

    /// A version has gained or lost a task.
    pub(crate) fn count_task(&mut self, index: ServiceIdx, version: Revision, change: CountChange) {
        self.edit_service(index, &[], |row| {
            let step = |count: &mut u32| *count = change.of(*count);
            step(&mut row.tasks);
            let specs = Arc::make_mut(&mut row.specs);
            if let Some(known) = specs.iter_mut().rfind(|known| known.version == version) {
                step(&mut known.tasks);
            }
        });
    }
}

impl Step<'_> {
    pub(super) fn service_created(&mut self, e: &v1::ServiceCreated) -> ApplyResult {
        let id = Id::from_bytes(&e.service_id);
        let spec = Arc::new(e.spec.clone().unwrap_or_default());
        let name = lower_case_name(&spec);
        if id.is_none() {
            return Err(Misfit::NoId(ObjectKind::Service));
        }
        if self.view.services.find(id).is_some() {
            return Err(Misfit::Exists(ObjectKind::Service, id));
        }
        if self.view.services_by_name.contains_key(&name) {
            return Err(Misfit::NameTaken(id));
        }
        let moment = self.moment();
        let row = ServiceRow {
            id,
            spec_version: moment.0,
            specs: Arc::new(vec![SpecVersion { version: moment.0, spec: spec.clone(), tasks: 0 }]),
            spec,
            version: moment.0,
            changed_by: self.by(),
            created: moment,
            updated_at: moment.1,
            last_revision: moment.0,
            removed: false,
            tasks: 0,
            live_tasks: 0,
            running_tasks: 0,
            rollout: None,
            blocked: None,
            explained: None,
        };
        ServicePart::ALL.iter().for_each(|part| self.view.digest.put(part.hash(&row)));
        let index = self.view.services.insert(row).ok_or(Misfit::Full(ObjectKind::Service))?;
        self.view.services_by_name.insert(name, index);
        self.changed(Changed::Service(index))
    }

    pub(super) fn service_updated(&mut self, e: &v1::ServiceUpdated) -> ApplyResult {
        let (index, row) = self.view.present_service(&e.service_id)?;
        let spec = Arc::new(e.spec.clone().unwrap_or_default());
        let (old_name, name) = (lower_case_name(&row.spec), lower_case_name(&spec));
        if self.view.services_by_name.get(&name).is_some_and(|holder| *holder != index) {
            return Err(Misfit::NameTaken(row.id));
        }
        let ((revision, at), by) = (self.moment(), self.by());
        self.view.edit_service(index, &ServicePart::ALL, |row| {
            if (&row.spec.task, &row.spec.endpoint) != (&spec.task, &spec.endpoint) {
                row.renew_spec(revision);
            }
            row.set_spec(spec, (revision, at), by);
        });
        for task in self.view.adopt_tasks(index) {
            self.changed(Changed::Task(task))?;
        }
        if old_name != name {
            self.view.services_by_name.remove(&old_name);
            self.view.services_by_name.insert(name, index);
        }
        self.view.drop_unused(index);
        self.view.unpark(Id::from_bytes(&e.service_id));
        self.changed(Changed::Service(index))
    }

    pub(super) fn service_scaled(&mut self, e: &v1::ServiceScaled) -> ApplyResult {
        let (index, row) = self.view.present_service(&e.service_id)?;
        let (mut spec, not_replicated) = (row.spec.clone(), Misfit::NotReplicated(row.id));
        let mode = Arc::make_mut(&mut spec).mode.as_mut();
        match mode.and_then(|v1::ServiceMode { mode }| mode.as_mut()).ok_or(not_replicated)? {
            v1::service_mode::Mode::Replicated(replicated) => replicated.replicas = e.replicas,
            v1::service_mode::Mode::Global(_)
            | v1::service_mode::Mode::ReplicatedJob(_)
            | v1::service_mode::Mode::GlobalJob(_) => {
                return Err(not_replicated);
            }
        }
        let ((revision, at), by) = (self.moment(), self.by());
        let parts = [ServicePart::Spec, ServicePart::Status];
        self.view.edit_service(index, &parts, |row| row.set_spec(spec, (revision, at), by));
        self.view.unpark(Id::from_bytes(&e.service_id));
        self.changed(Changed::Service(index))
    }

    /// The name is free at once; the row stays until its last task has gone.
    pub(super) fn service_removed(&mut self, e: &v1::ServiceRemoved) -> ApplyResult {
        let (index, row) = self.view.present_service(&e.service_id)?;
        let name = lower_case_name(&row.spec);
        let (revision, at) = self.moment();
        self.view.edit_service(index, &[ServicePart::Spec, ServicePart::Status], |row| {
            (row.removed, row.updated_at, row.last_revision) = (true, at, revision);
            (row.blocked, row.explained) = (None, None);
        });
        self.view.services_by_name.remove(&name);
        self.view.unpark(Id::from_bytes(&e.service_id));
        self.view.drop_unused(index);
        self.changed(Changed::Service(index))
    }

    pub(super) fn placement_explained(&mut self, e: &v1::PlacementExplained) -> ApplyResult {
        let (index, _) = self.view.present_service(&e.service_id)?;
        self.note(index, |row| row.explained = Some(Arc::new(e.clone())))
    }

    pub(super) fn placement_blocked(&mut self, e: &v1::PlacementBlocked) -> ApplyResult {
        let (index, row) = self.view.present_service(&e.service_id)?;
        if self.view.pending_of(index).next().is_none() {
            return Err(Misfit::NothingNew(ObjectKind::Service, row.id));
        }
        self.note(index, |row| row.blocked = Some(Arc::new(e.clone())))
    }

    pub(super) fn rollout_started(&mut self, e: &v1::RolloutStarted) -> ApplyResult {
        let index = self.current_spec(&e.service_id, e.spec_version)?;
        let (_, started_at) = self.moment();
        self.note(index, |row| {
            let completed_at = Timestamp::NEVER;
            row.rollout = Some(Rollout {
                state: v1::RolloutState::Updating,
                started_at,
                completed_at,
                message: "".into(),
            });
        })
    }

    pub(super) fn rollout_paused(&mut self, e: &v1::RolloutPaused) -> ApplyResult {
        let index = self.current_spec(&e.service_id, e.spec_version)?;
        let rollout = self.rollout(index, &e.service_id)?;
        let rollout = Rollout {
            state: v1::RolloutState::Paused,
            message: e.message.as_str().into(),
            ..rollout
        };
        self.note(index, |row| row.rollout = Some(rollout))
    }

    pub(super) fn rollout_completed(&mut self, e: &v1::RolloutCompleted) -> ApplyResult {
        let index = self.current_spec(&e.service_id, e.spec_version)?;
        let rollout = self.rollout(index, &e.service_id)?;
        let (_, completed_at) = self.moment();
        let rollout = Rollout {
            state: v1::RolloutState::Completed,
            completed_at,
            message: "".into(),
            ..rollout
        };
        self.note(index, |row| row.rollout = Some(rollout))
    }

    /// The service, if this is the version that new tasks run.
    fn current_spec(&self, service: &[u8], version: u64) -> Result<ServiceIdx, Misfit> {
        let (index, row) = self.view.present_service(service)?;
        if row.spec_version != Revision(version) {
            return Err(Misfit::OtherSpec { service: row.id, version });
        }
        Ok(index)
    }

    fn rollout(&self, index: ServiceIdx, service: &[u8]) -> Result<Rollout, Misfit> {
        let rollout = self.view.services.get(index).and_then(|row| row.rollout.clone());
        rollout.ok_or(Misfit::NoRollout(Id::from_bytes(service)))
    }

    /// Changes what is known of a service's progress.
    fn note(&mut self, index: ServiceIdx, change: impl FnOnce(&mut ServiceRow)) -> ApplyResult {
        let (revision, _) = self.moment();
        self.view.edit_service(index, &[ServicePart::Status], |row| {
            change(row);
            row.last_revision = revision;
        });
        self.changed(Changed::Service(index))
    }
}

impl ServiceRow {
    /// New tasks run another spec from now on: what was said about the one before is over.
    fn renew_spec(&mut self, version: Revision) {
        Arc::make_mut(&mut self.specs).push(SpecVersion {
            version,
            spec: self.spec.clone(),
            tasks: 0,
        });
        self.spec_version = version;
        (self.rollout, self.blocked) = (None, None);
    }

    fn set_spec(
        &mut self,
        spec: Arc<v1::ServiceSpec>,
        (revision, at): (Revision, Timestamp),
        by: Arc<str>,
    ) {
        if let Some(newest) = Arc::make_mut(&mut self.specs).last_mut() {
            newest.spec = spec.clone();
        }
        self.spec = spec;
        (self.version, self.updated_at, self.last_revision) = (revision, at, revision);
        self.changed_by = by;
    }
}

/// Names are compared without case.
fn lower_case_name(spec: &v1::ServiceSpec) -> Arc<str> {
    spec.annotations.as_ref().map_or("", |a| &a.name).to_lowercase().into()
}
