//! The Docker runtime beside an engine that a test plays: answers that hang, that cannot be read,
//! and that come from another version of the engine than before.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]

#[path = "docker_stub/engine.rs"]
mod engine;

use engine::{Stub, StubAnswer};
use serde_json::{Value, json};
use skep_agent::runtime::{FoundState, Runtime, RuntimeError, Workload, docker::DockerRuntime};
use skep_proto::{
    Id,
    v1::{ContainerSpec, TaskSpec, task_spec},
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

const NODE: Id = Id(1000);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("within a minute")
}

/// Writes down that this runtime made a container for the task, as it does itself.
fn record(state_dir: &Path, task: Id, container: &str) {
    let folder = state_dir.join("docker-containers");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!("name web.1.{task}\ncontainer {container}\n");
    std::fs::write(folder.join(task.to_string()), text).unwrap();
}

fn row(task: Id, container: &str, state: &str) -> Value {
    json!({
        "Id": container,
        "Names": [format!("/web.1.{task}")],
        "State": state,
        "Status": "Up 5 seconds",
        "Labels": {
            "com.docker.swarm.task.id": task.to_string(),
            "com.docker.swarm.node.id": NODE.to_string(),
        },
    })
}

fn inspected(task: Id, container: &str) -> Value {
    json!({
        "Id": container,
        "Image": "sha256:00",
        "State": { "Status": "running", "Pid": 7, "StartedAt": "2026-01-01T00:00:00Z" },
        "Config": { "Labels": { "com.docker.swarm.task.id": task.to_string() } },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_container_that_cannot_be_looked_at_costs_no_other() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let tasks = [(Id(1), "c1"), (Id(2), "c2"), (Id(3), "c3")];
    for (task, container) in tasks {
        record(dir.path(), task, container);
        stub.answer(
            &format!("/containers/{container}/json"),
            StubAnswer::json(&inspected(task, container)),
        );
    }
    stub.answer("/containers/c2/json", StubAnswer::Nothing);
    stub.answer("/containers/c3/json", StubAnswer::Status(500, "the shim is stuck".into()));
    let rows: Vec<Value> =
        tasks.iter().map(|(task, container)| row(*task, container, "running")).collect();
    stub.answer("/containers/json", StubAnswer::json(&rows));
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    let found = soon(runtime.list(NODE)).await.unwrap();
    let states: Vec<_> = found
        .iter()
        .map(|found| match &found.state {
            FoundState::Running(started) => (found.task_id, started.container_ref.clone()),
            FoundState::Unreadable(reason) => (found.task_id, reason.clone()),
            other @ (FoundState::Created | FoundState::Ended(..)) => panic!("{other:?}"),
        })
        .collect();
    let hangs = format!("the engine at {} did not answer within 5 s", stub.host());
    assert_eq!(states, [(Id(1), "c1".into()), (Id(2), hangs), (Id(3), "the shim is stuck".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_read_costs_none_that_is_recorded() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    record(dir.path(), Id(1), "c1");
    stub.answer("/containers/c1/json", StubAnswer::json(&inspected(Id(1), "c1")));
    let rows = [row(Id(1), "c1", "running"), row(Id(2), "c2", "levitating")];
    stub.answer("/containers/json", StubAnswer::json(&rows));
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    let found = soon(runtime.list(NODE)).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        matches!(&found[0].state, FoundState::Running(started) if started.container_ref == "c1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_version_is_negotiated_again_with_each_engine() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    soon(runtime.describe()).await.unwrap();
    for version in ["1.24", "1.43"] {
        let asked = |path: &str| stub.times_asked(path);
        let (before, followed) = (asked("/version"), asked("/events"));
        let again = async {
            // A stream that is being followed breaks off, and the next one is negotiated for.
            while asked("/events") == 0 {
                sleep(Duration::from_millis(10)).await;
            }
            stub.speak(version);
            // A stream that is only being opened is not broken off: it is tried until one was.
            while asked("/version") == before || asked("/events") <= followed {
                stub.hang_up();
                sleep(Duration::from_millis(500)).await;
            }
        };
        soon(again).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_takes_calls_and_answers_none_is_noticed_and_its_calls_end() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    stub.answer("/_ping", StubAnswer::Nothing);
    stub.answer("/containers/json", StubAnswer::Nothing);
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    soon(runtime.describe()).await.unwrap();
    let mut noticed = runtime.noticed().unwrap();
    let hangs =
        noticed.wait_for(|noticed| noticed.engine_problem.contains("did not answer within 4 s"));
    drop(timeout(Duration::from_secs(15), hangs).await.expect("within seconds").unwrap());
    let error = soon(runtime.list(NODE)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Unreachable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_answers_and_cannot_list_is_noticed_as_that() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    stub.answer("/containers/json", StubAnswer::Status(503, "too many requests".into()));
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    soon(runtime.describe()).await.unwrap();
    let mut noticed = runtime.noticed().unwrap();
    let unlisted =
        noticed.wait_for(|noticed| noticed.listing_problem.contains("too many requests"));
    assert_eq!(soon(unlisted).await.unwrap().engine_problem, "");
    stub.answer("/containers/json", StubAnswer::Body("[]".into()));
    drop(soon(noticed.wait_for(|noticed| noticed.listing_problem.is_empty())).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_answers_and_does_not_tell_its_version_is_said_to_start_nothing() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    soon(runtime.describe()).await.unwrap();
    let mut noticed = runtime.noticed().unwrap();
    stub.answer("/version", StubAnswer::Nothing);
    let stuck = noticed.wait_for(|noticed| noticed.start_problem.contains("containerd"));
    assert_eq!(soon(stuck).await.unwrap().engine_problem, "");
    stub.speak("1.41");
    drop(soon(noticed.wait_for(|noticed| noticed.start_problem.is_empty())).await.unwrap());
}

/// A connection that was made without the engine's version knows only what an earlier one knew.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_tells_its_version_later_is_connected_to_anew() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    soon(runtime.describe()).await.unwrap();
    let mut noticed = runtime.noticed().unwrap();
    stub.answer("/version", StubAnswer::Nothing);
    stub.answer("/_ping", StubAnswer::Nothing);
    drop(soon(noticed.wait_for(|noticed| !noticed.engine_problem.is_empty())).await.unwrap());
    stub.answer("/_ping", StubAnswer::Body("OK".into()));
    let stuck = noticed.wait_for(|noticed| noticed.start_problem.contains("containerd"));
    assert_eq!(soon(stuck).await.unwrap().engine_problem, "");
    let (facts, followed) = (stub.times_asked("/info"), stub.times_asked("/events"));
    stub.speak("1.41");
    drop(soon(noticed.wait_for(|noticed| noticed.start_problem.is_empty())).await.unwrap());
    assert!(stub.times_asked("/info") > facts, "its facts are asked for again");
    // The events are asked for beside that.
    let followed_anew = async {
        while stub.times_asked("/events") == followed {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(followed_anew).await;
    assert_eq!(noticed.borrow().engine_problem, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_of_two_services_that_are_not_answered_show_that_the_engine_starts_nothing() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let works = [(Id(1), Id(70)), (Id(2), Id(80))].map(|(task_id, service_id)| Workload {
        task_id,
        service_id,
        ..Workload::default()
    });
    for work in &works {
        let container = format!("c{}", work.task_id.0);
        record(dir.path(), work.task_id, &container);
        let mut made = inspected(work.task_id, &container);
        made["State"] = json!({ "Status": "created", "StartedAt": "0001-01-01T00:00:00Z" });
        stub.answer(&format!("/containers/{container}/json"), StubAnswer::json(&made));
        stub.answer(&format!("/containers/{container}/start"), StubAnswer::Nothing);
    }
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    let noticed = runtime.noticed().unwrap();
    let problem = || noticed.borrow().start_problem.clone();
    let (first, second) =
        soon(async { tokio::join!(runtime.start(&works[0]), runtime.start(&works[1])) }).await;
    assert!(matches!(first, Err(RuntimeError::Unreachable(_))), "{first:?}");
    assert!(matches!(second, Err(RuntimeError::Unreachable(_))), "{second:?}");
    assert!(problem().contains("start containers of several services"), "{}", problem());
    stub.answer("/containers/c2/start", StubAnswer::Body(String::new()));
    stub.answer("/containers/c2/json", StubAnswer::json(&inspected(Id(2), "c2")));
    stub.answer("/containers/c1/start", StubAnswer::Status(500, "no such device".into()));
    soon(runtime.start(&works[0])).await.unwrap_err();
    assert_eq!(problem(), "", "a refusal is an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn creations_of_two_services_show_the_same_until_one_of_the_tasks_is_removed() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    stub.answer("/containers/create", StubAnswer::Nothing);
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    let noticed = runtime.noticed().unwrap();
    let problem = || noticed.borrow().start_problem.clone();
    let [one, two] = [(Id(1), Id(70)), (Id(2), Id(80))].map(|(task_id, service_id)| {
        let container = ContainerSpec { image: "busybox".into(), ..ContainerSpec::default() };
        let runtime = Some(task_spec::Runtime::Container(container));
        let spec = Arc::new(TaskSpec { runtime, ..TaskSpec::default() });
        Workload { task_id, service_id, spec, ..Workload::default() }
    });
    let prepare = |work| runtime.prepare(work, &|_| {});
    let (first, second) = soon(async { tokio::join!(prepare(&one), prepare(&two)) }).await;
    assert!(first.is_err() && second.is_err(), "{first:?} {second:?}");
    assert!(problem().contains("create containers of several services"), "{}", problem());
    soon(runtime.remove(two.task_id)).await.expect_err("its creation is under way");
    assert_eq!(problem(), "", "what waits for nothing shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_still_being_created_is_removed_when_that_is_over() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let task = Id(1);
    let created = StubAnswer::After(Duration::from_secs(5), r#"{"Id":"c1","Warnings":[]}"#.into());
    stub.answer("/containers/create", created);
    // It shows itself before the engine has finished it.
    stub.answer("/containers/json", StubAnswer::json(&[row(task, "c1", "created")]));
    for name in ["c1".to_owned(), format!("web.1.{task}")] {
        let seen = StubAnswer::json(&inspected(task, "c1"));
        stub.answer(&format!("/containers/{name}/json"), seen);
    }
    stub.answer("/containers/c1", StubAnswer::Body(String::new()));
    let runtime = Arc::new(DockerRuntime::open(dir.path(), &stub.host()).unwrap());
    let preparing = Arc::clone(&runtime);
    let preparing = tokio::spawn(async move {
        let work = Workload { task_id: task, node_id: NODE, ..workload() };
        preparing.prepare(&work, &|_| {}).await
    });
    let until = async |path: &str| {
        while stub.times_asked(path) == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(until("/containers/create")).await;
    preparing.abort();
    let error = soon(runtime.remove(task)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Unreachable(_)), "nobody can know yet: {error:?}");
    assert_eq!(stub.times_asked("/containers/c1"), 0, "the engine has not answered the creation");
    soon(until("/containers/c1")).await;
    soon(runtime.remove(task)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_waits_for_one_that_is_under_way_whatever_the_engine_says_meanwhile() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let task = Id(1);
    record(dir.path(), task, "c1");
    let removing = "removal of container c1 is already in progress";
    stub.answer("/containers/c1", StubAnswer::Status(409, removing.into()));
    stub.answer("/containers/c1/json", StubAnswer::json(&inspected(task, "c1")));
    // Each listing, and so each end of the events, is a piece of news about the container.
    stub.answer("/containers/json", StubAnswer::json(&[row(task, "c1", "removing")]));
    stub.answer("/events", StubAnswer::Body(String::new()));
    let runtime = Arc::new(DockerRuntime::open(dir.path(), &stub.host()).unwrap());
    let removal = Arc::clone(&runtime);
    let removal = tokio::spawn(async move { removal.remove(task).await });
    let looked_twice = async {
        while stub.times_asked("/containers/c1/json") < 3 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(looked_twice).await;
    assert!(!removal.is_finished(), "it is still there");
    stub.answer("/containers/c1/json", StubAnswer::Status(404, "no such container".into()));
    stub.answer("/containers/json", StubAnswer::Body("[]".into()));
    soon(removal).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_somebody_starts_after_its_tasks_end_is_stopped_and_no_other_is() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let tasks = [(Id(1), "c1"), (Id(2), "c2")];
    tasks.iter().for_each(|(task, container)| record(dir.path(), *task, container));
    let ended = format!("name web.1.{}\ncontainer c2\nover\n", Id(2));
    std::fs::write(dir.path().join("docker-containers").join(Id(2).to_string()), ended).unwrap();
    let rows = tasks.map(|(task, container)| row(task, container, "running"));
    stub.answer("/containers/json", StubAnswer::json(&rows));
    for container in ["c1", "c2"] {
        stub.answer(&format!("/containers/{container}/stop"), StubAnswer::Body(String::new()));
    }
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    soon(runtime.describe()).await.unwrap();
    let stopped = async {
        while stub.times_asked("/containers/c2/stop") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(stopped).await;
    assert_eq!(stub.times_asked("/containers/c1/stop"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_costs_the_engine_one_look() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let task = Id(1);
    stub.answer("/images/busybox/json", StubAnswer::json(&json!({ "Id": "sha256:00" })));
    let created = json!({ "Id": "c1", "Warnings": [] });
    stub.answer("/containers/create", StubAnswer::json(&created));
    stub.answer("/containers/c1/start", StubAnswer::Body(String::new()));
    stub.answer("/containers/c1/json", StubAnswer::json(&inspected(task, "c1")));
    stub.answer("/containers/json", StubAnswer::json(&[row(task, "c1", "running")]));
    let runtime = DockerRuntime::open(dir.path(), &stub.host()).unwrap();
    // An engine that is reached for the first time may have news, so that each watch looks again.
    soon(runtime.describe()).await.unwrap();
    let listed = async {
        while stub.times_asked("/containers/json") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(listed).await;
    let work = Workload { task_id: task, node_id: NODE, ..workload() };
    soon(runtime.prepare(&work, &|_| {})).await.unwrap();
    soon(runtime.start(&work)).await.unwrap();
    soon(runtime.ready(&work)).await.unwrap();
    let watch = timeout(Duration::from_millis(500), runtime.wait(&work));
    assert!(watch.await.is_err(), "it runs");
    assert_eq!(stub.times_asked("/containers/c1/json"), 1);
}

fn workload() -> Workload {
    let container = ContainerSpec { image: "busybox".into(), ..ContainerSpec::default() };
    let spec =
        TaskSpec { runtime: Some(task_spec::Runtime::Container(container)), ..TaskSpec::default() };
    Workload { service_name: "web".into(), slot: 1, spec: Arc::new(spec), ..Workload::default() }
}
