//! Stories about what is found.

use super::{clock::Agreement, *};
use crate::history::{testing::write, verdict};
use skep_projections::fixture::World;
use skep_proto::{
    Id,
    v1::{
        ClockJumped, EngineDescription, NodeDescription, NodeJoined, PlacementBlocked,
        RolloutPaused, RolloutStarted, RuntimeKind, SessionOpened, event::Kind,
    },
};

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{:?} {}: {}", f.severity(), f.subject, f.message)).collect()
}

#[test]
fn a_crash_loop_a_parked_object_and_nodes_that_are_away_are_found() {
    let mut world = World::of(
        "node n1 | node n2 | close n2 | node n3 | close n3 | down n3 | service web | service db",
    );
    world.tell("task web.1 on n1 running attempt=4 | park db");
    let loops = cluster::crash_loops(&world.view);
    assert_eq!(told(&loops), ["Warning web.1: has failed 4 times in a row"]);
    assert!(loops[0].hint.contains("skep why web.1"));
    let parked = cluster::parked(&world.view);
    assert_eq!(
        told(&parked),
        ["Problem db: replicas failed on it and no longer works on it: parked by a story"]
    );
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
    assert_eq!(told(&cluster::nodes(&world.view)), ["Ok nodes: the only node is ready"]);
    assert!(
        cluster::crash_loops(&world.view).is_empty() && cluster::blocked(&world.view).is_empty()
    );
}

#[test]
fn commands_that_are_refused_are_told_with_what_makes_them_work_again() {
    let hint = |cause| refused_commands("so".into(), cause).hint;
    assert!(hint(RefusalCause::SafeMode).contains("without --safe-mode"));
    let disk = hint(RefusalCause::Disk);
    assert!(disk.contains("room on the disk") && !disk.contains("safe-mode"), "{disk}");
}

#[test]
fn a_manager_that_does_not_answer_the_leader_is_not_counted_as_ready() {
    let mut world = World::of("level 7 | node m1 role=manager | number m1 | votes m1");
    for n in [2, 3] {
        world.tell(&format!("node m{n} role=manager | number m{n} | votes m{n}"));
    }
    world.tell("tenure m1 | open m1 | open m2 | open m3 | unheard m2");
    let found = cluster::managers(&world.view);
    let told = "Warning managers: 2 of 3 are ready, just the majority: one more loss stops the \
                cluster; node m2 does not answer the leader, though its agent does";
    assert_eq!(self::told(&found), [told]);
}

#[test]
fn of_a_locked_cluster_it_is_said_that_managers_are_to_be_unlocked() {
    let mut world = World::of(
        "level 7 | node m1 role=manager | number m1 | votes m1 | node m2 role=manager | number m2 | votes m2
         tenure m1 | open m1 | unheard m2",
    );
    let hints = |world: &World| {
        let found = [cluster::managers(&world.view), cluster::leaderless(&world.view)].concat();
        found.iter().filter(|finding| finding.hint.contains("`skep cluster unlock`")).count()
    };
    assert_eq!(hints(&world), 0);
    let mut spec = world.view.cluster().spec.as_ref().clone();
    spec.auto_lock = true;
    let updated = skep_proto::v1::ClusterUpdated { spec: Some(spec) };
    world.record(skep_proto::v1::event::Kind::ClusterUpdated(Box::new(updated)));
    assert_eq!(hints(&world), 2);
}

#[test]
fn without_a_leader_nothing_is_said_to_be_well() {
    let world = World::of(
        "level 6 | node m1 role=manager | number m1 | votes m1 | node m2 role=manager | number m2 | votes m2",
    );
    let found = cluster::leaderless(&world.view);
    let revision = world.view.position().revision;
    assert!(found.iter().all(|finding| finding.severity() != Severity::Ok));
    assert!(found.iter().all(|finding| !finding.hint.is_empty()));
    let needs = "nothing is decided until 2 of 2 work and reach each other";
    assert!(found[0].message.contains(needs), "{found:?}");
    assert!(found[1].message.ends_with(&format!("as of revision {revision}")), "{found:?}");
}

#[test]
fn a_log_that_confirms_nothing_is_a_problem() {
    let found = [(0, 0), (1_499_999_999, 7), (1_500_000_000, 9), (7, 7_560_000_000)]
        .map(|(entry_ns, read_ns)| confirmation(entry_ns, read_ns, Revision(7)));
    assert_eq!(
        told(&found),
        [
            "Ok log: takes entries; it stands at revision 7",
            "Ok log: takes entries; it stands at revision 7",
            "Problem log: has not confirmed an entry for 1.5 s; it stands at revision 7",
            "Problem log: has not confirmed a read for 7.5 s; it stands at revision 7",
        ]
    );
}

#[test]
fn nodes_that_get_no_tasks_are_not_counted_as_ready() {
    let mut world = World::of("node n1 | conditions n1 engine");
    assert_eq!(told(&cluster::nodes(&world.view)), [""; 0], "its condition is the finding");
    world.tell("node n2");
    assert_eq!(told(&cluster::nodes(&world.view)), ["Ok nodes: 1 of 2 is ready for tasks"]);
}

#[test]
fn a_service_that_waits_for_a_node_is_one_finding() {
    let mut world = World::of("node n1 | service web | task web.1");
    world.record(Kind::PlacementBlocked(PlacementBlocked {
        service_id: skep_projections::fixture::id("service", "web").to_bytes(),
        spec_version: world.view.services().get(world.service("web")).unwrap().spec_version.0,
        nodes: 1,
        message: "no suitable node".into(),
        ..Default::default()
    }));
    let found = cluster::blocked(&world.view);
    assert_eq!(told(&found), ["Warning web: 1 task has no node: no suitable node"]);
    assert_eq!(told(&cluster::not_running(&world.view)), [""; 0]);
}

#[test]
fn a_service_whose_tasks_ended_for_good_waits_for_nothing() {
    let world = World::of("node n1 | service bye restart=NONE | task bye.1 on n1 failed exit=3");
    let found = cluster::not_running(&world.view);
    let why =
        "bye.1 failed on n1: exit code 3; its restart condition is none, so nothing replaces it";
    assert_eq!(told(&found), [format!("Warning bye: its task does not run (0 of 1): {why}")]);
    assert_eq!(found[0].hint, "`skep service update --force bye` runs it again");
}

#[test]
fn managers_that_could_lose_no_more_are_found() {
    let cluster = |managers: usize, story: &str| {
        let mut world = World::of("level 6 | node m1 role=manager | number m1 | node n1");
        let story = story.split(" | ").filter(|statement| !statement.is_empty());
        (2..=managers).for_each(|n| {
            drop(world.tell(&format!("node m{n} role=manager | number m{n} | votes m{n}")));
        });
        world.tell("tenure m1 | open n1");
        (1..=managers).for_each(|n| drop(world.tell(&format!("open m{n}"))));
        story.for_each(|statement| drop(world.tell(statement)));
        cluster::managers(&world.view)
    };
    for (managers, story, expected) in [
        (1, "", ""),
        (1, "close m1", ""),
        (1, "promote n1 | number n1 | follows n1", ""),
        (
            2,
            "",
            "Warning managers: 2 of 2 are ready, just the majority: one more loss stops the cluster",
        ),
        (
            2,
            "down m2",
            "Problem managers: 1 of 2 is ready, and without 2 nothing is decided; node m2 is down",
        ),
        (3, "", "Ok managers: all 3 are ready; 1 may fail"),
        (
            3,
            "silent m2",
            "Warning managers: 2 of 3 are ready, just the majority: one more loss stops the cluster; \
             node m2 is silent",
        ),
        (
            3,
            "down m2 | close m3",
            "Problem managers: 1 of 3 is ready, and without 2 nothing is decided; node m2 is down; \
             node m3 is disconnected",
        ),
        (4, "", "Warning managers: 4 of 4 are ready; 1 more may fail, as of 3"),
        (5, "", "Ok managers: all 5 are ready; 2 may fail"),
        (
            6,
            "down m2",
            "Warning managers: 5 of 6 are ready; 1 more may fail, as of 5; node m2 is down",
        ),
        (5, "down m2", "Warning managers: 4 of 5 are ready; 1 more may fail; node m2 is down"),
        // One that is being demoted votes until it is out.
        (3, "demote m3", "Ok managers: all 3 are ready; 1 may fail"),
    ] {
        let found = cluster(managers, story);
        assert_eq!(told(&found).join("\n"), expected, "{managers}, {story}");
        for finding in found.iter().filter(|finding| finding.severity() != Severity::Ok) {
            let is_away = story.contains('m') && !story.contains("demote");
            assert_eq!(finding.hint.contains("start the daemons"), is_away, "{finding:?}");
        }
    }
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
    let found = told(&examine(&reads, &DiskTrial::NotAsked).unwrap());
    assert!(found.contains(&"Warning manager: this manager is stopped".into()), "{found:#?}");
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("Warning clock: the wall clock jumped by -12 s before ")),
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jumps_of_the_clock_are_one_finding_and_no_warning_while_the_clocks_agree() {
    let mut world = World::of("node n1");
    world.record(Kind::ClockJumped(ClockJumped { by_ns: 30_000_000_000 }));
    world.record(Kind::ClockJumped(ClockJumped { by_ns: -30_000_000_000 }));
    let written = write(&world).await;
    let past = written.past();
    let view = past.view_at(past.newest().revision).unwrap();
    let found = |now| history::clock(&past, &view, now).unwrap().expect("it jumped");
    let newest = view.position().revision;
    let begins = "the wall clock jumped 2 times lately, most recently by -30 s before ";
    let differ = found(Agreement::Differ);
    assert!(differ.message.starts_with(begins), "{differ:?}");
    assert!(differ.message.ends_with(&format!("(revision {newest})")), "{differ:?}");
    assert_eq!(differ.severity(), Severity::Warning);
    let agree = found(Agreement::Agree);
    assert_eq!((agree.severity(), agree.hint.as_str()), (Severity::Ok, ""));
    assert!(agree.message.ends_with("; the clocks agree again"), "{agree:?}");
}

#[test]
fn what_agents_say_is_wrong_is_found_with_a_remedy() {
    let mut world = World::of("node n1 | node n2 | conditions n1 engine pull");
    let found = cluster::conditions(&world.view);
    assert_eq!(
        told(&found),
        [
            "Problem n1: engine unreachable: engine by a story; the node gets no new tasks, and keeps those that it has",
            "Warning n1: images cannot be pulled: pull by a story",
        ]
    );
    assert!(found.iter().all(|finding| !finding.hint.is_empty()));
    world.tell("close n1 | down n1");
    assert!(cluster::conditions(&world.view).is_empty(), "that it is down says more");
}

#[test]
fn a_task_that_runs_with_something_wrong_is_found() {
    let mut world = World::of("node n1 | service web | task web.1 on n1 running");
    assert!(cluster::hampered(&world.view).is_empty());
    world.tell("web.1 running message=paused");
    let found = cluster::hampered(&world.view);
    assert_eq!(told(&found), ["Warning web.1: it runs, but paused"]);
    assert!(found[0].hint.contains("skep task inspect web.1"), "{found:?}");
    let (_, row) = world.view.tasks().iter().next().unwrap();
    let verdict = verdict::task(&world.view, row);
    assert!(verdict.contains(": paused"), "{verdict}");
}

#[test]
fn a_paused_roll_out_and_a_service_of_which_nothing_runs_are_found() {
    let mut world =
        World::of("node n1 | service web replicas=2 | task web.1 on n1 | task web.2 on n1 running");
    assert!(
        cluster::not_running(&world.view).is_empty() && cluster::paused(&world.view).is_empty()
    );
    let service_id = skep_projections::fixture::id("service", "web").to_bytes();
    world.tell("web.2 failed");
    let spec_version = world.view.services().get(world.service("web")).unwrap().spec_version.0;
    world.record(Kind::RolloutStarted(RolloutStarted {
        service_id: service_id.clone(),
        spec_version,
    }));
    let message = "web.1 failed".into();
    world.record(Kind::RolloutPaused(RolloutPaused {
        service_id,
        spec_version,
        message,
        ..Default::default()
    }));
    assert_eq!(
        told(&cluster::not_running(&world.view)),
        ["Warning web: none of its tasks runs (0 of 2)"]
    );
    assert_eq!(
        told(&cluster::paused(&world.view)),
        ["Warning web: its roll-out is paused: web.1 failed"]
    );
    world.tell("remove web");
    assert!(
        cluster::not_running(&world.view).is_empty() && cluster::paused(&world.view).is_empty()
    );
}

#[test]
fn a_host_name_that_two_nodes_have_is_found() {
    let mut world = World::of("node n1 | node n2");
    assert!(cluster::host_names(&world.view).is_empty());
    let description = skep_projections::fixture::node_description("N1");
    let node_id = Id(77).to_bytes();
    let joined = NodeJoined { node_id, description: Some(description), ..NodeJoined::default() };
    world.record(Kind::NodeJoined(Box::new(joined)));
    let found = cluster::host_names(&world.view);
    assert_eq!(found.len(), 1);
    assert!(found[0].message.starts_with("2 nodes have this host name: "), "{found:?}");
}

#[test]
fn only_engines_are_compared_with_engines() {
    let mut world = World::of("node n1 | node n2 | node n3");
    let versions = |world: &mut World, kinds: [(RuntimeKind, &str); 3]| {
        for (name, (runtime, version)) in ["n1", "n2", "n3"].into_iter().zip(kinds) {
            let engine = (!version.is_empty()).then(|| EngineDescription {
                version: version.into(),
                ..EngineDescription::default()
            });
            let known = skep_projections::fixture::node_description(name);
            let description = NodeDescription { runtime: runtime as i32, engine, ..known };
            let session = world.view.nodes().get(world.node(name)).unwrap().session + 1;
            let node_id = skep_projections::fixture::id("node", name).to_bytes();
            let opened = SessionOpened {
                node_id,
                session,
                description: Some(description),
                ..SessionOpened::default()
            };
            world.record(Kind::SessionOpened(Box::new(opened)));
        }
        told(&cluster::versions(&world.view))
    };
    let (docker, process) = (RuntimeKind::Docker, RuntimeKind::Process);
    let alike = versions(&mut world, [(docker, "20.10.24"), (process, ""), (docker, "20.10.24")]);
    assert!(alike.is_empty(), "{alike:?}");
    let away = versions(&mut world, [(docker, "20.10.24"), (process, "process"), (docker, "")]);
    assert!(away.is_empty(), "{away:?}");
    let differ = versions(&mut world, [(docker, "20.10.24"), (process, ""), (docker, "25.0.1")]);
    assert_eq!(differ, ["Warning engines: differ: 20.10.24 on n1, 25.0.1 on n3"]);
}
