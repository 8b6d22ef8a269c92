//! How a machine changes between worker and manager while its tasks run on: its agent hears what it
//! is to be, ends, and begins again beside what the machine is then.

use super::{MachineDaemon, MachineRole};
use crate::daemon::{
    joined, lifecycle,
    lifecycle::{BegunBy, RoleChange},
    local::LocalProblem,
    promoted,
};
use anyhow::{Context, Result};
use skep_agent::{AgentHandle, AgentStatus, ManagerEndpoint};
use skep_gateway::{door::DoorAddress, manager::ManagerPromotion};
use skep_proto::v1::NodeRole;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Pause before a worker that could not become a manager tries it again.
pub(super) const PROMOTION_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Returns when the machine is to become something else. `own` is its number in raft as a manager.
pub(super) async fn role_changes(agent: AgentHandle, own: Option<u64>) -> RoleChange {
    let mut status = agent.status();
    loop {
        let wanted = status.borrow_and_update().membership;
        let change = wanted.and_then(|wanted| {
            lifecycle::role_change(own, (wanted.role, wanted.raft_id), agent.role())
        });
        if let Some(change) = change {
            return change;
        }
        let is_manager = agent.role() == Some(NodeRole::Manager);
        tokio::select! {
            changed = status.changed() => if changed.is_err() {
                // The agent has ended: nothing is heard any more.
                return std::future::pending().await;
            },
            () = agent.certified_as(NodeRole::Manager), if !is_manager => {}
        }
    }
}

/// Returns when the cluster has said that the node is to be a worker.
pub(super) async fn promotion_taken_back(agent: AgentHandle) {
    let mut status = agent.status();
    let is_worker = |status: &AgentStatus| {
        status.membership.is_some_and(|wanted| wanted.role == NodeRole::Worker)
    };
    if status.wait_for(is_worker).await.is_err() {
        // The agent has ended: nothing is heard any more.
        std::future::pending::<()>().await;
    }
}

impl MachineDaemon {
    /// A worker becomes a manager. Where it can't, it stays a worker, and tries again after a
    /// while.
    pub(super) async fn promoted(
        &mut self,
        status: &AgentStatus,
        stop: &CancellationToken,
    ) -> Result<MachineRole> {
        let error = match self.promote(status) {
            Ok(role) => {
                self.inbox.state.send_modify(|local| local.problem = LocalProblem::default());
                return Ok(role);
            }
            Err(error) => error,
        };
        self.not_promoted(&error);
        stop.run_until_cancelled(sleep(PROMOTION_RETRY_DELAY)).await;
        Ok(MachineRole::Worker(joined::follow(&self.state)?, BegunBy::Start))
    }

    /// It stays a worker. The same reason is told once.
    pub(super) fn not_promoted(&self, error: &anyhow::Error) {
        let mut problem = LocalProblem::of(error);
        if problem.hint.is_empty() {
            problem.hint = "remove what is in the way, and it goes on by itself within seconds; `skep node demote` on \
                            a manager takes the promotion back"
                .into();
        }
        if self.inbox.state.borrow().problem.message != problem.message {
            tracing::warn!("this node can't become a manager yet: {}", problem.message);
        }
        self.inbox.state.send_modify(|local| local.problem = problem);
    }

    /// As which manager it would begin. Refused where it can't listen for the others.
    pub(super) fn promotion(&self, status: &AgentStatus) -> Result<ManagerPromotion> {
        let wanted = status.membership.context("nobody has said what this node is to be")?;
        let managers = addresses(status);
        let first = managers.first().map_or("", String::as_str);
        Ok(ManagerPromotion {
            raft_id: wanted.raft_id,
            lineage: wanted.lineage,
            cluster: status.cluster_id,
            port: self.port.choose(first).context("the port of this manager")?,
            managers,
        })
    }

    /// What it is to be is written down first.
    fn promote(&self, status: &AgentStatus) -> Result<MachineRole> {
        let manager = self.promotion(status)?;
        tracing::info!(
            number = manager.raft_id, listen = %manager.port.listen,
            advertise = %manager.port.advertise, "this node becomes a manager; tasks go on"
        );
        promoted::promote(&self.state, status.node_id, &manager)?;
        Ok(MachineRole::Manager(BegunBy::Start))
    }

    /// A manager becomes a worker, which follows the managers that it knows. `port` is where it was
    /// found as a manager, and will be if it becomes one again.
    pub(super) fn demoted(
        &mut self,
        status: &AgentStatus,
        port: Option<DoorAddress>,
    ) -> Result<MachineRole> {
        if let Some(port) = port {
            self.port = promoted::PortWish::of(port);
            self.port.write(&self.state)?;
        }
        let managers = addresses(status);
        let manager = managers.first().context("no other manager is known")?;
        tracing::info!(manager, "this node is a manager no more; tasks go on");
        // A worker's key is not sealed, and what opens this one is removed with the rest.
        self.clear_node_key()?;
        promoted::demote(&self.state, manager)?;
        Ok(MachineRole::Worker(joined::follow(&self.state)?, BegunBy::Start))
    }
}

/// Where managers are found, the one of the session first.
fn addresses(status: &AgentStatus) -> Vec<String> {
    let mut managers: Vec<_> = status.managers.iter().collect();
    managers.sort_by_key(|manager| !manager.attached);
    let network = managers.into_iter().filter_map(|manager| match &manager.endpoint {
        ManagerEndpoint::Network(address) => Some(address.clone()),
        ManagerEndpoint::Unix(_) => None,
    });
    network.collect()
}
