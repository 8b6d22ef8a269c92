//! REC-6: a roll-out is complete when every slot runs the newest spec, and not before.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_projections::{TaskRow, View};
use skep_proto::{
    Id, Revision,
    v1::{Reconciler, RolloutState, TaskCreated, TaskState, author::Who, event::Kind},
};

/// Looks at each end of a roll-out.
pub(super) struct RolloutSteps;

impl Checker for RolloutSteps {
    fn name(&self) -> &'static str {
        "REC-6"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        if let Kind::TaskCreated(e) = seen.kind {
            return one_at_a_time(seen, e);
        }
        let Kind::RolloutCompleted(e) = seen.kind else { return Ok(()) };
        let view = seen.before;
        let Some((_, row)) = view.services().by_id(Id::from_bytes(&e.service_id)) else {
            return Err("a roll-out of no service is complete".into());
        };
        if row.spec_version != Revision(e.spec_version) {
            return Err(format!("a roll-out of {} to an old spec is complete", row.name()));
        }
        Ok(())
    }

    fn at_rest(&mut self, view: &View, _world: &SimulatedWorld) -> Check {
        for (index, row) in view.services().iter().filter(|(_, row)| !row.removed) {
            let state = row.rollout.as_ref().map_or(RolloutState::None, |rollout| rollout.state);
            let waits =
                view.tasks_of(index).any(|(_, t)| t.is_live() && t.state < TaskState::Running);
            if state == RolloutState::Updating && !waits {
                return Err(format!(
                    "the roll-out of {} never ends, although all of it runs",
                    row.name()
                ));
            }
        }
        Ok(())
    }
}

/// A roll-out takes the next slot only when all that it made before runs or has ended.
fn one_at_a_time(seen: &CommittedRecord<'_>, e: &TaskCreated) -> Check {
    let by = seen.record.author.as_ref().and_then(|author| author.who.as_ref());
    let view = seen.before;
    let service = view.services().by_id(Id::from_bytes(&e.service_id));
    let (Some((index, row)), true) =
        (service, by == Some(&Who::Reconciler(Reconciler::Rollout as i32)))
    else {
        return Ok(());
    };
    let replaces_old = |task: &TaskRow| {
        let old = view.tasks().by_id(task.replaces).map(|(_, old)| old.spec_version);
        old.is_some_and(|version| version != task.spec_version)
    };
    let waits = view.tasks_of(index).find(|(_, task)| {
        task.is_live()
            && task.spec_version == row.spec_version
            && task.state < TaskState::Running
            && task.attempt == 0
            && replaces_old(task)
    });
    match waits {
        None => Ok(()),
        Some((_, task)) => Err(format!(
            "the roll-out of {} goes on while {} does not run yet",
            row.name(),
            task.id
        )),
    }
}
