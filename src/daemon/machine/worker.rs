//! A machine that follows the manager of another one.

use super::{MachineDaemon, MachineRole, end_of, roles};
use crate::daemon::{
    joined::JoinedCluster,
    lifecycle::{self, Afterwards, AgentEnd, BegunBy, RoleChange},
    local::LocalProblem,
    node::{self, FollowedEndpoint, FollowedProcess},
    promoted,
};
use anyhow::{Context, Result};
use skep_agent::{AgentError, AgentHandle, ManagerEndpoint, NodeAgent};
use skep_proto::v1::LocalNodeState;
use std::{pin::Pin, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How the time of a worker ended.
enum FollowerEnd {
    /// Its agent ended.
    Ended(Result<(), AgentError>),
    /// It is to become a manager.
    Promoted,
}

impl MachineDaemon {
    pub(super) async fn follow(
        &mut self,
        joined: JoinedCluster,
        by: BegunBy,
        stop: &CancellationToken,
    ) -> Result<Option<MachineRole>> {
        promoted::tidy(&self.state)?;
        let address = joined.address.clone();
        let (agent, handle) = match (self.follower(joined), by) {
            (Ok(agent), _) => agent,
            (Err(error), BegunBy::Request) => {
                return self.forgotten(LocalProblem::of(&error)).map(Some);
            }
            (Err(error), BegunBy::Start) => return Err(error),
        };
        self.inbox.state.send_modify(|local| {
            local.decided = LocalNodeState::Worker;
            local.follower = Some((handle.clone(), address.clone()));
        });
        tracing::info!(manager = address, state = %self.state.path().display(), "following the manager of another machine");
        let end = stop.child_token();
        let serving = self.serve(&end)?;
        let following = tokio::spawn(agent.run(end.clone()));
        let ended = self.until_it_ends(following, &handle, &end).await;
        let state = self.inbox.state.borrow().state();
        self.wind_down(&end, serving).await?;
        let ended = match ended? {
            FollowerEnd::Promoted => {
                let status = handle.status().borrow().clone();
                return Ok(Some(self.promoted(&status, stop).await?));
            }
            FollowerEnd::Ended(ended) => ended,
        };
        let how = end_of(&ended);
        match (lifecycle::after_following(state, how, by), ended) {
            (Afterwards::Stop, _) | (Afterwards::Fail, Ok(())) => Ok(None),
            (Afterwards::Fail, Err(error)) => Err(error.into()),
            (Afterwards::MoveAside, _) => self.left(why_left(how)).map(Some),
            (Afterwards::Forget, Ok(())) => self.forgotten(LocalProblem::default()).map(Some),
            (Afterwards::Forget, Err(error)) => {
                let problem = match how {
                    AgentEnd::Left => given_up(),
                    AgentEnd::Removed => LocalProblem::removed(),
                    AgentEnd::Stopped | AgentEnd::Failed => LocalProblem::of(&error.into()),
                };
                self.forgotten(problem).map(Some)
            }
        }
    }

    fn follower(&self, joined: JoinedCluster) -> Result<(NodeAgent, AgentHandle)> {
        let runtime = node::runtime(&self.state, &self.settings.node)?;
        let manager = FollowedEndpoint {
            endpoint: ManagerEndpoint::Network(joined.address),
            join_token: joined.token,
            follows: FollowedProcess::Other,
        };
        let agent =
            node::agent(&self.state, &self.settings.node, manager, (runtime, self.lock.clone()))?;
        let handle = agent.handle();
        if let Some(moved) = joined.moved {
            tokio::spawn(moved.write_when_attached(handle.status()));
        }
        Ok((agent, handle))
    }

    /// Whether this worker has said why it can't become a manager. What else may be wrong with a
    /// member comes up only when it leaves.
    fn is_blocked(&self) -> bool {
        !self.is_leaving() && !self.inbox.state.borrow().problem.message.is_empty()
    }

    /// Answers what is asked meanwhile. An agent whose node is to become a manager is ended here.
    async fn until_it_ends(
        &mut self,
        mut following: JoinHandle<Result<(), AgentError>>,
        agent: &AgentHandle,
        end: &CancellationToken,
    ) -> Result<FollowerEnd> {
        let mut changes = role_change_after(Duration::ZERO, agent.clone());
        loop {
            tokio::select! {
                ended = &mut following => {
                    return Ok(FollowerEnd::Ended(ended.context("the agent's task")?));
                }
                Some(waiting) = self.inbox.next() => self.answer_member(waiting, agent),
                () = roles::promotion_taken_back(agent.clone()), if self.is_blocked() => {
                    tracing::info!("this node is not to become a manager any more");
                    self.inbox.state.send_modify(|local| local.problem = LocalProblem::default());
                }
                _ = &mut changes, if !self.is_leaving() => {
                    // Looked at before anything ends: a worker that can't become a manager yet
                    // stays a worker.
                    if let Err(error) = self.promotion(&agent.status().borrow().clone()) {
                        self.not_promoted(&error);
                        changes = role_change_after(roles::PROMOTION_RETRY_DELAY, agent.clone());
                        continue;
                    }
                    end.cancel();
                    let ended = following.await.context("the agent's task")?;
                    return Ok(match ended {
                        Ok(()) => FollowerEnd::Promoted,
                        Err(_) => FollowerEnd::Ended(ended),
                    });
                }
            }
        }
    }
}

/// Returns when the node is to become a manager, and not before this delay.
fn role_change_after(
    delay: Duration,
    agent: AgentHandle,
) -> Pin<Box<dyn Future<Output = RoleChange> + Send>> {
    Box::pin(async move {
        tokio::time::sleep(delay).await;
        roles::role_changes(agent, None).await
    })
}

fn why_left(how: AgentEnd) -> LocalProblem {
    match how {
        AgentEnd::Removed => LocalProblem::removed(),
        AgentEnd::Left | AgentEnd::Stopped | AgentEnd::Failed => LocalProblem::default(),
    }
}

fn given_up() -> LocalProblem {
    LocalProblem {
        message: "somebody gave up joining with `skep cluster leave`".into(),
        hint: "`skep cluster join` tries again".into(),
    }
}
