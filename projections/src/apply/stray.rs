//! Records about strays: tasks that agents still have from a history that was cut off.
//!
//! After a recovery or a restore the log does not say what they were for. They are listed, and run
//! on until somebody decides that they should end.

use super::{
    Step,
    misfit::{ApplyResult, Misfit, ObjectKind},
    upkeep::Changed,
};
use crate::view::View;
use skep_proto::{
    Id,
    v1::{StrayDisowned, StrayObserved, TaskState},
};
use std::sync::Arc;

impl View {
    /// A stray that has ended, or is nobody's any more.
    pub(super) fn forget_stray(&mut self, id: Id) -> Option<Arc<StrayObserved>> {
        let stray = self.strays.remove(&id)?;
        self.digest.take(View::stray_part(&stray));
        Some(stray)
    }
}

impl Step<'_> {
    pub(super) fn stray_observed(&mut self, e: &StrayObserved) -> ApplyResult {
        let id = Id::from_bytes(&e.task_id);
        let (node, _) = self
            .view
            .nodes
            .by_id(Id::from_bytes(&e.node_id))
            .filter(|(_, row)| !row.removed)
            .ok_or(Misfit::missing(ObjectKind::Node, &e.node_id))?;
        if id.is_none() {
            return Err(Misfit::NoId(ObjectKind::Stray));
        }
        if self.view.tasks.find(id).is_some() {
            return Err(Misfit::Exists(ObjectKind::Task, id));
        }
        let before = self.view.forget_stray(id);
        if e.state() < TaskState::Complete {
            let stray = Arc::new(e.clone());
            self.view.digest.put(View::stray_part(&stray));
            self.view.strays.insert(id, stray);
        } else {
            before.ok_or(Misfit::Missing(ObjectKind::Stray, id))?;
        }
        self.changed(Changed::Node(node))
    }

    /// Its agent hears that the task is none of its business any more.
    pub(super) fn stray_disowned(&mut self, e: &StrayDisowned) -> ApplyResult {
        let stray = self.view.forget_stray(Id::from_bytes(&e.task_id));
        let stray = stray.ok_or(Misfit::missing(ObjectKind::Stray, &e.task_id))?;
        if let Some(delta) = self.delta.as_deref_mut() {
            delta.gone.push((Id::from_bytes(&stray.task_id), Id::from_bytes(&stray.node_id)));
        }
        let node = self.view.nodes.find(Id::from_bytes(&stray.node_id));
        let node = node.ok_or(Misfit::missing(ObjectKind::Node, &stray.node_id))?;
        self.changed(Changed::Node(node))
    }
}
