//! A machine that is a manager, with its own agent.

use super::{MachineDaemon, MachineRole, end_of, locked::KeyFiles, roles::role_changes};
use crate::daemon::{
    lifecycle::{self, Afterwards, AgentEnd, BegunBy, RoleChange},
    local::LocalProblem,
    node::{self, FollowedEndpoint, FollowedProcess},
    promoted,
    settings::DaemonMode,
};
use anyhow::{Context, Result};
use skep_agent::{AgentError, AgentHandle, ManagerEndpoint, NodeAgent};
use skep_gateway::manager::{self, ManagerConfig, ManagerError};
use skep_proto::v1::LocalNodeState;
use std::pin::pin;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The two halves of a manager's machine, while they run.
struct ManagerHalves {
    managing: JoinHandle<ManagingEnd>,
    following: JoinHandle<Result<(), AgentError>>,
    /// Ends both.
    end: CancellationToken,
    /// The manager's number in raft.
    own: u64,
}

/// The end of a manager: where it was found, if it has ended in order.
type ManagingEnd = Result<Option<skep_gateway::door::DoorAddress>, ManagerError>;
/// How manager and agent have ended, and what the machine is to become.
type HowItEnded = (ManagingEnd, Result<(), AgentError>, Option<RoleChange>);

/// The number in raft of the manager that has founded its cluster.
const FIRST_MANAGER: u64 = 1;

impl MachineDaemon {
    pub(super) async fn manage(
        &mut self,
        by: BegunBy,
        stop: &CancellationToken,
    ) -> Result<Option<MachineRole>> {
        let Some(keys) = self.keys(stop).await? else { return Ok(None) };
        let (config, agent) = match (self.halves(keys).await, by) {
            (Ok(halves), _) => halves,
            (Err(error), BegunBy::Request) => {
                return self.forgotten(LocalProblem::of(&error)).map(Some);
            }
            (Err(error), BegunBy::Start) => return Err(error),
        };
        let socket = self.settings.listen_control.display().to_string();
        tracing::info!(socket, state = %self.state.path().display(), "starting");
        let address = format!("unix://{socket}");
        // Who has founded the cluster is the first one.
        let own = config.joined.as_ref().map_or(FIRST_MANAGER, |joined| joined.raft_id);
        let (handle, end) = (agent.handle(), stop.child_token());
        self.inbox.state.send_modify(|local| {
            local.decided = LocalNodeState::Manager;
            local.follower = Some((handle.clone(), address));
        });
        let managing = tokio::spawn(manager::run(config, end.clone()));
        let following = tokio::spawn(agent.run(end.clone()));
        let halves = ManagerHalves { managing, following, end, own };
        let (managed, followed, change) = self.until_both_end(halves, &handle).await?;
        let port =
            managed.with_context(|| format!("state folder {}", self.state.path().display()))?;
        if let (Some(RoleChange::BecomeWorker), Ok(())) = (change, &followed) {
            let status = handle.status().borrow().clone();
            return self.demoted(&status, port).map(Some);
        }
        let state = self.inbox.state.borrow().state();
        match lifecycle::after_managing(state, end_of(&followed)) {
            Afterwards::Stop => Ok(None),
            Afterwards::Fail => Err(followed.err().context("the agent's end")?.into()),
            Afterwards::MoveAside | Afterwards::Forget => {
                if end_of(&followed) == AgentEnd::Removed {
                    // There is no manager left to speak of.
                    self.inbox.state.send_modify(|local| local.problem = LocalProblem::removed());
                }
                self.left(LocalProblem::default()).map(Some)
            }
        }
    }

    /// Both halves, ready to run; nothing of the cluster is on the disk yet but the keys of its
    /// log.
    async fn halves(&self, keys: KeyFiles) -> Result<(ManagerConfig, NodeAgent)> {
        let runtime = node::runtime(&self.state, &self.settings.node)?;
        let config = self.manager_config(keys).await?;
        let endpoint = ManagerEndpoint::Unix(self.settings.listen_control.clone());
        let follows = match config.joined {
            None => FollowedProcess::Founder,
            Some(_) => FollowedProcess::Joined,
        };
        let own = FollowedEndpoint { endpoint, join_token: None, follows };
        Ok((
            config,
            node::agent(&self.state, &self.settings.node, own, (runtime, self.lock.clone()))?,
        ))
    }

    async fn manager_config(&self, keys: KeyFiles) -> Result<ManagerConfig> {
        let settings = &self.settings;
        let metrics = match settings.metrics_listen {
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .with_context(|| format!("--metrics-listen {address}"))?,
            ),
            None => None,
        };
        Ok(ManagerConfig {
            state_dir: self.state.path().to_owned(),
            control: self.listener()?,
            local: self.routes(),
            metrics,
            genesis: settings.genesis.clone(),
            heartbeat_period_ns: settings.heartbeat_period.map(|period| period.as_nanos() as u64),
            safe_mode: settings.mode == DaemonMode::Safe,
            joined: promoted::read(&self.state)?,
            keys: keys.for_manager()?,
        })
    }

    /// Answers what is asked meanwhile. The manager's end is the agent's too; the manager goes on
    /// without its agent, unless the machine leaves.
    async fn until_both_end(
        &mut self,
        mut halves: ManagerHalves,
        agent: &AgentHandle,
    ) -> Result<HowItEnded> {
        let (mut followed, mut change) = (None, None);
        let mut changes = pin!(role_changes(agent.clone(), Some(halves.own)));
        let managed = loop {
            if let Some(ended) = &followed {
                let state = self.inbox.state.borrow().state();
                if lifecycle::after_managing(state, end_of(ended)) == Afterwards::MoveAside {
                    halves.end.cancel();
                }
            }
            tokio::select! {
                managed = &mut halves.managing => break managed.context("the manager's task")?,
                ended = &mut halves.following, if followed.is_none() => {
                    let ended = ended.context("the agent's task")?;
                    if end_of(&ended) == AgentEnd::Removed {
                        self.removed_manager();
                    }
                    followed = Some(ended);
                }
                Some(waiting) = self.inbox.next() => self.answer_member(waiting, agent),
                found = &mut changes, if change.is_none() && !self.is_leaving() => {
                    change = Some(found);
                    halves.end.cancel();
                }
            }
        };
        halves.end.cancel();
        let followed = match followed {
            Some(ended) => ended,
            None => halves.following.await.context("the agent's task")?,
        };
        Ok((managed, followed, change))
    }

    /// The cluster has removed this machine's node while it was away. Its manager goes on, so that
    /// its history can be read.
    fn removed_manager(&self) {
        let problem = LocalProblem {
            message: "this node was removed from its cluster: the other managers refuse it, and what this one shows is old"
                .into(),
            hint: "`skep cluster leave --force` moves its state aside; then `skep cluster join` joins a cluster as a new node"
                .into(),
        };
        tracing::warn!(hint = problem.hint, "{}", problem.message);
        self.inbox.state.send_modify(|local| local.problem = problem);
    }
}
