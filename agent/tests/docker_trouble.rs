//! The Docker runtime beside real engines that stand still and people who copy: nothing is lost,
//! nothing leaks, and nothing of somebody else is touched.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]
#![allow(dead_code, reason = "each test binary uses its part of the shared helpers")]

#[path = "docker_runtime/engines.rs"]
mod engines;
#[path = "docker_runtime/node.rs"]
mod node;

use engines::OwnEngine;
use futures::{StreamExt, stream};
use node::{DockerNode, RUN, begin, finish, soon, until_removed};
use skep_agent::runtime::{FoundState, Proof, Runtime, Workload, docker::DockerRuntime};
use skep_proto::v1::EndCause;
use std::{process::Command, time::Duration};
use tokio::time::{sleep, timeout};

/// Rounds of killing; each must find every end.
const ROUNDS: usize = 3;
/// Containers that are killed at once.
const KILLED: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn containers_killed_behind_the_engines_back_are_all_seen() {
    let node = DockerNode::new();
    let runtime = node.runtime();
    for round in 0..ROUNDS {
        let works: Vec<Workload> = (0..KILLED).map(|_| node.shell("exec sleep 100000")).collect();
        stream::iter(&works)
            .for_each_concurrent(4, |work| async { drop(begin(&runtime, work).await) })
            .await;
        let pids: Vec<String> = soon(runtime.list(node.id))
            .await
            .unwrap()
            .iter()
            .map(|found| match &found.state {
                FoundState::Running(started) => started.pid.to_string(),
                other @ (FoundState::Created
                | FoundState::Ended(..)
                | FoundState::Unreadable(_)) => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(pids.len(), KILLED);
        let ends = futures::future::join_all(works.iter().map(|work| runtime.wait(work)));
        let killing = async {
            sleep(Duration::from_millis(200)).await;
            assert!(Command::new("kill").arg("-9").args(&pids).status().unwrap().success());
        };
        let (ends, ()) = soon(async { tokio::join!(ends, killing) }).await;
        for ended in ends {
            assert_eq!(ended.unwrap().exit_code, Some(137), "round {round}");
        }
        stream::iter(&works)
            .for_each_concurrent(4, |work| until_removed(&runtime, work.task_id))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_with_a_tasks_labels_is_named_and_never_touched() {
    let node = DockerNode::new();
    let (mut runtime, work) = (node.runtime(), node.shell(RUN));
    let id = begin(&runtime, &work).await;
    let image = format!("copy-of-{}", work.task_id).to_lowercase();
    node.docker(&["commit", &id, &image]);
    let copy = |name: &str, volume: &str| {
        let name = format!("{name}-{}", work.task_id);
        node.docker(&[
            "run",
            "-d",
            "--network",
            "none",
            "--name",
            &name,
            "-v",
            volume,
            &image,
            "sleep",
            "9999",
        ]);
        name
    };
    let copies =
        [copy("mycopy", "/data"), copy("mycopy2", &format!("keep-{}:/data", work.task_id))];
    let mut noticed = runtime.noticed().unwrap();
    let named = noticed.wait_for(|noticed| {
        noticed.tasks.get(&work.task_id).is_some_and(|text| text.contains("mycopy"))
    });
    drop(soon(named).await.unwrap());
    for _ in 0..2 {
        runtime = node.runtime();
        let found = soon(runtime.list(node.id)).await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].task_id, found[0].proof), (work.task_id, Proof::Recorded));
        assert!(
            matches!(&found[0].state, FoundState::Running(started) if started.container_ref == id)
        );
    }
    soon(runtime.stop(work.task_id, Duration::from_secs(10))).await.unwrap();
    until_removed(&runtime, work.task_id).await;
    let runtime = node.runtime();
    assert_eq!(soon(runtime.list(node.id)).await.unwrap(), [], "a copy is found by nobody");
    soon(runtime.stop(work.task_id, Duration::from_secs(10))).await.unwrap();
    until_removed(&runtime, work.task_id).await;
    for name in &copies {
        let seen = node.inspect(name);
        assert_eq!(seen["State"]["Running"], true, "{name}");
        let volume = seen["Mounts"][0]["Name"].as_str().unwrap().to_owned();
        node.docker(&["volume", "inspect", &volume]);
    }
    node.docker(&["rm", "-f", "-v", &copies[0], &copies[1]]);
    node.docker(&["rmi", &image]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_container_is_said_to_be_and_has_not_ended() {
    let node = DockerNode::new();
    let (runtime, work) = (node.runtime(), node.shell(RUN));
    let id = begin(&runtime, &work).await;
    let mut noticed = runtime.noticed().unwrap();
    node.docker(&["pause", &id]);
    let paused = noticed.wait_for(|noticed| {
        noticed.tasks.get(&work.task_id).is_some_and(|text| text.contains("paused"))
    });
    drop(soon(paused).await.unwrap());
    assert!(timeout(Duration::from_millis(300), runtime.wait(&work)).await.is_err());
    node.docker(&["unpause", &id]);
    drop(soon(noticed.wait_for(|noticed| noticed.tasks.is_empty())).await.unwrap());
    until_removed(&runtime, work.task_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_noticed_within_seconds_and_what_it_creates_late_is_adopted_or_removed()
 {
    let engine = OwnEngine::start("hang", &[]);
    let node = DockerNode::on(engine.host());
    let runtime = node.runtime();
    soon(runtime.describe()).await.unwrap();
    let mut noticed = runtime.noticed().unwrap();
    let (kept, removed, orphan) = (node.shell(RUN), node.shell(RUN), node.shell(RUN));
    engine.signal("STOP");
    // Each request reaches the engine, and nobody waits for its answer any more.
    for work in [&kept, &removed, &orphan] {
        assert!(timeout(Duration::from_millis(300), runtime.prepare(work, &|_| {})).await.is_err());
    }
    let hangs = noticed.wait_for(|noticed| noticed.engine_problem.contains("did not answer"));
    drop(timeout(Duration::from_secs(60), hangs).await.expect("within a minute").unwrap());
    let removal = timeout(Duration::from_secs(4), runtime.remove(removed.task_id)).await;
    assert!(removal.is_err() || removal.unwrap().is_err(), "nobody can know yet");
    engine.signal("CONT");
    drop(soon(noticed.wait_for(|noticed| noticed.engine_problem.is_empty())).await.unwrap());
    soon(runtime.prepare(&kept, &|_| {})).await.expect("its own late creation is adopted");
    until_removed(&runtime, removed.task_id).await;
    // An agent that was started again knows of it by its record.
    let again = node.runtime();
    until_removed(&again, orphan.task_id).await;
    until_left(&node, &again, &[&kept]).await;
    soon(runtime.start(&kept)).await.unwrap();
    soon(runtime.stop(kept.task_id, Duration::from_secs(10))).await.unwrap();
    assert_eq!(finish(&runtime, &kept).await.cause, EndCause::Asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_whose_containerd_hangs_is_said_to_start_nothing_until_it_goes_on() {
    let engine = OwnEngine::start("stuck", &[]);
    let node = DockerNode::on(engine.host());
    let runtime = node.runtime();
    soon(runtime.describe()).await.unwrap();
    let mut noticed = runtime.noticed().unwrap();
    // On a machine whose containerd is everybody's, it must not be stopped.
    let Some(()) = engine.signal_containerd("STOP") else { return };
    let stuck = noticed.wait_for(|noticed| noticed.start_problem.contains("containerd"));
    let told = timeout(Duration::from_secs(90), stuck).await.expect("within a minute").unwrap();
    assert_eq!(told.engine_problem, "", "it answers pings all the while");
    drop(told);
    // The connection breaks meanwhile: the engine is known as one that starts nothing, not as one
    // that is away.
    engine.signal("STOP");
    let away = noticed.wait_for(|noticed| !noticed.engine_problem.is_empty());
    drop(timeout(Duration::from_secs(90), away).await.expect("within a minute").unwrap());
    engine.signal("CONT");
    let stuck = noticed.wait_for(|noticed| noticed.start_problem.contains("containerd"));
    drop(timeout(Duration::from_secs(90), stuck).await.expect("within a minute").unwrap());
    engine.signal_containerd("CONT").unwrap();
    let over = noticed.wait_for(|noticed| noticed.start_problem.is_empty());
    drop(timeout(Duration::from_secs(60), over).await.expect("within a minute").unwrap());
    let work = node.shell(RUN);
    begin(&runtime, &work).await;
    soon(runtime.stop(work.task_id, Duration::from_secs(10))).await.unwrap();
    until_removed(&runtime, work.task_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_overlaps_its_removal_leaves_nothing() {
    let node = DockerNode::new();
    let runtime = node.runtime();
    soon(runtime.describe()).await.unwrap();
    for wait_ms in [0, 1, 3, 5, 8, 12, 20, 35, 60] {
        let works: Vec<Workload> = (0..4).map(|_| node.shell(RUN)).collect();
        let all = works.iter().map(|work| async {
            let _ = timeout(Duration::from_millis(wait_ms), runtime.prepare(work, &|_| {})).await;
            until_removed(&runtime, work.task_id).await;
        });
        futures::future::join_all(all).await;
    }
    until_left(&node, &runtime, &[]).await;
}

/// Waits until the engine has containers of these tasks of the node, and of no others.
async fn until_left(node: &DockerNode, runtime: &DockerRuntime, wanted: &[&Workload]) {
    let label = format!("label=com.docker.swarm.node.id={}", node.id);
    let settled = async {
        // Nothing may come to be later: so it must look the same several times.
        let mut times = 0;
        while times < 5 {
            let ids = node.docker(&["ps", "-aq", "--filter", &label]);
            times = if ids.lines().count() == wanted.len() { times + 1 } else { 0 };
            sleep(Duration::from_millis(300)).await;
        }
    };
    soon(settled).await;
    let found = soon(runtime.list(node.id)).await.unwrap();
    let found: Vec<_> = found.iter().map(|found| found.task_id).collect();
    assert_eq!(found, wanted.iter().map(|work| work.task_id).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn output_takes_bounded_room_in_the_engine() {
    let node = DockerNode::new();
    let (runtime, work) = (node.runtime(), node.shell(RUN));
    let id = begin(&runtime, &work).await;
    let seen = node.inspect(&id);
    assert_eq!(seen["HostConfig"]["LogConfig"]["Type"], "json-file");
    assert_eq!(seen["HostConfig"]["LogConfig"]["Config"]["max-size"], "10m");
    assert_eq!(seen["HostConfig"]["LogConfig"]["Config"]["max-file"], "3");
    until_removed(&runtime, work.task_id).await;
}
