//! What goes through the two streams: text of others on a terminal, and streams that nobody can
//! hear.

use crate::{
    figures::{failed, id, node, records, service, status, task},
    manager::{ManagerScript, ScriptedServer},
    run::skep,
};
use nix::pty::openpty;
use skep_proto::v1::{self, command_reply::Outcome, logs_reply::Message};
use std::{
    fs::{File, OpenOptions},
    io::Read,
    process::Stdio,
};

/// What a terminal would obey: it colours, rings, and clears the screen.
const EVIL: &str = "a\x1b[31m\x07\u{9b}2Jz";
/// How it must look instead.
const SHOWN: &str = "a\\x1b[31m\\x07\\u009b2Jz";

/// A world in which every text that comes from elsewhere is evil.
fn evil_world() -> ManagerScript {
    let mut machine = node(1, EVIL, v1::NodeState::Ready, v1::NodeRole::Manager);
    machine.status.get_or_insert_default().message = EVIL.into();
    let mut web = service(10, "web", 0, 2);
    web.blocked =
        Some(v1::PlacementBlocked { message: EVIL.into(), ..v1::PlacementBlocked::default() });
    let container = web
        .spec
        .as_mut()
        .and_then(|spec| spec.task.as_mut())
        .and_then(|task| task.runtime.as_mut());
    if let Some(skep_proto::v1::task_spec::Runtime::Container(container)) = container {
        container.dir = EVIL.into();
    }
    let mut paused = service(11, "paused", 1, 1);
    paused.rollout = Some(v1::RolloutStatus {
        state: v1::RolloutState::Paused as i32,
        message: EVIL.into(),
        ..v1::RolloutStatus::default()
    });
    let mut parked = service(12, "parked", 1, 1);
    parked.parked = EVIL.into();
    let mut rejected = task(20, 1, v1::TaskState::Rejected);
    rejected.node_name = EVIL.into();
    rejected.status.get_or_insert_default().error = EVIL.into();
    let mut records = records();
    (records[0].reason, records[0].summary) = (EVIL.into(), EVIL.into());
    let field = v1::FieldChange { path: EVIL.into(), before: EVIL.into(), after: EVIL.into() };
    let change = v1::ObjectChange {
        kind: "service".into(),
        name: EVIL.into(),
        change: v1::ChangeKind::Changed as i32,
        fields: vec![field],
        ..v1::ObjectChange::default()
    };
    ManagerScript {
        nodes: vec![machine],
        services: vec![web, paused, parked],
        tasks: vec![rejected],
        strays: vec![v1::Stray { task_id: id(30), node_name: EVIL.into(), ..v1::Stray::default() }],
        status: skep_proto::v1::StatusReply { accepting: EVIL.into(), ..status() },
        reply: Some(Outcome::Refused(v1::Refused {
            code: v1::RefusalCode::Invalid as i32,
            message: EVIL.into(),
            hint: EVIL.into(),
        })),
        why: v1::WhyReply {
            verdict: EVIL.into(),
            chain: records.clone(),
            placement: vec![EVIL.into()],
            ..v1::WhyReply::default()
        },
        records,
        diff: v1::DiffReply { changes: vec![change], ..v1::DiffReply::default() },
        findings: vec![v1::Finding {
            severity: v1::Severity::Problem as i32,
            subject: EVIL.into(),
            message: EVIL.into(),
            hint: EVIL.into(),
        }],
        ..ManagerScript::default()
    }
}

/// All that the program writes to a terminal that cannot move its cursor.
fn on_a_terminal(manager: &ScriptedServer, args: &[&str]) -> String {
    let pty = openpty(None, None).expect("a terminal");
    let stream = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
    let mut child = skep(args)
        .env("SKEP_HOST", manager.path())
        .env("TERM", "dumb")
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .expect("the program was built for this test");
    drop(pty.slave);
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A terminal whose other side has gone ends with an error instead of an end.
        drop(File::from(pty.master).read_to_end(&mut bytes));
        bytes
    });
    child.wait().expect("it ends");
    String::from_utf8_lossy(&reading.join().expect("it reads")).into_owned()
}

/// The text appears, and nothing in it reaches the terminal as a command.
fn check(manager: &ScriptedServer, args: &[&str]) {
    let told = on_a_terminal(manager, args);
    assert!(!told.contains(['\x1b', '\x07', '\u{9b}']), "{args:?} steers the terminal: {told:?}");
    let json = told.contains("a\\u001b[31m\\u0007\\u009b2Jz");
    assert!(told.contains(SHOWN) || json, "{args:?} does not show the text: {told:?}");
}

#[test]
fn text_of_others_cannot_steer_a_terminal() {
    let manager = evil_world().serve();
    for args in [
        &["node", "ls"][..],
        &["node", "ls", "--format", "{{.Hostname}}"],
        &["node", "ls", "--format", "table {{.Hostname}}"],
        &["node", "inspect", "self"],
        &["node", "inspect", "--pretty", "self"],
        &["service", "ls", "--no-trunc"],
        &["service", "ls", "--format", "json"],
        &["service", "ls", "--format", "{{.Status}}"],
        &["service", "ps", "web", "--no-trunc"],
        &["service", "ps", "web", "--format", "{{.Error}} {{.Node}}"],
        &["service", "inspect", "--pretty", "web"],
        &["service", "inspect", "--pretty", "paused"],
        &["service", "inspect", "--pretty", "parked"],
        &["task", "ls", "--no-trunc"],
        &["task", "inspect", "--pretty", "web.1"],
        &["stray", "ls"],
        &["log"],
        &["log", "--format", "{{.Reason}}"],
        &["log", "--format", "json"],
        &["why", "web.1"],
        &["why", "web.1", "--format", "{{.Verdict}}"],
        &["diff", "1", "2"],
        &["diff", "1", "2", "--format", "{{json .Changes}}"],
        &["doctor"],
        &["doctor", "--format", "json"],
        &["status"],
        &["service", "rm", "web"],
        &["service", "create", "-d", "busybox"],
    ] {
        check(&manager, args);
    }
}

#[test]
fn wrong_usage_that_holds_control_characters_cannot_steer_a_terminal() {
    let manager = ManagerScript::default().serve();
    // The parser leaves some of them out altogether.
    let told = on_a_terminal(&manager, &["service", "ls", EVIL]);
    assert!(
        told.contains("unexpected argument") && !told.contains(['\x1b', '\x07', '\u{9b}']),
        "{told:?}"
    );
    // Quoted, it has other escapes, which are as safe.
    let told = on_a_terminal(&manager, &["service", "ls", "--filter", &format!("{EVIL}=1")]);
    assert!(
        told.contains("is unknown here") && !told.contains(['\x1b', '\x07', '\u{9b}']),
        "{told:?}"
    );
}

#[test]
fn a_failing_task_and_its_last_lines_cannot_steer_a_terminal() {
    let accepted = v1::Accepted { object_id: id(10), changed: true, ..v1::Accepted::default() };
    let attempts: Vec<_> = (20..23).map(|n| failed(n, 1, 3)).collect();
    let mut ended = attempts.clone();
    ended.iter_mut().for_each(|task| task.status.get_or_insert_default().error = EVIL.into());
    let line =
        v1::LogLine { text: bytes::Bytes::from_static(EVIL.as_bytes()), ..v1::LogLine::default() };
    let manager = ManagerScript {
        reply: Some(Outcome::Accepted(v1::Accepted { warnings: vec![EVIL.into()], ..accepted })),
        watch: vec![v1::WatchServiceReply {
            service: Some(service(10, "web", 0, 1)),
            tasks: ended,
            ..v1::WatchServiceReply::default()
        }],
        logs: vec![v1::LogsReply { message: Some(Message::Line(line)) }],
        ..ManagerScript::default()
    }
    .serve();
    check(&manager, &["service", "create", "--name", "web", "busybox"]);
}

#[test]
fn data_in_a_pipe_is_raw() {
    let manager = evil_world().serve();
    let told = manager.run(&["node", "ls", "--format", "{{.Hostname}}"]);
    assert!(told.contains(EVIL), "{told:?}");
}

/// Runs a command whose standard error cannot be written, in each way that that happens.
fn check_unheard(manager: Option<&ScriptedServer>, args: &[&str], expected: i32) {
    let full =
        || Stdio::from(OpenOptions::new().write(true).open("/dev/full").expect("there is one"));
    let gone = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    for (how, stream) in [("full", full()), ("a pipe without a reader", gone())] {
        let mut command = skep(args);
        command
            .env("SKEP_HOST", manager.map_or("/nowhere/skep.sock".as_ref(), ScriptedServer::path));
        let status = command.stdout(Stdio::null()).stderr(stream).status().expect("it runs");
        assert_eq!(status.code(), Some(expected), "{args:?}, the standard error is {how}");
    }
}

#[test]
fn a_standard_error_that_nobody_hears_does_not_change_the_exit_code() {
    let accepted = v1::Accepted {
        object_id: id(10),
        warnings: vec!["mind".into()],
        ..v1::Accepted::default()
    };
    let manager = ManagerScript {
        reply: Some(Outcome::Accepted(accepted)),
        services: vec![service(10, "web", 1, 1)],
        watch: vec![v1::WatchServiceReply {
            service: Some(service(10, "web", 1, 1)),
            tasks: vec![task(20, 1, v1::TaskState::Running)],
            ..v1::WatchServiceReply::default()
        }],
        ..ManagerScript::default()
    }
    .serve();
    check_unheard(Some(&manager), &["service", "create", "--name", "web", "busybox"], 0);
    check_unheard(Some(&manager), &["service", "update", "--label-add", "a=b", "web"], 0);
    check_unheard(Some(&manager), &["service", "scale", "web=1"], 0);
    check_unheard(Some(&manager), &["diff", "1", "2"], 0);
    check_unheard(Some(&manager), &["service", "inspect", "nope"], 1);
    check_unheard(None, &["service", "ls", "--filter", "nonsense=1"], 2);
    check_unheard(None, &["service", "ls", "--bogus"], 2);
    check_unheard(None, &["service", "create", "--env-file", "/nowhere/env", "busybox"], 2);
    check_unheard(None, &["service", "ls"], 3);
}

#[test]
fn a_full_standard_output_is_a_failure_in_words() {
    let manager = evil_world().serve();
    for args in
        [&["service", "ls"][..], &["node", "inspect", "self"], &["version"], &["--help"], &["log"]]
    {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("there is one");
        let output =
            skep(args).env("SKEP_HOST", manager.path()).stdout(full).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("the output cannot be written: no space left on device"),
            "{args:?}: {said}"
        );
    }
}

/// The names are data, but the removal of the others does not hang on their reader.
#[test]
fn a_command_does_its_work_although_its_output_cannot_be_written() {
    let accepted = v1::Accepted { object_id: id(10), ..v1::Accepted::default() };
    let services = [(10, "a"), (11, "b"), (12, "c")].map(|(n, name)| service(n, name, 1, 1)).into();
    let reply = Some(Outcome::Accepted(accepted));
    let manager = ManagerScript { reply, services, ..ManagerScript::default() }.serve();
    let full = OpenOptions::new().write(true).open("/dev/full").expect("there is one");
    let mut command = skep(&["service", "rm", "a", "b", "c"]);
    let output = command.env("SKEP_HOST", manager.path()).stdout(full).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(manager.script.commands.lock().expect("nobody panicked").len(), 3);
}
