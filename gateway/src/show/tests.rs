//! Stories about what is shown.

use super::*;
use skep_projections::fixture::{World, id};
use skep_proto::v1::{
    Filter, ListRequest, NodeState, PlacementBlocked, RaftMembership, RolloutPaused,
    RolloutStarted, TaskState, event::Kind,
};

fn world() -> World {
    World::of(
        "node n10 label=zone:a | node n2 role=manager | node n3 away \
         | service web replicas=3 label=tier:front cpus=0.5 memory=64m | service db \
         | task web.1 on n2 failed exit=1 | web.1 wanted shutdown | task web.1 on n10 running attempt=1 \
         | task web.2 on n2 running | task web.3 | task db.1 on n2 running",
    )
}

fn filters(text: &[(&str, &[&str])]) -> ListRequest {
    let filter = |(key, values): &(&str, &[&str])| Filter {
        key: (*key).into(),
        values: values.iter().map(|value| (*value).into()).collect(),
    };
    ListRequest { filters: text.iter().map(filter).collect(), ..ListRequest::default() }
}

fn nodes(world: &World, request: &ListRequest) -> Vec<String> {
    let nodes = list::nodes(&world.view, request).unwrap();
    nodes.into_iter().map(|node| node.description.unwrap().hostname).collect()
}

fn tasks(world: &World, request: &ListRequest) -> Vec<String> {
    let tasks = list::tasks(&world.view, request).unwrap();
    tasks.into_iter().map(|task| format!("{} {}", task.name, task.node_name)).collect()
}

#[test]
fn a_service_tells_how_many_run_of_how_many_wanted() {
    let world = world();
    let services = list::services(&world.view, &ListRequest::default()).unwrap();
    let status: Vec<_> = services
        .iter()
        .map(|s| {
            (
                s.spec.as_ref().unwrap().annotations.as_ref().unwrap().name.as_str(),
                s.status.unwrap(),
            )
        })
        .collect();
    assert_eq!(status[0], ("db", ServiceStatus { running_tasks: 1, desired_tasks: 1 }));
    assert_eq!(status[1], ("web", ServiceStatus { running_tasks: 2, desired_tasks: 3 }));
    let meta = services[1].meta.unwrap();
    assert_eq!(meta.created_revision, meta.version);
    assert!(meta.created_at > 0 && meta.updated_at >= meta.created_at);
}

#[test]
fn a_node_tells_what_its_tasks_reserve() {
    let world = world();
    let all = list::nodes(&world.view, &ListRequest::default()).unwrap();
    let n2 = all.iter().find(|node| node.description.as_ref().unwrap().hostname == "n2").unwrap();
    assert_eq!(n2.tasks, 2);
    let reserved = n2.reserved.as_ref().unwrap();
    assert_eq!((reserved.nano_cpus, reserved.memory_bytes), (500_000_000, 64 << 20));
    assert_eq!(n2.status.as_ref().unwrap().state(), NodeState::Ready);
}

/// Number, membership, whether it leads and is reached.
fn manager_of(view: &View, name: &str) -> Option<(u64, RaftMembership, bool, bool)> {
    let (_, row) = view.nodes().by_id(id("node", name)).unwrap();
    let status = node(view, row).manager_status?;
    Some((status.raft_id, status.membership(), status.leader, status.reachable))
}

#[test]
fn a_node_tells_what_it_is_among_the_managers_from_feature_level_6_on() {
    use RaftMembership::{Follows, None as Outside, Votes};
    let mut world = World::of("level 5 | node m1 role=manager | tenure m1 | open m1 | node m2");
    assert_eq!(manager_of(&world.view, "m1"), None);
    world.tell("level 6");
    assert_eq!(manager_of(&world.view, "m1"), Some((0, Outside, true, true)));
    world.tell("number m1 | votes m1");
    assert_eq!(manager_of(&world.view, "m1"), Some((1, Votes, true, true)));
    assert_eq!(manager_of(&world.view, "m2"), None);
    for (step, expected) in [
        ("promote m2", Some((0, Outside, false, true))),
        ("number m2", Some((2, Outside, false, true))),
        ("follows m2", Some((2, Follows, false, true))),
        ("votes m2", Some((2, Votes, false, true))),
        ("close m2", Some((2, Votes, false, false))),
        ("demote m2", Some((2, Votes, false, false))),
        ("leaves m2", None),
    ] {
        world.tell(step);
        assert_eq!(manager_of(&world.view, "m2"), expected, "{step}");
    }
}

#[test]
fn nodes_and_tasks_come_in_the_order_that_people_expect() {
    let world = world();
    assert_eq!(nodes(&world, &ListRequest::default()), ["n2", "n3", "n10"]);
    let all = ["db.1 n2", "web.1 n10", "web.1 n2", "web.2 n2", "web.3 "];
    assert_eq!(tasks(&world, &ListRequest::default()), all);
}

#[test]
fn values_of_one_key_are_alternatives_and_keys_must_all_hold() {
    let world = world();
    assert_eq!(nodes(&world, &filters(&[("name", &["n2", "n3"])])), ["n2", "n3"]);
    assert_eq!(nodes(&world, &filters(&[("name", &["n2", "n3"]), ("role", &["manager"])])), ["n2"]);
    assert_eq!(nodes(&world, &filters(&[("node.label", &["zone=a"])])), ["n10"]);
    assert_eq!(nodes(&world, &filters(&[("node.label", &["zone"])])), ["n10"]);
    assert_eq!(nodes(&world, &filters(&[("node.label", &["zone=b"])])), [""; 0]);
    let front = list::services(
        &world.view,
        &filters(&[("label", &["tier=front"]), ("mode", &["replicated"])]),
    );
    assert_eq!(front.unwrap().len(), 1);
    assert_eq!(
        tasks(&world, &filters(&[("service", &["web"]), ("desired-state", &["running"])])),
        ["web.1 n10", "web.2 n2", "web.3 "]
    );
    assert_eq!(tasks(&world, &filters(&[("node", &["n2"])])), ["db.1 n2", "web.1 n2", "web.2 n2"]);
    assert_eq!(
        tasks(
            &world,
            &filters(&[("node", &["n2", "n10"]), ("service", &["web"]), ("name", &["web.1"])])
        ),
        ["web.1 n10", "web.1 n2"]
    );
}

#[test]
fn several_labels_must_all_be_there() {
    let world = World::of(
        "node n1 label=zone:a label=disk:ssd | node n2 label=zone:a | node n3 label=disk:ssd",
    );
    let both =
        |first: &str, second: &str| nodes(&world, &filters(&[("node.label", &[first, second])]));
    assert_eq!(both("zone=a", "disk=ssd"), ["n1"]);
    assert_eq!(both("zone", "disk"), ["n1"]);
    assert_eq!(both("zone=a", "zone=b"), [""; 0], "a label has one value");
    let apart = [("node.label", &["zone"][..]), ("node.label", &["disk"][..])];
    assert_eq!(nodes(&world, &filters(&apart)), ["n1"], "the flag given twice");
}

#[test]
fn what_cannot_be_filtered_by_is_refused_with_what_can() {
    let world = world();
    let error = list::nodes(&world.view, &filters(&[("colour", &["red"])])).unwrap_err();
    assert_eq!(error.message, "nodes cannot be filtered by \"colour\"");
    assert_eq!(
        error.hint,
        "the filters of nodes are id, label, membership, name, node.label, role"
    );
    let error = list::nodes(&world.view, &filters(&[("role", &["boss"])])).unwrap_err();
    assert_eq!(error.hint, "write role= and one of worker, manager");
    assert!(list::tasks(&world.view, &filters(&[("desired-state", &["fine"])])).is_err());
    assert!(list::tasks(&world.view, &filters(&[("service", &["nope"])])).is_err());
}

#[test]
fn the_number_of_filter_values_is_bounded() {
    let world = world();
    let many = |count: usize| vec!["n1"; count];
    assert!(list::nodes(&world.view, &filters(&[("name", &many(1_024))])).is_ok());
    let error = list::nodes(&world.view, &filters(&[("name", &many(1_000)), ("id", &many(25))]));
    assert_eq!(error.unwrap_err().message, "1025 filter values are too many: 1024 are possible");
}

#[test]
fn objects_that_are_named_come_in_that_order_and_once() {
    let world = world();
    let named = ListRequest {
        objects: vec!["n10".into(), "n2".into(), "N10".into()],
        ..ListRequest::default()
    };
    assert_eq!(nodes(&world, &named), ["n10", "n2"]);
    let unknown = ListRequest { objects: vec!["n99".into()], ..ListRequest::default() };
    assert!(list::nodes(&world.view, &unknown).is_err());
}

#[test]
fn a_pending_task_shows_why_it_has_no_node() {
    let mut world = world();
    let spec_version = world.view.services().get(world.service("web")).unwrap().spec_version.0;
    let message = "no suitable node (insufficient resources on 3 nodes)".to_owned();
    let service_id = id("service", "web").to_bytes();
    let blocked =
        PlacementBlocked { service_id, spec_version, nodes: 3, refused: Vec::new(), message };
    world.record(Kind::PlacementBlocked(blocked));
    let row = world.view.tasks().get(world.task("web.3")).unwrap();
    let shown = task(&world.view, row);
    assert_eq!(
        shown.status.as_ref().unwrap().error,
        "no suitable node (insufficient resources on 3 nodes)"
    );
    assert_eq!(shown.status.unwrap().state(), TaskState::Pending);
    let other = task(&world.view, world.view.tasks().get(world.task("web.2")).unwrap());
    assert_eq!(other.status.unwrap().error, "");
    assert_eq!((other.service_name.as_str(), other.slot, other.attempt), ("web", 2, 0));
    assert!(other.spec.unwrap().resources.is_some());
}

#[test]
fn a_replaced_task_is_named_by_its_successor() {
    let world = world();
    let new = task(&world.view, world.view.tasks().get(world.task("web.1#2")).unwrap());
    assert_eq!(new.replaces_id, world.task_id("web.1#1").to_bytes());
    assert_eq!(new.attempt, 1);
}

#[test]
fn tasks_of_different_versions_show_their_own_specs_and_stand_by_slot() {
    let world = World::of(
        "node n1 | service web replicas=3 cpus=0.5 | task web.2 on n1 running \
         | update web cpus=2 | task web.1 on n1 running | task web.3 on n1 running",
    );
    let of = |task: &Task| {
        let resources = task.spec.as_ref().unwrap().resources.as_ref().unwrap();
        (task.slot, resources.reservations.as_ref().unwrap().nano_cpus)
    };
    let wanted = [(1, 2_000_000_000), (2, 500_000_000), (3, 2_000_000_000)];
    let listed = list::tasks_of(&world.view, world.service("web"));
    assert_eq!(listed.iter().map(of).collect::<Vec<_>>(), wanted);
    let asked = list::tasks(&world.view, &filters(&[("service", &["web"])])).unwrap();
    assert_eq!(asked.iter().map(of).collect::<Vec<_>>(), wanted);
}

#[test]
fn strays_and_what_is_parked_are_shown() {
    let world =
        World::of("node n1 | service web | stray s1 running n1 | stray s2 running n1 | park web");
    let strays = list::strays(&world.view);
    assert_eq!(strays.len(), 2);
    assert!(strays.iter().all(|stray| stray.node_name == "n1"), "{strays:?}");
    let web = list::services(&world.view, &ListRequest::default()).unwrap().remove(0);
    assert!(web.parked.ends_with(" failed on it: parked by a story"), "{}", web.parked);
}

#[test]
fn nodes_are_filtered_by_every_key() {
    let world = World::of(
        "node n1 role=manager engine=gpu:yes label=zone:a | node n2 engine=gpu:no | node m3",
    );
    let by = |key: &str, value: &str| nodes(&world, &filters(&[(key, &[value])]));
    let whole = id("node", "n2").to_string();
    assert_eq!(by("id", &whole[..9]), ["n2"]);
    assert_eq!(by("id", &whole.to_uppercase()), ["n2"]);
    assert_eq!(by("id", "!"), [""; 0]);
    assert_eq!(by("name", "N"), ["n1", "n2"], "it begins so, in any case");
    assert_eq!(by("label", "gpu"), ["n1", "n2"]);
    assert_eq!(by("label", "gpu=yes"), ["n1"]);
    assert_eq!(by("label", "zone=a"), [""; 0], "that is a label of the node, not of its engine");
    assert_eq!(by("node.label", "gpu=yes"), [""; 0]);
    assert_eq!(by("membership", "accepted"), ["m3", "n1", "n2"]);
    assert_eq!(by("membership", "pending"), [""; 0]);
    assert_eq!(by("role", "manager"), ["n1"]);
    assert_eq!(by("role", "worker"), ["m3", "n2"]);
}

#[test]
fn services_and_tasks_are_filtered_by_every_key() {
    let world = world();
    let services = |key: &str, value: &str| -> Vec<String> {
        let found = list::services(&world.view, &filters(&[(key, &[value])])).unwrap();
        let name =
            |s: &Service| s.spec.as_ref().unwrap().annotations.as_ref().unwrap().name.clone();
        found.iter().map(name).collect()
    };
    assert_eq!(services("id", &id("service", "db").to_string()[..9]), ["db"]);
    assert_eq!(services("name", "W"), ["web"]);
    assert_eq!(services("label", "tier=front"), ["web"]);
    assert_eq!(services("label", "tier=back"), [""; 0]);
    assert_eq!(services("mode", "replicated"), ["db", "web"]);
    for mode in ["global", "replicated-job", "global-job"] {
        assert_eq!(services("mode", mode), [""; 0], "{mode}");
    }
    let by = |key: &str, value: &str| tasks(&world, &filters(&[(key, &[value])]));
    let old = world.task_id("web.1#1").to_string();
    assert_eq!(by("id", &old[..12]), ["web.1 n2"]);
    assert_eq!(by("name", &format!("web.1.{old}")), ["web.1 n2"]);
    assert_eq!(by("name", "DB"), ["db.1 n2"]);
    assert_eq!(by("desired-state", "shutdown"), ["web.1 n2"]);
    for state in ["ready", "accepted", "complete", "remove"] {
        assert_eq!(by("desired-state", state), [""; 0], "{state}");
    }
    assert_eq!(by("node", "n3"), [""; 0]);
    let of = |keys: &[(&str, &[&str])]| list::services(&world.view, &filters(keys)).err();
    let odd = of(&[("mode", &["swarm"])]).expect("it is not a mode");
    assert_eq!(odd.message, "\"swarm\" is not a valid mode");
    assert!(of(&[("role", &["worker"])]).is_some(), "services have no role");
}

#[test]
fn names_are_sorted_as_people_sort_them() {
    let mut world = World::empty();
    for name in ["n10", "N2", "n1", "n02b", "a", "10", "9", "n99999999999999999999999"] {
        world.tell(&format!("node {name}"));
    }
    let sorted = nodes(&world, &ListRequest::default());
    assert_eq!(sorted, ["9", "10", "a", "n1", "N2", "n02b", "n10", "n99999999999999999999999"]);
}

#[test]
fn a_service_names_the_images_that_still_run_while_its_roll_out_is_not_complete() {
    let mut world = World::of(
        "node n1 | service web replicas=3 image=app:1 | task web.1 on n1 running \
         | task web.2 on n1 running | task web.3 on n1 failed | update web image=app:2",
    );
    let web =
        |world: &World| list::services(&world.view, &ListRequest::default()).unwrap().remove(0);
    assert_eq!(web(&world).older_images, [""; 0], "no roll-out has begun");
    let (service_id, spec_version) = (
        id("service", "web").to_bytes(),
        world.view.services().get(world.service("web")).unwrap().spec_version.0,
    );
    let started = RolloutStarted { service_id: service_id.clone(), spec_version };
    world.record(Kind::RolloutStarted(started));
    assert_eq!(web(&world).older_images, ["app:1"]);
    let paused = RolloutPaused { service_id, spec_version, ..RolloutPaused::default() };
    world.record(Kind::RolloutPaused(paused));
    assert_eq!(web(&world).older_images, ["app:1"]);
    world.tell("web.1 failed | web.2 failed | task web.1 on n1 running");
    assert_eq!(web(&world).older_images, [""; 0], "only the newest runs");
}
