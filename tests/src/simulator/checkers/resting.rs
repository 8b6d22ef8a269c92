//! REST-2: at rest everything is as it was asked to be, as far as the world allows it, and nothing
//! is left over.

use super::{Check, Checker, placed::misfit};
use crate::simulator::world::SimulatedWorld;
use skep_projections::{ServiceIdx, ServiceRow, View};
use skep_proto::{
    defaults,
    v1::{NodeAvailability, RestartCondition, RolloutState, TaskState},
};

/// Looks at the cluster when nothing changes any more.
pub(super) struct Resting;

impl Checker for Resting {
    fn name(&self) -> &'static str {
        "REST-2"
    }

    fn at_rest(&mut self, view: &View, world: &SimulatedWorld) -> Check {
        for (index, service) in view.services().iter() {
            if service.removed {
                return Err(format!("service {} is still being removed", service.name()));
            }
            slots(view, index, service)?;
        }
        // Who has left the cluster says nothing any more.
        let is_there = |id| world.agents.iter().any(|agent| agent.node() == id);
        for (_, node) in view.nodes().iter().filter(|(_, node)| is_there(node.id)) {
            if let Some(condition) = node.conditions.first() {
                let (name, what) = (node.hostname(), &condition.message);
                return Err(format!("{name} is well and still has a condition: {what}"));
            }
        }
        if let Some((id, parked)) = view.all_parked().next() {
            return Err(format!("{id} is parked: {}", parked.message));
        }
        containers(view, world)
    }
}

/// No more tasks than wanted, and no fewer where the policy lets there be more.
fn slots(view: &View, index: ServiceIdx, service: &ServiceRow) -> Check {
    let name = service.name();
    let (live, wanted) = (u64::from(service.live_tasks), service.replicas());
    if live > wanted {
        return Err(format!("service {name} wants {wanted} tasks and has {live}"));
    }
    let may_end = service.specs.iter().filter_map(|known| known.spec.task.as_ref()).any(|task| {
        let policy = defaults::restart(task);
        policy.condition != RestartCondition::Any || policy.max_attempts > 0
    });
    if live < wanted && !may_end {
        return Err(format!("service {name} wants {wanted} tasks and has {live}"));
    }
    let limit = defaults::task_history_limit(&view.cluster().spec).unwrap_or(usize::MAX);
    // A roll-out stops at a failure, and goes no further than the first task that has no node.
    let stays = service.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Paused)
        || view.tasks_of(index).any(|(_, task)| task.is_pending());
    for (_, task) in view.tasks_of(index) {
        let id = task.id;
        if task.is_held() {
            return Err(format!("task {id} of {name} is held for ever"));
        }
        let slot =
            view.tasks_in_slot(index, task.slot).filter(|(_, task)| task.has_ended()).count();
        if slot > limit.max(4) + 1 {
            return Err(format!("slot {} of {name} keeps {slot} ended tasks", task.slot));
        }
        if !task.is_live() {
            if !task.has_ended() && task.node.is_some() {
                return Err(format!("task {id} of {name} is wanted no more and does not end"));
            }
            continue;
        }
        let node = task.node.and_then(|node| view.nodes().get(node));
        if node.is_some_and(|node| node.spec.availability() == NodeAvailability::Drain) {
            return Err(format!("task {id} of {name} stays on a node that is drained"));
        }
        if task.node.is_none() {
            let spec = view.spec_of(task).ok_or("a task without a spec")?;
            let nodes = view.nodes().iter().map(|(_, node)| node);
            if let Some(node) = nodes.into_iter().find(|node| misfit(view, spec, node).is_none()) {
                return Err(format!(
                    "task {id} of {name} is pending, although {} fits",
                    node.hostname()
                ));
            }
            if service.blocked.is_none() {
                return Err(format!("task {id} of {name} is pending, and nothing says why"));
            }
        } else if task.state != TaskState::Running {
            return Err(format!("task {id} of {name} stays {:?}", task.state));
        } else if task.spec_version != service.spec_version && !stays {
            let old = service.spec_at(task.spec_version).and_then(|spec| spec.task.as_ref());
            let new = service.spec.task.as_ref();
            let program = |task: Option<&skep_proto::v1::TaskSpec>| {
                task.and_then(defaults::container).map(|c| (c.image.clone(), c.env.clone()))
            };
            if program(old) != program(new) {
                return Err(format!("task {id} of {name} still runs an old program"));
            }
        }
    }
    Ok(())
}

/// What the engines have is what the view says.
fn containers(view: &View, world: &SimulatedWorld) -> Check {
    for agent in &world.agents {
        let name = agent.name();
        for (task, state, _) in agent.core.iter().flat_map(|core| core.tasks()) {
            let known = view.tasks().by_id(task).map(|(_, row)| row);
            if known.is_some_and(|row| !row.has_ended() && row.state != state) {
                return Err(format!(
                    "{name} knows that {task} is {state:?}, which is not recorded"
                ));
            }
        }
        for (task, container) in &agent.engine.containers {
            let Some((_, row)) = view.tasks().by_id(*task) else {
                return Err(format!("{name} keeps what is left of {task}, which nobody knows"));
            };
            if container.runs() && !row.is_live() {
                return Err(format!("{name} still runs {task}, which nobody wants"));
            }
        }
    }
    for (_, task) in view.tasks().iter().filter(|(_, task)| task.state == TaskState::Running) {
        let runs = |agent: &crate::simulator::agent::SimulatedAgent| {
            agent.engine.containers.get(&task.id).is_some_and(|container| container.runs())
        };
        if !world.agents.iter().any(runs) {
            return Err(format!("task {} is said to run and runs nowhere", task.id));
        }
    }
    Ok(())
}
