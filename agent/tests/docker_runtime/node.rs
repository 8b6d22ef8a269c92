//! An agent beside an engine, and the workloads that the tests run on it.

use crate::engines;
use futures::{StreamExt, future::BoxFuture};
use skep_agent::runtime::{
    LogQuery, Runtime, TaskEnd, Workload,
    conformance::{Program, TestedRuntime},
    docker::DockerRuntime,
};
use skep_proto::{
    Id,
    v1::{ContainerSpec, NetworkAttachment, TaskSpec, task_spec::Runtime as Kind},
};
use std::{future::Future, process::Command, sync::Arc, time::Duration};

/// An agent's state folder beside an engine.
pub(crate) struct DockerNode {
    pub host: String,
    dir: tempfile::TempDir,
    pub id: Id,
    tasks: std::sync::atomic::AtomicU32,
}

impl DockerNode {
    pub(crate) fn new() -> DockerNode {
        DockerNode::on(engines::shared())
    }

    pub(crate) fn on(host: String) -> DockerNode {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).unwrap();
        DockerNode {
            host,
            dir: tempfile::tempdir().unwrap(),
            id: Id(u128::from_be_bytes(bytes)),
            tasks: std::sync::atomic::AtomicU32::new(0),
        }
    }

    pub(crate) fn runtime(&self) -> DockerRuntime {
        DockerRuntime::open(self.dir.path(), &self.host).unwrap()
    }

    /// A new task of this node.
    pub(crate) fn with(&self, container: ContainerSpec) -> Workload {
        let mut work = workload(container);
        let number = self.tasks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        work.task_id = Id(self.id.0 ^ u128::from(number));
        work.node_id = self.id;
        work
    }

    pub(crate) fn shell(&self, script: &str) -> Workload {
        self.with(shell(script))
    }

    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let done = Command::new("docker").args(["-H", &self.host]).args(args).output().unwrap();
        assert!(
            done.status.success(),
            "docker {args:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap()
    }

    pub(crate) fn inspect(&self, container: &str) -> serde_json::Value {
        let all: serde_json::Value =
            serde_json::from_str(&self.docker(&["inspect", container])).unwrap();
        all[0].clone()
    }
}

impl TestedRuntime for DockerNode {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Runtime>> {
        Box::pin(async { Arc::new(self.runtime()) as Arc<dyn Runtime> })
    }

    fn workload(&self, program: &Program) -> Workload {
        match program {
            Program::Run => workload(shell(RUN)),
            Program::Exit(code) => workload(shell(&format!("exit {code}"))),
            // The first process of a container cannot kill itself; with an init before it, it is
            // not the first.
            Program::Signal(signal) => {
                workload(ContainerSpec { init: Some(true), ..shell(&format!("kill -{signal} $$")) })
            }
            // The first process of a container takes no notice of what it has no handler for.
            Program::Stubborn => workload(shell("exec sleep 1000")),
            Program::Print(lines) => workload(shell(&print(lines))),
            // What it prints says that it is ready to be stopped.
            Program::PrintAndRun(lines) => workload(shell(&format!("{TRAP}{}{RUN}", print(lines)))),
            Program::Missing => {
                workload(ContainerSpec { image: "no-such-image-here:1".into(), ..shell("") })
            }
        }
    }
}

/// The first process of a container takes no notice of signals that it does not expect.
const TRAP: &str = "trap 'exit 0' TERM; ";
/// Ends at once when asked to.
pub(crate) const RUN: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

fn print(lines: &[String]) -> String {
    let line = |text: &String| match text.strip_prefix('!') {
        Some(_) => format!("echo '{text}' >&2; "),
        None => format!("echo '{text}'; "),
    };
    lines.iter().map(line).collect()
}

pub(crate) fn shell(script: &str) -> ContainerSpec {
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    ContainerSpec { image: "busybox".into(), args, ..ContainerSpec::default() }
}

fn workload(container: ContainerSpec) -> Workload {
    // Without a network, since that is quicker; the tests of networks say so.
    let networks =
        vec![NetworkAttachment { target: "none".into(), ..NetworkAttachment::default() }];
    let spec =
        TaskSpec { runtime: Some(Kind::Container(container)), networks, ..TaskSpec::default() };
    Workload {
        service_name: "web".into(),
        slot: 2,
        service_id: Id(77),
        spec: spec.into(),
        ..Workload::default()
    }
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), what).await.expect("within a minute and a half")
}

/// Removes it, and asks again while the engine is too busy to do it, as an agent does.
#[allow(clippy::print_stdout, reason = "a failed test shows what it waited for")]
pub(crate) async fn until_removed(runtime: &DockerRuntime, task: Id) {
    let removed = async {
        while let Err(error) = runtime.remove(task).await {
            println!("removing again: {error:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon(removed).await;
}

pub(crate) async fn begin(runtime: &DockerRuntime, work: &Workload) -> String {
    soon(runtime.prepare(work, &|_| {})).await.unwrap();
    soon(runtime.start(work)).await.unwrap().container_ref
}

pub(crate) async fn finish(runtime: &DockerRuntime, work: &Workload) -> TaskEnd {
    let ended = soon(runtime.wait(work)).await.unwrap();
    until_removed(runtime, work.task_id).await;
    ended
}

pub(crate) async fn lines(
    runtime: &DockerRuntime,
    work: &Workload,
    query: LogQuery,
) -> Vec<String> {
    let lines = soon(runtime.logs(work.task_id, query)).await.unwrap();
    soon(
        lines
            .map(|item| String::from_utf8_lossy(&item.unwrap().line().unwrap().text).into_owned())
            .collect(),
    )
    .await
}

/// Runs to the end and returns what it wrote.
pub(crate) async fn output(node: &DockerNode, work: &Workload) -> Vec<String> {
    let runtime = node.runtime();
    begin(&runtime, work).await;
    let ended = soon(runtime.wait(work)).await.unwrap();
    let lines = lines(&runtime, work, LogQuery::default()).await;
    assert_eq!(ended.exit_code, Some(0), "{ended:?} {lines:?}");
    until_removed(&runtime, work.task_id).await;
    lines
}
