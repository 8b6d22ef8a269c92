//! Stories about the page.

use super::*;
use skep_projections::fixture::World;

#[test]
fn the_page_tells_of_turns_tasks_nodes_and_services() {
    let world = World::of(
        "node n1 | node n2 | close n2 | service web replicas=3 \
         | task web.1 on n1 running | task web.2 | task web.3 on n1 failed exit=1",
    );
    let counters = MetricCounters::default();
    counters.turn(7, Duration::from_micros(30));
    let refused = Answer::Refused(crate::admit::Refusal::not_found("no such service"));
    counters.answered(std::iter::once(&refused));
    let gauges = ManagerGauges {
        leader: true,
        healthy: true,
        term: 4,
        syncs: 9,
        entries: 12,
        ..ManagerGauges::default()
    };
    let page = counters.render(&world.view, &gauges);
    let revision = format!("skep_log_revision {}", world.view.position().revision);
    for line in [
        revision.as_str(),
        "skep_log_leader 1",
        "skep_log_term 4",
        "skep_log_syncs_total 9",
        "skep_turns_total 1",
        "skep_log_entries_total 12",
        "skep_commands_refused_total{code=\"not_found\"} 1",
        "skep_turn_records_sum 7.0",
        "skep_turn_seconds_count 1",
        "skep_tasks{state=\"running\"} 1",
        "skep_tasks{state=\"pending\"} 1",
        "skep_tasks{state=\"failed\"} 1",
        "skep_nodes{state=\"ready\"} 1",
        "skep_nodes{state=\"disconnected\"} 1",
        "skep_nodes{state=\"down\"} 0",
        "skep_service_tasks_desired{service=\"web\"} 3",
        "skep_service_tasks_running{service=\"web\"} 1",
        "skep_service_tasks_pending{service=\"web\"} 1",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
    }
}

#[test]
fn the_census_follows_the_view() {
    let mut world = World::of("node n1 | service web | task web.1 on n1");
    let counters = MetricCounters::default();
    let page = |world: &World| counters.render(&world.view, &ManagerGauges::default());
    assert!(page(&world).contains("skep_tasks{state=\"assigned\"} 1"));
    world.tell("web.1 running");
    assert!(page(&world).contains("skep_tasks{state=\"running\"} 1"));
    assert!(!page(&world).contains("assigned"));
    assert!(page(&world).contains("skep_tasks_hampered 0"));
    world.tell("web.1 running message=paused");
    assert!(page(&world).contains("skep_tasks_hampered 1"));
}
