//! A whole cluster in one thread, from one seed, in virtual time.
//!
//! The turn, the session protocol and the agents' core are the real ones. What lies between them is modelled: a
//! log that commits in order and loses what was not synced, streams that delay, repeat and break, containers that
//! end when they like, and processes that crash after any entry. After every step named invariants are checked.
//! At the end all faults stop, and the cluster must come to what was asked of it. The same seed gives the same
//! bytes.

pub mod agent;
pub mod checkers;
pub mod client;
pub mod dice;
pub mod disk;
pub mod manager;
pub mod net;
pub mod world;

use dice::Dice;
use world::World;

/// What is simulated, and how badly things go.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Nodes beside the manager's own, which runs no tasks here.
    pub agents: usize,
    /// Steps with faults, before all is healed.
    pub steps: usize,
}

/// What came of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// A line for each step.
    pub trace: Vec<String>,
    /// Records in the log at the end.
    pub records: u64,
    /// Manager crashes and agent crashes on the way.
    pub crashes: (usize, usize),
    /// Commands that were acknowledged.
    pub acknowledged: usize,
}

/// An invariant that did not hold, and the steps before.
#[derive(Clone, PartialEq, Debug)]
pub struct Violation {
    /// Which one, and how.
    pub words: String,
    /// The newest steps.
    pub trace: Vec<String>,
}

/// Virtual time after healing within which the cluster must have come to rest.
const CALM_LIMIT_STEPS: usize = 2_000_000;

/// Runs one cluster to its end.
pub fn run(plan: Plan) -> Result<Report, Violation> {
    let mut world = World::new(plan.agents, Dice::new(plan.seed));
    let fail = |world: &World, words: String| Violation { words, trace: world.last_steps() };
    for _ in 0..plan.steps {
        world.step();
        checkers::after_step(&mut world).map_err(|words| fail(&world, words))?;
    }
    world.heal();
    let mut steps = 0;
    while !world.is_calm() {
        steps += 1;
        if steps > CALM_LIMIT_STEPS {
            return Err(fail(&world, format!("does not come to rest: {}", world.unrest())));
        }
        world.step();
        checkers::after_step(&mut world).map_err(|words| fail(&world, words))?;
    }
    checkers::at_end(&world).map_err(|words| fail(&world, words))?;
    Ok(world.report())
}
