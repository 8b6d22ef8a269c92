//! The promise of the JSON shape, message by message.

use super::{render, render_set, shape};
use crate::{
    Id,
    v1::{
        AppArmorMode, Author, Checkpoint, CommandId, ContainerSpec, Event, LogLine, LogRecord,
        Meta, Node, NodeSpec, NodeState, NodeStatus, Person, Privileges, Record, Replicated,
        Service, ServiceMode, ServiceSpec, Task, TaskDesired, TaskSpec, TaskState, TaskStatus,
        TraceContext, author, event, service_mode, task_spec,
    },
};
use bytes::Bytes;
use serde_json::{Value, json};

const AT: u64 = 1_795_267_201_500_000_000;

#[test]
fn a_node_is_shown_with_words_times_and_empty_fields() {
    let node = Node {
        id: Id(35).to_bytes(),
        meta: Some(Meta { version: u64::MAX, created_at: AT, updated_at: 0, created_revision: 3 }),
        spec: Some(NodeSpec { availability: 2, ..NodeSpec::default() }),
        status: Some(NodeStatus {
            state: NodeState::Ready as i32,
            message: String::new(),
            since_at: 0,
            conditions: Vec::new(),
            address: "10.0.0.1".into(),
        }),
        ..Node::default()
    };
    let shown = render(&node);
    assert_eq!(shown["id"], "000000000000000000000000z");
    assert_eq!(
        shown["meta"],
        json!({"version": u64::MAX, "created_at": "2026-11-21T13:20:01.5Z", "updated_at": "", "created_revision": 3})
    );
    assert_eq!(
        shown["spec"],
        json!({"annotations": null, "desired_role": "worker", "membership": "accepted", "availability": "drain"})
    );
    assert_eq!(
        shown["status"],
        json!({"state": "ready", "message": "", "since_at": "", "conditions": [], "address": "10.0.0.1"})
    );
    assert_eq!(shown["description"], Value::Null);
    assert_eq!(shown["tasks"], 0);
}

#[test]
fn a_oneof_shows_what_is_set_and_an_optional_field_shows_null() {
    let spec = ServiceSpec {
        mode: Some(ServiceMode {
            mode: Some(service_mode::Mode::Replicated(Replicated { replicas: 0 })),
        }),
        task: Some(TaskSpec {
            runtime: Some(task_spec::Runtime::Container(ContainerSpec {
                image: "web".into(),
                privileges: Some(Privileges {
                    apparmor: AppArmorMode::Disabled as i32,
                    ..Privileges::default()
                }),
                labels: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
                ..ContainerSpec::default()
            })),
            ..TaskSpec::default()
        }),
        ..ServiceSpec::default()
    };
    let shown = render(&spec);
    assert_eq!(shown["mode"], json!({"replicated": {"replicas": 0}}));
    let container = &shown["task"]["container"];
    assert_eq!(container["init"], Value::Null);
    assert_eq!(container["stop_grace_period_ns"], Value::Null);
    assert_eq!(container["env"], json!([]));
    assert_eq!(container["privileges"]["apparmor"], "disabled");
    assert_eq!(container["labels"].to_string(), r#"{"a":"1","b":"2"}"#);
    assert!(shown["task"].get("generic").is_none());
}

#[test]
fn a_record_of_the_log_begins_with_what_people_look_for() {
    let record = LogRecord {
        revision: 7,
        at: AT,
        author: Some(Author {
            who: Some(author::Who::Person(Person { uid: 1000, ..Person::default() })),
        }),
        cause: 5,
        kind: "service_created".into(),
        object_ids: vec![Id(1).to_bytes(), Id(2).to_bytes()],
        command: Some(CommandId { stamp: 4, number: 2, ..CommandId::default() }),
        trace: Some(TraceContext {
            trace: Bytes::from_static(&[0xab, 0x01]),
            ..TraceContext::default()
        }),
        event: Some(Event { kind: Some(event::Kind::ServiceCreated(Box::default())) }),
        ..LogRecord::default()
    };
    let shown = render(&record);
    let text = shown.to_string();
    let mut from = 0;
    for key in ["revision", "at", "author", "cause", "kind"] {
        let at = text.find(&format!("\"{key}\":")).expect("the key is there");
        assert!(at >= from, "{key} stands in its place: {text}");
        from = at;
    }
    assert_eq!(
        shown["author"],
        json!({"person": {"uid": 1000, "login_uid": null, "pid": 0, "name": ""}})
    );
    assert_eq!(shown["trace"]["trace"], "ab01");
    assert_eq!(
        shown["object_ids"],
        json!(["0000000000000000000000001", "0000000000000000000000002"])
    );
    assert_eq!(shown["event"], json!({"service_created": {"service_id": "", "spec": null}}));
}

#[test]
fn a_word_of_a_newer_schema_is_shown_as_its_number() {
    let task = Task {
        status: Some(TaskStatus { state: 513, ..TaskStatus::default() }),
        desired: TaskState::Running as i32,
        ..Task::default()
    };
    assert_eq!(render(&task)["status"]["state"], 513);
    assert_eq!(render(&task)["desired"], "running");
}

#[test]
fn a_line_of_output_is_text() {
    let line = LogLine { text: Bytes::from_static(b"h\xffi"), ..LogLine::default() };
    assert_eq!(render(&line)["text"], "h\u{fffd}i");
    assert_eq!(render(&line)["source"], "stdout");
}

#[test]
fn every_kind_of_event_is_rendered_under_its_own_name() {
    let desired = TaskDesired { task_id: Id(1).to_bytes(), desired: 640, reason: 2 };
    let record = Record {
        event: Some(Event { kind: Some(event::Kind::TaskDesired(desired)) }),
        ..Record::default()
    };
    assert_eq!(
        render(&record)["event"]["task_desired"],
        json!({"task_id": "0000000000000000000000001", "desired": "shutdown", "reason": "scaled_down"})
    );
}

#[test]
fn sixteen_bytes_are_an_id_only_where_the_name_says_so() {
    let checkpoint = event::Kind::Checkpoint(Checkpoint { digest: vec![7; 16].into() });
    let event = Event { kind: Some(checkpoint) };
    assert_eq!(render(&event)["checkpoint"]["digest"], json!("07".repeat(16)));
}

#[test]
fn fields_that_have_their_default_can_be_left_out() {
    let record = Record { cause: 3, ..Record::default() };
    assert_eq!(render_set(&record), json!({"cause": 3}));
}

#[test]
fn below_a_list_any_name_may_follow() {
    let path = ["networks", "Any", "thing"].map(str::to_owned);
    assert_eq!(shape::resolve("TaskSpec", &path).expect("a list"), path);
}

#[test]
fn a_field_is_found_however_it_is_spelt_and_missed_with_its_neighbours_named() {
    let path = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        shape::resolve("Service", &path(&["Status", "RunningTasks"])).expect("it is there"),
        path(&["status", "running_tasks"])
    );
    assert_eq!(
        shape::resolve("Service", &path(&["spec", "annotations", "labels", "Any"])).expect("a map"),
        path(&["spec", "annotations", "labels", "Any"])
    );
    let missed =
        shape::resolve("Service", &path(&["Status", "Colour"])).expect_err("no such field");
    assert_eq!(
        missed.to_string(),
        "there is no field \"Colour\"; there are running_tasks, desired_tasks"
    );
    assert_eq!(render(&Service::default())["status"], Value::Null);
}
