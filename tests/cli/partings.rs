//! Managers that go away, that are none, or that cannot say what became of a command.

use crate::{
    figures::{id, records, service, task},
    manager::ManagerScript,
    run::{alone, skep},
};
use skep_proto::v1::{
    Accepted, RefusalCode, Refused, TaskState, UnknownOutcome, WatchServiceReply,
    command_reply::Outcome,
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

fn accepted() -> Option<Outcome> {
    Some(Outcome::Accepted(Accepted { object_id: id(10), changed: true, ..Accepted::default() }))
}

fn unknown() -> Outcome {
    Outcome::Unknown(UnknownOutcome { message: "the manager is stopping".into() })
}

fn once(first: Outcome) -> Arc<Mutex<Vec<Outcome>>> {
    Arc::new(Mutex::new(vec![first]))
}

#[test]
fn a_command_whose_outcome_is_unknown_is_sent_again_under_its_id() {
    let manager = ManagerScript {
        reply: accepted(),
        first_replies: once(unknown()),
        ..ManagerScript::default()
    }
    .serve();
    let told = manager.run(&["service", "rm", "web"]);
    assert!(
        told.starts_with("exit 0\n") && told.contains("sent again under the same id"),
        "{told}"
    );
    let commands = manager.script.commands.lock().expect("nobody panicked");
    assert_eq!(commands.len(), 2);
    assert_eq!(commands[0].id, commands[1].id);
}

#[test]
fn an_outcome_that_stays_unknown_is_code_3_in_words() {
    let manager = ManagerScript { reply: Some(unknown()), ..ManagerScript::default() }.serve();
    let told = manager.run(&["service", "create", "--timeout", "700ms", "busybox"]);
    assert!(told.starts_with("exit 3\n"), "{told}");
    assert!(
        told.contains("it is not known whether the command was done: the manager is stopping"),
        "{told}"
    );
    assert!(told.contains("; it was sent 3 times within 0."), "{told}");
    assert!(told.contains("skep log"), "{told}");
}

#[test]
fn a_failure_after_an_unknown_outcome_leaves_it_unknown() {
    let refused = Refused { message: "the manager is in safe mode".into(), ..Refused::default() };
    let manager = ManagerScript {
        reply: Some(Outcome::Refused(refused)),
        first_replies: once(unknown()),
        ..ManagerScript::default()
    }
    .serve();
    let told = manager.run(&["service", "rm", "web"]);
    assert!(told.starts_with("exit 3\n"), "{told}");
    assert!(told.contains("it is not known whether the command was done"), "{told}");
    assert!(told.contains("when it was sent again: the manager is in safe mode"), "{told}");
}

#[test]
fn an_edit_that_came_too_late_is_made_again() {
    let late = Refused {
        code: RefusalCode::OutOfSequence as i32,
        message: "service web was changed by alice".into(),
        hint: String::new(),
    };
    let manager = ManagerScript {
        reply: accepted(),
        first_replies: once(Outcome::Refused(late.clone())),
        services: vec![service(10, "web", 1, 1)],
        ..ManagerScript::default()
    }
    .serve();
    let told = manager.run(&["service", "update", "-d", "--label-add", "a=b", "web"]);
    assert_eq!(told, "exit 0\n--- stdout\nweb\n");
    {
        let commands = manager.script.commands.lock().expect("nobody panicked");
        assert_eq!(commands.len(), 2);
        assert_ne!(commands[0].id, commands[1].id, "it is another command");
    }
    let never = ManagerScript {
        reply: Some(Outcome::Refused(late)),
        services: vec![service(10, "web", 1, 1)],
        ..ManagerScript::default()
    }
    .serve();
    let told =
        never.run(&["service", "update", "-d", "--timeout", "500ms", "--label-add", "a=b", "web"]);
    assert_eq!(told, "exit 1\n--- stderr\nerror: service web was changed by alice\n");
}

#[test]
fn a_manager_that_dies_under_a_waiting_command_is_code_3() {
    let manager = ManagerScript {
        reply: accepted(),
        watch: vec![WatchServiceReply {
            service: Some(service(10, "web", 0, 1)),
            tasks: vec![task(20, 1, TaskState::Starting)],
            ..WatchServiceReply::default()
        }],
        ..ManagerScript::default()
    }
    .serve();
    let mut child = skep(&["service", "create", "--name", "web", "busybox"])
        .env("SKEP_HOST", manager.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built for this test");
    let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut said = String::new();
    errors.read_line(&mut said).expect("a line of progress");
    drop(manager);
    errors.read_to_string(&mut said).expect("the last words");
    assert_eq!(child.wait().expect("it ends").code(), Some(3), "{said}");
    assert!(said.contains("the manager went away while waiting; service web goes on"), "{said}");
    assert!(!said.contains("h2") && !said.contains("transport"), "{said}");
}

#[test]
fn a_manager_that_dies_under_a_follower_is_code_3() {
    let manager = ManagerScript { records: records(), ..ManagerScript::default() }.serve();
    let mut child = skep(&["log", "--follow"])
        .env("SKEP_HOST", manager.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built for this test");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    lines.read_line(&mut String::new()).expect("a record");
    drop(manager);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("the manager went away"), "{said}");
    assert!(!said.contains("h2") && !said.contains("transport"), "{said}");
}

/// Listens on a socket, answers the first connections with these bytes, and hangs up or stays.
fn listener(answer: &'static [u8], then: Then) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("other.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            drop(stream.write_all(answer));
            match then {
                Then::HangUp => drop(stream),
                Then::Stay => kept.push(stream),
            }
        }
    });
    let host = format!("unix://{}", path.display());
    (dir, host)
}

#[derive(Clone, Copy)]
enum Then {
    HangUp,
    Stay,
}

#[test]
fn another_program_behind_the_socket_is_told_in_words() {
    for (answer, then, part) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
            Then::HangUp,
            "another program listens",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Then::Stay, "another program listens"),
        (b"", Then::HangUp, "closed the connection without an answer"),
    ] {
        let (_dir, host) = listener(answer, then);
        let told = alone(&["--host", &host, "service", "ls"]);
        assert!(
            told.starts_with("exit 3\n") && told.contains(part) && told.contains("hint: "),
            "{told}"
        );
        assert!(!told.contains("transport") && !told.contains("h2"), "{told}");
    }
}

#[test]
fn a_listener_that_says_nothing_is_not_waited_for_without_end() {
    let (_dir, host) = listener(b"", Then::Stay);
    let began = Instant::now();
    let told = alone(&["--host", &host, "status"]);
    assert!(told.starts_with("exit 3\n") && told.contains("does not answer"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn a_time_in_the_future_is_refused_and_one_of_a_log_that_is_ahead_is_not() {
    let far =
        ManagerScript { services: vec![service(10, "web", 1, 1)], ..ManagerScript::default() };
    let told = far.clone().serve().run(&["service", "ls", "--at", "2099-01-01T00:00:00Z"]);
    assert!(told.starts_with("exit 1\n") && told.contains("is in the future"), "{told}");
    let mut ahead = far;
    ahead.status.at = 4_100_000_000_000_000_000;
    let told = ahead.serve().run(&["service", "ls", "-q", "--at", "2099-01-01T00:00:00Z"]);
    assert!(told.starts_with("exit 0\n"), "{told}");
}

#[test]
fn a_time_without_a_zone_is_local_and_that_is_said() {
    let manager = ManagerScript::default().serve();
    let told = manager.run(&["service", "ls", "-q", "--at", "2026-01-31 14:00"]);
    assert_eq!(
        told,
        "exit 0\n--- stderr\nnote: 2026-01-31 14:00 has no zone and is read as local time: 2026-01-31T14:00:00.000Z\n"
    );
}
