//! A whole agent, with its journal on disk and the fake engine, against a manager that the test
//! plays by hand over a real socket.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]

#[path = "session/crowds.rs"]
mod crowds;
#[path = "session/door.rs"]
mod door;
#[path = "session/full_disk.rs"]
mod full_disk;
#[path = "session/manager.rs"]
mod manager;
#[path = "session/renewals.rs"]
mod renewals;
#[path = "session/several.rs"]
mod several;

use manager::{ManagerStub, TestSession, change, container, running, set};
use skep_agent::{
    AgentConfig, AgentError, AgentHandle, AgentStatus, ManagerEndpoint, NodeAgent, core::AgentHalt,
    journal, machine::Reserve, runtime::fake::FakeEngine, session::runtime_of,
};
use skep_proto::{Id, Timestamp, v1};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

const EPOCH: Timestamp = Timestamp(1_700_000_000_000_000_000);
const PATIENCE: Duration = Duration::from_secs(60);

struct RunningAgent {
    stop: tokio_util::sync::CancellationToken,
    status: watch::Receiver<AgentStatus>,
    handle: AgentHandle,
    task: JoinHandle<Result<(), AgentError>>,
}

fn config(folder: &Path, manager: &ManagerStub, engine: &FakeEngine) -> AgentConfig {
    AgentConfig {
        state_dir: folder.to_owned(),
        key_lock: skep_trust::KeyLock::default(),
        manager: ManagerEndpoint::Unix(manager.socket.clone()),
        is_managers_own: false,
        is_founders_own: false,
        join_token: None,
        hostname: "alpha".into(),
        labels: BTreeMap::from([("zone".into(), "b1".into())]),
        availability: v1::NodeAvailability::Active,
        reserve: Reserve { nano_cpus: 1_000_000_000, memory_bytes: 1 << 30 },
        runtime: Arc::new(engine.runtime()),
        addr: "10.0.0.1".into(),
        version: "test".into(),
    }
}

fn start(folder: &Path, manager: &ManagerStub, engine: &FakeEngine) -> RunningAgent {
    start_as(config(folder, manager, engine))
}

fn start_as(config: AgentConfig) -> RunningAgent {
    let agent = NodeAgent::open(config).expect("a state folder");
    let (stop, handle) = (tokio_util::sync::CancellationToken::new(), agent.handle());
    let task = tokio::spawn(agent.run(stop.clone()));
    RunningAgent { stop, status: handle.status(), handle, task }
}

impl RunningAgent {
    async fn stopped(self) {
        self.stop.cancel();
        self.ended().await.expect("stopping is no failure");
    }

    async fn ended(self) -> Result<(), AgentError> {
        timeout(PATIENCE, self.task).await.expect("it ends").expect("it does not panic")
    }
}

/// An agent that is a node of its manager's cluster, and may be given tasks.
struct JoinedAgent {
    folder: tempfile::TempDir,
    manager: ManagerStub,
    engine: FakeEngine,
    agent: RunningAgent,
    line: TestSession,
}

async fn joined() -> JoinedAgent {
    let (folder, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new(EPOCH));
    let mut manager = ManagerStub::start(folder.path()).await;
    let agent = start(&folder.path().join("agent"), &manager, &engine);
    let mut line = manager.line().await;
    line.hello().await;
    line.welcome(Id(77)).await;
    JoinedAgent { folder, manager, engine, agent, line }
}

/// Waits until each of the tasks has been reported in this state or a higher one.
async fn until_reported(
    line: &mut TestSession,
    wanted: &[(Id, v1::TaskState)],
) -> BTreeMap<Id, skep_proto::v1::TaskObserved> {
    let mut seen = BTreeMap::new();
    let is_there = |seen: &BTreeMap<Id, skep_proto::v1::TaskObserved>| {
        wanted.iter().all(|(id, state)| seen.get(id).is_some_and(|o| o.state() >= *state))
    };
    while !is_there(&seen) {
        let report = line.report().await;
        for observed in report.tasks {
            seen.insert(Id::from_bytes(&observed.task_id), observed);
        }
        line.acknowledge(report.number).await;
    }
    seen
}

#[tokio::test]
async fn an_agent_joins_runs_what_is_assigned_and_finds_it_again_after_its_own_death() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new(EPOCH));
    let mut manager = ManagerStub::start(folder.path()).await;
    let agent = start(&folder.path().join("agent"), &manager, &engine);
    let mut line = manager.line().await;
    let first = line.hello().await;
    assert_eq!(first.revision, 0);
    let key = std::fs::read(folder.path().join("agent/agent/certificates/swarm-node.key")).unwrap();
    let description = first.description.unwrap();
    assert_eq!(
        (description.hostname.as_str(), description.runtime()),
        ("alpha", v1::RuntimeKind::Fake)
    );
    let resources = description.resources.unwrap();
    assert_eq!(
        (resources.nano_cpus, resources.memory_bytes),
        (3_000_000_000, 7 << 30),
        "less what is reserved"
    );
    assert_eq!(first.spec.unwrap().annotations.unwrap().labels["zone"], "b1");
    line.welcome(Id(77)).await;
    line.assign(set(5, &[(Id(1), container("run")), (Id(2), container("exit:3"))])).await;
    let seen = until_reported(
        &mut line,
        &[(Id(1), v1::TaskState::Running), (Id(2), v1::TaskState::Failed)],
    )
    .await;
    assert_eq!(seen[&Id(2)].container.as_ref().unwrap().exit_code, Some(3));
    assert_eq!(seen[&Id(2)].error, "exit code 3");
    agent.stopped().await;
    assert_eq!(engine.running(), [Id(1)], "an agent that ends stops nothing");
    drop(line);

    let agent = start(&folder.path().join("agent"), &manager, &engine);
    let mut line = manager.line().await;
    let again = line.hello().await;
    let kept =
        std::fs::read(folder.path().join("agent/agent/certificates/swarm-node.key")).unwrap();
    assert_eq!(kept, key, "it is who it was");
    assert_eq!((again.incarnation, again.revision), (1, 5), "it goes on where it was");
    assert_ne!(again.process, first.process);
    line.welcome(Id(77)).await;
    let seen = until_reported(
        &mut line,
        &[(Id(1), v1::TaskState::Running), (Id(2), v1::TaskState::Failed)],
    )
    .await;
    assert_eq!(seen[&Id(1)].container.as_ref().unwrap().container_ref, format!("fake-{}", Id(1)));
    assert_eq!(
        engine.starts(),
        BTreeMap::from([(Id(1), 1), (Id(2), 1)]),
        "nothing was started twice"
    );
    agent.stopped().await;
}

#[tokio::test]
async fn a_manager_that_is_away_stops_nothing_and_hears_of_all_that_happened() {
    let JoinedAgent { folder, mut manager, engine, mut agent, mut line } = joined().await;
    line.assign(set(5, &[(Id(1), container("run")), (Id(2), container("run"))])).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Running), (Id(2), v1::TaskState::Running)])
        .await;
    manager.heard(&line).await;
    drop(line);
    manager.stop().await;
    let said = agent.status.wait_for(|status| status.manager_problem.contains("no such file"));
    timeout(PATIENCE, said).await.expect("it says so").expect("it lives");
    engine.kill_outside(Id(2));
    assert_eq!(engine.running(), [Id(1)]);
    let mut manager = ManagerStub::start(folder.path()).await;
    let mut line = manager.line().await;
    assert_eq!(line.hello().await.revision, 5);
    line.welcome(Id(77)).await;
    let seen = until_reported(&mut line, &[(Id(2), v1::TaskState::Failed)]).await;
    assert_eq!(
        seen.keys().copied().collect::<Vec<_>>(),
        [Id(2)],
        "what was acknowledged is not told again"
    );
    assert_eq!(seen[&Id(2)].error, "killed by somebody else on the node");
    assert_eq!(engine.running(), [Id(1)]);
    agent.stopped().await;
}

#[tokio::test]
async fn what_is_removed_is_stopped_and_nothing_is_left_of_it() {
    let JoinedAgent { folder: _folder, manager: _manager, engine, agent, mut line } =
        joined().await;
    line.assign(set(5, &[(Id(1), container("run")), (Id(2), container("run"))])).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Running), (Id(2), v1::TaskState::Running)])
        .await;
    line.assign(set(6, &[(Id(2), container("run"))])).await;
    timeout(PATIENCE, async {
        while engine.running() != [Id(2)] {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is stopped");
    agent.stopped().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_pull() {
    let JoinedAgent { folder: _folder, manager: _manager, engine, agent, mut line } =
        joined().await;
    line.assign(set(5, &[(Id(1), container("pull:86400000,run"))])).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Preparing)]).await;
    line.assign(change(5, 6, Id(1), v1::TaskState::Shutdown)).await;
    let seen = until_reported(&mut line, &[(Id(1), v1::TaskState::Shutdown)]).await;
    assert_eq!(seen[&Id(1)].state(), v1::TaskState::Shutdown);
    assert!(engine.starts().is_empty());
    agent.stopped().await;
}

#[tokio::test]
async fn a_reader_who_does_not_read_holds_up_nothing_else() {
    let JoinedAgent { folder: _folder, mut manager, engine: _engine, agent, mut line } =
        joined().await;
    let mut talks = container("print,run");
    running(&mut talks).args = vec!["x".repeat(10_000); 300];
    line.assign(set(5, &[(Id(1), talks.clone())])).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Running)]).await;
    let order =
        v1::LogOrder { request: 1, task_ids: vec![Id(1).to_bytes()], ..v1::LogOrder::default() };
    line.send(v1::to_agent::Message::Logs(order)).await;
    line.assign(set(6, &[(Id(1), talks), (Id(2), container("exit:0"))])).await;
    until_reported(&mut line, &[(Id(2), v1::TaskState::Complete)]).await;
    while !matches!(line.next().await, v1::from_agent::Message::Heartbeat(_)) {}
    assert_eq!(manager.output(1).await.0.len(), 300, "and it has missed nothing when it reads");
    agent.stopped().await;
}

#[tokio::test]
async fn output_is_sent_to_who_orders_it() {
    let JoinedAgent { folder: _folder, mut manager, engine, agent, mut line } = joined().await;
    let mut talks = container("print,run");
    running(&mut talks).args = vec!["one".into(), "two".into(), "!three".into()];
    line.assign(set(5, &[(Id(1), talks), (Id(2), container("print,exit:0"))])).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Running), (Id(2), v1::TaskState::Complete)])
        .await;
    let order = |request, task_ids: &[Id], follow| v1::LogOrder {
        request,
        task_ids: task_ids.iter().map(|id| id.to_bytes()).collect(),
        follow,
        tail: Some(2),
        ..v1::LogOrder::default()
    };
    line.send(v1::to_agent::Message::Logs(order(1, &[Id(1), Id(2), Id(99)], false))).await;
    let (lines, message) = manager.output(1).await;
    assert_eq!(lines, ["web.1 alpha two", "web.1 alpha !three"]);
    assert_eq!(message, "", "a task with no output, and one of another node, are no problem");
    line.send(v1::to_agent::Message::Logs(order(2, &[Id(1)], true))).await;
    line.send(v1::to_agent::Message::Logs(order(3, &[], false))).await;
    assert_eq!(
        manager.output(3).await.0,
        [""; 0],
        "the first reader, who goes on, does not hold up the next"
    );
    // It is widened by a task that had ended long ago, and by one that is not here.
    line.send(v1::to_agent::Message::Logs(order(2, &[Id(2), Id(99)], true))).await;
    assert_eq!(manager.output_of(2, Id(99)).await.len(), 2);
    assert_eq!(manager.output_of(2, Id(2)).await, [""; 0]);
    engine.kill_outside(Id(1));
    assert_eq!(manager.output_of(2, Id(1)).await, [""; 0], "its end is told, and the reader stays");
    let resume = vec![v1::LogResume { task_id: Id(1).to_bytes(), read_at: 0, read_lines: 0 }];
    let again = v1::LogOrder { resume, ..order(2, &[Id(1)], true) };
    line.send(v1::to_agent::Message::Logs(again)).await;
    assert_eq!(
        manager.output_of(2, Id(1)).await.len(),
        3,
        "the tail is not for what was read before"
    );
    agent.stopped().await;
}

#[tokio::test]
async fn a_pull_tells_how_far_it_is_and_beats_go_on() {
    let JoinedAgent { folder: _folder, manager: _manager, engine: _engine, agent, mut line } =
        joined().await;
    line.assign(set(5, &[(Id(1), container("pull:400,run"))])).await;
    let (mut beats, mut pulls) = (0, Vec::new());
    while beats < 3 || pulls.len() < 2 {
        match line.next().await {
            v1::from_agent::Message::Heartbeat(_) => beats += 1,
            v1::from_agent::Message::Conditions(_) | v1::from_agent::Message::PartTaken(_) => {}
            v1::from_agent::Message::Pull(pull) => pulls.push((pull.done_bytes, pull.total_bytes)),
            v1::from_agent::Message::Report(report) => line.acknowledge(report.number).await,
            v1::from_agent::Message::Hello(_)
            | v1::from_agent::Message::Join(_)
            | v1::from_agent::Message::LogChunk(_) => panic!("not asked for"),
        }
    }
    assert_eq!(pulls, [(0, 100), (100, 100)]);
    agent.stopped().await;
}

#[tokio::test]
async fn a_node_whose_engine_is_away_is_announced_with_that_condition() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new(EPOCH));
    engine.go_away();
    let mut manager = ManagerStub::start(folder.path()).await;
    let mut agent = start(&folder.path().join("agent"), &manager, &engine);
    let told =
        agent.status.wait_for(|status| status.runtime_problem.contains("the fake engine is away"));
    timeout(PATIENCE, told).await.expect("it says so").expect("it lives");
    let mut line = manager.line().await;
    let hello = line.hello().await;
    let kinds = |conditions: &[v1::Condition]| {
        conditions.iter().map(v1::Condition::kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&hello.conditions), [v1::ConditionKind::EngineUnreachable]);
    let description = hello.description.unwrap();
    assert_eq!(
        (description.hostname.as_str(), description.runtime()),
        ("alpha", v1::RuntimeKind::Fake)
    );
    assert_eq!(description.features, [0; 0], "nothing is known of what it can do");
    line.welcome(Id(77)).await;
    engine.come_back();
    // With its engine it has more to offer, and says so in a new session.
    let hello = manager.line().await.hello().await;
    assert_eq!(kinds(&hello.conditions), []);
    assert!(!hello.description.unwrap().features.is_empty());
    agent.stopped().await;
}

#[tokio::test]
async fn who_is_not_believed_ends_with_words() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new(EPOCH));
    let mut manager = ManagerStub::start(folder.path()).await;
    let agent = start(&folder.path().join("agent"), &manager, &engine);
    let mut line = manager.line().await;
    line.hello().await;
    line.turn(v1::TurnedCode::WrongKey, "this key is not the node's").await;
    let error = agent.ended().await.expect_err("nothing can be done here");
    assert!(matches!(&error, AgentError::Halted(AgentHalt::WrongKey { .. })), "{error}");
    assert!(error.hint().unwrap().contains("remove that folder alone"), "{error}");
}

#[tokio::test]
async fn a_removed_node_stops_its_tasks_and_ends() {
    let JoinedAgent { folder: _folder, manager: _manager, engine, agent, mut line } =
        joined().await;
    line.assign(set(5, &[(Id(1), container("run"))])).await;
    until_reported(&mut line, &[(Id(1), v1::TaskState::Running)]).await;
    line.turn(v1::TurnedCode::NodeRemoved, "removed by alice").await;
    let error = agent.ended().await.expect_err("no node any more");
    assert!(error.to_string().contains("removed by alice"), "{error}");
    assert!(engine.running().is_empty());
}

#[tokio::test]
async fn one_state_folder_is_for_one_agent_and_one_runtime() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new(EPOCH));
    let manager = ManagerStub::start(folder.path()).await;
    let one = NodeAgent::open(config(folder.path(), &manager, &engine)).expect("the first");
    let error =
        NodeAgent::open(config(folder.path(), &manager, &engine)).err().expect("the second");
    assert!(matches!(error, AgentError::Locked { .. }), "{error}");
    drop(one);
    let identity = journal::IdentityFile::new(&folder.path().join("agent"));
    let stored = identity.read().unwrap().expect("written at the first start");
    identity.write(&journal::Stored { runtime: v1::RuntimeKind::Process, ..stored }).unwrap();
    let error =
        NodeAgent::open(config(folder.path(), &manager, &engine)).err().expect("another runtime");
    assert_eq!(
        error.to_string(),
        "this node was set up with the process runtime and never changes it; the fake runtime was \
         asked for"
    );
    assert_eq!(
        error.hint().as_deref(),
        Some("start it with --runtime process, or with another --state-dir as a new node")
    );
}

#[tokio::test]
async fn a_damaged_identity_stops_no_agent_and_its_runtime_is_still_known() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new(EPOCH));
    let manager = ManagerStub::start(folder.path()).await;
    drop(NodeAgent::open(config(folder.path(), &manager, &engine)).expect("the first start"));
    let file = journal::IdentityFile::new(&folder.path().join("agent"));
    std::fs::write(folder.path().join("agent/identity"), "no identity").unwrap();
    assert_eq!(runtime_of(folder.path()).unwrap(), None);
    std::fs::create_dir(folder.path().join("tasks")).unwrap();
    assert_eq!(runtime_of(folder.path()).unwrap(), Some(v1::RuntimeKind::Process));
    drop(NodeAgent::open(config(folder.path(), &manager, &engine)).expect("it joins again"));
    assert!(file.read().unwrap().is_some(), "written anew");
    assert!(folder.path().join("agent/identity.damaged-1").exists());
}

/// A pipe in the place of a file, so full that whoever writes to it waits.
fn hanging_file(path: &Path) -> std::fs::File {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut options = std::fs::File::options();
    options.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut pipe = options.open(path).unwrap();
    while pipe.write(&[0; 4096]).is_ok() {}
    pipe
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_ends_no_session_and_nothing_starts_that_could_be_forgotten() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), FakeEngine::new(EPOCH));
    let mut manager = ManagerStub::start(folder.path()).await;
    let agent = start(&folder.path().join("agent"), &manager, &engine);
    let mut line = manager.line().await;
    line.hello().await;
    let draft = folder.path().join("agent/agent/identity.new");
    let mut disk = hanging_file(&draft);
    line.welcome(Id(77)).await;
    line.assign(set(5, &[(Id(1), container("run"))])).await;
    for _ in 0..5 {
        while !matches!(line.next().await, v1::from_agent::Message::Heartbeat(_)) {}
    }
    assert_eq!(engine.running(), [], "the next agent would not know whose task it is");
    std::fs::remove_file(&draft).unwrap();
    disk.read_exact(&mut [0; 16_384]).unwrap();
    until_reported(&mut line, &[(Id(1), v1::TaskState::Running)]).await;
    let stored =
        journal::IdentityFile::new(&folder.path().join("agent/agent")).read().unwrap().unwrap();
    assert_eq!(stored.node_id, Id(77));
    agent.stopped().await;
}
