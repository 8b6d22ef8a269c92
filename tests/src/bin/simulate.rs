//! Runs simulated clusters from seeds: `simulate FIRST COUNT [STEPS] [AGENTS]`, `simulate --trace SEED …`, or `simulate --twice SEED`.
//!
//! A seed that breaks an invariant is printed with the steps before, and the exit code is 1.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use skep_tests::simulator::{Plan, run};
use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let number =
        |place: usize, default: u64| words.get(place).and_then(|w| w.parse().ok()).unwrap_or(default);
    if words.first().is_some_and(|word| word == "--twice") {
        let plan = Plan { seed: number(1, 1), agents: 3, steps: 2_000 };
        let same = run(plan) == run(plan);
        println!("seed {}: {}", plan.seed, if same { "the same bytes twice" } else { "differs" });
        return if same { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if words.first().is_some_and(|word| word == "--trace") {
        let plan =
            Plan { seed: number(1, 1), agents: number(3, 3) as usize, steps: number(2, 2_000) as usize };
        let trace = run(plan).map_or_else(|violation| violation.trace, |report| report.trace);
        trace.iter().for_each(|step| println!("{step}"));
        return ExitCode::SUCCESS;
    }
    for seed in number(0, 1)..number(0, 1) + number(1, 10) {
        let plan = Plan { seed, agents: number(3, 3) as usize, steps: number(2, 2_000) as usize };
        match run(plan) {
            Ok(report) => println!(
                "seed {seed}: {} steps, {} records, {} manager and {} agent crashes, {} commands acknowledged",
                report.trace.len(),
                report.records,
                report.crashes.0,
                report.crashes.1,
                report.acknowledged
            ),
            Err(violation) => {
                violation.trace.iter().for_each(|step| println!("{step}"));
                println!("seed {seed}: {}", violation.words);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
