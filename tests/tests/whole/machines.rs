//! A machine that waits, joins a cluster, leaves it, and founds one of its own, while its daemon
//! runs, and through its deaths.

use super::stage::{Client, Testbed, Worker};
use std::fs;

/// What a command says that must succeed.
fn says(client: &Client, args: &[&str]) -> String {
    let (code, out, err) = client.runs(args);
    assert_eq!(code, 0, "skep {args:?}\n{out}\n{err}");
    out
}

/// What a command says that must be refused.
fn refused(client: &Client, args: &[&str]) -> String {
    let (code, out, err) = client.runs(args);
    assert_eq!(code, 1, "skep {args:?}\n{out}\n{err}");
    err
}

/// What its daemon is; nothing while it becomes something else, when its socket may be closed for
/// a moment.
fn state(client: &Client) -> String {
    let (code, out, err) = client.runs(&["node", "status", "--format", "{{.State}}"]);
    assert!(matches!(code, 0 | 3), "{out}\n{err}");
    out.trim().to_owned()
}

/// What lies in a state folder, but for its lock and the empty folder of a runtime.
fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "lock" && name != "tasks").collect();
    names.sort();
    names
}

/// A cluster with an open port, and the flags of those who join it.
fn inviting() -> (Testbed, String, String) {
    let mut stage = Testbed::new();
    stage.start();
    let opened = stage.says(&["cluster", "init", "--listen-addr", "127.0.0.1:0"]);
    let address = opened.split_once("--join ").unwrap().1.split_once(' ').unwrap().0.to_owned();
    let token = stage.says(&["cluster", "token", "-q", "worker"]).trim().to_owned();
    (stage, address, token)
}

fn wait_until_answers(stage: &Testbed, client: &Client) {
    stage.wait("the daemon answers", || client.runs(&["node", "status"]).0 == 0);
}

#[test]
fn a_waiting_machine_joins_works_and_leaves() {
    let (stage, address, token) = inviting();
    let mut two = Worker::new(&stage, "two");
    let client = two.client();
    two.start(&["--no-cluster"]);
    wait_until_answers(&stage, &client);
    assert_eq!(state(&client), "alone");
    let told = refused(&client, &["node", "ls"]);
    assert!(told.contains("not part of a cluster") && told.contains("cluster join"), "{told}");
    let told = refused(&client, &["cluster", "leave"]);
    assert!(told.contains("not part of a cluster"), "{told}");

    let foreign = format!("SWMTKN-1-{}-{}", "1".repeat(50), token.rsplit_once('-').unwrap().1);
    let told = refused(&client, &["cluster", "join", "--token", &foreign, &address]);
    assert!(told.contains("whose CA is not the one that the join token names"), "{told}");
    assert_eq!(state(&client), "alone");
    let told = stage.client().runs(&["doctor"]).1;
    assert!(told.contains("does not believe the certificate that it was shown"), "{told}");
    let told = says(&client, &["node", "status"]);
    assert!(told.contains("whose CA is not the one"), "it is still told: {told}");
    assert_eq!(names(two.state()), [""; 0], "nothing is left of it");

    let join = ["cluster", "join", "--token", &token, "--availability", "pause", &address];
    assert_eq!(says(&client, &join).trim(), "This node joined a cluster as a worker.");
    assert!(refused(&client, &join).contains("already part of a cluster"));
    let told = refused(&client, &["service", "ls"]);
    assert!(told.contains("is not a manager") && told.contains(&address), "{told}");
    let shown = stage.says(&["node", "ls", "--format", "{{.Hostname}} {{.Availability}}"]);
    assert!(shown.contains("two Pause"), "{shown}");
    stage.says(&["node", "activate", "two"]);
    let on = "node.hostname==two";
    let web = ["service", "create", "-q", "--name", "web", "--constraint", on, "/bin/sleep", "600"];
    stage.says(&web);
    let running = stage.pids("web");

    two.kill();
    two.start(&["--no-cluster"]);
    wait_until_answers(&stage, &client);
    stage.wait("it follows its manager again", || {
        says(&client, &["node", "status"]).contains(": connected for")
    });
    let told = says(&client, &["node", "status"]);
    for part in ["worker", "web.1 Running", &address] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(stage.pids("web"), running, "the same process goes on");

    let left = says(&client, &["cluster", "leave"]);
    assert_eq!(left.trim(), "Node left the cluster.");
    stage.until_gone(&running);
    assert_eq!(state(&client), "alone");
    two.kill();
    two.start(&[]);
    wait_until_answers(&stage, &client);
    assert_eq!(state(&client), "alone", "it does not found a cluster by itself");
    let mut left = names(two.state());
    assert!(left.pop().unwrap().starts_with("left-") && left.is_empty(), "{left:?}");
}

#[test]
fn a_waiting_machine_founds_a_cluster_and_leaves_it_behind() {
    let stage = Testbed::new();
    let mut one = Worker::new(&stage, "one");
    let client = one.client();
    one.start(&["--no-cluster"]);
    wait_until_answers(&stage, &client);
    let init = |address| ["cluster", "init", "--cert-expiry", "2h", "--listen-addr", address];
    let (_, _, told) = client.runs(&init("nowhere"));
    assert!(told.contains("is not an address"), "{told}");
    let (_, _, told) = client.runs(&["cluster", "init", "--cert-expiry", "1m"]);
    assert!(told.contains("certificates must be valid for 1 h"), "{told}");
    assert_eq!(state(&client), "alone", "what is refused founds nothing");
    let opened = says(&client, &init("127.0.0.1:0"));
    assert!(opened.contains("is a manager"), "{opened}");
    assert_eq!(state(&client), "manager");
    let spec = says(&client, &["cluster", "inspect"]);
    assert!(spec.contains("\"node_certificate_expiry_ns\": 7200000000000"), "{spec}");
    says(&client, &["service", "create", "-q", "--name", "web", "/bin/sleep", "600"]);

    let told = refused(&client, &["cluster", "leave"]);
    assert!(told.contains("the last manager") && told.contains("--force"), "{told}");
    let (code, out, err) = client.runs(&["cluster", "leave", "--force"]);
    assert_eq!((code, out.trim()), (0, "Node left the cluster."), "{err}");
    let folder = err.split_once("its state lies in ").unwrap().1.trim().to_owned();
    assert_eq!(state(&client), "alone");
    let (code, history, err) = client.runs(&["log", "--state-dir", &folder]);
    assert!(code == 0 && history.contains("web"), "the history is still there: {history}{err}");
    let opened = says(&client, &init("127.0.0.1:0"));
    assert!(opened.contains("is a manager"), "{opened}");
    assert_eq!(says(&client, &["service", "ls", "-q"]), "", "it is another cluster");
    says(&client, &["cluster", "leave", "--force"]);
}

/// A port on which nobody listens.
fn dead_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_join_that_nobody_answers_is_given_up_and_leaves_nothing() {
    let (stage, address, token) = inviting();
    let mut two = Worker::new(&stage, "two");
    let client = two.client();
    two.start(&["--no-cluster"]);
    wait_until_answers(&stage, &client);
    let nobody = dead_address();
    let join = |address: &str| {
        let (client, token, address) = (client.clone(), token.clone(), address.to_owned());
        std::thread::spawn(move || client.runs(&["cluster", "join", "--token", &token, &address]))
    };
    let joining = join(&nobody);
    stage.wait("it tries", || state(&client) == "joining");
    let told = refused(&client, &["service", "ls"]);
    assert!(told.contains("only just joining"), "{told}");
    says(&client, &["cluster", "leave"]);
    assert_eq!(joining.join().unwrap().0, 1);
    assert_eq!((state(&client), names(two.state())), ("alone".into(), Vec::new()));

    let joining = join(&nobody);
    stage.wait("it tries again", || state(&client) == "joining");
    two.kill();
    two.start(&[]);
    wait_until_answers(&stage, &client);
    let told = says(&client, &["node", "status"]);
    assert!(told.contains("ended before it was let in"), "{told}");
    joining.join().unwrap();

    let all: Vec<_> = (0..6).map(|_| join(&address)).collect();
    let joined = all.into_iter().map(|one| one.join().unwrap());
    let (yes, no): (Vec<_>, Vec<_>) = joined.partition(|(code, ..)| *code == 0);
    assert_eq!((yes.len(), no.len()), (1, 5), "{no:?}");
    assert_eq!(state(&client), "worker");
    assert_eq!(two.stop(), 0);
    assert!(!stage.file("two.sock").exists(), "the socket is gone with the daemon");
}

#[test]
fn what_keeps_a_machine_from_founding_a_cluster_is_told_and_it_waits_on() {
    let stage = Testbed::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = taken.local_addr().unwrap().to_string();
    let mut one = Worker::new(&stage, "one");
    let client = one.client();
    one.start(&["--no-cluster", "--metrics-listen", &metrics]);
    wait_until_answers(&stage, &client);
    let init = ["cluster", "init", "--listen-addr", "127.0.0.1:0", "--availability", "drain"];
    let told = refused(&client, &init);
    assert!(told.contains("--metrics-listen") && told.contains(&metrics), "{told}");
    assert_eq!((state(&client), names(one.state())), ("alone".into(), Vec::new()));
    drop(taken);
    says(&client, &init);
    let nodes = says(&client, &["node", "ls", "--format", "{{.Availability}}"]);
    assert_eq!(nodes.trim(), "Drain");
    says(&client, &["cluster", "leave", "--force"]);
    says(&client, &init[..4]);
    let nodes = says(&client, &["node", "ls", "--format", "{{.Availability}}"]);
    assert_eq!(nodes.trim(), "Active", "what was asked for once is not kept");
    assert_eq!(one.stop(), 0);

    let mut safe = Worker::new(&stage, "safe");
    safe.start(&["--no-cluster", "--safe-mode"]);
    wait_until_answers(&stage, &safe.client());
    let told = refused(&safe.client(), &init);
    assert!(told.contains("--safe-mode"), "{told}");
    assert_eq!(safe.stop(), 0);
}
