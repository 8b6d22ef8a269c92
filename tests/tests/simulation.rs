//! Whole clusters from fixed seeds: the invariants hold after every step, and the same seed gives
//! the same bytes.
//!
//! Fresh seeds are tried by `make simulate SEED=… SEEDS=…`; a seed that ever broke something is
//! added here.

use skep_tests::simulator::{SimulationPlan, run};

fn check(seeds: std::ops::Range<u64>, agents: usize, steps: usize) {
    for seed in seeds {
        if let Err(violation) = run(SimulationPlan { seed, agents, steps, traced: false }) {
            let steps = violation.trace.join("\n");
            panic!("{steps}\nseed {seed}: {}", violation.message);
        }
    }
}

#[test]
fn small_clusters_keep_their_promises() {
    check(1..13, 2, 1_500);
}

#[test]
fn larger_clusters_keep_their_promises() {
    check(100..106, 5, 2_500);
}

#[test]
fn seeds_that_found_faults_find_none_any_more() {
    for seed in [5, 8, 19, 20, 26, 37, 50, 51, 3029, 3064] {
        check(seed..seed + 1, 3, 3_000);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let plan = SimulationPlan { seed: 7, agents: 3, steps: 1_500, traced: true };
    let first = run(plan);
    assert!(first.is_ok(), "a seed that breaks nothing");
    assert_eq!(first, run(plan));
}
