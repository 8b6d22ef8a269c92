//! REC-6: a roll-out is complete when every slot runs the newest spec, and not before.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::world::SimulatedWorld;
use skep_projections::{TaskRow, View};
use skep_proto::{
    Id, Revision, Timestamp, defaults,
    v1::{
        DesireReason, Reconciler, RolloutPaused, RolloutState, TaskCreated, TaskState, author::Who,
        event::Kind,
    },
};

/// Looks at each end of a roll-out.
pub(super) struct RolloutSteps;

impl Checker for RolloutSteps {
    fn name(&self) -> &'static str {
        "REC-6"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let e = match seen.kind {
            Kind::TaskCreated(e) => return one_at_a_time(seen, e),
            Kind::RolloutPaused(e) => return paused(seen.before, e),
            Kind::RolloutCompleted(e) => e,
            _ => return Ok(()),
        };
        let view = seen.before;
        let Some((index, row)) = view.services().by_id(Id::from_bytes(&e.service_id)) else {
            return Err("a roll-out of no service is complete".into());
        };
        let live = || view.tasks_of(index).map(|(_, task)| task).filter(|task| task.is_live());
        if let Some(task) = live().find(|task| {
            task.spec_version != row.spec_version || task.running_at == Timestamp::NEVER
        }) {
            let (name, id) = (row.name(), task.id);
            return Err(format!("a roll-out of {name} is complete, and {id} does not run it"));
        }
        let monitor_ns = defaults::monitor_ns(&row.spec);
        let began = row.rollout.as_ref().map_or(Timestamp::NEVER, |rollout| rollout.started_at);
        let mut new = live().filter(|task| task.created.1 >= began);
        if let Some(task) = new.find(|task| seen.at < task.running_at + monitor_ns) {
            let (name, id) = (row.name(), task.id);
            return Err(format!("a roll-out of {name} is complete while {id} is still watched"));
        }
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
    let is_new = |task: &&TaskRow| {
        let began = row.rollout.as_ref().map_or(Timestamp::NEVER, |rollout| rollout.started_at);
        task.spec_version == row.spec_version && task.created.1 >= began
    };
    let new = || view.tasks_of(index).map(|(_, task)| task).filter(is_new);
    let monitor_ns = defaults::monitor_ns(&row.spec);
    if let Some(task) = new().find(|task| ended_early(task, monitor_ns)) {
        return Err(format!("the roll-out of {} goes on although {} failed", row.name(), task.id));
    }
    let proven = |task: &TaskRow| {
        let since = task.running_at;
        since != Timestamp::NEVER && since + monitor_ns <= seen.at
    };
    let ran = new().any(|task| task.running_at != Timestamp::NEVER && task.is_live());
    if ran && !new().any(proven) {
        return Err(format!(
            "the roll-out of {} goes on before its first task is proven",
            row.name()
        ));
    }
    match waits {
        None => Ok(()),
        Some((_, task)) => Err(format!(
            "the roll-out of {} goes on while {} does not run yet",
            row.name(),
            task.id
        )),
    }
}

/// It ended by itself, before it ran or within its monitor time.
fn ended_early(task: &TaskRow, monitor_ns: u64) -> bool {
    let asked = !task.is_wanted() && task.desire_reason != DesireReason::Ended;
    let own = task.has_ended() && !asked && task.state != TaskState::Orphaned;
    let ran = task.state_since.1.since(task.running_at);
    own && (task.running_at == Timestamp::NEVER || ran < monitor_ns)
}

/// A roll-out pauses because of a task of its own that has ended.
fn paused(view: &View, e: &RolloutPaused) -> Check {
    let task = view.tasks().by_id(Id::from_bytes(&e.task_id)).map(|(_, row)| row);
    match task {
        Some(row) if row.has_ended() && row.spec_version == Revision(e.spec_version) => Ok(()),
        Some(row) => Err(format!("a roll-out pauses because of {}, which did not fail", row.id)),
        None => Err("a roll-out pauses because of a task that is not there".into()),
    }
}
