//! REC-8, stop first: no two containers of one slot run at once, unless the older one's node is
//! lost or was given all the time that it may have.

use super::{Check, Checker, CommittedRecord};
use crate::simulator::{
    engine::SimulatedContainer,
    world::{SimulatedWorld, happening::Occurrence},
};
use skep_proto::{
    Id, defaults,
    time::SECOND_NS,
    v1::{DesireReason, NodeState, TaskState, event::Kind},
};
use std::collections::BTreeSet;

/// What lies between a decision and a container's start, at least as much as can be told apart.
const SLACK_NS: u64 = 5 * SECOND_NS;

/// Looks at each container that begins to run.
#[derive(Default)]
pub(super) struct StopFirst {
    /// Tasks whose node was lost once: whatever they do when it comes back, nobody could wait for
    /// it.
    lost: BTreeSet<Id>,
}

impl Checker for StopFirst {
    fn name(&self) -> &'static str {
        "REC-8"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, _world: &SimulatedWorld) -> Check {
        let node = match seen.kind {
            Kind::NodeDown(e) => Id::from_bytes(&e.node_id),
            Kind::NodeRemoved(e) => Id::from_bytes(&e.node_id),
            _ => return Ok(()),
        };
        if let Some(index) = seen.before.nodes().find(node) {
            self.lost.extend(seen.before.tasks_on(index).map(|(_, task)| task.id));
        }
        Ok(())
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        let Occurrence::Began { agent, task } = happening else { return Ok(()) };
        let Some(new) = world.agents[*agent].engine.containers.get(task) else { return Ok(()) };
        // A lost task that starts after all, when its successor runs long since.
        if self.lost.contains(task) || is_excused(world, *task, new) {
            return Ok(());
        }
        for other in &world.agents {
            for (id, old) in &other.engine.containers {
                let beside = id != task && old.runs() && same_slot(old, new);
                if beside && !self.lost.contains(id) && !is_excused(world, *id, old) {
                    return Err(format!(
                        "{task} begins on {} while {id} of the same slot runs on {}",
                        world.agents[*agent].name(),
                        other.name()
                    ));
                }
            }
        }
        Ok(())
    }
}

fn same_slot(a: &SimulatedContainer, b: &SimulatedContainer) -> bool {
    (a.workload.service_id, a.workload.slot) == (b.workload.service_id, b.workload.slot)
}

/// Whether nobody could know better, or everybody waited long enough.
fn is_excused(world: &SimulatedWorld, task: Id, old: &SimulatedContainer) -> bool {
    let Some(manager) = &world.manager else { return true };
    let view = &manager.committed;
    let Some((_, row)) = view.tasks().by_id(task) else { return true };
    let Some(node) = row.node.and_then(|node| view.nodes().get(node)) else { return true };
    let lost = node.removed || node.state != NodeState::Ready;
    // A slot that was scaled away is free, whatever is still ending in it; and a task that no
    // longer fits its node has ended for the cluster when it is rejected.
    let given_up = matches!(row.state, TaskState::Orphaned | TaskState::Rejected)
        || row.desired == TaskState::Remove
        || row.desire_reason == DesireReason::NodeDown;
    let grace_ns = defaults::container(&old.workload.spec).map_or(0, defaults::stop_grace_ns);
    let patience = (grace_ns + defaults::REPLACED_STOP_LIMIT_NS).saturating_sub(SLACK_NS);
    let told_at = world.disk.decided_at(row.desired_revision);
    let waited = told_at.is_some_and(|at| {
        let long_enough = world.now.since(at) >= patience || at <= world.leapt_at;
        !row.is_wanted() && long_enough
    });
    lost || given_up || waited
}
