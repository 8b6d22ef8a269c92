//! Several managers on one machine: they join, the leader dies, roles change while tasks go on, and
//! everything starts again at once.

use super::stage::{Client, Testbed, Worker};
use std::ffi::OsStr;

/// What a command says that must succeed.
pub(crate) fn says(client: &Client, args: &[&str]) -> String {
    let (code, out, err) = client.runs(args);
    assert_eq!(code, 0, "skep {args:?}\n{out}\n{err}");
    out
}

/// The first manager, with an open port, and what others join with.
pub(crate) struct SeveralManagers {
    pub(crate) stage: Testbed,
    address: String,
}

impl SeveralManagers {
    pub(crate) fn found() -> SeveralManagers {
        let mut stage = Testbed::new();
        stage.start();
        SeveralManagers::of(stage, "127.0.0.1")
    }

    /// Of a daemon that runs, whose port is opened at this address.
    pub(crate) fn of(stage: Testbed, host: &str) -> SeveralManagers {
        let listen = format!("{host}:0");
        let opened = stage.says(&["cluster", "init", "--listen-addr", &listen]);
        let address = opened.split_once("--join ").unwrap().1.split_once(' ').unwrap().0.to_owned();
        SeveralManagers { stage, address }
    }

    /// One more machine, which joins with the token of a role.
    fn join(&self, name: &str, role: &str) -> Worker {
        self.join_under(&["env"], name, role, "127.0.0.1")
    }

    /// The same with its port at this address, under a program that becomes its daemon.
    pub(crate) fn join_under(
        &self,
        program: &[impl AsRef<OsStr>],
        name: &str,
        role: &str,
        host: &str,
    ) -> Worker {
        let token = self.stage.says(&["cluster", "token", "-q", role]).trim().to_owned();
        let mut machine = Worker::new(&self.stage, name);
        let listen = format!("{host}:0");
        let flags = ["--join", &self.address, "--token", &token, "--listen-addr", &listen];
        machine.start_under(program, &flags);
        machine
    }

    /// Two more managers.
    pub(crate) fn with_two_more(&self) -> [Worker; 2] {
        let more = ["two", "three"].map(|name| self.join(name, "manager"));
        self.until_managers(&self.stage.client(), 3);
        more
    }

    /// Waits until so many managers vote, as one of them says.
    pub(crate) fn until_managers(&self, client: &Client, count: usize) {
        self.stage.wait("the managers vote", || managers(client).len() == count);
    }

    fn until_equal(&self, clients: &[Client]) {
        until_equal(&self.stage, clients);
    }
}

/// Waits until all of them have the same history.
pub(crate) fn until_equal(stage: &Testbed, clients: &[Client]) {
    stage.wait("the digests are equal", || {
        let digests: Vec<String> = clients.iter().map(digest).collect();
        !digests[0].is_empty() && digests.iter().all(|digest| *digest == digests[0])
    });
}

/// The managers that vote: who leads, and who answers.
pub(crate) fn managers(client: &Client) -> Vec<String> {
    let (_, out, _) = client.runs(&["node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}"]);
    let votes = |line: &&str| line.ends_with(" Leader") || line.ends_with(" Reachable");
    out.lines().filter(votes).map(str::to_owned).collect()
}

fn digest(client: &Client) -> String {
    let (_, out, _) = client.runs(&["status"]);
    let is_meant = |line: &&str| line.starts_with("Digest:") || line.starts_with("Revision:");
    out.lines().filter(is_meant).collect::<Vec<_>>().join("\n")
}

fn running(client: &Client, service: &str) -> usize {
    let filter = ["--filter", "desired-state=running", "--format", "{{.CurrentState}}"];
    let (_, out, _) = client.runs(&[&["service", "ps", service], &filter[..]].concat());
    out.lines().filter(|line| line.starts_with("Running")).count()
}

#[test]
fn three_managers_go_on_when_the_leader_is_killed_and_it_comes_back() {
    let mut cluster = SeveralManagers::found();
    let [two, three] = cluster.with_two_more();
    let (one, two, three) = (cluster.stage.client(), two, three);
    let clients = [one, two.client(), three.client()];
    says(
        &clients[1],
        &["service", "create", "-q", "--name", "web", "--replicas", "3", "/bin/sleep", "600"],
    );
    assert_eq!(running(&clients[2], "web"), 3);
    cluster.stage.kill();
    says(&clients[1], &["service", "scale", "-q", "web=4"]);
    cluster.stage.wait("another one leads", || {
        managers(&clients[2])
            .iter()
            .any(|line| line.ends_with(" Leader") && !line.starts_with("self"))
    });
    cluster.stage.wait("the new task runs", || running(&clients[2], "web") >= 4);
    cluster.stage.start();
    cluster.until_managers(&clients[0], 3);
    cluster.until_equal(&clients);
    for client in &clients {
        let (code, out, err) = client.runs(&["verify"]);
        assert_eq!(code, 0, "{out}{err}");
    }
    says(&clients[0], &["service", "rm", "web"]);
}

#[test]
fn commands_go_on_at_the_next_manager_that_is_named_and_each_is_done_once() {
    let mut cluster = SeveralManagers::found();
    let [two, three] = cluster.with_two_more();
    let [one, two, three] = [cluster.stage.client(), two.client(), three.client()];
    let people = (0..4).map(|person| {
        let (one, two) = (one.clone(), two.clone());
        std::thread::spawn(move || {
            for number in 0..10 {
                let label = format!("label{person}-{number}=x");
                let update = ["node", "update", "--label-add", &label, "three"];
                let (code, out, err) = one.runs_or(&[&two], &update);
                assert_eq!(code, 0, "{out}{err}");
            }
        })
    });
    let people: Vec<_> = people.collect();
    let updates = || {
        let (_, kinds, _) = three.runs(&["log", "--all", "--format", "{{.Kind}}"]);
        kinds.lines().filter(|kind| *kind == "node_updated").count()
    };
    cluster.stage.wait("some are done", || updates() >= 8);
    cluster.stage.kill();
    people.into_iter().for_each(|person| person.join().unwrap());
    assert_eq!(updates(), 40);
}

#[test]
fn managers_that_all_start_again_at_once_go_on() {
    let mut cluster = SeveralManagers::found();
    let [mut two, mut three] = cluster.with_two_more();
    let clients = [cluster.stage.client(), two.client(), three.client()];
    says(&clients[2], &["service", "create", "-q", "--name", "web", "/bin/sleep", "600"]);
    for round in 0..2 {
        cluster.stage.kill();
        two.kill();
        three.kill();
        two.start(&[]);
        three.start(&[]);
        cluster.stage.start();
        cluster.until_managers(&clients[1], 3);
        says(
            &clients[1],
            &["service", "update", "-q", "--label-add", &format!("round={round}"), "web"],
        );
        cluster.until_equal(&clients);
    }
    says(&clients[0], &["service", "rm", "web"]);
}

#[test]
fn a_worker_becomes_a_manager_and_a_worker_again_while_its_tasks_go_on() {
    let cluster = SeveralManagers::found();
    let two = cluster.join("two", "worker");
    let (one, client) = (cluster.stage.client(), two.client());
    cluster.stage.wait("it has joined", || {
        one.runs(&["node", "ls", "--format", "{{.Hostname}} {{.Status}}"]).1.contains("two Ready")
    });
    let on = "node.hostname==two";
    let web = ["service", "create", "-q", "--name", "web", "--constraint", on, "/bin/sleep", "600"];
    says(&one, &web);
    let pids = cluster.stage.pids("web");
    for round in 0..2 {
        let told = says(&one, &["node", "promote", "two"]);
        assert!(told.contains("two promoted to a manager"), "{told}");
        cluster.until_managers(&one, 2);
        cluster.stage.wait("it answers as a manager", || client.runs(&["service", "ls"]).0 == 0);
        for either in [&one, &client] {
            let (code, _, told) = either.runs(&["cluster", "leave"]);
            assert!(code == 1 && told.contains("one of the managers"), "{told}");
        }
        says(
            &client,
            &["service", "update", "-q", "--label-add", &format!("round={round}"), "web"],
        );
        cluster.until_equal(&[one.clone(), client.clone()]);
        assert_eq!(cluster.stage.pids("web"), pids, "the same process goes on");
        let told = says(&client, &["node", "demote", "two"]);
        assert!(told.contains("two demoted"), "{told}");
        cluster.until_managers(&one, 1);
        let state = || client.runs(&["node", "status", "--format", "{{.State}}"]).1;
        cluster.stage.wait("it is a worker again", || state().trim() == "worker");
        cluster.stage.wait("it is ready again", || {
            one.runs(&["node", "ls", "--format", "{{.Hostname}} {{.Status}}"])
                .1
                .contains("two Ready")
        });
        assert_eq!(cluster.stage.pids("web"), pids, "the same process goes on");
    }
    let (code, _, told) = one.runs(&["node", "demote", "self"]);
    assert!(code == 1 && told.contains("last manager"), "{told}");
    says(&one, &["service", "rm", "web"]);
}

#[test]
fn what_keeps_a_node_from_becoming_a_manager_is_told_until_the_promotion_is_taken_back() {
    let cluster = SeveralManagers::found();
    let one = cluster.stage.client();
    let token = says(&one, &["cluster", "token", "-q", "worker"]).trim().to_owned();
    let mut two = Worker::new(&cluster.stage, "two");
    // The first manager listens there.
    let flags = ["--join", &cluster.address, "--token", &token, "--listen-addr", &cluster.address];
    two.start(&flags);
    let client = two.client();
    cluster.stage.wait("it has joined", || {
        one.runs(&["node", "ls", "--format", "{{.Hostname}} {{.Status}}"]).1.contains("two Ready")
    });
    says(&one, &["node", "promote", "two"]);
    let status = || client.runs(&["node", "status"]).1;
    let told = format!("can't listen on {}: address already in use\n", cluster.address);
    cluster.stage.wait("it says what is in the way", || status().contains(&told));
    let doctor = || one.runs(&["doctor"]).1;
    assert!(doctor().contains("two: it is to become a manager, and has no vote yet"));
    says(&one, &["node", "demote", "two"]);
    cluster.stage.wait("nothing is in the way", || !status().contains("Problem:"));
    assert!(status().contains("worker") && !doctor().contains("has no vote yet"));
}

#[test]
fn the_leader_is_demoted_after_it_has_handed_over() {
    let cluster = SeveralManagers::found();
    let [two, three] = cluster.with_two_more();
    let clients = [two.client(), three.client()];
    says(&cluster.stage.client(), &["node", "demote", "self"]);
    cluster.until_managers(&clients[0], 2);
    let one = cluster.stage.client();
    let state = || one.runs(&["node", "status", "--format", "{{.State}}"]).1;
    cluster.stage.wait("it is a worker", || state().trim() == "worker");
    cluster.until_equal(&clients);
    says(&clients[1], &["node", "update", "--label-add", "a=b", "three"]);
}

#[test]
fn what_tasks_print_is_read_at_any_manager_whichever_has_the_nodes_session() {
    let cluster = SeveralManagers::found();
    let [two, _three] = cluster.with_two_more();
    let create = ["service", "create", "-q", "--name", "web", "--replicas", "3"];
    let says_its_name = ["/bin/sh", "-c", "echo hello from a task; exec sleep 600"];
    says(&two.client(), &[&create[..], &says_its_name[..]].concat());
    for client in [cluster.stage.client(), two.client()] {
        cluster.stage.wait("the lines of all three are read", || {
            let (_, out, _) = client.runs(&["service", "logs", "web"]);
            out.lines().filter(|line| line.contains("hello from a task")).count() == 3
        });
    }
    says(&two.client(), &["service", "rm", "web"]);
}

#[test]
fn a_manager_whose_disk_was_set_back_is_sent_what_it_lacks_and_harms_nobody() {
    let cluster = SeveralManagers::found();
    let [mut two, three] = cluster.with_two_more();
    let clients = [cluster.stage.client(), two.client(), three.client()];
    says(&clients[0], &["service", "create", "-q", "--name", "web", "/bin/sleep", "600"]);
    cluster.until_equal(&clients);
    assert_eq!(two.stop(), 0);
    let before = cluster.stage.file("two-before");
    cluster.stage.copy_store(two.state(), &before);
    two.start(&[]);
    cluster.until_managers(&clients[0], 3);
    for round in 0..5 {
        let label = format!("round={round}");
        says(&clients[1], &["service", "update", "-q", "--label-add", &label, "web"]);
    }
    two.kill();
    cluster.stage.copy_store(&before, two.state());
    two.start(&[]);
    cluster.until_managers(&clients[1], 3);
    cluster.until_equal(&clients);
    let failed = cluster.stage.log();
    assert!(!failed.contains("the log failed"), "{failed}");
    says(&clients[1], &["service", "rm", "web"]);
}

#[test]
fn a_manager_that_was_removed_while_it_was_away_says_so_until_it_leaves() {
    let cluster = SeveralManagers::found();
    let [two, mut three] = cluster.with_two_more();
    let (one, client) = (cluster.stage.client(), three.client());
    says(&one, &["cluster", "update", "--dispatcher-heartbeat", "1s"]);
    three.kill();
    let nodes = || one.runs(&["node", "ls", "--format", "{{.Hostname}} {{.Status}}"]).1;
    cluster.stage.wait("it is down", || nodes().contains("three Down"));
    says(&one, &["node", "demote", "three"]);
    cluster.stage.wait("it is removed", || one.runs(&["node", "rm", "three"]).0 == 0);
    three.start(&[]);
    let status = || client.runs(&["node", "status"]).1;
    cluster.stage.wait("it has heard of it", || status().contains("was removed from its cluster"));
    assert!(three.log().contains("was removed from its cluster"));
    says(&client, &["cluster", "leave", "--force"]);
    let (_, told, hint) = client.runs(&["node", "status"]);
    assert!(told.contains("was removed from its cluster, with `skep node rm`"), "{told}");
    assert!(hint.contains("joins a cluster as a new node"), "{hint}");
    says(&two.client(), &["node", "ls"]);
}
