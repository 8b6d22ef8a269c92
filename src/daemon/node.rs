//! The agent's part of a node: its runtime, fixed at the first start, and what it says of the
//! machine.

use super::{advice::Advice, settings::NodeSettings, state::StateDir};
use anyhow::{Context, Result};
use skep_agent::{
    AgentConfig, ManagerEndpoint, NodeAgent,
    runtime::{
        Runtime,
        docker::DockerRuntime,
        process::{ProcessRuntime, ShimProgram},
    },
    session::runtime_of,
};
use skep_proto::v1::RuntimeKind;
use skep_trust::{JoinToken, KeyLock};
use std::{path::PathBuf, sync::Arc};

/// Where an engine listens unless somebody says otherwise.
const DOCKER_SOCKET: &str = "unix:///var/run/docker.sock";

/// Whom an agent follows.
pub(super) struct FollowedEndpoint {
    /// Where it is.
    pub(super) endpoint: ManagerEndpoint,
    /// Shown at the first contact over the network.
    pub(super) join_token: Option<JoinToken>,
    /// Whose manager it is.
    pub(super) follows: FollowedProcess,
}

/// Which manager an agent follows first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FollowedProcess {
    /// The one of this very process, which has founded its cluster.
    Founder,
    /// The one of this very process, which has joined others.
    Joined,
    /// One of another process.
    Other,
}

/// What runs this node's tasks. It is chosen at the first start and kept by the agent. An engine
/// that cannot be reached is waited for; the daemon never falls back to another runtime.
pub(super) fn runtime(state: &StateDir, settings: &NodeSettings) -> Result<Arc<dyn Runtime>> {
    let kept = runtime_of(state.path())?;
    // The agent refuses a choice that differs from the kept one, with a message.
    match settings.runtime.or(kept).unwrap_or(RuntimeKind::Docker) {
        RuntimeKind::Docker | RuntimeKind::Fake => {
            let host = settings.docker_host.as_deref().unwrap_or(DOCKER_SOCKET);
            let runtime = DockerRuntime::open(state.path(), host)
                .with_context(|| format!("--docker-host {host}"))?;
            Ok(Arc::new(runtime))
        }
        RuntimeKind::Process => {
            if let Some(host) = &settings.docker_host {
                let message = format!(
                    "--docker-host {host} has no effect: this node was set up with the process runtime"
                );
                return Err(Advice::wrong_input(message, "leave --docker-host out").into());
            }
            let runtime = ProcessRuntime::open(state.path(), ShimProgram::default())
                .with_context(|| format!("state folder {}", state.path().display()))?;
            Ok(Arc::new(runtime))
        }
    }
}

/// Where the agent keeps the node's key and certificate.
pub(super) fn certificates(state: &StateDir) -> PathBuf {
    state.path().join("agent").join("certificates")
}

/// The agent over that runtime, not yet running.
pub(super) fn agent(
    state: &StateDir,
    settings: &NodeSettings,
    manager: FollowedEndpoint,
    (runtime, key_lock): (Arc<dyn Runtime>, KeyLock),
) -> Result<NodeAgent> {
    Ok(NodeAgent::open(AgentConfig {
        state_dir: state.path().to_owned(),
        is_managers_own: manager.follows != FollowedProcess::Other,
        is_founders_own: manager.follows == FollowedProcess::Founder,
        manager: manager.endpoint,
        key_lock,
        join_token: manager.join_token,
        hostname: settings.hostname.clone(),
        labels: settings.labels.clone(),
        availability: settings.availability,
        reserve: settings.system_reserve,
        runtime,
        addr: String::new(),
        version: env!("CARGO_PKG_VERSION").into(),
    })?)
}
