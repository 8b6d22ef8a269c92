//! The Docker runtime on a real engine: the suite that all runtimes pass, and what only an engine,
//! and the people beside it, can do to a container.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]
#![allow(dead_code, reason = "each test binary uses its part of the shared helpers")]

#[path = "docker_runtime/engines.rs"]
mod engines;
#[path = "docker_runtime/node.rs"]
mod node;
#[path = "docker_runtime/registry.rs"]
mod registry;

use engines::OwnEngine;
use node::{DockerNode, RUN, begin, finish, lines, output, shell, soon, until_removed};
use skep_agent::runtime::{FoundState, LogQuery, PullUpdate, Runtime, RuntimeError, Workload};
use skep_proto::{
    Id,
    v1::{
        BindOptions, ContainerSpec, EndCause, Feature, HealthCheck, Mount, MountType,
        NetworkAttachment, PortConfig, PublishMode, ResourceRequirements, Resources, TmpfsOptions,
    },
};
use std::{collections::BTreeMap, process::Command, sync::Mutex, time::Duration};

mod suite {
    skep_agent::conformance_tests!(super::node::DockerNode::new());
}

#[tokio::test]
async fn containers_are_named_and_labelled_as_swarms_are() {
    let node = DockerNode::new();
    let (runtime, work) = (node.runtime(), node.shell(RUN));
    let id = begin(&runtime, &work).await;
    let seen = node.inspect(&id);
    assert_eq!(seen["Name"], format!("/web.2.{}", work.task_id));
    let labels = &seen["Config"]["Labels"];
    assert_eq!(labels["com.docker.swarm.task"], "");
    assert_eq!(labels["com.docker.swarm.task.id"], work.task_id.to_string());
    assert_eq!(labels["com.docker.swarm.task.name"], format!("web.2.{}", work.task_id));
    assert_eq!(labels["com.docker.swarm.node.id"], node.id.to_string());
    assert_eq!(labels["com.docker.swarm.service.id"], Id(77).to_string());
    assert_eq!(labels["com.docker.swarm.service.name"], "web");
    until_removed(&runtime, work.task_id).await;
}

#[tokio::test]
async fn the_spec_reaches_the_container() {
    let node = DockerNode::new();
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("note"), "from the host\n").unwrap();
    let bind = Mount {
        r#type: MountType::Bind as i32,
        source: host.path().to_string_lossy().into_owned(),
        target: "/host".into(),
        read_only: true,
        bind: Some(BindOptions::default()),
        ..Mount::default()
    };
    let tmpfs = Mount {
        r#type: MountType::Tmpfs as i32,
        target: "/fast".into(),
        tmpfs: Some(TmpfsOptions { size_bytes: 1 << 20, mode: 0o1777, ..TmpfsOptions::default() }),
        ..Mount::default()
    };
    let volume =
        Mount { r#type: MountType::Volume as i32, target: "/data".into(), ..Mount::default() };
    let script = "id -u; id -G; pwd; hostname; echo $A; cat /host/note; touch /fast/x && echo fast; \
                  grep -c ' /data ' /proc/mounts; touch /x 2>/dev/null || echo sealed; grep -c one.example /etc/hosts; ulimit -n";
    let mut work = node.with(ContainerSpec {
        user: "65534".into(),
        groups: vec!["4242".into()],
        dir: "/tmp".into(),
        hostname: "named".into(),
        env: vec!["A=b c".into()],
        mounts: vec![bind, tmpfs, volume],
        read_only: true,
        hosts: vec!["10.1.1.1 one.example".into()],
        stop_signal: "SIGUSR1".into(),
        pids_limit: 50,
        ulimits: vec![skep_proto::v1::Ulimit { name: "nofile".into(), soft: 77, hard: 99 }],
        capability_drop: vec!["CAP_NET_RAW".into()],
        labels: BTreeMap::from([("tier".into(), "front".into())]),
        ..shell(script)
    });
    let limits =
        Resources { nano_cpus: 500_000_000, memory_bytes: 64 << 20, ..Resources::default() };
    std::sync::Arc::make_mut(&mut work.spec).resources =
        Some(ResourceRequirements { limits: Some(limits), ..ResourceRequirements::default() });
    let runtime = node.runtime();
    let id = begin(&runtime, &work).await;
    let ended = soon(runtime.wait(&work)).await.unwrap();
    let said = lines(&runtime, &work, LogQuery::default()).await;
    assert_eq!(said[0], "65534", "{said:?} {ended:?}");
    assert!(said[1].contains("4242"), "{said:?}");
    assert_eq!(
        said[2..],
        ["/tmp", "named", "b c", "from the host", "fast", "1", "sealed", "1", "77"]
    );
    let seen = node.inspect(&id);
    assert_eq!(seen["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(seen["HostConfig"]["NanoCpus"], 500_000_000);
    assert_eq!(seen["HostConfig"]["PidsLimit"], 50);
    assert_eq!(seen["HostConfig"]["CapDrop"][0], "CAP_NET_RAW");
    assert_eq!(seen["HostConfig"]["NetworkMode"], "none");
    assert_eq!(seen["Config"]["StopSignal"], "SIGUSR1");
    assert_eq!(seen["Config"]["Labels"]["tier"], "front");
    until_removed(&runtime, work.task_id).await;
}

#[tokio::test]
async fn a_mount_that_is_not_there_is_rejected_with_the_engines_words() {
    let node = DockerNode::new();
    let bind = Mount {
        r#type: MountType::Bind as i32,
        source: "/no/such/folder".into(),
        target: "/x".into(),
        ..Mount::default()
    };
    let work = node.with(ContainerSpec { mounts: vec![bind], ..shell("true") });
    match soon(node.runtime().prepare(&work, &|_| {})).await {
        Err(RuntimeError::Rejected(message)) => {
            assert!(message.contains("/no/such/folder"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_program_that_the_image_lacks_fails_at_the_start_with_words() {
    let node = DockerNode::new();
    let args = vec!["no-such-program".to_owned()];
    let (runtime, work) = (node.runtime(), node.with(ContainerSpec { args, ..shell("") }));
    soon(runtime.prepare(&work, &|_| {})).await.unwrap();
    match soon(runtime.start(&work)).await {
        Err(RuntimeError::Failed(message)) => {
            assert!(message.contains("no-such-program"), "{message}")
        }
        other => panic!("{other:?}"),
    }
    until_removed(&runtime, work.task_id).await;
}

#[tokio::test]
async fn what_a_stranger_does_through_the_engine_is_reported_as_that() {
    let node = DockerNode::new();
    let runtime = node.runtime();
    for (act, cause) in [
        (&["kill"][..], EndCause::KilledOutside),
        (&["kill", "-s", "TERM"], EndCause::KilledOutside),
        (&["stop"], EndCause::StoppedOutside),
        (&["rm", "-f"], EndCause::RemovedOutside),
    ] {
        let work = node.shell(RUN);
        let id = begin(&runtime, &work).await;
        let both = soon(async {
            let waiting = runtime.wait(&work);
            let acting = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let (node, args) = (node.host.clone(), [act, &[&id]].concat());
                let done = Command::new("docker").args(["-H", &node]).args(&args).output().unwrap();
                assert!(done.status.success(), "{done:?}");
            };
            tokio::join!(waiting, acting).0
        });
        let ended = both.await.unwrap();
        assert_eq!(ended.cause, cause, "docker {act:?}: {ended:?}");
        until_removed(&runtime, work.task_id).await;
    }
}

#[tokio::test]
async fn a_container_that_a_stranger_restarts_goes_on() {
    let node = DockerNode::new();
    let (runtime, work) = (node.runtime(), node.shell(RUN));
    let id = begin(&runtime, &work).await;
    let mut waiting = runtime.wait(&work);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    let host = node.host.clone();
    let restarting = tokio::task::spawn_blocking(move || {
        Command::new("docker").args(["-H", &host, "restart", &id]).output().unwrap()
    });
    tokio::select! {
        ended = &mut waiting => panic!("{ended:?}"),
        done = soon(restarting) => assert!(done.unwrap().status.success()),
    }
    soon(runtime.stop(work.task_id, Duration::from_secs(10))).await.unwrap();
    assert_eq!(soon(waiting).await.unwrap().cause, EndCause::Asked);
    until_removed(&runtime, work.task_id).await;
}

#[tokio::test]
async fn a_stranger_is_found_out_by_an_agent_that_comes_later() {
    let node = DockerNode::new();
    let work = node.shell(RUN);
    let id = begin(&node.runtime(), &work).await;
    node.docker(&["kill", &id]);
    let runtime = node.runtime();
    let ended = finish(&runtime, &work).await;
    assert_eq!(
        (ended.cause, ended.exit_code, ended.signal),
        (EndCause::KilledOutside, Some(137), 9),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_container_with_a_health_check_is_ready_when_it_has_passed() {
    let node = DockerNode::new();
    let check = HealthCheck {
        test: vec!["CMD-SHELL".into(), "test -e /tmp/up".into()],
        interval_ns: 200_000_000,
        timeout_ns: 5_000_000_000,
        retries: 1000,
        ..HealthCheck::default()
    };
    let (runtime, work) =
        (node.runtime(), node.with(ContainerSpec { health: Some(check), ..shell(RUN) }));
    let id = begin(&runtime, &work).await;
    let mut ready = runtime.ready(&work);
    assert!(
        tokio::time::timeout(Duration::from_millis(1500), &mut ready).await.is_err(),
        "it cannot be ready before the file is there"
    );
    node.docker(&["exec", &id, "touch", "/tmp/up"]);
    soon(ready).await.unwrap();
    soon(runtime.stop(work.task_id, Duration::from_secs(10))).await.unwrap();
    assert_eq!(finish(&runtime, &work).await.cause, EndCause::Asked);
}

#[tokio::test]
async fn a_container_that_turns_unhealthy_is_stopped_and_says_so() {
    let node = DockerNode::new();
    let check = HealthCheck {
        test: vec!["CMD".into(), "false".into()],
        interval_ns: 100_000_000,
        timeout_ns: 5_000_000_000,
        retries: 2,
        ..HealthCheck::default()
    };
    let (runtime, work) =
        (node.runtime(), node.with(ContainerSpec { health: Some(check), ..shell(RUN) }));
    begin(&runtime, &work).await;
    let (ready, ended) =
        soon(async { tokio::join!(runtime.ready(&work), runtime.wait(&work)) }).await;
    assert_eq!(ready, Err(RuntimeError::Gone));
    let ended = ended.unwrap();
    assert_eq!(ended.cause, EndCause::Unhealthy);
    assert_eq!(ended.error, "the last one exited with code 1");
    until_removed(&runtime, work.task_id).await;
}

/// The engine itself now and then loses the kernel's word, for ever: where the container's cgroup
/// is gone before it has been read. So it has a few containers to tell it of.
#[tokio::test]
async fn want_of_memory_is_told() {
    const CONTAINERS_MAX: usize = 5;
    let node = DockerNode::new();
    let runtime = node.runtime();
    let limits = Resources { memory_bytes: 16 << 20, ..Resources::default() };
    for _ in 0..CONTAINERS_MAX {
        // The memory is taken by the first process itself: the kernel then ends the container with
        // it.
        let mut work = node.shell("x=x; while :; do x=$x$x; done");
        std::sync::Arc::make_mut(&mut work.spec).resources = Some(ResourceRequirements {
            limits: Some(limits.clone()),
            ..ResourceRequirements::default()
        });
        begin(&runtime, &work).await;
        let ended = finish(&runtime, &work).await;
        assert_eq!((ended.exit_code, ended.cause), (Some(137), EndCause::Itself), "{ended:?}");
        if ended.out_of_memory {
            return;
        }
    }
    panic!("the engine told of none of {CONTAINERS_MAX} containers that they wanted memory");
}

#[tokio::test]
async fn published_ports_are_told_with_the_automatic_ones_filled_in() {
    let node = DockerNode::new();
    let mut work = node.shell(RUN);
    std::sync::Arc::make_mut(&mut work.spec).networks =
        vec![NetworkAttachment { target: "bridge".into(), ..NetworkAttachment::default() }];
    let port = |published_port| PortConfig {
        target_port: 80,
        published_port,
        publish_mode: PublishMode::Host as i32,
        ..PortConfig::default()
    };
    work.ports = vec![port(18_080), port(0)];
    let runtime = node.runtime();
    soon(runtime.prepare(&work, &|_| {})).await.unwrap();
    let started = soon(runtime.start(&work)).await.unwrap();
    assert!(started.pid > 0);
    assert!(started.ports.contains(&port(18_080)), "{started:?}");
    assert_eq!(started.ports.len(), 2, "each once: {started:?}");
    assert!(started.ports.iter().all(|port| port.published_port > 0));
    until_removed(&runtime, work.task_id).await;
}

#[tokio::test]
async fn an_image_that_is_absent_is_pulled_with_its_bytes_told() {
    let node = DockerNode::new();
    let registry = registry::Registry::start(&node.host, 5000);
    let image = registry.image("1");
    let work = node.with(ContainerSpec { image: image.clone(), ..ContainerSpec::default() });
    let runtime = node.runtime();
    let news = Mutex::new(Vec::new());
    let tell = |progress: PullUpdate| news.lock().unwrap().push(progress);
    let prepared = soon(runtime.prepare(&work, &tell)).await.unwrap();
    assert!(prepared.image_digest.starts_with("sha256:"), "{prepared:?}");
    let news = news.into_inner().unwrap();
    let last = news.last().unwrap();
    assert!(last.total_bytes > 100_000 && last.done_bytes == last.total_bytes, "{news:?}");
    assert!(news.is_sorted_by_key(|progress| progress.done_bytes), "{news:?}");
    soon(runtime.start(&work)).await.unwrap();
    soon(runtime.wait(&work)).await.unwrap();
    assert_eq!(lines(&runtime, &work, LogQuery::default()).await, ["hello"]);
    let found = soon(runtime.list(node.id)).await.unwrap();
    assert_eq!(found[0].image_digest, prepared.image_digest);
    until_removed(&runtime, work.task_id).await;
    // What is here is not asked for again: the registry is gone, and nobody misses it.
    drop(registry);
    let news = Mutex::new(0);
    let again = Workload { task_id: Id(work.task_id.0 ^ (1 << 40)), ..work };
    soon(runtime.prepare(&again, &|_| *news.lock().unwrap() += 1)).await.unwrap();
    assert_eq!(news.into_inner().unwrap(), 0);
    until_removed(&runtime, again.task_id).await;
    node.docker(&["rmi", &image]);
}

#[tokio::test]
async fn a_pull_that_goes_wrong_is_told_in_the_registrys_words() {
    let node = DockerNode::new();
    let registry = registry::Registry::start(&node.host, 5001);
    let refused = "127.0.0.1:5002/nobody/listens:1".to_owned();
    for (image, reason) in [(registry.image("9"), "not found"), (refused, "connection refused")] {
        let work = node.with(ContainerSpec { image: image.clone(), ..ContainerSpec::default() });
        match soon(node.runtime().prepare(&work, &|_| {})).await {
            Err(error @ RuntimeError::PullFailed { .. }) => {
                let text = error.to_string();
                assert!(text.contains(&image) && text.contains(reason), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_terminals_output_is_lines_too() {
    let node = DockerNode::new();
    let work = node.with(ContainerSpec { tty: true, ..shell("echo one; echo two >&2; tty") });
    assert_eq!(output(&node, &work).await, ["one", "two", "/dev/pts/0"]);
}

#[tokio::test]
async fn a_log_driver_that_cannot_be_read_is_said_so() {
    let node = DockerNode::new();
    let (runtime, mut work) = (node.runtime(), node.shell("echo lost"));
    std::sync::Arc::make_mut(&mut work.spec).log_driver =
        Some(skep_proto::v1::LogDriver { name: "none".into(), ..Default::default() });
    begin(&runtime, &work).await;
    soon(runtime.wait(&work)).await.unwrap();
    let outcome = soon(runtime.logs(work.task_id, LogQuery::default())).await;
    assert!(
        matches!(&outcome, Err(RuntimeError::Rejected(message)) if message.contains("reading")),
        "{:?}",
        outcome.err()
    );
    until_removed(&runtime, work.task_id).await;
}

#[tokio::test]
async fn an_engine_says_what_it_offers() {
    let offer = soon(DockerNode::new().runtime().describe()).await.unwrap();
    assert_eq!(offer.platform.os, "linux");
    assert!(offer.resources.nano_cpus >= 1_000_000_000 && offer.resources.memory_bytes > 0);
    let engine = offer.engine.unwrap();
    assert!(!engine.version.is_empty());
    assert!(
        engine.plugins.iter().any(|plugin| plugin.r#type == "Volume" && plugin.name == "local")
    );
    assert!(
        offer.features.contains(&Feature::Images)
            && offer.features.contains(&Feature::BridgeNetwork)
    );
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable_and_nothing_else() {
    let node = DockerNode::on("unix:///tmp/no-such-engine.sock".into());
    let (runtime, work) = (node.runtime(), node.shell(RUN));
    let unreachable = |error: RuntimeError| {
        let RuntimeError::Unreachable(message) = &error else { panic!("{error:?}") };
        assert!(message.contains("/tmp/no-such-engine.sock"), "{message}");
    };
    unreachable(soon(runtime.describe()).await.unwrap_err());
    unreachable(soon(runtime.prepare(&work, &|_| {})).await.unwrap_err());
    unreachable(soon(runtime.list(work.node_id)).await.unwrap_err());
    soon(runtime.stop(work.task_id, Duration::ZERO)).await.expect("nothing was ever created");
}

#[tokio::test]
async fn an_engine_that_stops_is_not_the_containers_failure() {
    let mut engine = OwnEngine::start("stop", &[]);
    let node = DockerNode::on(engine.host());
    for crash in [false, true] {
        let (runtime, work) = (node.runtime(), node.shell(RUN));
        begin(&runtime, &work).await;
        let stopping = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(300));
            if crash {
                engine.kill();
            } else {
                engine.halt();
            }
            engine.start_again();
            engine
        });
        let (ended, back) = soon(async { tokio::join!(runtime.wait(&work), stopping) }).await;
        engine = back.unwrap();
        let ended = ended.unwrap();
        assert_eq!(ended.cause, EndCause::EngineStopped, "crash: {crash}, {ended:?}");
        let found = soon(node.runtime().list(node.id)).await.unwrap();
        assert!(
            matches!(&found[0].state, FoundState::Ended(_, ended) if ended.cause == EndCause::EngineStopped),
            "an agent that was away too: {found:?}"
        );
        until_removed(&runtime, work.task_id).await;
    }
}

#[tokio::test]
async fn with_live_restore_an_engines_restart_stops_nothing() {
    let engine = OwnEngine::start("live", &["--live-restore"]);
    let node = DockerNode::on(engine.host());
    let (runtime, work) = (node.runtime(), node.shell(RUN));
    let id = begin(&runtime, &work).await;
    let mut waiting = runtime.wait(&work);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    for crash in [false, true] {
        if crash {
            engine.kill();
        } else {
            engine.halt();
        }
        // While it is away nothing is known, and nothing is decided.
        let unsure = tokio::time::timeout(Duration::from_millis(500), &mut waiting).await;
        assert!(unsure.is_err(), "{unsure:?}");
        engine.start_again();
        let found = soon(async {
            loop {
                match runtime.list(node.id).await {
                    Ok(found) => break found,
                    Err(RuntimeError::Unreachable(_)) => {
                        tokio::time::sleep(Duration::from_millis(50)).await
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        assert!(
            matches!(&found[0].state, FoundState::Running(started) if started.container_ref == id),
            "{found:?}"
        );
    }
    soon(runtime.stop(work.task_id, Duration::from_secs(10))).await.unwrap();
    assert_eq!(soon(waiting).await.unwrap().cause, EndCause::Asked);
    until_removed(&runtime, work.task_id).await;
}
