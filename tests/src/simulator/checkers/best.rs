//! REC-9: of the nodes that may have a task, it gets one with the fewest live tasks of its service,
//! and of those one with the fewest tasks in all.

use super::{Check, Checker, CommittedRecord, placed::misfit};
use crate::simulator::world::SimulatedWorld;
use skep_projections::{NodeIdx, TaskRow, View};
use skep_proto::{Id, v1::event::Kind};

/// Failures of a service on one node from which on they count against the node.
const FAILURES_MIN: usize = 5;

/// Looks at each assignment.
pub(super) struct BestNode;

impl Checker for BestNode {
    fn name(&self) -> &'static str {
        "REC-9"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let Kind::TaskAssigned(e) = seen.kind else { return Ok(()) };
        let view = seen.before;
        let task = view.tasks().by_id(Id::from_bytes(&e.task_id)).map(|(_, row)| row);
        let chosen = view.nodes().find(Id::from_bytes(&e.node_id));
        let (Some(task), Some(chosen)) = (task, chosen) else { return Ok(()) };
        let Some(spec) = view.spec_of(task) else { return Ok(()) };
        let failed =
            view.tasks_of(task.service).filter(|(_, row)| row.failed_at() != Default::default());
        if failed.count() >= FAILURES_MIN {
            return Ok(());
        }
        let mine = load(view, task, chosen);
        for (index, node) in view.nodes().iter() {
            let other = load(view, task, index);
            if other < mine && misfit(view, spec, node).is_none() {
                let names = (view.nodes().get(chosen).map(|row| row.hostname()), node.hostname());
                return Err(format!(
                    "task {} is given to {:?} with {mine:?} tasks, although {} has {other:?}",
                    task.id, names.0, names.1
                ));
            }
        }
        Ok(())
    }
}

/// Live tasks of the task's service on a node, and live tasks in all.
fn load(view: &View, task: &TaskRow, node: NodeIdx) -> (usize, usize) {
    let live = || view.tasks_on(node).filter(|(_, row)| row.is_live());
    (live().filter(|(_, row)| row.service == task.service).count(), live().count())
}
