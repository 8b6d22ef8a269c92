//! Stories about what is found.

use super::*;
use crate::history::testing::write;
use skep_projections::fixture::World;
use skep_proto::{
    Id,
    v1::{ClockJumped, event::Kind},
};

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{:?} {}: {}", f.severity(), f.subject, f.message)).collect()
}

#[test]
fn a_crash_loop_a_parked_object_and_nodes_that_are_away_are_found() {
    let mut world =
        World::of("node n1 | node n2 | close n2 | node n3 | close n3 | down n3 | service web | service db");
    world.tell("task web.1 on n1 running attempt=4 | park db");
    let loops = cluster::crash_loops(&world.view);
    assert_eq!(told(&loops), ["Warning web.1: has failed 4 times in a row"]);
    assert!(loops[0].hint.contains("skep why web.1"));
    let parked = cluster::parked(&world.view);
    assert_eq!(told(&parked), ["Problem db: replicas failed on it, and leaves it alone: parked by a story"]);
    let nodes = cluster::nodes(&world.view);
    let mut severities: Vec<(Severity, &str)> =
        nodes.iter().map(|f| (f.severity(), f.subject.as_str())).collect();
    severities.sort_unstable();
    assert_eq!(severities, [(Severity::Warning, "n2"), (Severity::Problem, "n3")]);
    assert!(nodes.iter().all(|finding| !finding.hint.is_empty()));
}

#[test]
fn a_healthy_cluster_is_told_to_be_so() {
    let world = World::of("node n1 | service web | task web.1 on n1 running");
    assert_eq!(told(&cluster::nodes(&world.view)), ["Ok nodes: all 1 are ready"]);
    assert!(cluster::crash_loops(&world.view).is_empty() && cluster::blocked(&world.view).is_empty());
}

#[test]
fn many_findings_of_one_kind_are_counted() {
    let mut world = World::empty();
    (0..50).for_each(|n| drop(world.tell(&format!("node n{n} | close n{n}"))));
    let nodes = cluster::nodes(&world.view);
    assert_eq!(nodes.len(), 21);
    assert_eq!(nodes[20].message, "30 more nodes are not ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_manager_says_so_and_its_clock_jumps_are_found() {
    let mut world = World::of("node n1");
    world.record(Kind::ClockJumped(ClockJumped { by_ns: -12_000_000_000 }));
    let written = write(&world).await;
    let past = written.past();
    let view = past.view_at(past.newest().revision).unwrap();
    let reads = Reads::still(past, view, 0, Id(1));
    let found = told(&examine(&reads).unwrap());
    assert!(found.contains(&"Warning manager: this manager is stopped".into()), "{found:#?}");
    assert!(
        found.iter().any(|line| line.starts_with("Warning clock: it jumped by -12 s before ")),
        "{found:#?}"
    );
}
