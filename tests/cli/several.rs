//! Several managers are named: which one is asked, and what happens when it goes away.

use crate::{
    figures::{id, node, service, status, task},
    manager::{ManagerScript, ScriptedServer},
    run::{skep, told},
};
use skep_proto::v1::{
    Accepted, NodeRole, NodeState, TaskState, UnknownOutcome, WatchServiceReply,
    command_reply::Outcome,
};
use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

const NOBODY: &str = "unix:///nonexistent/skep.sock";

fn accepting() -> ManagerScript {
    let accepted = Accepted { object_id: id(10), changed: true, ..Accepted::default() };
    let nodes = vec![node(1, "n1", NodeState::Ready, NodeRole::Worker)];
    let services = vec![service(10, "web", 1, 1)];
    let reply = Some(Outcome::Accepted(accepted));
    ManagerScript { reply, nodes, services, status: status(), ..ManagerScript::default() }
}

/// As the one of two managers, whose name in the story is told instead of its socket.
fn url(manager: &ScriptedServer) -> String {
    format!("unix://{}", manager.path().display())
}

fn run(args: &[&str], hosts: &str) -> String {
    told(&skep(args).env("SKEP_HOST", hosts).output().expect("the program was built for this test"))
}

#[test]
fn the_first_that_answers_is_asked() {
    let manager = accepting().serve();
    let own = url(&manager);
    let expected = format!(
        "exit 0\n--- stdout\nweb\n--- stderr\nnote: no daemon at {NOBODY}: there is no such socket; \
         asking {own}\n"
    );
    assert_eq!(run(&["service", "rm", "web"], &format!("{NOBODY},{own}")), expected);
    assert_eq!(run(&["--host", NOBODY, "--host", &own, "service", "rm", "web"], ""), expected);
    let args = ["service", "rm", "--host", NOBODY, "--host", &own, "web"];
    assert_eq!(run(&args, "unix:///not/asked"), expected);
    let other = accepting().serve();
    let first = run(&["service", "rm", "web"], &format!("{},{own}", url(&other)));
    assert_eq!(first, "exit 0\n--- stdout\nweb\n");
    assert_eq!(manager.script.commands.lock().expect("nobody panicked").len(), 3);
}

#[test]
fn where_none_answers_all_are_told() {
    let other = "unix:///nonexistent/other.sock";
    let told = run(&["service", "ls"], &format!("{NOBODY},{other}"));
    assert!(told.starts_with("exit 3\n"), "{told}");
    let both = format!(
        "none of 2 sockets answers: no daemon at {NOBODY}: there is no such socket; no daemon at {other}"
    );
    assert!(told.contains(&both) && told.contains("hint: "), "{told}");
}

#[test]
fn a_command_whose_outcome_is_unknown_is_sent_to_the_next_one_under_its_id() {
    let unknown = UnknownOutcome { message: "the manager is stopping".into() };
    let first = ManagerScript { reply: Some(Outcome::Unknown(unknown)), ..accepting() }.serve();
    let second = accepting().serve();
    let told = run(&["service", "rm", "web"], &format!("{},{}", url(&first), url(&second)));
    let expected = format!(
        "exit 0\n--- stdout\nweb\n--- stderr\nthe manager is stopping; the command is sent again \
         under the same id at {}\n",
        url(&second)
    );
    assert_eq!(told, expected);
    assert_eq!(first.command().id, second.command().id);
    assert!(first.command().id.is_some());
}

#[test]
fn what_waits_goes_on_at_the_next_one_when_a_manager_dies() {
    let watch = |state: TaskState| WatchServiceReply {
        service: Some(service(10, "web", 0, 1)),
        tasks: vec![task(20, 1, state)],
        ..WatchServiceReply::default()
    };
    let first = ManagerScript { watch: vec![watch(TaskState::Starting)], ..accepting() }.serve();
    let second = ManagerScript { watch: vec![watch(TaskState::Running)], ..accepting() }.serve();
    let mut child = skep(&["service", "create", "--name", "web", "busybox"])
        .env("SKEP_HOST", format!("{},{}", url(&first), url(&second)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built for this test");
    let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut said = String::new();
    errors.read_line(&mut said).expect("a line of progress");
    drop(first);
    errors.read_to_string(&mut said).expect("the last words");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{said}");
    let moved = format!("the manager went away; asking {}", url(&second));
    assert!(said.contains(&moved), "{said}");
    assert!(second.script.commands.lock().expect("nobody panicked").is_empty(), "it was done");
}

#[test]
fn what_is_about_one_machine_takes_one_socket() {
    let manager = accepting().serve();
    let hosts = format!("{NOBODY},{}", url(&manager));
    for (args, part) in [
        (&["cluster", "leave"][..], "about the daemon of one machine"),
        (&["cluster", "init"], "about the daemon of one machine"),
        (&["node", "status"], "about the daemon of one machine"),
        (&["cluster", "unlock"], "about the daemon of one machine"),
        (&["node", "drain", "self"], "self is the node of the manager that is asked"),
    ] {
        let told = run(args, &hosts);
        assert!(told.starts_with("exit 2\n") && told.contains(part), "{told}");
    }
    assert_eq!(manager.script.commands.lock().expect("nobody panicked").len(), 0);
}
