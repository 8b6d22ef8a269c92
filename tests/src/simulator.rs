//! A whole cluster in one thread, from one seed, in virtual time.
//!
//! The turn, the session protocol and the agents' core are the real ones. What lies between them is
//! modelled: a disk that loses what was not synced, streams that delay, repeat, go mute and break,
//! engines that fail, hang and lie, clocks that are set, and processes that crash after any entry.
//! After every step named invariants are checked. Then all faults stop: the cluster must come to
//! rest by itself, and after that become exactly what it is asked to be. The same seed gives the
//! same bytes.

pub mod agent;
pub mod checkers;
pub mod dice;
pub mod disk;
pub mod engine;
pub mod manager;
pub mod net;
pub mod people;
mod repeated;
mod rest;
pub mod world;

use checkers::Checkers;
use dice::Dice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Mishaps, SimulatedWorld};

/// What is simulated, and how badly things go.
#[derive(Clone, Copy, Debug)]
pub struct SimulationPlan {
    /// Decides everything.
    pub seed: u64,
    /// Nodes beside the manager's own, which runs no tasks here.
    pub agents: usize,
    /// Steps with faults, before all is well.
    pub steps: usize,
    /// Whether a line about each step is kept.
    pub traced: bool,
}

/// What came of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Steps in all.
    pub steps: usize,
    /// Records in the log at the end.
    pub records: u64,
    /// The digest of the view at the end.
    pub digest: u128,
    /// How often things went wrong.
    pub mishaps: Mishaps,
    /// Answers that accepted a command.
    pub accepted: usize,
    /// Answers that refused one.
    pub refused: usize,
    /// Answers that nobody knew.
    pub unknown: usize,
    /// A line for each step, where they were kept.
    pub trace: Vec<String>,
}

/// An invariant that did not hold, and the steps before.
#[derive(Clone, PartialEq, Debug)]
pub struct Violation {
    /// Which one, and how.
    pub message: String,
    /// The newest steps.
    pub trace: Vec<String>,
}

/// Runs one cluster to its end. A run that fails is run again to tell its newest steps, which costs
/// nothing while all is well.
pub fn run(plan: SimulationPlan) -> Result<Report, Violation> {
    attempt(plan).or_else(|violation| {
        if plan.traced { Err(violation) } else { attempt(SimulationPlan { traced: true, ..plan }) }
    })
}

fn attempt(plan: SimulationPlan) -> Result<Report, Violation> {
    let mut world = SimulatedWorld::new(&plan, Dice::new(plan.seed));
    let outcome = catch_unwind(AssertUnwindSafe(|| live(&mut world, plan.steps)));
    let message = match outcome {
        Ok(Ok(())) => return Ok(world.report()),
        Ok(Err(message)) => message,
        Err(panic) => format!("PANIC: {}", panic_text(panic.as_ref())),
    };
    Err(Violation { message, trace: world.last_steps() })
}

fn live(world: &mut SimulatedWorld, steps: usize) -> Result<(), String> {
    let mut checkers = Checkers::new();
    for _ in 0..steps {
        world.step();
        checkers.look(world)?;
    }
    world.calm_down();
    rest::come_to_rest(world, &mut checkers, rest::BY_ITSELF)?;
    checkers.at_rest(world)?;
    world.ask_for_the_possible();
    rest::come_to_rest(world, &mut checkers, rest::AS_ASKED)?;
    checkers.at_rest(world)?;
    checkers.at_end(world)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without a message".into())
}
