//! What each record does to the view, told as stories: the facts, then what the view says.

use skep_projections::fixture::{World, id};
use skep_proto::{
    Id,
    v1::{NodeState, StrayDisowned, TaskState, event::Kind},
};

/// Tells a story and says how a task stands: `running, wanted running, on n1`.
fn task(story: &str, name: &str) -> String {
    let world = World::of(story);
    assert_eq!(world.view.faults(), Vec::<String>::new());
    let row = world.view.tasks().get(world.task(name)).expect("a task has a row");
    let word =
        |state: TaskState| state.as_str_name().trim_start_matches("TASK_STATE_").to_lowercase();
    let node = row
        .node
        .and_then(|node| world.view.nodes().get(node))
        .map_or("nowhere", |node| node.hostname());
    format!("{}, wanted {}, on {node}", word(row.state), word(row.desired))
}

/// Tells a story, then something that contradicts it: nothing may change but the count and the
/// position.
fn contradicts(story: &str, statement: &str) {
    let mut world = World::of(story);
    let before = world.view.clone();
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.tell(statement)));
    assert!(told.is_err(), "{statement:?} fits after {story:?}");
    assert_eq!(world.view.set_aside(), 1);
    assert_eq!(skep_projections::audit::diff(&before, &world.view), vec![]);
    assert_eq!(world.view.faults(), Vec::<String>::new());
}

const PLACED: &str =
    "node n1 | service web replicas=2 cpus=1 memory=64m port=tcp:80 | task web.1 on n1";

#[test]
fn a_task_goes_its_way() {
    assert_eq!(task("service web | task web.1", "web.1"), "pending, wanted running, on nowhere");
    assert_eq!(task(PLACED, "web.1"), "assigned, wanted running, on n1");
    assert_eq!(
        task(&format!("{PLACED} | web.1 running"), "web.1"),
        "running, wanted running, on n1"
    );
    assert_eq!(
        task(&format!("{PLACED} | web.1 running | web.1 wanted shutdown"), "web.1"),
        "running, wanted shutdown, on n1"
    );
    assert_eq!(
        task(&format!("{PLACED} | web.1 failed exit=1"), "web.1"),
        "failed, wanted running, on n1"
    );
}

#[test]
fn neither_state_goes_back_and_an_end_is_final() {
    contradicts(&format!("{PLACED} | web.1 running"), "web.1 starting");
    contradicts(&format!("{PLACED} | web.1 wanted shutdown"), "web.1 wanted running");
    contradicts(&format!("{PLACED} | web.1 wanted shutdown"), "web.1 wanted shutdown");
    contradicts(&format!("{PLACED} | web.1 complete"), "web.1 failed");
    contradicts(&format!("{PLACED} | web.1 complete"), "web.1 complete");
    contradicts(&format!("{PLACED} | web.1 failed"), "orphan web.1");
    contradicts(&format!("{PLACED} | orphan web.1"), "web.1 running");
}

#[test]
fn what_cannot_be_is_set_aside() {
    contradicts("service web | task web.1", "web.1 running");
    contradicts(PLACED, "assign web.1 n1");
    contradicts(PLACED, "reap web.1");
    contradicts("service web | task web.1", "reap web.1");
    contradicts("service web | task web.1 | web.1 wanted shutdown | node n1", "assign web.1 n1");
    contradicts("service web", "service WEB");
    contradicts("node n1", "node n1");
    contradicts("node n1 | close n1", "silent n1 | silent n1");
    contradicts("service web | remove web", "scale web 3");
    contradicts(PLACED, "web.1 remove");
    contradicts("node n1", "release n1");
}

/// What is said of a statement that contradicts a story.
fn misfit(story: &str, statement: &str) -> String {
    let mut world = World::of(story);
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.tell(statement)));
    assert!(told.is_err(), "{statement:?} fits after {story:?}");
    let newest = world.view.newest_set_aside().expect("a record was set aside");
    assert_eq!(newest.revision, world.view.position().revision);
    newest.why.to_string().replace(&world.task_id("web.1").to_string(), "web.1")
}

#[test]
fn a_record_that_is_set_aside_says_what_does_not_fit() {
    let running = format!("{PLACED} | web.1 running");
    assert_eq!(misfit(&running, "web.1 starting"), "task web.1 cannot go from Running to Starting");
    assert_eq!(
        misfit(&format!("{PLACED} | web.1 complete"), "web.1 failed"),
        "task web.1 has ended already (Complete)"
    );
    assert_eq!(
        misfit(PLACED, "assign web.1 n1"),
        "the record does not fit to where task web.1 is placed"
    );
}

#[test]
fn the_same_state_again_is_news_only_if_something_else_is() {
    let mut world = World::of(&format!("{PLACED} | web.1 preparing"));
    let since = world.view.tasks().get(world.task("web.1")).map(|row| row.state_since);
    assert!(world.tell("web.1 preparing").is_empty());
    let delta = world.tell("web.1 preparing message=pulling");
    assert_eq!(delta.tasks.into_iter().collect::<Vec<_>>(), [world.task("web.1")]);
    let row = world.view.tasks().get(world.task("web.1")).expect("a row");
    assert_eq!(row.detail.as_ref().map(|detail| detail.message.as_str()), Some("pulling"));
    assert_eq!(Some(row.state_since), since, "the state is as old as before");
}

#[test]
fn a_container_that_is_not_told_again_is_kept() {
    let world = World::of(&format!("{PLACED} | web.1 failed exit=3 | wait 1s"));
    let world = {
        let mut world = world;
        world.tell(
            "task web.2 on n1 starting exit=0 | web.2 running message=healthy | reject web.2",
        );
        world
    };
    let row = world.view.tasks().get(world.task("web.2")).expect("a row");
    let detail = row.detail.as_ref().expect("something was told");
    assert_eq!(
        (detail.error.as_str(), detail.container.as_ref().and_then(|c| c.exit_code)),
        ("rejected", Some(0))
    );
}

#[test]
fn a_task_takes_of_its_node_until_it_ends() {
    let mut world = World::of(PLACED);
    let taken = |world: &World| {
        let row = world.view.nodes().get(world.node("n1")).expect("a row");
        (row.live_tasks, row.reserved_nano_cpus, row.reserved_memory_bytes, row.host_ports.len())
    };
    assert_eq!(taken(&world), (1, 1_000_000_000, 64 << 20, 1));
    assert_eq!(world.view.nodes_with_port(0, 80).count(), 1);
    world.tell("web.1 running | web.1 wanted shutdown");
    assert_eq!(taken(&world), (0, 1_000_000_000, 64 << 20, 1), "it is not wanted, and still there");
    world.tell("web.1 shutdown");
    assert_eq!(taken(&world), (0, 0, 0, 0));
    assert_eq!(world.view.nodes_with_port(0, 80).count(), 0);
}

#[test]
fn indexes_answer_what_is_left_to_do() {
    let mut world = World::of(
        "node n1 | service web replicas=3 | task web.1 | task web.2 on n1 running | task web.3 hold=5s",
    );
    let (web, view) = (world.service("web"), world.view.clone());
    assert_eq!(
        view.pending_of(web).map(|(_, task)| world.task_name(task)).collect::<Vec<_>>(),
        ["web.1", "web.3"]
    );
    assert_eq!(view.held().map(|(_, task)| world.task_name(task)).collect::<Vec<_>>(), ["web.3"]);
    assert_eq!(view.service_load(web, world.node("n1")), 1);
    assert_eq!(view.loads_of(web).count(), 1);
    let row = view.services().get(web).expect("a row");
    assert_eq!((row.tasks, row.live_tasks, row.running_tasks, row.replicas()), (3, 3, 1, 3));
    world.tell("web.2 failed exit=1 | web.3 wanted running");
    assert_eq!(
        world.view.unanswered().map(|task| world.task_name(task)).collect::<Vec<_>>(),
        ["web.2"]
    );
    assert_eq!(world.view.held().count(), 0, "wanted to run at once: no hold any more");
    world.tell("web.2 wanted shutdown");
    assert_eq!(world.view.unanswered().count(), 0, "the end was answered");
}

#[test]
fn successive_tasks_share_a_slot_oldest_first() {
    let world = World::of(&format!(
        "{PLACED} | web.1 failed | web.1 wanted shutdown | task web.1 on n1 running"
    ));
    let tasks: Vec<_> =
        world.view.tasks_in_slot(world.service("web"), 1).map(|(_, row)| row.state).collect();
    assert_eq!(tasks, [TaskState::Failed, TaskState::Running]);
    let newest = world.view.tasks().get(world.task("web.1")).expect("a row");
    assert_eq!(newest.replaces, world.task_id("web.1#1"));
}

#[test]
fn a_removed_service_stays_until_its_last_task_has_gone() {
    let mut world = World::of(&format!("{PLACED} | remove web"));
    let web = world.service("web");
    assert!(world.view.services().get(web).is_some_and(|row| row.removed && row.replicas() == 0));
    assert_eq!(world.view.service_named("web"), None, "its name is free");
    world.tell("web.1 wanted remove | web.1 shutdown");
    let delta = world.tell("reap web.1");
    assert!(world.view.services().get(web).is_none());
    assert!(delta.services.contains(&web), "who looks finds that it was there");
    world.tell("service web replicas=1");
    assert!(world.view.service_named("Web").is_some());
}

#[test]
fn a_removed_node_takes_its_unfinished_tasks_with_it() {
    let mut world = World::of(&format!("{PLACED} running | task web.2 on n1 complete"));
    let n1 = world.node("n1");
    let delta = world.tell("rmnode n1");
    assert_eq!(delta.tasks.into_iter().collect::<Vec<_>>(), [world.task("web.1")]);
    let state =
        |world: &World, name: &str| world.view.tasks().get(world.task(name)).map(|row| row.state);
    assert_eq!(state(&world, "web.1"), Some(TaskState::Orphaned));
    assert_eq!(state(&world, "web.2"), Some(TaskState::Complete));
    assert_eq!(world.view.unanswered().count(), 2, "both ends wait for an answer");
    assert!(world.view.nodes().get(n1).is_some_and(|row| row.removed));
    assert_eq!(world.view.nodes_named("n1").count(), 0);
    assert_eq!(world.view.node_counts(), (0, 0));
    world.tell("reap web.1 | reap web.2");
    assert!(world.view.nodes().get(n1).is_none(), "nothing refers to it any more");
}

#[test]
fn a_node_is_ready_while_its_session_is_open() {
    let mut world = World::of("node n1 away");
    let mut check = |story: &str, expected: NodeState, placeable: bool| {
        world.tell(story);
        let row = world.view.nodes().get(world.node("n1")).expect("a row");
        assert_eq!((row.state, row.is_placeable()), (expected, placeable), "after {story:?}");
        assert_eq!(world.view.node_counts(), (1, u32::from(placeable)));
        assert_eq!(world.view.faults(), Vec::<String>::new());
    };
    check("", NodeState::Unknown, false);
    check("open n1", NodeState::Ready, true);
    check("close n1", NodeState::Disconnected, false);
    check("open n1", NodeState::Ready, true);
    check("silent n1", NodeState::Ready, false);
    check("down n1", NodeState::Down, false);
    check("close n1", NodeState::Down, false);
    check("open n1 | drain n1", NodeState::Ready, false);
    check("activate n1", NodeState::Ready, true);
    check("tenure", NodeState::Unknown, false);
}

#[test]
fn silence_waits_for_an_answer() {
    let mut world = World::of("node n1 | silent n1");
    assert_eq!(world.view.silent().collect::<Vec<_>>(), [world.node("n1")]);
    world.tell("down n1");
    assert_eq!(world.view.silent().count(), 0);
    let world = World::of("node n1 | silent n1 | tenure");
    assert_eq!(world.view.silent().count(), 0, "a new tenure gives everybody time again");
}

#[test]
fn nodes_of_one_kind_share_a_class() {
    let mut world = World::of(
        "node n1 label=zone:a | node n2 label=zone:a | node n3 label=zone:b | node n4 away",
    );
    let classes = |world: &World| {
        let zone = |class: &skep_projections::classes::Class| {
            class.key.node_labels().get("zone").cloned().unwrap_or_default()
        };
        let mut all: Vec<_> = world
            .view
            .classes()
            .map(|(_, class)| (zone(class), class.nodes, class.placeable))
            .collect();
        all.sort();
        all
    };
    assert_eq!(classes(&world), [("".into(), 1, 0), ("a".into(), 2, 2), ("b".into(), 1, 1)]);
    world.tell("label n3 zone:a | drain n1");
    assert_eq!(classes(&world), [("".into(), 1, 0), ("a".into(), 3, 2)]);
    let class = world.view.nodes().get(world.node("n2")).expect("a row").class;
    world.tell("service web | task web.1 on n2");
    let least_loaded: Vec<_> = world.view.placeable_in(class).collect();
    assert_eq!(least_loaded, [(0, world.node("n3")), (1, world.node("n2"))]);
}

#[test]
fn a_spec_version_moves_only_with_what_tasks_run() {
    let mut world = World::of(PLACED);
    let mut check = |story: &str, moves: bool, specs: usize| {
        let row =
            |world: &World| world.view.services().get(world.service("web")).expect("a row").clone();
        let before = row(&world);
        world.tell(story);
        let after = row(&world);
        assert!(after.version > before.version, "{story:?} is a new version of the service");
        assert_eq!(after.spec_version > before.spec_version, moves, "after {story:?}");
        assert_eq!(after.specs.len(), specs, "after {story:?}");
        assert_eq!(world.view.faults(), Vec::<String>::new());
    };
    check("scale web 5", false, 1);
    check("update web label=team:a", false, 1);
    check("update web replicas=4", false, 1);
    check("update web image=app2", true, 2);
    check("update web image=app3", true, 2);
    check("update web force=1 | task web.2", true, 2);
    check("web.1 wanted remove | web.1 shutdown | reap web.1 | scale web 1", false, 1);
}

#[test]
fn what_is_left_alone_is_so_until_released_or_changed() {
    let world = World::of("service web | task web.1 | park web | park web.1");
    let parked = |world: &World| world.view.all_parked().count();
    assert_eq!(parked(&world), 2);
    assert!(
        world
            .view
            .parked(id("service", "web"))
            .is_some_and(|parked| parked.message == "parked by a story")
    );
    for story in
        ["release web", "scale web 2", "update web image=b", "web.1 wanted remove | reap web.1"]
    {
        let mut world = world.clone();
        world.tell(story);
        assert_eq!(parked(&world), 1, "after {story:?}");
        assert_eq!(world.view.faults(), Vec::<String>::new());
    }
}

#[test]
fn a_stray_is_kept_in_sight_until_it_ends_or_is_disowned_or_its_node_goes() {
    let strays = |story: &str| {
        let world = World::of(story);
        assert_eq!(world.view.faults(), Vec::<String>::new(), "{story}");
        let copy =
            skep_projections::snapshot::decode(&skep_projections::snapshot::encode(&world.view));
        assert_eq!(copy.expect("a snapshot can be read").digest(), world.view.digest(), "{story}");
        world.view.strays().count()
    };
    let two = "node n1 | node n2 | stray a running n1 | stray b starting n2";
    assert_eq!(strays(two), 2);
    assert_eq!(strays(&format!("{two} | stray b running n2")), 2);
    assert_eq!(strays(&format!("{two} | stray b failed n2")), 1);
    assert_eq!(strays(&format!("{two} | disown a")), 1);
    assert_eq!(strays(&format!("{two} | rmnode n1")), 1);
    assert_eq!(strays("node n1 | stray a running n1 | disown a"), 0);
}

#[test]
fn who_disowns_a_stray_tells_its_node() {
    let mut world = World::of("node n1 | stray a running n1");
    let task_id = id("stray", "a").to_bytes();
    let delta =
        world.record(Kind::StrayDisowned(StrayDisowned { task_id, ..StrayDisowned::default() }));
    assert_eq!(delta.gone, [(id("stray", "a"), id("node", "n1"))]);
}

#[test]
fn what_is_no_stray_is_none() {
    contradicts("node n1", "disown a");
    contradicts("node n1", "stray a failed n1");
    contradicts("node n1", "stray a running n2");
}

#[test]
fn ids_are_found_by_prefix() {
    let world = World::of("node n1 | node n2 | node n3");
    let n2 = id("node", "n2");
    let (low, high) = Id::prefix_range(&n2.to_string()[..6]).expect("a prefix");
    let found: Vec<_> = world.view.nodes().range(low, high).map(|(_, row)| row.id).collect();
    assert_eq!(found, [n2]);
}
