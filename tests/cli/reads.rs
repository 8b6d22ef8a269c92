//! Tables, templates, ids and JSON of everything that is read.

use crate::{
    figures::{THEN, failed, id, id_text, node, records, service, status, task},
    manager::ManagerScript,
};
use insta::assert_snapshot;
use skep_proto::v1::{
    ChangeKind, Condition, ConditionKind, DiffReply, FieldChange, Finding, LogGap, LogLine,
    LogRecord, LogSource, LogsReply, NodeRole, NodeState, ObjectChange, PlacementBlocked, Severity,
    StaleRead, StatusReply, TaskState, WhyReply, logs_reply::Message,
};

fn world() -> ManagerScript {
    let mut waiting = service(11, "waiting", 0, 2);
    waiting.blocked = Some(PlacementBlocked {
        message: "no suitable node".into(),
        ..PlacementBlocked::default()
    });
    let mut pending = task(26, 3, TaskState::Pending);
    (pending.node_id, pending.node_name) = (bytes::Bytes::new(), String::new());
    if let Some(status) = pending.status.as_mut() {
        status.error = "no suitable node (constraints not met on 3 nodes)".into();
    }
    ManagerScript {
        nodes: vec![
            node(1, "node-a", NodeState::Ready, NodeRole::Manager),
            node(2, "node-b", NodeState::Down, NodeRole::Worker),
        ],
        services: vec![service(10, "web", 2, 3), waiting],
        tasks: vec![
            failed(20, 1, 137),
            task(21, 1, TaskState::Running),
            task(22, 2, TaskState::Running),
            pending,
        ],
        status: status(),
        records: records(),
        ..ManagerScript::default()
    }
}

/// Each command line with all that was told.
fn check(name: &str, script: ManagerScript, lines: &[&[&str]]) {
    let manager = script.serve();
    let all: String = lines
        .iter()
        .map(|args| format!("$ skep {}\n{}\n", args.join(" "), manager.run(args).trim_end()))
        .collect();
    assert_snapshot!(name, all);
}

#[test]
fn an_answer_that_may_be_old_is_shown_with_one_warning_and_no_error() {
    let stale =
        StaleRead { revision: 21, why: "the log does not answer".into(), for_ns: 44_000_000_000 };
    let manager = ManagerScript { stale: Some(stale), ..world() }.serve();
    let (newest, old) = (
        world().serve(),
        "--- stderr\nwarning: the log does not answer; this is the state at revision 21, as of 44 seconds ago\n",
    );
    // Some of these ask more than once.
    for line in [
        &["node", "ls"][..],
        &["node", "ls", "--format", "json"],
        &["service", "ls", "-q"],
        &["service", "ps", "web"],
        &["node", "ps", "node-a"],
        &["task", "inspect", "web.2"],
    ] {
        assert_eq!(manager.run(line), format!("{}{old}", newest.run(line)), "{line:?}");
    }
}

#[test]
fn nodes() {
    check(
        "nodes",
        world(),
        &[
            &["node", "ls"],
            &["node", "ls", "-q"],
            &[
                "node",
                "ls",
                "--format",
                "{{.ID}} {{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}} {{.EngineVersion}} {{.Self}}",
            ],
            &[
                "node",
                "ls",
                "--format",
                "table {{.Hostname}}\\t{{.Role}}\\t{{.Description.Runtime}}",
            ],
            &["node", "inspect", "--pretty", "self"],
            &[
                "node",
                "inspect",
                "-f",
                "{{.Spec.Annotations.Labels.zone}} {{json .Status.State}}",
                "node-a",
                "node-b",
            ],
            &["node", "ps"],
            &["node", "inspect", "nobody"],
        ],
    );
}

#[test]
fn a_node_that_is_up_and_in_trouble_says_so() {
    let mut world = world();
    world.nodes.truncate(1);
    world.nodes[0].status.get_or_insert_default().conditions = vec![Condition {
        kind: ConditionKind::EngineUnreachable as i32,
        message: "the engine did not answer within 20 s".into(),
        since_at: THEN,
    }];
    let manager = world.serve();
    let list = manager.run(&["node", "ls", "--format", "{{.Status}}"]);
    assert_eq!(list, "exit 0\n--- stdout\nReady (engine unreachable)\n");
    let shown = manager.run(&["node", "inspect", "--pretty", "node-a"]);
    let expected =
        "engine unreachable since 2026-11-21T13:20:01.500Z: the engine did not answer within 20 s";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn services() {
    check(
        "services",
        world(),
        &[
            &["service", "ls"],
            &["service", "ls", "-q"],
            &["service", "ls", "--no-trunc"],
            &["service", "ls", "--format", "{{.Name}}: {{.Replicas}} {{.Blocked.Message}}"],
            &["service", "ls", "--format", "table {{.ID}}\\t{{.Name}}"],
            &["service", "ps", "web"],
            &["service", "ps", "--no-trunc", "web"],
            &["service", "ps", "-q", "web"],
            &["service", "ps", "nobody"],
            &["service", "inspect", "--pretty", "web", "waiting"],
            &[
                "task",
                "ls",
                "--format",
                "{{.Name}} {{.CurrentState}} {{.DesiredState}} {{.Node}} {{.Error}}",
            ],
        ],
    );
}

#[test]
fn empty_lists_have_headings_and_empty_arrays() {
    check(
        "empty",
        ManagerScript::default(),
        &[
            &["service", "ls"],
            &["service", "ls", "--format", "json"],
            &["service", "ls", "-q"],
            &["service", "ls", "--format", "{{.ID}}"],
            &["node", "ls"],
            &["log"],
            &["diff", "1", "2"],
            &["doctor"],
        ],
    );
}

/// The shape of the JSON is a promise; times that move are fixed first.
#[test]
fn json_of_services_nodes_and_tasks() {
    let mut world = world();
    world.nodes.truncate(1);
    world.services.truncate(1);
    world.tasks.truncate(1);
    if let Some(status) = world.nodes[0].status.as_mut() {
        status.since_at = THEN;
    }
    if let Some(status) = world.tasks[0].status.as_mut() {
        status.at = THEN;
    }
    check(
        "json",
        world,
        &[
            &["node", "ls", "--format", "json"],
            &["service", "inspect", "web"],
            &["task", "inspect", "web.1"],
            &["status", "--format", "json"],
            &["version", "--format", "json"],
        ],
    );
}

#[test]
fn history() {
    let changes = vec![ObjectChange {
        kind: "service".into(),
        id: id(10),
        name: "web".into(),
        change: ChangeKind::Changed as i32,
        fields: vec![FieldChange {
            path: "spec.mode.replicated.replicas".into(),
            before: "3".into(),
            after: "5".into(),
        }],
    }];
    let script = ManagerScript {
        diff: DiffReply { from_revision: 12, to_revision: 20, changes },
        why: WhyReply {
            verdict: "runs on node-a because it has the fewest tasks".into(),
            kind: "task".into(),
            id: id(21),
            name: "web.1".into(),
            chain: records(),
            placement: vec!["3 nodes could take it".into(), "node-a had 0 of its tasks".into()],
        },
        findings: vec![
            Finding {
                severity: Severity::Ok as i32,
                subject: "log".into(),
                message: "whole".into(),
                hint: String::new(),
            },
            Finding {
                severity: Severity::Problem as i32,
                subject: "disk".into(),
                message: "4 % free".into(),
                hint: "make room".into(),
            },
        ],
        // How long it has run would change with the day.
        status: StatusReply { started_at: 0, ..status() },
        ..world()
    };
    check(
        "history",
        script,
        &[
            &["log"],
            &["log", "--format", "json"],
            &["log", "--format", "{{.Revision}} {{.Kind}} {{.Author.Person.Name}}"],
            &["diff", "12", "20"],
            &["why", "web.1"],
            &["why", "web.1", "--format", "{{.Verdict}}"],
            &["doctor"],
            &["status"],
        ],
    );
}

#[test]
fn a_log_of_ordinary_records_alone_says_how_they_are_shown() {
    let ordinary = LogRecord { kind: "checkpoint".into(), ..LogRecord::default() };
    let manager = ManagerScript { records: vec![ordinary], ..world() }.serve();
    let said = manager.run(&["log", "--object", "web"]);
    assert!(said.contains("--all shows them"), "{said}");
    let said = manager.run(&["log", "--object", "web", "--all"]);
    assert!(said.contains("checkpoint") && !said.contains("--all shows"), "{said}");
}

#[test]
fn a_log_between_two_moments_asks_for_their_revisions() {
    let manager = world().serve();
    manager.run(&["log", "--since", "3", "--until", "7"]);
    let asked = manager.asked().join("\n");
    assert!(asked.contains("from_revision: 3") && asked.contains("to_revision: 7"), "{asked}");
}

#[test]
fn a_log_of_no_records_prints_none_and_follows_from_the_newest() {
    let manager = ManagerScript { status: StatusReply { revision: 60, ..status() }, ..world() };
    let manager = ManagerScript { records: records(), ..manager }.serve();
    assert_eq!(manager.run(&["log", "-n", "0"]), "exit 0\n");
    let mut child = crate::run::skep(&["log", "-n", "0", "--follow"])
        .env("SKEP_HOST", manager.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program was built for this test");
    let began = std::time::Instant::now();
    let follows = || manager.asked().into_iter().find(|asked| asked.contains("follow: true"));
    while follows().is_none() && began.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().expect("it follows");
    child.wait().expect("it ends");
    let asked = follows().expect("it asks");
    assert!(asked.contains("from_revision: 61"), "{asked}");
}

#[test]
fn a_log_or_a_diff_of_a_time_to_come_is_refused() {
    let manager = world().serve();
    for args in [
        &["log", "--since", "2099-01-01T00:00:00Z"][..],
        &["log", "--until", "2099-01-01T00:00:00Z"],
        &["diff", "2099-01-01T00:00:00Z"],
    ] {
        let told = manager.run(args);
        assert!(told.starts_with("exit 1\n") && told.contains("is in the future"), "{told}");
    }
}

#[test]
fn a_time_span_of_output_begins_before_it_ends() {
    let manager = world().serve();
    let told = manager.run(&["service", "logs", "web", "--since", "1h", "--until", "2h"]);
    assert!(told.starts_with("exit 2\n") && told.contains("--since is later"), "{told}");
    for flags in [["--since", "-2h", "--until", "-1h"], ["--since", "2h", "--until", "1h"]] {
        let told = manager.run(&[&["service", "logs", "web"][..], &flags].concat());
        assert_eq!(told, "exit 0\n");
    }
    for age in ["5m", "-5m"] {
        manager.run(&["log", "--since", age, "--until", "0s"]);
    }
    let nodes = manager.asked().into_iter().filter(|asked| asked.contains("AgoNs(300000000000)"));
    assert_eq!(nodes.count(), 2);
}

#[test]
fn output_of_tasks_that_are_gone_is_said_to_be_gone() {
    let told = ManagerScript { tasks: vec![], ..world() }
        .serve()
        .run(&["service", "logs", "--at", "5", "web"]);
    let note = "no task of web is left, and a task's output goes with it";
    assert_eq!(told, format!("exit 0\n--- stderr\n{note}\n"));
}

#[test]
fn why_knows_the_managers_own_node() {
    let manager = world().serve();
    manager.run(&["why", "self"]);
    let asked = manager.asked().join("\n");
    let own = skep_proto::Id::from_bytes(&status().node_id);
    assert!(asked.contains(&format!("object: \"node/{own}\"")), "{asked}");
}

#[test]
fn a_command_makes_one_connection() {
    let manager = world().serve();
    for (so_far, args) in
        [&["node", "inspect", "self"][..], &["why", "web"], &["status"]].iter().enumerate()
    {
        assert!(manager.run(args).starts_with("exit 0"));
        let connections = manager.script.connections.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(connections, so_far + 1, "{args:?}");
    }
}

#[test]
fn what_a_read_asks_for() {
    let manager = world().serve();
    for args in [
        &[
            "--at", "-5m", "service", "ls", "--filter", "name=web", "--filter", "name=db",
            "--filter", "label=a",
        ][..],
        &["service", "ps", "web", "--at", "1200"],
        &[
            "log", "--at", "1200", "--from", "7", "--object", "web", "--author", "alice", "--all",
            "-n", "5",
        ],
        &["diff", "-10m", "2026-01-31T14:00:00Z"],
        &["why", "web", "--at", "9"],
        &["service", "logs", "--tail", "5", "--since", "2026-01-31T14:00:00Z", "web", "web.1"],
    ] {
        let told = manager.run(args);
        assert!(told.starts_with("exit 0"), "{args:?}: {told}");
    }
    assert_snapshot!("asked", manager.asked().join("\n"));
}

#[test]
fn logs() {
    let line = |n: u128, source: LogSource, text: &'static [u8]| LogsReply {
        message: Some(Message::Line(LogLine {
            task_id: id(n),
            task_name: "web.1".into(),
            node_name: "node-a".into(),
            at: THEN,
            source: source as i32,
            text: bytes::Bytes::from_static(text),
            ..LogLine::default()
        })),
    };
    let gap = LogGap {
        node_name: "node-b".into(),
        message: "node node-b can't be reached; its lines are missing from here".into(),
        ..LogGap::default()
    };
    let whole = ManagerScript {
        logs: vec![line(20, LogSource::Stdout, b"hello"), line(20, LogSource::Stderr, b"oh")],
        ..world()
    };
    let mut torn = whole.clone();
    torn.logs.push(LogsReply { message: Some(Message::Gap(gap)) });
    check(
        "logs",
        whole,
        &[
            &["service", "logs", "web"],
            &["service", "logs", "--timestamps", "--no-task-ids", "web"],
            &["service", "logs", "--raw", "web"],
            &["task", "logs", "--format", "json", "web.1"],
        ],
    );
    check("logs_torn", torn, &[&["service", "logs", "web"]]);
    assert_eq!(id_text(1).len(), 25);
}
