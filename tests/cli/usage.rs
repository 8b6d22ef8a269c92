//! Help texts, wrong usage, and nobody there.

use crate::run::{alone, skep};
use insta::assert_snapshot;
use std::{os::unix::fs::PermissionsExt, process::Output};

#[test]
fn help_of_every_command() {
    let commands: &[&[&str]] = &[
        &[],
        &["daemon"],
        &["agent"],
        &["cluster"],
        &["cluster", "init"],
        &["cluster", "join"],
        &["cluster", "leave"],
        &["node", "status"],
        &["cluster", "inspect"],
        &["cluster", "update"],
        &["cluster", "token"],
        &["cluster", "unlock"],
        &["cluster", "unlock-key"],
        &["node"],
        &["node", "ls"],
        &["node", "ps"],
        &["node", "inspect"],
        &["node", "update"],
        &["node", "drain"],
        &["node", "promote"],
        &["node", "demote"],
        &["node", "rm"],
        &["service"],
        &["service", "create"],
        &["service", "ls"],
        &["service", "ps"],
        &["service", "inspect"],
        &["service", "update"],
        &["service", "scale"],
        &["service", "rm"],
        &["service", "logs"],
        &["task"],
        &["task", "ls"],
        &["task", "inspect"],
        &["task", "logs"],
        &["stray"],
        &["stray", "ls"],
        &["stray", "rm"],
        &["log"],
        &["diff"],
        &["unpark"],
        &["why"],
        &["verify"],
        &["doctor"],
        &["status"],
        &["recover"],
        &["version"],
        &["completions"],
    ];
    for args in commands {
        let name =
            format!("help_{}", if args.is_empty() { "skep".to_owned() } else { args.join("_") });
        assert_snapshot!(name, alone(&[*args, &["--help"]].concat()));
    }
}

/// Command lines that no version of the program accepts, whatever a manager would answer.
const WRONG_USAGE: &[&[&str]] = &[
    &["nonsense"],
    &["service", "ls", "--colour"],
    &["service", "ls", "--filter", "colour=red"],
    &["service", "ls", "--filter", "name"],
    &["service", "ls", "--format", "{{.Colour}}"],
    &["service", "ls", "--format", "{{range .}}{{end}}"],
    &["service", "ls", "--format", "yaml"],
    &["service", "ls", "--at", "yesterday"],
    &["--at", "5", "service", "rm", "web"],
    &["--at", "5", "status"],
    &["--state-dir", "/nowhere", "service", "rm", "web"],
    &["service", "inspect", "web", "--format", "{{.Spec.Colour}}"],
    &["service", "create"],
    &["service", "create", "--replicas", "-1", "busybox"],
    &["service", "create", "--replicas", "x", "busybox"],
    &["service", "create", "--replicas", "99999999999999999999", "busybox"],
    &["service", "create", "--limit-cpu", "-1", "busybox"],
    &["service", "create", "--limit-memory", "-5m", "busybox"],
    &["service", "create", "--restart-delay", "-5s", "busybox"],
    &["service", "create", "--health-retries", "-1", "busybox"],
    &["service", "create", "--timeout", "-1s", "busybox"],
    &["service", "update", "web", "--replicas", "2.5"],
    &["log", "-n", "-5"],
    &["log", "--from", "first"],
    &["service", "logs", "web", "-n", "-5"],
    &["service", "create", "--restart-delay", "soon", "busybox"],
    &["service", "create", "--limit-memory", "much", "busybox"],
    &["service", "create", "--limit-cpu", "0.0001", "busybox"],
    &["service", "create", "--constraint", "node.role=worker", "busybox"],
    &["service", "create", "--mount", "type=bind,source=here,target=/data", "busybox"],
    &["service", "create", "--publish", "8080:80", "busybox"],
    &["service", "create", "--env", "=x", "busybox"],
    &["service", "create", "--network", "web", "busybox"],
    &["service", "create", "--mode", "global", "busybox"],
    &["service", "create", "--dns", "1.1.1.1", "busybox"],
    &["service", "create", "--secret", "key", "busybox"],
    &["service", "create", "--update-delay", "1s", "busybox"],
    &["service", "create", "--no-healthcheck", "--health-cmd", "true", "busybox"],
    &["service", "create", "--env-file", "/nowhere/env", "busybox"],
    &["service", "create", "--env", "A B=1", "busybox"],
    &["service", "create", "--entrypoint", "-c 'open", "busybox"],
    &["service", "create", "--mount", "type=bind, source=/tmp,target=/x", "busybox"],
    &["service", "create", "--mount", "type=bind,\"source=/tmp,target=/x", "busybox"],
    &["service", "create", "--mount", "target=/x,colour=red", "busybox"],
    &["service", "create", "--update-parallelism", "2", "busybox"],
    &["service", "create", "-p", "80:80", "busybox"],
    &["service", "create", "--network-alias", "x", "busybox"],
    &["service", "update", "web", "--args", "-c 'unclosed"],
    &["service", "update", "web", "--update-order", "start-first"],
    &["service", "update", "web", "--update-monitor", "5s"],
    &["node", "promote"],
    &["node", "demote", ""],
    &["node", "rn", "n2"],
    &["ps"],
    &["stats"],
    &["events", "--since", "1h"],
    &["cluster", "token", "boss"],
    &["swarm", "join", "m:2377"],
    &["swarm", "join", "--token", "SWMTKN-1-x", "m:2377"],
    &["swarm", "join", "m"],
    &["swarm", "unlok"],
    &["daemon", "--join", "tcp://m:1"],
    &["daemon", "--token", "SWMTKN-1-x"],
    &["daemon", "--advertise-addr", "10.0.0.1"],
    &["agent", "--manager", "m:2377", "--token-file", "/nonexistent"],
    &["servce", "ls"],
    &["service", "ls", "--at", "2026-13-01"],
    &["service", "ls", "--at", "2026-01-31T14:00:00[Nowhere/Town]"],
    &["service", "update", "web", "--rollback"],
    &["service", "update", "web", "--secret-add", "key"],
    &["service", "rollback", "web"],
    &["service", "scale", "web"],
    &["service", "scale", "web=many"],
    &["service", "scale", "web=1", "db=1", "web=2"],
    &["service", "update", "web", "--env", "A=1"],
    &["service", "update", "web", "--mount=type=tmpfs,target=/t"],
    &["service", "logs", "web", "--tail", "some"],
    &["service", "logs", "web", "--since", "soon"],
    &["service", "logs", "web", "--follow", "--until", "1s"],
    &["scale", "web=3"],
    &["ls"],
    &["run", "-d", "busybox"],
    &["exec", "web.1", "sh"],
    &["images"],
    &["service", "logs", "web", "--details"],
    &["log", "--until", "5", "--at", "5"],
    &["log", "--from", "-5m"],
    &["log", "--author", ""],
    &["log", "--object", ""],
    &["why", ""],
    &["unpark", ""],
    &["stray", "rm", ""],
    &["service", "rm", "web", ""],
    &["service", "update", "web", "--label-rm", ""],
    &["node", "update", "n1", "--label-rm", ""],
    &["service", "scale", "3=web"],
    &["service", "create", "--limit-memory", "99999999999999g", "busybox"],
    &["service", "logs", "web", "--since", "2099-01-01T00:00:00Z"],
    &["service", "logs", "--state-dir", "/nowhere", "web"],
    &["--state-dir", "/nowhere", "task", "logs", "web.1"],
    &["diff", "20", "10"],
    &["doctor", "--format", "yaml"],
    &["daemon", "--metrics-listen", "9323"],
    &["log", "--until", "5", "--follow"],
    &["node", "update", "n1", "--role", "leader"],
    &["node", "update", "n1", "--availability", "away"],
    &["log", "--follow", "--at", "5"],
    &["diff"],
    &["verify", "--format", "yaml"],
    &["daemon", "--heartbeat-period", "1ms"],
    &["daemon", "--runtime", "process", "--docker-host", "unix:///x"],
    &["--host", "unix:///x", "daemon"],
    &["--host", "tcp://1.2.3.4:5", "status"],
    &["--host", "localhost:2377", "status"],
    &["agent", "--manager", "tcp://127.0.0.1:2377", "--state-dir", "/nowhere"],
    &["agent", "--state-dir", "/nowhere", "--hostname", ""],
    &["daemon", "--docker-host", "127.0.0.1:2375"],
    &["daemon", "--otlp-endpoint", "127.0.0.1:4317"],
    &["daemon", "--otlp-endpoint", "https://127.0.0.1:4317"],
    &["daemon", "--otlp-endpoint", "http://127.0.0.1:4318/v1/traces"],
    &["agent"],
    &["recover"],
];

/// Wrong words are refused with 2 before any manager is asked: none is there, and that is not what
/// is said.
#[test]
fn wrong_usage_is_code_2_before_any_connection() {
    let mut all = String::new();
    for args in WRONG_USAGE {
        let told = alone(args);
        assert!(told.starts_with("exit 2\n"), "{args:?}: {told}");
        all.push_str(&format!("$ skep {}\n{}\n", args.join(" "), told.trim_end()));
    }
    assert_snapshot!("wrong_usage", all);
}

#[test]
fn what_no_machine_and_no_manager_would_take_is_refused_at_the_start() {
    let long = "h".repeat(256);
    for (args, said) in [
        (["--system-reserve-cpu", "900000"], "--system-reserve-cpu 900000 leaves nothing"),
        (["--system-reserve-memory", "900000t"], "this machine has "),
        (["--hostname", &long], "is not a host name for a node"),
        (["--hostname", "a\u{1b}b"], "\"a\\u{1b}b\" is not a host name for a node"),
    ] {
        for command in [&["daemon"][..], &["agent", "--state-dir", "/nowhere"]] {
            let told = alone(&[command, &args].concat());
            assert!(told.starts_with("exit 2\n") && told.contains(said), "{told}");
            assert!(told.contains("\nhint: "), "{told}");
        }
    }
    let told = alone(&["daemon", "--label", "a=\u{7}"]);
    assert!(told.starts_with("exit 2\n") && told.contains("holds control characters"), "{told}");
}

#[test]
fn no_manager_is_code_3_with_a_way_out() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let missing = dir.path().join("skep.sock");
    let deaf = dir.path().join("deaf.sock");
    drop(std::os::unix::net::UnixListener::bind(&deaf).expect("a socket"));
    let mut all = String::new();
    for socket in [&missing, &deaf] {
        let host = format!("unix://{}", socket.display());
        let told = alone(&["--host", &host, "service", "ls"])
            .replace(&*dir.path().to_string_lossy(), "DIR");
        assert!(told.starts_with("exit 3\n"), "{told}");
        all.push_str(&told);
    }
    assert_snapshot!("no_manager", all);
}

#[test]
fn a_folder_without_history_is_refused_with_words() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let told = alone(&["--state-dir", &dir.path().to_string_lossy(), "service", "ls"]);
    assert!(
        told.starts_with("exit 1\n") && told.contains("error: ") && told.contains("hint: "),
        "{told}"
    );
}

#[test]
fn a_file_in_place_of_a_folder_is_wrong_usage() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("notes");
    std::fs::write(&file, "mine").expect("room for it");
    for path in [file.clone(), file.join("below")] {
        let path = path.to_string_lossy();
        let commands: [&[&str]; 9] = [
            &["--state-dir", &path, "service", "ls"],
            &["node", "ls", "--state-dir", &path],
            &["status", "--state-dir", &path],
            &["verify", "--state-dir", &path],
            &["why", "web", "--state-dir", &path],
            &["recover", "--accept-loss", "--state-dir", &path],
            &["daemon", "--state-dir", &path],
            &["agent", "--state-dir", &path],
            &["man", &path],
        ];
        for args in commands {
            let told = alone(args);
            let wrong = format!("{} is not a folder\nhint: ", file.display());
            assert!(told.starts_with("exit 2\n") && told.contains(&wrong), "{args:?}: {told}");
        }
    }
    assert_eq!(std::fs::read(&file).expect("it is still there"), b"mine");
}

#[test]
fn a_file_or_a_folder_in_place_of_a_socket_is_wrong_usage() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("notes");
    std::fs::write(&file, "mine").expect("room for it");
    let state = dir.path().join("state");
    let state_dir = state.to_string_lossy();
    for (path, what) in [(file.as_path(), " is a file, "), (dir.path(), " is a folder, ")] {
        let socket = format!("unix://{}", path.display());
        let commands: [&[&str]; 4] = [
            &["--host", &socket, "service", "ls"],
            &["status", "--host", &socket],
            &["agent", "--manager", &socket, "--state-dir", &state_dir],
            &["daemon", "--docker-host", &socket, "--state-dir", &state_dir],
        ];
        for args in commands {
            let told = alone(args);
            assert!(told.starts_with("exit 2\n") && told.contains(what), "{args:?}: {told}");
            assert!(told.contains("not a socket\nhint: "), "{args:?}: {told}");
        }
    }
    assert!(!state.exists(), "nothing was made");
}

#[test]
fn an_engine_is_refused_by_a_node_that_runs_processes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // What the process runtime alone makes tells the node's runtime if its identity is damaged.
    std::fs::create_dir_all(dir.path().join("agent")).expect("room for it");
    std::fs::create_dir_all(dir.path().join("tasks")).expect("room for it");
    std::fs::write(dir.path().join("agent/identity"), "?").expect("room for it");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).expect("ours");
    let state_dir = dir.path().to_string_lossy();
    let host = "--docker-host=unix:///x";
    let nobody = format!("unix://{}/nobody.sock", dir.path().display());
    let told = alone(&["agent", "--state-dir", &state_dir, "--manager", &nobody, host]);
    let wrong = "error: --docker-host unix:///x has no effect: this node was set up with the process runtime\nhint: leave --docker-host out";
    assert!(told.starts_with("exit 2\n") && told.contains(wrong), "{told}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let Output { status, stdout, .. } =
            skep(&["completions", shell]).output().expect("it runs");
        assert!(
            status.success() && String::from_utf8_lossy(&stdout).contains("service"),
            "{shell}"
        );
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let pages = dir.path().join("man1");
    assert_eq!(alone(&["man", &pages.to_string_lossy()]), "exit 0\n");
    let page = std::fs::read_to_string(pages.join("skep-service-create.1"))
        .expect("a page for each command");
    assert!(page.contains("replicas"), "{page}");
    assert!(!page.contains("dns"), "flags that do nothing are not shown");
    assert!(page.contains("\\fBskep service create\\fR [OPTIONS] <IMAGE> [COMMAND]..."), "{page}");
}

#[test]
fn the_reader_may_leave_early() {
    use std::process::{Command, Stdio};
    let script = format!("{} completions bash | head -c 1", env!("CARGO_BIN_EXE_skep"));
    let output =
        Command::new("sh").args(["-c", &script]).stderr(Stdio::piped()).output().expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
