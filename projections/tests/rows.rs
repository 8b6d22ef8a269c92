//! Rows and what leads to them: which records are news, and what can be read from the view then.

use skep_projections::{
    Delta,
    fixture::{World, id},
    node::PortAddresses,
    snapshot,
};
use skep_proto::{
    Id, Timestamp,
    v1::{
        ContainerStatus, EndpointSpec, ObjectParked, PlacementBlocked, PortConfig, PortOpened,
        PublishMode, ServiceCreated, ServiceUpdated, SessionClosed, SessionOpened, TaskObserved,
        TaskState, event::Kind,
    },
};

const PLACED: &str = "node n1 | service web replicas=2 cpus=1 | task web.1 on n1";

#[test]
fn a_running_task_with_a_message_is_hampered() {
    let is_hampered = |last: &str| {
        let world = World::of(&format!("node n1 | service web | task web.1 on n1 | {last}"));
        world.view.tasks().get(world.task("web.1")).expect("it is there").is_hampered()
    };
    assert!(is_hampered("web.1 running message=paused"));
    assert!(!is_hampered("web.1 running"));
    assert!(!is_hampered("web.1 starting message=slow"));
    assert!(!is_hampered("web.1 failed message=gone"));
}

#[test]
fn a_held_task_is_looked_at_when_its_time_comes_or_its_limit_is_over() {
    let held_until = |last: &str| {
        let world = World::of(&format!("node n1 | service web | task web.1 {last}"));
        let row = world.view.tasks().get(world.task("web.1")).expect("it is there");
        (row.held_until(), row.start_at, row.start_by)
    };
    let (until, start_at, _) = held_until("desired=ready hold=5s");
    assert_eq!(until, start_at);
    assert_eq!(held_until("").0, Timestamp::NEVER);
    let (until, start_at, start_by) = held_until("hold=0s by=30s");
    assert!(start_at < start_by, "{start_at} {start_by}");
    assert_eq!(until, start_by, "it waits for its predecessor alone");
}

#[test]
fn records_can_be_folded_without_asking_what_they_change() {
    let world = World::of(&format!("{PLACED} | web.1 running | drain n1 | scale web 3"));
    let mut view = skep_projections::View::default();
    for (stamp, record) in &world.records {
        view.replay(*stamp, record).expect("this program wrote it");
    }
    assert_eq!((view.digest(), view.position()), (world.view.digest(), world.view.position()));
}

#[test]
fn a_record_that_is_spent_changes_the_same() {
    let world = World::of(&format!("{PLACED} | label n1 zone:b | drain n1 | scale web 3"));
    let mut view = skep_projections::View::default();
    for (stamp, record) in &world.records {
        let (mut spent, mut same) = (Delta::default(), Delta::default());
        let mut twin = view.clone();
        view.apply_spent(*stamp, &mut record.clone(), &mut spent).expect("this program wrote it");
        twin.apply_into(*stamp, record, &mut same).expect("this program wrote it");
        assert_eq!((view.digest(), spent), (twin.digest(), same));
    }
    let labels = |view: &skep_projections::View| {
        let node = view.nodes().get(world.node("n1")).expect("it is there");
        node.spec.annotations.clone().map(|known| known.labels)
    };
    assert_eq!(labels(&view), labels(&world.view));
}

/// Adds a record; says whether it was set aside.
fn is_set_aside(world: &mut World, kind: Kind) -> bool {
    let before = world.view.set_aside();
    world.record(kind);
    assert_eq!(world.view.faults(), Vec::<String>::new());
    world.view.set_aside() > before
}

#[test]
fn a_session_is_opened_again_only_where_that_is_news() {
    let opened = |world: &World| {
        let (_, row) = world.view.nodes().by_id(id("node", "n1")).expect("it is there");
        let (node_id, session) = (row.id.to_bytes(), row.session);
        Kind::SessionOpened(Box::new(SessionOpened { node_id, session, ..Default::default() }))
    };
    for (story, news) in [
        ("node n1", false),
        ("node n1 | tenure", true),
        ("node n1 | silent n1", true),
        ("node n1 | tenure | down n1", true),
    ] {
        let mut world = World::of(story);
        let again = opened(&world);
        assert_eq!(!is_set_aside(&mut world, again), news, "{story}");
    }
}

#[test]
fn only_the_open_session_of_a_node_can_end() {
    let closed = |world: &World, other: u64| {
        let (_, row) = world.view.nodes().by_id(id("node", "n1")).expect("it is there");
        let (node_id, session) = (row.id.to_bytes(), row.session + other);
        Kind::SessionClosed(SessionClosed { node_id, session })
    };
    for (story, other, fits) in
        [("node n1", 0, true), ("node n1", 1, false), ("node n1 away", 0, false)]
    {
        let mut world = World::of(story);
        let end = closed(&world, other);
        assert_eq!(!is_set_aside(&mut world, end), fits, "{story} {other}");
    }
}

#[test]
fn the_cluster_itself_can_be_parked_and_nothing_without_an_id() {
    let parked = |object: Id| {
        let (object_id, message) = (object.to_bytes(), String::new());
        Kind::ObjectParked(ObjectParked { object_id, reconciler: 1, message })
    };
    let mut world = World::of("node n1");
    let cluster = world.view.cluster().id;
    assert!(!is_set_aside(&mut world, parked(cluster)));
    assert!(world.view.parked(cluster).is_some());
    assert!(is_set_aside(&mut world, parked(Id::NONE)));
}

#[test]
fn a_service_is_found_under_its_newest_name() {
    let mut world = World::of("service web");
    let renamed = ServiceUpdated {
        service_id: id("service", "web").to_bytes(),
        spec: Some(skep_projections::fixture::service_spec("shop")),
        ..ServiceUpdated::default()
    };
    assert!(!is_set_aside(&mut world, Kind::ServiceUpdated(Box::new(renamed))));
    assert!(world.view.service_named("shop").is_some());
    assert!(world.view.service_named("web").is_none());
}

#[test]
fn a_service_without_pending_tasks_is_not_blocked() {
    let blocked = |story: &str| {
        let mut world = World::of("node n1 | service web | task web.1 | task web.2");
        let service_id = id("service", "web").to_bytes();
        let said = PlacementBlocked { service_id, ..PlacementBlocked::default() };
        assert!(!is_set_aside(&mut world, Kind::PlacementBlocked(said)));
        world.tell(story);
        assert_eq!(world.view.faults(), Vec::<String>::new());
        world.view.services().get(world.service("web")).expect("it is there").blocked.is_some()
    };
    assert!(blocked(""));
    assert!(blocked("assign web.1 n1"));
    assert!(!blocked("assign web.1 n1 | assign web.2 n1"));
}

#[test]
fn only_ports_of_the_node_itself_are_taken() {
    let mut world = World::of("node n1");
    let mut spec = skep_projections::fixture::service_spec("web");
    let port = |published_port, mode: PublishMode| PortConfig {
        published_port,
        publish_mode: mode as i32,
        ..PortConfig::default()
    };
    let ports = vec![
        port(80, PublishMode::Host),
        port(0, PublishMode::Host),
        port(90, PublishMode::Ingress),
    ];
    spec.endpoint = Some(EndpointSpec { ports, ..EndpointSpec::default() });
    let service_id = id("service", "web").to_bytes();
    let created = ServiceCreated { service_id, spec: Some(spec) };
    assert!(!is_set_aside(&mut world, Kind::ServiceCreated(Box::new(created))));
    world.tell("task web.1 on n1");
    let (_, row) = world.view.nodes().by_id(id("node", "n1")).expect("it is there");
    let taken: Vec<u32> = row.host_ports.iter().map(|(_, port)| *port).collect();
    assert_eq!(taken, [80]);
}

#[test]
fn a_node_that_describes_itself_anew_is_of_another_class() {
    let mut world = World::of("node n1 | close n1");
    let mut description = skep_projections::fixture::node_description("n1");
    description.features.clear();
    let node_id = id("node", "n1").to_bytes();
    let opened = SessionOpened {
        node_id,
        session: 77,
        description: Some(description),
        ..SessionOpened::default()
    };
    assert!(!is_set_aside(&mut world, Kind::SessionOpened(Box::new(opened))));
    let (_, row) = world.view.nodes().by_id(id("node", "n1")).expect("it is there");
    let class = world.view.class(row.class).expect("each node has a class");
    assert!(class.key.machine.features.is_empty());
}

#[test]
fn strays_are_found_by_their_id_and_by_their_node() {
    let world = World::of("node n1 | node n2 | stray a running n1 | stray b running n2");
    let a = id("stray", "a");
    assert_eq!(world.view.stray(a).map(|stray| Id::from_bytes(&stray.task_id)), Some(a));
    assert!(world.view.stray(Id(5)).is_none());
    let on: Vec<Id> = world
        .view
        .strays_on(id("node", "n1"))
        .map(|stray| Id::from_bytes(&stray.task_id))
        .collect();
    assert_eq!(on, [a]);
    let world = World::of("node n1 | stray a running n1 | stray a complete n1");
    assert!(world.view.stray(a).is_none(), "it has ended");
}

#[test]
fn tables_know_whether_they_are_empty() {
    let world = World::of("node n1");
    assert!(!world.view.nodes().is_empty() && world.view.tasks().is_empty());
}

#[test]
fn a_container_that_is_told_again_is_no_news_and_another_one_is() {
    let seen = |task: Id, pid: i32| {
        let container = Some(ContainerStatus { pid, ..ContainerStatus::default() });
        let state = TaskState::Running as i32;
        let task_id = task.to_bytes();
        Kind::TaskObserved(TaskObserved { task_id, state, container, ..Default::default() })
    };
    let mut world = World::of(PLACED);
    let task = world.task_id("web.1");
    for (pid, news) in [(7, true), (7, false), (8, true)] {
        let changed = world.record(seen(task, pid)).tasks;
        assert_eq!(!changed.is_empty(), news, "pid {pid}");
    }
    let nothing = TaskObserved {
        task_id: task.to_bytes(),
        state: TaskState::Running as i32,
        ..TaskObserved::default()
    };
    assert!(world.record(Kind::TaskObserved(nothing)).tasks.is_empty(), "it is kept");
}

#[test]
fn a_removed_node_is_remembered_from_feature_level_5_on_also_in_a_snapshot() {
    let gone = |level| World::of(&format!("level {level} | node n1 | certify n1 | rmnode n1")).view;
    assert!(gone(4).removed_nodes().is_empty());
    let view = gone(5);
    assert!(view.removed_nodes().has(id("node", "n1")));
    assert!(view.nodes().find(id("node", "n1")).is_none());
    let read = snapshot::decode(&snapshot::encode(&view)).expect("it is a snapshot");
    assert!(read.removed_nodes().has(id("node", "n1")));
    assert_eq!(read.digest(), view.digest());
    assert_eq!(view.digest(), view.recomputed_digest());
}

#[test]
fn a_node_is_found_where_it_connects_from_and_where_it_listens() {
    let mut world = World::of("level 5 | node n1");
    let node_id = id("node", "n1").to_bytes();
    let (listen, advertise) = ("0.0.0.0:2377".to_owned(), "10.0.0.1:2377".to_owned());
    world.record(Kind::PortOpened(PortOpened {
        node_id: node_id.clone(),
        listen_address: listen.clone(),
        advertise_address: advertise.clone(),
    }));
    let opened = |session, address: &str| {
        let address = address.to_owned();
        let node_id = node_id.clone();
        Kind::SessionOpened(Box::new(SessionOpened {
            node_id,
            session,
            address,
            ..Default::default()
        }))
    };
    world.record(opened(7, "10.0.0.9"));
    let view = world.view.clone();
    let row = view.nodes().get(world.node("n1")).expect("it is there");
    assert_eq!(
        (&*row.address, row.port.as_deref()),
        ("10.0.0.9", Some(&PortAddresses { listen, advertise }))
    );
    let read = snapshot::decode(&snapshot::encode(&view)).expect("it is a snapshot");
    let again = read.nodes().get(world.node("n1")).expect("it is there");
    assert_eq!((&again.address, &again.port), (&row.address, &row.port));
    assert_eq!(view.digest(), view.recomputed_digest());
    world.record(opened(8, ""));
    let row = world.view.nodes().get(world.node("n1")).expect("it is there");
    assert_eq!(&*row.address, "", "it came through the socket");
}
