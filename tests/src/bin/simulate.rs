//! Runs simulated clusters from seeds: `simulate FIRST COUNT [STEPS] [AGENTS]`, `simulate --trace
//! SEED …`, `simulate --twice SEED …`, or `simulate --all FIRST COUNT …`, which goes on after a
//! seed that fails. `simulate --managers FIRST COUNT` runs clusters of managers under raft.
//!
//! A seed that breaks an invariant is printed with the steps before, and the exit code is 1.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use skep_tests::simulator::{Report, SimulationPlan, run};
use std::{env, process::ExitCode};

/// Steps with faults, where nobody says how many.
const STEPS: u64 = 3_000;
/// Agents, where nobody says how many.
const AGENTS: u64 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize, default: u64| {
        arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let plan = |seed: u64, steps: usize, traced: bool| SimulationPlan {
        seed,
        agents: number(steps + 1, AGENTS) as usize,
        steps: number(steps, STEPS) as usize,
        traced,
    };
    match arguments.first().map(String::as_str) {
        Some("--twice") => twice(plan(number(1, 1), 2, true)),
        Some("--trace") => trace(plan(number(1, 1), 2, true)),
        Some("--managers") => {
            let first = number(1, 1);
            managers(first..first + number(2, 10))
        }
        Some("--all") => {
            let first = number(1, 1);
            all((first..first + number(2, 10)).map(|seed| plan(seed, 3, false)))
        }
        Some(_) | None => {
            let first = number(0, 1);
            seeds((first..first + number(1, 10)).map(|seed| plan(seed, 2, false)))
        }
    }
}

fn twice(plan: SimulationPlan) -> ExitCode {
    let same = run(plan) == run(plan);
    println!("seed {}: {}", plan.seed, if same { "the same bytes twice" } else { "differs" });
    if same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn trace(plan: SimulationPlan) -> ExitCode {
    match run(plan) {
        Ok(report) => report.trace.iter().for_each(|step| println!("{step}")),
        Err(violation) => {
            violation.trace.iter().for_each(|step| println!("{step}"));
            println!("seed {}: {}", plan.seed, violation.message);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Ends at the first seed that fails.
fn managers(seeds: impl Iterator<Item = u64>) -> ExitCode {
    let (mut runs, mut failed) = (0, 0);
    for seed in seeds {
        let run = skep_log::simulate_raft(seed);
        runs += 1;
        println!("{}", raft_line(seed, &run));
        run.broken.iter().for_each(|what| println!("  {what}"));
        failed += u64::from(!run.broken.is_empty());
        if failed > 0 {
            break;
        }
    }
    println!("{failed} of {runs} seeds break an invariant");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn raft_line(seed: u64, run: &skep_log::RaftRun) -> String {
    format!(
        "seed {seed}: {} entries, {} acknowledged, {} reads; {} tenures, {} crashes, {} disks failed and mended, \
         {} snapshots taken over, {} managers left and {} remain; {} steps in {:.0} s",
        run.entries,
        run.acknowledged,
        run.reads,
        run.tenures,
        run.crashes,
        run.went_on,
        run.installed,
        run.left,
        run.managers,
        run.steps.0,
        run.took.as_secs_f64(),
    )
}

/// One line for each seed that fails.
fn all(plans: impl Iterator<Item = SimulationPlan>) -> ExitCode {
    let (mut runs, mut failed) = (0, 0);
    for plan in plans {
        runs += 1;
        if let Err(violation) = run(plan) {
            failed += 1;
            println!("seed {}: {}", plan.seed, violation.message);
        }
    }
    println!("{failed} of {runs} seeds break an invariant");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seeds(plans: impl Iterator<Item = SimulationPlan>) -> ExitCode {
    let (mut runs, mut lost, mut tenures) = (0, 0, 0);
    for plan in plans {
        match run(plan) {
            Ok(report) => {
                println!("{}", line(plan.seed, &report));
                runs += 1;
                lost += report.mishaps.entries_lost;
                tenures += report.mishaps.manager_crashes + report.mishaps.lost_tenures;
            }
            Err(violation) => {
                violation.trace.iter().for_each(|step| println!("{step}"));
                println!("seed {}: {}", plan.seed, violation.message);
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{runs} seeds: {tenures} tenures ended, {lost} entries lost, every invariant held");
    ExitCode::SUCCESS
}

fn line(seed: u64, report: &Report) -> String {
    let mishaps = report.mishaps;
    format!(
        "seed {seed}: {} steps, {} records; {} manager and {} agent crashes, {} tenures lost, {} entries lost \
         of at most {} in flight; {} commands accepted, {} refused, {} unknown",
        report.steps,
        report.records,
        mishaps.manager_crashes,
        mishaps.agent_crashes,
        mishaps.lost_tenures,
        mishaps.entries_lost,
        mishaps.in_flight_max,
        report.accepted,
        report.refused,
        report.unknown
    )
}
