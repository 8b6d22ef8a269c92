//! AGENT-1 and AGENT-2: a node has only what was assigned to it, runs it as the task's version of
//! the spec says, stops nothing that is wanted of it, and gives what it stops the time to end.

use super::{Check, Checker};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_proto::{Id, defaults};

/// Looks at each container that begins and at each stop.
pub(super) struct Assignments;

impl Checker for Assignments {
    fn name(&self) -> &'static str {
        "AGENT-1"
    }

    fn on_step(&mut self, world: &SimulatedWorld) -> Check {
        let killed = world.agents.iter().find_map(|agent| agent.engine.killed.first());
        killed.map_or(Ok(()), |task| Err(format!("task {task} is removed while it runs")))
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        // What an agent was told is in the log, whether or not the manager lives.
        let Some(view) = world.manager.as_ref().map(|manager| manager.tip()) else { return Ok(()) };
        match happening {
            Occurrence::Began { agent, task } => {
                let Some((_, row)) = view.tasks().by_id(*task) else { return Ok(()) };
                let node = row.node.and_then(|node| view.nodes().get(node)).map(|node| node.id);
                let agent = &world.agents[*agent];
                if node.is_none() || node.unwrap_or(Id::NONE) != agent.node() {
                    return Err(format!(
                        "{} runs {task}, which is assigned to {node:?}",
                        agent.name()
                    ));
                }
                let wanted = view.spec_of(row).and_then(|spec| spec.task.as_ref());
                let runs = agent.engine.containers.get(task).map(|one| &one.workload.spec.runtime);
                if runs.is_some() && runs != wanted.map(|spec| &spec.runtime) {
                    let version = row.spec_version;
                    return Err(format!(
                        "{} runs {task} as something else than version {version} says",
                        agent.name()
                    ));
                }
            }
            Occurrence::StopAsked { agent, task, grace_ns } => {
                given_time(world, *agent, *task, *grace_ns)?;
                let row = view.tasks().by_id(*task).map(|(_, row)| row);
                if world.agents[*agent].has_dropped {
                    return Ok(());
                }
                if row.is_some_and(|row| row.is_wanted() && !row.has_ended()) {
                    let name = world.agents[*agent].name();
                    return Err(format!("(AGENT-2) {name} stops {task}, which is wanted"));
                }
            }
            Occurrence::Answered { .. }
            | Occurrence::StepAsked { .. }
            | Occurrence::StepAnswered { .. }
            | Occurrence::HungUp { .. }
            | Occurrence::Dialed { .. }
            | Occurrence::Sent { .. }
            | Occurrence::StreamFull { .. }
            | Occurrence::Stopping { .. }
            | Occurrence::WentOn
            | Occurrence::CalledSilent { .. }
            | Occurrence::OrderGiven { .. }
            | Occurrence::OrderAnswered { .. }
            | Occurrence::Turned { .. }
            | Occurrence::TenureBegan => {}
        }
        Ok(())
    }
}

/// A program gets the time to end that its spec gives it.
fn given_time(world: &SimulatedWorld, agent: usize, task: Id, grace_ns: u64) -> Check {
    let Some(container) = world.agents[agent].engine.containers.get(&task) else { return Ok(()) };
    let spec = defaults::container(&container.workload.spec);
    let wanted_ns = spec.map_or(defaults::STOP_GRACE_LIMIT_NS, defaults::stop_grace_ns);
    // An agent that lost its journal does not know what it clears away.
    if grace_ns >= wanted_ns.min(defaults::STOP_GRACE_LIMIT_NS) {
        return Ok(());
    }
    let (given, wanted) = (grace_ns / 1_000_000, wanted_ns / 1_000_000);
    Err(format!("task {task} is given {given} ms to end instead of {wanted}"))
}
