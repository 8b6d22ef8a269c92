//! REC-13: scaling down takes tasks that have no node before those that have one, and of these one
//! on the node that has most of the service.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_projections::{NodeIdx, TaskRow, View};
use skep_proto::{
    Id,
    v1::{DesireReason, TaskState, event::Kind},
};
use std::collections::BTreeMap;

/// Looks at each task that is given up.
pub(super) struct Surplus;

impl Checker for Surplus {
    fn name(&self) -> &'static str {
        "REC-13"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let Kind::TaskDesired(e) = seen.kind else { return Ok(()) };
        let task = seen.before.tasks().by_id(Id::from_bytes(&e.task_id)).map(|(_, row)| row);
        match task.filter(|_| e.reason() == DesireReason::ScaledDown) {
            Some(task) => chosen(seen.before, task).map_err(|what| {
                format!("at {} task {} is given up, {what}", seen.revision, task.id)
            }),
            None => Ok(()),
        }
    }
}

/// Whether the task is the right one to give up, of those that are left.
fn chosen(view: &View, task: &TaskRow) -> Check {
    let mut slots: BTreeMap<u32, Vec<&TaskRow>> = BTreeMap::new();
    let left = view.tasks_of(task.service).map(|(_, row)| row);
    for row in left.filter(|row| row.desired < TaskState::Remove && row.is_live()) {
        slots.entry(row.slot).or_default().push(row);
    }
    // A slot in the middle of a change has two tasks, and is given up first as well.
    let alone: Vec<&TaskRow> = slots
        .into_values()
        .filter_map(|tasks| <[&TaskRow; 1]>::try_from(tasks).ok())
        .map(|[only]| only)
        .collect();
    let Some(node) = alone.iter().find(|row| row.id == task.id).and_then(|row| row.node) else {
        return Ok(());
    };
    if let Some(other) = alone.iter().find(|row| row.node.is_none()) {
        return Err(format!("although {} has no node", other.id));
    }
    let on = |node: NodeIdx| alone.iter().filter(|row| row.node == Some(node)).count();
    let is_fuller = |row: &&&TaskRow| row.node.is_some_and(|other| on(other) > on(node));
    match alone.iter().find(is_fuller) {
        Some(other) => Err(format!("although the node of {} has more of the service", other.id)),
        None => Ok(()),
    }
}
