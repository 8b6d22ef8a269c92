//! A machine that joins over the network: with a token, through deaths on both sides, until it is
//! removed. Over the loopback, with a state folder of its own, it is as far away as another one.

use super::stage::{Testbed, Worker};
use std::{fs, path::Path};

/// Every file below a folder that holds this text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if path.is_file()
            && let Ok(content) = fs::read(&path)
            && content.windows(text.len()).any(|window| window == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// A machine that comes with a token of before the rotation.
fn refuse_late_comer(stage: &Testbed, address: &str, token: &str) {
    let mut late = Worker::new(stage, "late");
    let (code, said) = late.ends(&["--join", address, "--token", token]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("rotated since"), "{said}");
}

#[test]
fn a_machine_joins_with_a_token_and_stays_a_worker_until_it_is_removed() {
    let mut stage = Testbed::new();
    stage.start();
    let opened = stage.says(&["cluster", "init", "--listen-addr", "127.0.0.1:0"]);
    let address = opened.split_once("--join ").unwrap().1.split_once(' ').unwrap().0.to_owned();
    let token = stage.says(&["cluster", "token", "-q", "worker"]).trim().to_owned();

    let mut worker = Worker::new(&stage, "far");
    let (code, said) = worker.ends(&["--join", &address]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("there is no join token") && said.contains("hint:"), "{said}");
    let foreign = format!("SWMTKN-1-{}-{}", "1".repeat(50), token.rsplit_once('-').unwrap().1);
    let (code, said) = worker.ends(&["--join", &address, "--token", &foreign]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("whose CA is not the one that the join token names"), "{said}");

    let file = stage.file("token");
    fs::write(&file, format!("{token}\n")).unwrap();
    worker.start(&["--join", &address, "--token-file", &file.display().to_string()]);
    let is_ready = |stage: &Testbed| {
        stage
            .client()
            .runs(&["node", "ls", "--format", "{{.Hostname}} {{.Status}}"])
            .1
            .lines()
            .any(|line| line.to_lowercase() == "far ready")
    };
    stage.wait("the worker is ready", || is_ready(&stage));
    let shown = stage.says(&["node", "inspect", "--pretty", "far"]);
    assert!(shown.contains("127.0.0.1") && shown.contains("as worker until"), "{shown}");
    let id = stage.says(&["node", "inspect", "--format", "{{.ID}}", "far"]);
    let on = "node.hostname==far";
    let web = ["service", "create", "-q", "--name", "web", "--constraint", on, "/bin/sleep", "600"];
    stage.says(&web);
    let before = stage.pids("web");
    assert_eq!(before.len(), 1);

    stage.kill();
    stage.start();
    stage.wait("the worker has found the manager again", || is_ready(&stage));
    assert_eq!(stage.pids("web"), before, "nothing was started anew");
    worker.kill();
    stage.says(&["cluster", "token", "--rotate", "-q", "worker"]);
    // It has joined: no token, and no word of where.
    worker.start(&[]);
    stage.wait("the worker is back", || is_ready(&stage));
    assert_eq!(stage.says(&["node", "inspect", "--format", "{{.ID}}", "far"]), id);
    assert_eq!(stage.pids("web"), before, "the same process goes on");

    refuse_late_comer(&stage, &address, &token);
    stage.says(&["node", "rm", "--force", "far"]);
    let status = || worker.client().runs(&["node", "status"]).1;
    stage.wait("the worker has heard of it", || status().contains("part of no cluster"));
    assert!(status().contains("was removed from its cluster"), "{}", status());
    let (code, _, told) = worker.client().runs(&["node", "ls"]);
    assert!(code == 1 && told.contains("was removed from its cluster"), "{told}");
    stage.until_gone(&before);
    let token_now = stage.says(&["cluster", "token", "-q", "worker"]);
    let join = ["cluster", "join", "--token", token_now.trim(), &address];
    let (code, _, said) = worker.client().runs(&join);
    assert_eq!(code, 0, "{said}");
    stage.wait("it is another node", || is_ready(&stage));
    assert_ne!(stage.says(&["node", "inspect", "--format", "{{.ID}}", "far"]), id);
    let secret = token.rsplit_once('-').unwrap().1;
    fs::remove_file(&file).unwrap();
    assert_eq!(holding(stage.folder(), secret), [""; 0], "the token is written down nowhere");
    let keys = holding(stage.folder(), "PRIVATE KEY");
    assert!(keys.iter().all(|path| path.ends_with(".key")), "{keys:?}");
}

#[test]
fn a_port_is_opened_with_the_settings_asked_for_and_who_knocks_is_told() {
    let mut stage = Testbed::new();
    stage.start();
    let init = |expiry: &'static str| {
        ["cluster", "init", "--listen-addr", "127.0.0.1:0", "--cert-expiry", expiry]
    };
    let doctor = |stage: &Testbed| stage.client().runs(&["doctor"]).1;
    let (_, _, refused) = stage.client().runs(&init("5m"));
    assert!(refused.contains("must be valid for 1 h to 10 years"), "{refused}");
    assert!(doctor(&stage).contains("closed: no other machine"), "what is refused opens nothing");
    let opened = stage.says(&init("2h"));
    let address = opened.split_once("--join ").unwrap().1.split_once(' ').unwrap().0.to_owned();
    let told = stage.says(&["log"]);
    assert!(told.contains(&format!("lets other machines in: it listens on {address}")), "{told}");
    let settings = stage.says(&["cluster", "inspect"]);
    assert!(settings.contains("\"node_certificate_expiry_ns\": 7200000000000"), "{settings}");
    stage.says(&["swarm", "update", "--task-history-limit", "-1", "--dispatcher-heartbeat", "2s"]);
    let format = "{{.ID}} {{.Spec.TaskHistoryLimit}} {{json .FeatureLevel}}";
    let (id, settings) = (
        stage.says(&["status", "--format", "{{.ClusterID}}"]),
        stage.says(&["cluster", "inspect", "-f", format]),
    );
    assert!(settings.starts_with(id.trim()) && settings.contains(" -1 "), "{settings}");
    let settings = stage.says(&["cluster", "inspect", "--pretty"]);
    for line in ["2 hours", "2 seconds", "all"] {
        assert!(settings.contains(line), "{settings}");
    }

    stage.kill();
    stage.start();
    stage.wait("the port is open again", || {
        doctor(&stage).contains(&format!("listens on {address}"))
    });
    std::io::Write::write_all(&mut std::net::TcpStream::connect(&address).unwrap(), b"GET /")
        .unwrap();
    let knocked =
        "1 connection turned away since the start; the newest of each address from 127.0.0.1";
    stage.wait("who knocked is told", || doctor(&stage).contains(knocked));

    let told = stage.says(&["cluster", "init"]);
    assert!(told.starts_with("Port unchanged: "), "{told}");
    let (code, _, told) =
        stage.client().runs(&["cluster", "init", "--advertise-addr", "192.0.2.7"]);
    let warned = "warning: no interface of this machine has the address 192.0.2.7";
    assert!(code == 0 && told.contains(warned), "{told}");
}

#[test]
fn a_managers_own_agent_comes_back_with_certificates_of_an_earlier_day() {
    let mut stage = Testbed::new();
    stage.start();
    let id = |stage: &Testbed| stage.says(&["node", "inspect", "--format", "{{.ID}}", "self"]);
    let first = id(&stage);
    stage.says(&["service", "create", "-q", "--name", "web", "/bin/sleep", "600"]);
    let running = stage.pids("web");
    let certificates = stage.file("state/agent/certificates");
    let earlier = stage.file("earlier");
    stage.stop();
    fs::rename(&certificates, &earlier).unwrap();
    stage.start();
    assert_eq!(id(&stage), first, "it is given new ones under its id");
    stage.stop();
    fs::remove_dir_all(&certificates).unwrap();
    fs::rename(&earlier, &certificates).unwrap();
    stage.start();
    assert!(stage.log().contains("the certificate's key is not this node's"), "{}", stage.log());
    assert_eq!(id(&stage), first, "its manager vouches for it");
    assert_eq!(stage.pids("web"), running, "the same process goes on");
}
