//! What agents and sessions say: what is admitted of it.

use super::*;
use skep_projections::trust::IssuedCertificate;
use skep_proto::{Timestamp, v1::TaskObserved};

fn joined(
    world: &World,
    name: &str,
    change: impl FnOnce(&mut NodeSpec, &mut NodeDescription),
) -> Result<Admitted, Refusal> {
    let (mut spec, mut description) = (NodeSpec::default(), node_description(name));
    change(&mut spec, &mut description);
    let node = id("node", &format!("new {name}"));
    let newcomer = Box::new(Newcomer { spec, description });
    machine(world, certify(node, CertificateClaim::Newcomer(newcomer)))
}

fn certify(node: Id, claim: CertificateClaim) -> MachineRequest {
    let certificate = IssuedCertificate {
        role: NodeRole::Worker,
        serial: [1; 16],
        not_before: Timestamp(1),
        not_after: Timestamp(1_000),
    };
    let asked = CertificateAsked { node, key_hash: [1; 32], claim, certificate };
    MachineRequest::Certify(Box::new(asked))
}

#[test]
fn a_node_joins_once_and_hears_whose_name_it_has() {
    let world = World::of("node n1");
    let node = id("node", "n1");
    let newcomer = Newcomer { spec: NodeSpec::default(), description: node_description("n1") };
    let again = certify(node, CertificateClaim::Newcomer(newcomer.into()));
    refused(
        machine(&world, again),
        RefusalCode::AlreadyExists,
        &format!("node {node} has joined already"),
        "start the agent with an empty state folder to join as another node",
    );
    let twin = joined(&world, "N1", |_, _| {}).expect("names need not be unique");
    let warning = format!(
        "node {node} has the host name n1 too: until one of them is renamed, commands must name them by id"
    );
    assert_eq!(twin.warnings, [warning]);
    assert_eq!(joined(&world, "n2", |_, _| {}).expect("it joins").warnings, Vec::<String>::new());
}

#[test]
fn a_description_is_bounded_and_plain() {
    let world = World::of("node n1");
    let hint = "1 to 255 bytes without control characters: see --hostname";
    let named = |name: &str| joined(&world, "n2", |_, said| said.hostname = name.into());
    refused(named(""), RefusalCode::Invalid, "\"\" is not a host name for a node", hint);
    refused(
        named("a\u{1b}c"),
        RefusalCode::Invalid,
        "\"a\\u{1b}c\" is not a host name for a node",
        hint,
    );
    assert!(named(&"h".repeat(256)).is_err());
    assert_eq!(kinds(named(&"h".repeat(255))), ["node_joined", "certificate_issued"]);
    let large = |bytes: usize| {
        let labels = [("k".to_owned(), "v".repeat(bytes))].into();
        let engine = Some(EngineDescription { labels, ..EngineDescription::default() });
        NodeDescription { engine, ..node_description("n1") }
    };
    let description = large(65_536);
    let bytes = prost::Message::encoded_len(&description);
    let message = format!("the description of node n1 has {bytes} bytes, 65536 are possible");
    let hint = "an engine with so many labels or plugins can't be described; remove some";
    let open = |description| {
        machine(
            &world,
            MachineRequest::Open {
                node: id("node", "n1"),
                session: 9,
                description: Box::new(description),
                conditions: Vec::new(),
                address: String::new(),
                manager: Id::NONE,
            },
        )
    };
    refused(open(description), RefusalCode::Invalid, &message, hint);
    let most = large(65_536 - (bytes - 65_536));
    assert_eq!(prost::Message::encoded_len(&most), 65_536);
    assert_eq!(kinds(open(most)), ["session_opened"]);
    let many = joined(&world, "n2", |spec, _| {
        spec.annotations = Some(Annotations { labels: labels(257), ..Annotations::default() })
    });
    refused(many, RefusalCode::Invalid, "a node may have 256 labels at most", "");
    let most = joined(&world, "n2", |spec, _| {
        spec.annotations = Some(Annotations { labels: labels(256), ..Annotations::default() })
    });
    assert_eq!(kinds(most), ["node_joined", "certificate_issued"]);
    let bad = joined(&world, "n2", |spec, _| {
        spec.annotations.get_or_insert_default().labels.insert("a\u{7}".into(), String::new());
    });
    refused(bad, RefusalCode::Invalid, "label \"a\\u{7}\" holds control characters", "");
}

#[test]
fn what_no_node_can_join_with_is_known_before_it_is_asked() {
    assert_eq!(check_node("n1", &labels(256)), Ok(()));
    let message = |checked: Result<(), Refusal>| checked.expect_err("it is refused").message;
    assert_eq!(message(check_node("", &labels(0))), "\"\" is not a host name for a node");
    assert_eq!(message(check_node("n1", &labels(257))), "a node may have 256 labels at most");
}

#[test]
fn sessions_of_nodes_that_are_gone_or_followed() {
    let world = World::of("node n1 | node n2 | service web | task web.1 on n2 running | rmnode n2");
    let gone = |node: Id| format!("node {node} was removed from this cluster");
    let hint = "start its agent with an empty state folder to join as a new node";
    for node in [id("node", "n2"), Id(5)] {
        let open = MachineRequest::Open {
            node,
            session: 9,
            description: node_description("n2").into(),
            conditions: Vec::new(),
            address: String::new(),
            manager: Id::NONE,
        };
        refused(machine(&world, open), RefusalCode::NotFound, &gone(node), hint);
    }
    for node in [id("node", "n2"), Id(5)] {
        let report = MachineRequest::Report { node, tasks: Vec::new() };
        refused(machine(&world, report), RefusalCode::NotFound, &gone(node), hint);
        let conditions = MachineRequest::Conditions { node, session: 9, conditions: Vec::new() };
        refused(machine(&world, conditions), RefusalCode::NotFound, &gone(node), hint);
        let renewal = certify(node, CertificateClaim::Key);
        refused(machine(&world, renewal), RefusalCode::NotFound, &gone(node), hint);
    }
    let node = id("node", "n1");
    let session = world.view.nodes().get(world.node("n1")).expect("it is there").session;
    assert_eq!(kinds(machine(&world, MachineRequest::Close { node, session })), ["session_closed"]);
    let tenure = world.view.tenure().revision;
    let silent = MachineRequest::Silent { node, session, tenure };
    assert_eq!(kinds(machine(&world, silent)), ["node_silent"]);
    let before = MachineRequest::Silent { node, session, tenure: Revision(tenure.0 + 1) };
    assert_eq!(kinds(machine(&world, before)), Vec::<&str>::new(), "of another tenure");
    let down = World::of("node n1 | down n1");
    let silent = MachineRequest::Silent { node, session, tenure: down.view.tenure().revision };
    assert_eq!(kinds(machine(&down, silent)), Vec::<&str>::new());
    for session in [session + 1, 0] {
        assert_eq!(
            kinds(machine(&world, MachineRequest::Close { node, session })),
            Vec::<&str>::new()
        );
        assert_eq!(
            kinds(machine(&world, MachineRequest::Silent { node, session, tenure })),
            Vec::<&str>::new()
        );
    }
    let fact = Kind::ClockJumped(skep_proto::v1::ClockJumped { by_ns: 1 });
    assert_eq!(kinds(machine(&world, MachineRequest::Fact(fact))), ["clock_jumped"]);
}

#[test]
fn a_description_is_recorded_only_where_it_is_new() {
    let world = World::of("node n1");
    let open = |description| {
        let found = machine(
            &world,
            MachineRequest::Open {
                node: id("node", "n1"),
                session: 9,
                description: Box::new(description),
                conditions: Vec::new(),
                address: String::new(),
                manager: Id::NONE,
            },
        );
        let admitted = found.expect("it is known");
        let [(_, Kind::SessionOpened(opened))] = &admitted.events[..] else {
            panic!("{admitted:?}")
        };
        opened.description.clone()
    };
    assert_eq!(open(node_description("n1")), None);
    assert_eq!(open(node_description("n2")), Some(node_description("n2")));
}

fn report(tasks: Vec<TaskObserved>) -> MachineRequest {
    MachineRequest::Report { node: id("node", "n1"), tasks: TaskReport::read_all(tasks) }
}

fn seen(task: Id, state: TaskState, message: &str) -> TaskObserved {
    let message = message.to_owned();
    TaskObserved {
        task_id: task.to_bytes(),
        state: state as i32,
        message,
        ..TaskObserved::default()
    }
}

#[test]
fn another_nodes_task_costs_its_item_alone() {
    let world = World::of(
        "node n1 | node n2 | service web replicas=3 | task web.1 on n1 | task web.2 on n2 | task web.3 on n1",
    );
    let ids = ["web.1", "web.2", "web.3"].map(|task| world.task_id(task));
    let tasks = ids.iter().map(|task| seen(*task, TaskState::Running, "")).collect();
    let node = id("node", "n1");
    let admitted = machine(&world, report(tasks)).expect("the rest of it counts");
    let told: Vec<Id> = admitted.events.iter().flat_map(|(_, kind)| event::objects(kind)).collect();
    assert_eq!(told, [ids[0], ids[2]]);
    let warning = format!("task {} is not node {node}'s to report: it was left out", ids[1]);
    assert_eq!(admitted.warnings, [warning]);
}

#[test]
fn reports_only_ever_raise_a_state_or_bring_another_text() {
    let world = World::of(
        "node n1 | service web replicas=2 | task web.1 on n1 running message=up | task web.2 on n1 failed exit=1",
    );
    let (runs, ended) = (world.task_id("web.1"), world.task_id("web.2"));
    let news = |task, state, message: &str| {
        let tasks = vec![seen(task, state, message)];
        machine(&world, report(tasks)).expect("it is its own").events.len()
    };
    assert_eq!(news(runs, TaskState::Running, "up"), 0);
    assert_eq!(news(runs, TaskState::Running, ""), 1, "an empty message takes the last one back");
    assert_eq!(news(runs, TaskState::Running, "busy"), 1);
    assert_eq!(news(runs, TaskState::Starting, "busy"), 0);
    assert_eq!(news(runs, TaskState::Complete, ""), 1);
    assert_eq!(news(runs, TaskState::Remove, ""), 0);
    assert_eq!(news(ended, TaskState::Shutdown, "x"), 0);
    assert_eq!(news(Id(77), TaskState::Running, ""), 0);
    let error = TaskObserved { error: "again".into(), ..seen(runs, TaskState::Running, "up") };
    assert_eq!(machine(&world, report(vec![error])).expect("it is its own").events.len(), 1);
}

#[test]
fn a_start_answers_the_wish_and_an_end_of_its_own_nothing() {
    let mut world = World::of("node n1 | service web | task web.1 on n1 starting");
    let cause = |world: &World, observed: TaskObserved| {
        machine(world, report(vec![observed])).expect("it is its own").events[0].0
    };
    let task = world.task_id("web.1");
    let row =
        |world: &World| world.view.tasks().get(world.task("web.1")).expect("it is there").clone();
    assert_eq!(cause(&world, seen(task, TaskState::Running, "")), row(&world).state_since.0);
    for state in [TaskState::Complete, TaskState::Failed, TaskState::Rejected] {
        assert_eq!(cause(&world, seen(task, state, "")), Revision::ZERO);
        let end_cause = skep_proto::v1::EndCause::Asked as i32;
        let container = skep_proto::v1::ContainerStatus { end_cause, ..Default::default() };
        let asked = TaskObserved { container: Some(container), ..seen(task, state, "") };
        assert_eq!(cause(&world, asked), row(&world).desired_revision);
    }
    world.tell("web.1 wanted shutdown");
    assert_eq!(cause(&world, seen(task, TaskState::Shutdown, "")), row(&world).desired_revision);
    assert_eq!(cause(&world, seen(task, TaskState::Running, "")), row(&world).desired_revision);
}

#[test]
fn long_words_of_an_agent_are_cut_between_characters() {
    let world = World::of("node n1 | service web | task web.1 on n1");
    let task = world.task_id("web.1");
    let told = |message: String| {
        let report = report(vec![seen(task, TaskState::Running, &message)]);
        let admitted = machine(&world, report).expect("it is its own");
        let [(_, Kind::TaskObserved(event))] = &admitted.events[..] else { panic!("{admitted:?}") };
        event.message.clone()
    };
    assert_eq!(told("x".repeat(2_048)), "x".repeat(2_048));
    assert_eq!(told("x".repeat(2_049)), format!("{}…", "x".repeat(2_048)));
    assert_eq!(told(format!("x{}", "é".repeat(2_000))), format!("x{}…", "é".repeat(1_023)));
    let known =
        format!("node n1 | service web | task web.1 on n1 running message={}…", "x".repeat(2_048));
    let world = World::of(&known);
    let again = seen(world.task_id("web.1"), TaskState::Running, &"x".repeat(3_000));
    assert_eq!(
        machine(&world, report(vec![again])).expect("it is its own").events,
        [],
        "it is known already"
    );
}

#[test]
fn a_port_that_fits_once_on_a_node_is_warned_about() {
    let world = World::of("node n1");
    let create = |replicas| {
        let mut spec = service_spec("web");
        let mode =
            skep_proto::v1::service_mode::Mode::Replicated(skep_proto::v1::Replicated { replicas });
        spec.mode = Some(skep_proto::v1::ServiceMode { mode: Some(mode) });
        let publish_mode = skep_proto::v1::PublishMode::Host as i32;
        let port = |published_port| skep_proto::v1::PortConfig {
            target_port: 80,
            published_port,
            publish_mode,
            ..Default::default()
        };
        spec.endpoint = Some(skep_proto::v1::EndpointSpec {
            ports: vec![port(80), port(0)],
            ..Default::default()
        });
        command(&world, Action::CreateService(Box::new(CreateService { spec: Some(spec) })))
            .expect("it fits")
            .warnings
    };
    let warning =
        "host port 80 fits once on a node: 2 replicas need as many nodes, and there is 1 node";
    assert_eq!(create(2), [warning]);
    assert_eq!(create(1), Vec::<String>::new());
}

#[test]
fn conditions_are_news_in_their_own_session_and_each_kind_once() {
    use skep_proto::v1::ConditionKind;
    let mut world = World::of("node n1");
    let node = id("node", "n1");
    let session = world.view.nodes().get(world.node("n1")).expect("it is there").session;
    let condition =
        |kind: i32, message: &str| Condition { kind, message: message.into(), since_at: 1 };
    let (engine, pull) =
        (ConditionKind::EngineUnreachable as i32, ConditionKind::PullFailing as i32);
    let said = |world: &World, session, conditions: &[Condition]| {
        let conditions = conditions.to_vec();
        machine(world, MachineRequest::Conditions { node, session, conditions })
            .expect("it is known")
            .events
    };
    let told = [
        condition(pull, "no"),
        condition(engine, "gone"),
        condition(engine, "again"),
        condition(0, "?"),
    ];
    assert_eq!(said(&world, session + 1, &told), [], "another session's word");
    let events = said(&world, session, &told);
    let [(_, kind @ Kind::NodeConditionsObserved(event))] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(event.conditions, [condition(engine, "gone"), condition(pull, "no")]);
    world.record(kind.clone());
    assert_eq!(said(&world, session, &told), [], "it is known");
    assert_eq!(said(&world, session, &told[..1]).len(), 1, "one of them is over");
}
