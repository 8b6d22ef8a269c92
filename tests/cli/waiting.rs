//! Waiting for a service: what a script sees, and how it ends.

use crate::{
    figures::{NOW, THEN, failed, id, service, task},
    manager::ManagerScript,
    run::skep,
};
use insta::assert_snapshot;
use skep_proto::v1::{
    Accepted, LogLine, LogsReply, PlacementBlocked, PullProgress, RolloutState, RolloutStatus,
    Service, Task, TaskState, WatchServiceReply, command_reply::Outcome, logs_reply::Message,
};
use std::process::Stdio;

fn reply(tasks: Vec<Task>) -> WatchServiceReply {
    WatchServiceReply {
        service: Some(service(10, "web", 0, 1)),
        tasks,
        revision: 61,
        answered_at: NOW,
        ..WatchServiceReply::default()
    }
}

fn told(watch: Vec<WatchServiceReply>, flags: &[&str]) -> String {
    let accepted = Accepted {
        revision: 5,
        through_revision: 9,
        object_id: id(10),
        changed: true,
        warnings: vec![],
    };
    let line = LogLine {
        text: bytes::Bytes::from_static(b"cannot open config: \x1b[31mboom"),
        at: THEN,
        ..LogLine::default()
    };
    let manager = ManagerScript {
        reply: Some(Outcome::Accepted(accepted)),
        watch,
        logs: vec![LogsReply { message: Some(Message::Line(line)) }],
        ..ManagerScript::default()
    }
    .serve();
    manager.run(&[&["service", "create", "--name", "web"], flags, &["busybox"]].concat())
}

#[test]
fn a_service_that_comes_to_run() {
    let mut pulling = reply(vec![task(20, 1, TaskState::Preparing)]);
    let pull = PullProgress {
        task_id: id(20),
        done_bytes: 1 << 20,
        total_bytes: 4 << 20,
        message: "pulling".into(),
    };
    pulling.pulls = vec![pull];
    let watch = vec![reply(vec![]), pulling, reply(vec![task(20, 1, TaskState::Running)])];
    assert_snapshot!("wait_runs", told(watch.clone(), &[]));
    assert_snapshot!("wait_quiet", told(watch, &["--quiet"]));
}

/// The log's clock counts, not this machine's: a task that runs since a second is not believed yet.
#[test]
fn a_task_that_has_just_begun_to_run_is_watched_for_a_while() {
    let mut running = task(20, 1, TaskState::Running);
    if let Some(status) = running.status.as_mut() {
        status.at = NOW - 1_000_000_000;
    }
    let began = std::time::Instant::now();
    let told = told(vec![reply(vec![running])], &["--quiet"]);
    assert!(told.starts_with("exit 0"), "{told}");
    assert!(began.elapsed().as_millis() >= 1_000, "believed after {:?}", began.elapsed());
}

#[test]
fn three_failures_end_the_waiting_with_the_reason() {
    let attempts: Vec<Task> =
        vec![failed(20, 1, 3), failed(21, 1, 3), failed(22, 1, 3), task(23, 1, TaskState::Ready)];
    let watch = vec![
        reply(vec![task(20, 1, TaskState::Starting)]),
        reply(attempts[..1].iter().cloned().chain([task(21, 1, TaskState::Starting)]).collect()),
        reply(attempts),
    ];
    assert_snapshot!("wait_fails", told(watch, &[]));
}

#[test]
fn a_task_that_ended_for_good_ends_the_waiting() {
    assert_snapshot!("wait_ended", told(vec![reply(vec![failed(20, 1, 1)])], &[]));
}

#[test]
fn what_nothing_unblocks_ends_with_the_timeout() {
    let mut blocked = reply(vec![task(20, 1, TaskState::Pending)]);
    if let Some(service) = blocked.service.as_mut() {
        let message = "no suitable node: constraints not met on 3 nodes".into();
        service.blocked = Some(PlacementBlocked { message, ..PlacementBlocked::default() });
    }
    // Long enough that a busy machine hears of the task before.
    let limit = &["--timeout", "3s"];
    assert_snapshot!("wait_blocked", told(vec![blocked], limit));
    let starting = reply(vec![task(20, 1, TaskState::Starting)]);
    assert_snapshot!("wait_still", told(vec![starting], limit));
}

/// The service web with a spec from this revision on, and how far its roll-out came.
fn rolled(spec_version: u64, state: RolloutState) -> Service {
    let rollout = RolloutStatus { state: state as i32, ..RolloutStatus::default() };
    Service { spec_version, rollout: Some(rollout), ..service(10, "web", 1, 2) }
}

/// What is said when a service whose roll-out is paused is scaled, and was so before.
fn scaled_while_paused(earlier: Vec<(u64, Service)>) -> String {
    let paused = rolled(31, RolloutState::Paused);
    let accepted =
        Accepted { revision: 60, through_revision: 60, object_id: id(10), ..Accepted::default() };
    let watched = WatchServiceReply { service: Some(paused.clone()), ..reply(vec![]) };
    let manager = ManagerScript {
        services: vec![paused],
        earlier,
        reply: Some(Outcome::Accepted(accepted)),
        watch: vec![watched],
        ..ManagerScript::default()
    };
    manager.serve().run(&["service", "scale", "web=3", "--quiet"])
}

#[test]
fn the_way_back_is_the_last_spec_that_the_service_completed() {
    let paused = |since| (since, rolled(since, RolloutState::Paused));
    let fresh = |running| (10, Service { rollout: None, ..service(10, "web", running, 2) });
    let told = scaled_while_paused(vec![fresh(2), paused(31)]);
    assert!(told.contains("to go back, `skep --at 30 service inspect web`"), "{told}");
    let done = (20, rolled(20, RolloutState::Completed));
    let told = scaled_while_paused(vec![fresh(2), done, paused(25), paused(31)]);
    assert!(told.contains("`skep --at 24 service inspect web`"), "{told}");
    let told = scaled_while_paused(vec![fresh(1), paused(31)]);
    assert!(told.contains("paused") && !told.contains("--at"), "{told}");
    assert!(told.contains("`skep service update web` sets another spec"), "{told}");
}

#[test]
fn a_service_that_is_removed_meanwhile() {
    let removed = WatchServiceReply { removed: true, ..WatchServiceReply::default() };
    assert_snapshot!("wait_removed", told(vec![reply(vec![]), removed], &[]));
}

/// Ctrl-C leaves the service running and says which it is.
#[test]
fn an_interrupt_leaves_the_service() {
    use std::io::{BufRead, BufReader, Read};
    let accepted = Accepted {
        revision: 5,
        through_revision: 9,
        object_id: id(10),
        changed: true,
        warnings: vec![],
    };
    let manager = ManagerScript {
        reply: Some(Outcome::Accepted(accepted)),
        watch: vec![reply(vec![task(20, 1, TaskState::Starting)])],
        ..ManagerScript::default()
    }
    .serve();
    let mut child = skep(&["service", "create", "--name", "web", "busybox"])
        .env("SKEP_HOST", manager.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built for this test");
    let mut first = String::new();
    let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
    // Progress is on its way: the handler stands.
    errors.read_line(&mut first).expect("a line of progress");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id() as i32),
        nix::sys::signal::Signal::SIGINT,
    )
    .expect("it lives");
    let mut rest = String::new();
    errors.read_to_string(&mut rest).expect("the last words");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(rest.contains("service web goes on"), "{rest}");
}
