//! The agent's part of a node: its runtime, fixed at the first start, and what it says of the machine.

use super::state::StateDir;
use crate::cli::processes::{NodeArgs, RuntimeChoice};
use anyhow::{Context, Result};
use skep_agent::{
    Agent, AgentConfig, Target,
    machine::{self, Reserve},
    runtime::{
        Runtime,
        docker::DockerRuntime,
        process::{ProcessRuntime, ShimProgram},
    },
    session::runtime_of,
};
use skep_proto::v1::RuntimeKind;
use std::{path::Path, sync::Arc};

/// Where an engine listens unless somebody says otherwise.
const DOCKER_SOCKET: &str = "unix:///var/run/docker.sock";

/// What runs this node's tasks. Chosen at the first start and kept by the agent: an engine that cannot be reached
/// is waited for, never replaced by something else.
pub fn runtime(state: &StateDir, args: &NodeArgs) -> Result<Arc<dyn Runtime>> {
    let kept = runtime_of(state.path())?.map(|kind| match kind {
        RuntimeKind::Process => RuntimeChoice::Process,
        RuntimeKind::Docker | RuntimeKind::Fake => RuntimeChoice::Docker,
    });
    // A choice that differs from the kept one is refused by the agent, in words.
    match args.runtime.or(kept).unwrap_or(RuntimeChoice::Docker) {
        RuntimeChoice::Docker => {
            let host = args.docker_host.as_deref().unwrap_or(DOCKER_SOCKET);
            let runtime =
                DockerRuntime::open(state.path(), host).with_context(|| format!("--docker-host {host}"))?;
            Ok(Arc::new(runtime))
        }
        RuntimeChoice::Process => {
            let runtime = ProcessRuntime::open(state.path(), ShimProgram::default())
                .with_context(|| format!("state folder {}", state.path().display()))?;
            Ok(Arc::new(runtime))
        }
    }
}

/// The agent over that runtime, not yet running.
pub fn agent(state: &StateDir, args: &NodeArgs, manager: &Path, runtime: Arc<dyn Runtime>) -> Result<Agent> {
    let agent = Agent::open(AgentConfig {
        state_dir: state.path().to_owned(),
        manager: Target::Unix(manager.to_owned()),
        hostname: args.hostname.clone().unwrap_or_else(machine::hostname),
        labels: args.labels.iter().cloned().collect(),
        reserve: Reserve { nano_cpus: args.reserve_cpus, memory_bytes: args.reserve_memory },
        runtime,
        addr: String::new(),
        version: env!("CARGO_PKG_VERSION").into(),
    })?;
    Ok(agent)
}
