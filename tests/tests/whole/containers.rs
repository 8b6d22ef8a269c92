//! One machine, with containers of a real engine: the engine stands still, containers are killed,
//! removed and copied behind the daemon's back, and the agent loses its files.

use super::{engines, stage::Testbed};
use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

/// Ends at once when asked to, which the first process of a container does only with a handler.
const RUN: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";
/// Containers that are killed at once.
const KILLED: usize = 20;
/// Rounds of killing; each must find every end.
const ROUNDS: usize = 3;
/// Engines that may block themselves before the trial counts as failed.
const ENGINES_MAX: usize = 3;
/// A round takes a few seconds. One that takes longer than this is worth a look at the engine.
const ROUND_LIMIT: Duration = Duration::from_secs(30);

/// A daemon beside an engine. What it leaves in the engine is removed on drop.
struct EngineNode {
    stage: Testbed,
    host: String,
    /// Where it is not shared with other tests.
    engine: Option<engines::OwnEngine>,
    /// The filter for containers of this node.
    ours: String,
}

impl EngineNode {
    fn shared() -> EngineNode {
        EngineNode::start(engines::shared(), None)
    }

    fn alone(name: &str) -> EngineNode {
        let engine = engines::OwnEngine::start(name, &[]);
        EngineNode::start(engine.host(), Some(engine))
    }

    fn start(host: String, engine: Option<engines::OwnEngine>) -> EngineNode {
        let mut stage = Testbed::on_engine(&host);
        stage.start();
        let node = stage.says(&["node", "ls", "-q"]);
        let id = stage.says(&["node", "inspect", "--format", "{{.ID}}", node.trim()]);
        let ours = format!("label=com.docker.swarm.node.id={}", id.trim());
        EngineNode { stage, host, engine, ours }
    }

    /// Sends the engine a signal: STOP makes it stand still, CONT lets it go on.
    fn signal(&self, name: &str) {
        self.engine.as_ref().expect("an engine of its own").signal(name);
    }

    fn create(&self, name: &str, replicas: usize, more: &[&str]) {
        self.create_restarting(name, replicas, "0s", more);
    }

    fn create_restarting(&self, name: &str, replicas: usize, delay: &str, more: &[&str]) {
        let replicas = replicas.to_string();
        let service = ["service", "create", "-q", "--name", name, "--replicas", &replicas];
        let quick = ["--network", "none", "--restart-delay", delay, "--stop-grace-period", "2s"];
        self.stage.says(&[&service[..], &quick, more, &["busybox", "sh", "-c", RUN]].concat());
    }

    fn docker(&self, args: &[&str]) -> String {
        let done = Command::new("docker").args(["-H", &self.host]).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "docker {args:?}: {said}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Containers of this node, ended ones too.
    fn containers(&self) -> BTreeSet<String> {
        lines(&self.docker(&["ps", "-aq", "--no-trunc", "--filter", &self.ours]))
    }

    /// Containers of a service that run in the engine.
    fn running(&self, service: &str) -> BTreeSet<String> {
        let service = format!("label=com.docker.swarm.service.name={service}");
        let filters = ["--filter", &self.ours, "--filter", &service];
        lines(&self.docker(&[&["ps", "-q", "--no-trunc"][..], &filters].concat()))
    }

    /// Containers of a service that run by the cluster's account.
    fn recorded(&self, service: &str) -> BTreeSet<String> {
        let format = "{{.Status.State}} {{.Status.Container.ContainerRef}}";
        let tasks = self.stage.says(&["service", "ps", "--format", format, service]);
        let running = tasks.lines().filter_map(|line| line.strip_prefix("running "));
        running.map(str::to_owned).collect()
    }

    /// States and errors of a service's tasks, ended ones too.
    fn tasks(&self, service: &str) -> Vec<String> {
        let format = "{{.Status.State}} {{.Status.Error}}";
        let tasks = self.stage.says(&["service", "ps", "--no-trunc", "--format", format, service]);
        tasks.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// Waits until a service runs in so many containers, all of them others than before, and the
    /// cluster's account says the same.
    fn until_replaced(&self, service: &str, count: usize, before: &BTreeSet<String>) {
        let replaced = || self.is_replaced(service, count, before);
        self.stage.wait("every container is replaced", replaced);
    }

    fn is_replaced(&self, service: &str, count: usize, before: &BTreeSet<String>) -> bool {
        let running = self.running(service);
        running.len() == count && running.is_disjoint(before) && self.recorded(service) == running
    }

    /// Kills all containers of a service at once, as the kernel does without memory, and waits
    /// until each is replaced.
    fn kill_all(&self, service: &str, count: usize) -> Result<(), EngineBlocked> {
        let before = self.running(service);
        let ids: Vec<&str> = before.iter().map(String::as_str).collect();
        let pids = self.docker(&[&["inspect", "-f", "{{.State.Pid}}"][..], &ids].concat());
        assert!(Command::new("kill").arg("-9").args(pids.lines()).status().unwrap().success());
        let until = Instant::now() + ROUND_LIMIT;
        while !self.is_replaced(service, count, &before) {
            if Instant::now() > until {
                self.answers()?;
                self.until_replaced(service, count, &before);
                break;
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Engines of this age can block themselves where many containers end at once: their network
    /// code takes two of its own locks in either order. No daemon can help that.
    fn answers(&self) -> Result<(), EngineBlocked> {
        let asked = ["10", "docker", "-H", &self.host, "info"];
        if Command::new("timeout").args(asked).output().unwrap().status.success() {
            return Ok(());
        }
        // It does not end by itself either.
        self.engine.iter().for_each(engines::OwnEngine::kill);
        Err(EngineBlocked)
    }

    /// Waits until the engine has so many containers of this node, and no more appear.
    fn until_left(&self, count: usize) {
        let calm_since = std::cell::Cell::new(Instant::now());
        self.stage.wait("nothing else is left", || {
            if self.containers().len() != count {
                calm_since.set(Instant::now());
            }
            calm_since.get().elapsed() > Duration::from_millis(1500)
        });
    }
}

/// The engine answers no more, by a fault of its own.
#[derive(Debug)]
struct EngineBlocked;

impl Drop for EngineNode {
    fn drop(&mut self) {
        self.stage.kill();
        // One of its own is cleared away whole.
        if self.engine.is_some() {
            return;
        }
        let docker = |args: &[&str]| {
            let done = Command::new("docker").args(["-H", &self.host]).args(args).output();
            done.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default()
        };
        let left = docker(&["ps", "-aq", "--filter", &self.ours]);
        let left: Vec<&str> = left.lines().collect();
        if !left.is_empty() {
            docker(&[&["rm", "-f", "-v"][..], &left].concat());
        }
    }
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn an_engine_that_stands_still_takes_nothing_away_gets_no_work_and_leaks_nothing() {
    let mut node = EngineNode::alone("still");
    node.create("web", 2, &[]);
    node.create("gone", 2, &[]);
    let web = node.running("web");
    node.signal("STOP");
    let stage = &node.stage;
    // The engine is asked to create these, and nobody waits for its answers any more.
    node.create("brief", 2, &["--detach"]);
    stage.wait("containers are being created", || {
        node.tasks("brief").iter().any(|task| task.starts_with("preparing"))
    });
    stage.says(&["service", "rm", "brief"]);
    let nodes = |node: &EngineNode| node.stage.says(&["node", "ls"]);
    stage.wait("the node says so", || nodes(&node).contains("engine unreachable"));
    stage.says(&["service", "rm", "gone"]);
    node.create("late", 1, &["--detach"]);
    stage.wait("the node gets no work, and that is said", || {
        let why = stage.says(&["why", "late"]);
        why.contains("engine") && node.tasks("late").iter().all(|task| task.starts_with("pending"))
    });
    let (code, found, _) = stage.client().runs(&["doctor"]);
    assert!(code == 1 && found.contains("engine"), "{found}");
    node.stage.kill();
    node.stage.start();
    let told = || nodes(&node).contains("engine unreachable");
    node.stage.wait("an agent that starts meanwhile says so", told);
    assert_eq!(node.recorded("web"), web, "nothing is taken for ended");
    node.signal("CONT");
    let over = || !nodes(&node).contains("engine unreachable");
    node.stage.wait("the node says that it is over", over);
    node.until_replaced("late", 1, &BTreeSet::new());
    node.until_left(3);
    assert_eq!(node.running("web"), web, "they ran on");
    assert_eq!(node.tasks("web").len(), 2, "nothing was started twice: {:?}", node.tasks("web"));
}

#[test]
fn containers_that_are_killed_or_removed_behind_the_daemons_back_are_all_replaced() {
    let survivor = (0..ENGINES_MAX).find_map(|attempt| {
        let node = EngineNode::alone(&format!("killed-{attempt}"));
        // Those that end are away before others begin, which spares the engine most of its trouble.
        node.create_restarting("web", KILLED, "1s", &[]);
        (0..ROUNDS).try_for_each(|_| node.kill_all("web", KILLED)).ok()?;
        Some(node)
    });
    let node = survivor.expect("an engine that does not block itself");
    node.stage.says(&["service", "scale", "web=2"]);
    node.stage.wait("the others end", || node.running("web").len() == 2);
    let before = node.running("web");
    let ids: Vec<&str> = before.iter().map(String::as_str).collect();
    node.docker(&[&["rm", "-f"][..], &ids].concat());
    node.until_replaced("web", 2, &before);
    // The engine kills what it removes by force. Which of the two the agent sees first, it tells.
    let is_theirs = |task: &&String| task.contains("by somebody else on the node");
    let tasks = node.tasks("web");
    assert_eq!(tasks.iter().filter(is_theirs).count(), 2, "{tasks:?}");
}

#[test]
fn a_copy_of_a_tasks_container_is_left_alone_by_an_agent_that_lost_its_files_too() {
    let mut node = EngineNode::shared();
    node.create("web", 1, &[]);
    let web = node.running("web");
    let container = web.first().unwrap();
    let image = format!("copy-{}", &container[..12]);
    node.docker(&["commit", container, &image]);
    let run = ["run", "-d", "--network", "none", "-v", "/data", "--name", &image, &image];
    let copy = node.docker(&[&run[..], &["sleep", "9999"]].concat());
    for lost in [&["agent"][..], &["agent", "docker-containers"]] {
        node.stage.stop();
        for folder in lost {
            fs::remove_dir_all(format!("{}/{folder}", node.stage.state_dir())).unwrap();
        }
        node.stage.start();
        node.stage.wait("its task is taken up again", || node.recorded("web") == web);
        assert_eq!(node.tasks("web"), ["running"], "{lost:?}");
        // A disk that stands still for a moment is found too.
        node.stage.wait("nothing is wrong", || node.stage.client().runs(&["doctor"]).0 == 0);
    }
    node.stage.says(&["service", "rm", "web"]);
    node.stage.wait("its own container goes", || !node.containers().contains(container));
    sleep(Duration::from_secs(1));
    let seen = node.docker(&["inspect", "-f", "{{.State.Running}} {{len .Mounts}}", copy.trim()]);
    assert_eq!(seen.trim(), "true 1", "the copy and its volume");
    node.docker(&["rm", "-f", "-v", copy.trim()]);
    node.docker(&["rmi", &image]);
}

#[test]
fn a_service_that_is_removed_while_its_containers_are_created_leaves_nothing() {
    let node = EngineNode::shared();
    for wait_ms in [0, 20, 40, 60, 90] {
        node.create("brief", 8, &["--detach"]);
        sleep(Duration::from_millis(wait_ms));
        node.stage.says(&["service", "rm", "brief"]);
    }
    node.until_left(0);
    assert_eq!(node.stage.says(&["task", "ls", "-q"]), "");
}

#[test]
fn a_daemon_that_is_killed_while_containers_come_and_go_doubles_and_leaks_nothing() {
    let mut node = EngineNode::shared();
    for wait_ms in [50, 400] {
        node.create("web", 6, &["--detach"]);
        sleep(Duration::from_millis(wait_ms));
        node.stage.kill();
        node.stage.start();
        node.until_replaced("web", 6, &BTreeSet::new());
        assert_eq!(node.tasks("web"), ["running"; 6], "none was taken for lost");
        node.stage.says(&["service", "rm", "web"]);
        sleep(Duration::from_millis(wait_ms));
        node.stage.kill();
        node.stage.start();
        node.until_left(0);
    }
}

#[test]
fn a_container_whose_health_check_fails_is_replaced_and_the_reason_is_said() {
    let node = EngineNode::shared();
    let check = "test ! -e /tmp/sick";
    let often = ["--health-cmd", check, "--health-interval", "200ms", "--health-retries", "2"];
    node.create("web", 1, &often);
    let before = node.running("web");
    node.docker(&["exec", before.first().unwrap(), "touch", "/tmp/sick"]);
    node.until_replaced("web", 1, &before);
    let tasks = node.tasks("web");
    assert_eq!(tasks.len(), 2, "{tasks:?}");
    let failed = tasks.iter().find(|task| task.starts_with("failed")).expect("one has failed");
    assert!(failed.contains("health"), "{tasks:?}");
    let why = node.stage.says(&["why", "web.1"]);
    assert!(why.contains("health"), "{why}");
}
