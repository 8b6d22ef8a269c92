//! Each refusal of a command or of a machine's request, and what is admitted beside it.

mod locks;
mod machines;
mod roles;

use super::*;
use skep_projections::fixture::{MANAGER, World, id, node_description, service_spec};
use skep_proto::{
    author, event,
    time::DAY_NS,
    v1::{
        Annotations, ClusterSpec, CreateService, EngineDescription, NodeJoined, NodeRole, NodeSpec,
        NodeUpdated, OpenPort, Person, Record, RefusalCode, ReleaseObject, RemoveNode,
        RemoveService, ScaleService, ServiceSpec, ServiceUpdated, TaskState, UpdateCluster,
        UpdateNode, UpdateService,
    },
};

fn command(world: &World, action: Action) -> Result<Admitted, Refusal> {
    let command = Command { action: Some(action), ..Command::default() };
    admit(&world.view, &Request::Command(command), &Entropy::new([1; 32]))
}

fn machine(world: &World, machine: MachineRequest) -> Result<Admitted, Refusal> {
    admit(&world.view, &Request::Machine(machine), &Entropy::new([1; 32]))
}

fn refused(found: Result<Admitted, Refusal>, code: RefusalCode, message: &str, hint: &str) {
    let refusal = found.expect_err(message);
    assert_eq!((refusal.message.as_str(), refusal.hint.as_str()), (message, hint));
    assert_eq!(refusal.code, code);
}

fn kinds(found: Result<Admitted, Refusal>) -> Vec<&'static str> {
    found.expect("it is admitted").events.iter().map(|(_, kind)| event::name(kind)).collect()
}

fn said_by(world: &mut World, name: &str, kind: Kind) {
    let by = author::person(Person { uid: 1000, name: name.into(), ..Person::default() });
    world.append(Record { author: Some(by), event: Some(event::event(kind)), ..Record::default() });
}

fn version(world: &World, service: &str) -> u64 {
    world.view.services().get(world.service(service)).expect("it is there").version.0
}

fn updated(service: &str, version: u64, spec: Option<ServiceSpec>) -> Action {
    Action::UpdateService(Box::new(UpdateService { service: service.into(), version, spec }))
}

fn node_update(node: &str, change: impl FnOnce(&mut UpdateNode)) -> Action {
    let mut update = UpdateNode { node: node.into(), ..UpdateNode::default() };
    change(&mut update);
    Action::UpdateNode(update)
}

fn labels(count: usize) -> std::collections::BTreeMap<String, String> {
    (0..count).map(|n| (format!("k{n}"), String::new())).collect()
}

#[test]
fn an_empty_command_is_refused() {
    let empty = Request::Command(Command::default());
    let found = admit(&World::of("").view, &empty, &Entropy::new([1; 32]));
    refused(
        found,
        RefusalCode::Invalid,
        "the command is empty",
        "this client may be newer than the manager",
    );
}

#[test]
fn a_reason_has_a_bound() {
    let world = World::of("service web");
    let asked = |bytes: usize| {
        let action = Action::RemoveService(RemoveService { service: "web".into() });
        let reason = "x".repeat(bytes);
        let command = Command { action: Some(action), reason, ..Command::default() };
        admit(&world.view, &Request::Command(command), &Entropy::new([1; 32]))
    };
    assert_eq!(kinds(asked(1_024)), ["service_removed"]);
    let message = "the reason has 1025 bytes; 1024 is the most";
    let hint = "say it in a sentence or two, and link to the rest";
    refused(asked(1_025), RefusalCode::Invalid, message, hint);
}

#[test]
fn an_update_that_means_the_same_changes_nothing() {
    let world = World::of("service web");
    let row = world.view.services().get(world.service("web")).expect("it is there");
    let update = |change: fn(&mut ServiceSpec)| {
        let mut spec = (*row.spec).clone();
        change(&mut spec);
        kinds(command(&world, updated("web", row.version.0, Some(spec))))
    };
    assert_eq!(update(|spec| spec.endpoint = Some(Default::default())), Vec::<&str>::new());
    assert_eq!(
        update(|spec| {
            let restart = skep_proto::v1::RestartPolicy {
                delay_ns: Some(5_000_000_000),
                ..Default::default()
            };
            spec.task.get_or_insert_default().restart = Some(restart);
        }),
        Vec::<&str>::new()
    );
    assert_eq!(
        update(|spec| {
            spec.endpoint = Some(Default::default());
            spec.mode = Some(skep_proto::v1::ServiceMode {
                mode: Some(skep_proto::v1::service_mode::Mode::Replicated(
                    skep_proto::v1::Replicated { replicas: 7 },
                )),
            });
        }),
        ["service_scaled"],
        "the number alone changes"
    );
}

#[test]
fn a_service_is_created_once_and_with_a_spec() {
    let world = World::of("service web");
    let create = |spec| command(&world, Action::CreateService(Box::new(CreateService { spec })));
    refused(create(None), RefusalCode::Invalid, "the service has no spec", "");
    let message = format!("a service named \"WEB\" exists already ({})", id("service", "web"));
    refused(
        create(Some(service_spec("WEB"))),
        RefusalCode::AlreadyExists,
        &message,
        "choose another --name, or change it with `skep service update WEB`",
    );
    assert!(create(Some(service_spec("a b"))).is_err(), "specs are looked at");
    assert_eq!(kinds(create(Some(service_spec("db")))), ["service_created"]);
}

#[test]
fn replicas_are_bounded_wherever_they_are_asked_for() {
    let world = World::of("service web");
    let many = |replicas| {
        let mut spec = service_spec("db");
        let replicated = skep_proto::v1::Replicated { replicas };
        let mode = Some(skep_proto::v1::service_mode::Mode::Replicated(replicated));
        spec.mode = Some(skep_proto::v1::ServiceMode { mode });
        spec
    };
    let message = "1000001 replicas are more than the 1000000 one service may have";
    let hint = "spread them over several services";
    let create =
        |spec| command(&world, Action::CreateService(Box::new(CreateService { spec: Some(spec) })));
    refused(create(many(1_000_001)), RefusalCode::Invalid, message, hint);
    assert_eq!(kinds(create(many(1_000_000))), ["service_created"]);
    let mut spec = many(1_000_001);
    spec.annotations.get_or_insert_default().name = "web".into();
    let update = command(&world, updated("web", version(&world, "web"), Some(spec)));
    refused(update, RefusalCode::Invalid, message, hint);
    let scale = |replicas| {
        command(&world, Action::ScaleService(ScaleService { service: "web".into(), replicas }))
    };
    refused(scale(1_000_001), RefusalCode::Invalid, message, hint);
    assert_eq!(kinds(scale(1_000_000)), ["service_scaled"]);
    assert_eq!(kinds(scale(1)), Vec::<&str>::new(), "it is so already");
}

#[test]
fn an_update_for_an_older_version_is_refused_naming_who_was_faster() {
    let mut world = World::of("service web");
    let before = version(&world, "web");
    let update = || {
        let mut spec = service_spec("web");
        spec.annotations.get_or_insert_default().labels = labels(1);
        ServiceUpdated {
            service_id: id("service", "web").to_bytes(),
            spec: Some(spec),
            ..ServiceUpdated::default()
        }
    };
    said_by(&mut world, "alice", Kind::ServiceUpdated(Box::new(update())));
    let now = version(&world, "web");
    let found = command(&world, updated("web", before, Some(service_spec("web"))));
    let message = format!(
        "service web is at version {now}, the update was made for version {before}: alice changed it at \
         revision {now}"
    );
    refused(found, RefusalCode::OutOfSequence, &message, "read it again and repeat the change");
    assert!(command(&world, updated("web", now + 1, Some(service_spec("web")))).is_err());
    assert_eq!(
        kinds(command(&world, updated("web", now, Some(service_spec("web"))))),
        ["service_updated"]
    );
}

#[test]
fn an_update_says_which_fields_it_changes() {
    let world = World::of("service web");
    let mut spec = service_spec("web");
    spec.annotations.get_or_insert_default().labels = labels(2);
    let admitted =
        command(&world, updated("web", version(&world, "web"), Some(spec))).expect("it fits");
    let [(_, Kind::ServiceUpdated(event))] = &admitted.events[..] else { panic!("{admitted:?}") };
    assert_eq!(event.changed_fields, ["annotations.labels.k0", "annotations.labels.k1"]);
}

#[test]
fn an_update_without_a_spec_of_another_name_or_of_nothing() {
    let world = World::of("service web");
    let now = version(&world, "web");
    let ask = |service: &str, spec| command(&world, updated(service, now, spec));
    refused(ask("web", None), RefusalCode::Invalid, "the update has no spec", "");
    refused(
        ask("web", Some(service_spec("db"))),
        RefusalCode::Unsupported,
        "service web can't be renamed",
        "create a new service and remove this one",
    );
    assert!(ask("web", Some(ServiceSpec::default())).is_err(), "specs are looked at");
    assert_eq!(kinds(ask("web", Some(service_spec("web")))), Vec::<&str>::new());
    assert!(ask("wbe", Some(service_spec("wbe"))).is_err());
    let mut fewer = service_spec("web");
    let mode =
        skep_proto::v1::service_mode::Mode::Replicated(skep_proto::v1::Replicated { replicas: 7 });
    fewer.mode = Some(skep_proto::v1::ServiceMode { mode: Some(mode) });
    assert_eq!(kinds(ask("web", Some(fewer))), ["service_scaled"], "only the number changed");
}

#[test]
fn what_is_not_there_is_neither_scaled_nor_removed() {
    let world = World::of("service web");
    let scale = ScaleService { service: "nosuch".into(), replicas: 2 };
    let remove = |service: &str| {
        command(&world, Action::RemoveService(RemoveService { service: service.into() }))
    };
    let hint = "`skep service ls` lists services; `skep log` shows removed ones too";
    let message = "service \"nosuch\" not found";
    refused(command(&world, Action::ScaleService(scale)), RefusalCode::NotFound, message, hint);
    refused(remove("nosuch"), RefusalCode::NotFound, message, hint);
    assert_eq!(kinds(remove("web")), ["service_removed"]);
}

#[test]
fn a_node_is_updated_at_its_version_or_without_one() {
    let mut world = World::of("node n1");
    let by = NodeJoined {
        node_id: id("node", "n2").to_bytes(),
        spec: Some(NodeSpec::default()),
        description: Some(node_description("n2")),
        ..NodeJoined::default()
    };
    said_by(&mut world, "bob", Kind::NodeJoined(Box::new(by)));
    let now = world.view.nodes().get(world.node("n2")).expect("it is there").version.0;
    let at = |version| {
        node_update("n2", |update| (update.version, update.label_add) = (version, labels(1)))
    };
    let message = format!(
        "node n2 is at version {now}, the update was made for version 1: bob changed it at revision {now}"
    );
    let hint = "read it again and repeat the change";
    refused(command(&world, at(1)), RefusalCode::OutOfSequence, &message, hint);
    assert_eq!(kinds(command(&world, at(now))), ["node_updated"]);
    assert_eq!(kinds(command(&world, at(0))), ["node_updated"]);
    assert_eq!(kinds(command(&world, node_update("n2", |_| {}))), Vec::<&str>::new());
}

#[test]
fn a_nodes_labels_availability_and_role() {
    let world = World::of("node n1 label=zone:a");
    let ask = |change: fn(&mut UpdateNode)| command(&world, node_update("n1", change));
    let absent = ask(|update| update.label_rm.push("rack".into())).expect("it is no error");
    assert_eq!(absent.warnings, ["node n1 has no label \"rack\""]);
    assert!(absent.events.is_empty(), "nothing changes");
    let present = ask(|update| update.label_rm.push("zone".into())).expect("it is there");
    assert!(present.warnings.is_empty(), "{:?}", present.warnings);
    assert_eq!(kinds(ask(|update| update.label_rm.push("zone".into()))), ["node_updated"]);
    refused(
        ask(|update| update.label_add = labels(256)),
        RefusalCode::Invalid,
        "a node may have 256 labels at most",
        "",
    );
    assert_eq!(kinds(ask(|update| update.label_add = labels(255))), ["node_updated"]);
    let add = |update: &mut UpdateNode| drop(update.label_add.insert(String::new(), "x".into()));
    refused(ask(add), RefusalCode::Invalid, "a label needs a key", "write key=value");
    refused(
        ask(|update| update.availability = Some(3)),
        RefusalCode::Invalid,
        "availability 3 is unknown",
        "active, pause or drain",
    );
    assert_eq!(kinds(ask(|update| update.availability = Some(2))), ["node_updated"]);
    refused(
        ask(|update| update.role = Some(2)),
        RefusalCode::Invalid,
        "role 2 is unknown",
        "worker or manager",
    );
    assert_eq!(
        kinds(ask(|update| update.role = Some(NodeRole::Worker as i32))),
        Vec::<&str>::new()
    );
}

#[test]
fn a_record_of_a_changed_node_repeats_what_was_replaced_and_nothing_else() {
    let long = "v".repeat(40);
    let world =
        World::of(&format!("node n1 label=zone:a label=disk:ssd label=long:{long} label=same:x"));
    let update = node_update("n1", |update| {
        update.label_rm.push("disk".into());
        let added = [("zone", "b"), ("long", "w"), ("rack", "1"), ("same", "x")];
        update.label_add = added.map(|(key, value)| (key.into(), value.into())).into();
    });
    let admitted = command(&world, update).expect("it is admitted");
    let [(_, Kind::NodeUpdated(e))] = &admitted.events[..] else { panic!("{admitted:?}") };
    let before = e.before.clone().unwrap_or_default().annotations.unwrap_or_default().labels;
    let replaced = [("disk", "ssd"), ("long", &long[..32]), ("zone", "a")];
    assert_eq!(before, replaced.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    assert_eq!(e.added_labels, ["rack"]);
}

#[test]
fn a_node_is_removed_when_it_is_away_or_by_force() {
    let world = World::of("node n1 | node n2 away");
    let remove = |node: &str, force| {
        command(&world, Action::RemoveNode(RemoveNode { node: node.into(), force }))
    };
    refused(
        remove("n1", false),
        RefusalCode::Precondition,
        "node n1 is ready: its agent is connected",
        "stop its agent first, or use --force; its tasks are given up and replaced elsewhere",
    );
    assert_eq!(kinds(remove("n1", true)), ["node_removed"]);
    assert_eq!(kinds(remove("n2", false)), ["node_removed"]);
    assert!(remove("n9", true).is_err());
}

type ClusterEdit = fn(&mut ClusterSpec);

#[test]
fn settings_of_the_cluster() {
    let mut world = World::of("");
    let now = world.view.cluster().version.0;
    let ask = |world: &World, version, change: fn(&mut ClusterSpec)| {
        let mut spec = world.view.cluster().spec.as_ref().clone();
        change(&mut spec);
        command(world, Action::UpdateCluster(Box::new(UpdateCluster { version, spec: Some(spec) })))
    };
    let none = UpdateCluster { version: now, spec: None };
    let none = command(&world, Action::UpdateCluster(Box::new(none)));
    refused(none, RefusalCode::Invalid, "the update has no spec", "");
    let periods: [ClusterEdit; 3] = [
        |spec| spec.heartbeat_period_ns = Some(99_999_999),
        |spec| spec.heartbeat_period_ns = Some(3_600_000_000_001),
        |spec| spec.heartbeat_period_ns = Some(u64::MAX),
    ];
    let message = "the heartbeat period must be 100 ms to 1 h";
    for change in periods {
        refused(ask(&world, now, change), RefusalCode::Invalid, message, "");
    }
    for change in [
        |spec: &mut ClusterSpec| spec.heartbeat_period_ns = Some(100_000_000),
        |spec: &mut ClusterSpec| spec.heartbeat_period_ns = Some(3_600_000_000_000),
    ] {
        assert_eq!(kinds(ask(&world, now, change)), ["cluster_updated"]);
    }
    let lives: [ClusterEdit; 2] = [
        |spec| spec.node_certificate_expiry_ns = Some(3_599_999_999_999),
        |spec| spec.node_certificate_expiry_ns = Some(10 * 365 * DAY_NS + 1),
    ];
    for change in lives {
        let message = "certificates must be valid for 1 h to 10 years";
        refused(ask(&world, now, change), RefusalCode::Invalid, message, "");
    }
    let longest: ClusterEdit = |spec| spec.node_certificate_expiry_ns = Some(10 * 365 * DAY_NS);
    assert_eq!(kinds(ask(&world, now, longest)), ["cluster_updated"]);
    assert_eq!(kinds(ask(&world, now, |_| {})), Vec::<&str>::new());
    let unbuilt: [(ClusterEdit, &str); 6] = [
        (|spec| spec.default_log_driver = Some(Default::default()), "a default log driver"),
        (|spec| spec.default_address_pools.push("10.0.0.0/8".into()), "address pools"),
        (|spec| spec.subnet_size = 24, "address pools"),
        (|spec| spec.data_path_port = 4_789, "the data path port"),
        (|spec| spec.external_cas.push(Default::default()), "certificate authorities"),
        (|spec| spec.ca_force_rotate = 1, "certificate authorities"),
    ];
    for (change, what) in unbuilt {
        let message = format!("{what} is not supported yet");
        refused(ask(&world, now, change), RefusalCode::Unsupported, &message, "");
    }
    world.tell("history 3");
    let later = world.view.cluster().version.0;
    let message = format!(
        "the cluster is at version {later}, the update was made for version {now}: manager {MANAGER} changed \
         it at revision {later}"
    );
    let found = ask(&world, now, |_| {});
    refused(found, RefusalCode::OutOfSequence, &message, "read it again and repeat the change");
}

#[test]
fn a_refusal_stands_under_its_object() {
    let world = World::of("node n1 | service web");
    let of = |action| {
        let command = Command { action: Some(action), ..Command::default() };
        object_of(&world.view, &Request::Command(command))
    };
    let (web, n1) = (id("service", "web"), id("node", "n1"));
    assert_eq!(of(updated("web", 0, None)), web);
    assert_eq!(of(Action::ScaleService(ScaleService { service: "WEB".into(), replicas: 0 })), web);
    assert_eq!(of(Action::RemoveService(RemoveService { service: web.to_string() })), web);
    assert_eq!(
        of(Action::CreateService(Box::new(CreateService { spec: Some(service_spec("web")) }))),
        web
    );
    assert_eq!(of(Action::CreateService(Box::default())), Id::NONE);
    assert_eq!(of(node_update("n1", |_| {})), n1);
    assert_eq!(of(Action::RemoveNode(RemoveNode { node: "n1".into(), force: false })), n1);
    assert_eq!(of(Action::ReleaseObject(ReleaseObject { object: "web".into() })), web);
    assert_eq!(of(Action::ReleaseObject(ReleaseObject { object: "n1".into() })), n1);
    assert_eq!(of(Action::UpdateCluster(Box::default())), world.view.cluster().id);
    assert_eq!(of(Action::RemoveService(RemoveService { service: "nosuch".into() })), Id::NONE);
}

#[test]
fn an_opened_port_is_recorded_once() {
    let mut world = World::of("level 4 | node n1");
    let open = |node: Id, listen: &str, advertise: &str| {
        Action::OpenPort(OpenPort {
            node_id: node.to_bytes(),
            listen_address: listen.into(),
            advertise_address: advertise.into(),
        })
    };
    let (n1, everywhere) = (id("node", "n1"), "0.0.0.0:2377");
    let message = "a manager of this cluster is older and can't read the record of an open port";
    let hint = "upgrade every manager first";
    let found = command(&world, open(n1, everywhere, "10.0.0.1:2377"));
    refused(found, RefusalCode::Precondition, message, hint);
    world.tell("level 5");
    let found = command(&world, open(n1, everywhere, "10.0.0.1:2377"));
    refused(found, RefusalCode::Precondition, "node n1 is no manager", "");
    let message = format!("this manager's history does not know node {}", Id(5));
    let hint = "was the manager set back to an older backup? bring back the newer history; or empty the \
                folder `agent` of that node's state folder: it then joins as a new node";
    let found = command(&world, open(Id(5), everywhere, "10.0.0.1:2377"));
    refused(found, RefusalCode::Precondition, &message, hint);

    let mut spec =
        world.view.nodes().get(world.node("n1")).expect("it is there").spec.as_ref().clone();
    spec.desired_role = NodeRole::Manager as i32;
    let node_id = n1.to_bytes();
    let promoted = NodeUpdated { node_id, spec: Some(spec), ..NodeUpdated::default() };
    world.record(Kind::NodeUpdated(promoted));
    for (listen, advertise, text) in
        [("", "10.0.0.1:2377", ""), (everywhere, "nowhere:1", "nowhere:1")]
    {
        let message = format!("{text:?} is not an address");
        let found = command(&world, open(n1, listen, advertise));
        refused(found, RefusalCode::Invalid, &message, "write IP:PORT");
    }
    let opened = command(&world, open(n1, everywhere, "10.0.0.1:2377")).expect("it is recorded");
    let [(_, kind)] = &opened.events[..] else { panic!("{opened:?}") };
    assert_eq!(event::name(kind), "port_opened");
    world.record(kind.clone());
    assert_eq!(kinds(command(&world, open(n1, everywhere, "10.0.0.1:2377"))), [""; 0]);
    assert_eq!(kinds(command(&world, open(n1, everywhere, "10.0.0.2:2377"))), ["port_opened"]);
}
