//! A machine that follows the manager of another one.

use super::{MachineDaemon, MachineRole, end_of};
use crate::daemon::{
    advice::Advice,
    joined::JoinedCluster,
    lifecycle::{self, Afterwards, AgentEnd, BegunBy},
    local::LocalProblem,
    node::{self, FollowedEndpoint},
};
use anyhow::{Context, Result};
use skep_agent::{AgentError, AgentHandle, ManagerEndpoint, NodeAgent};
use skep_proto::v1::LocalNodeState;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

impl MachineDaemon {
    pub(super) async fn follow(
        &mut self,
        joined: JoinedCluster,
        by: BegunBy,
        stop: &CancellationToken,
    ) -> Result<Option<MachineRole>> {
        let address = joined.address.clone();
        let (agent, handle) = match (self.follower(joined), by) {
            (Ok(agent), _) => agent,
            (Err(error), BegunBy::Request) => return self.forgotten(problem_of(&error)).map(Some),
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
        let ended = self.until_it_ends(following, &handle).await;
        let state = self.inbox.state.borrow().state();
        self.wind_down(&end, serving).await?;
        let ended = ended?;
        let how = end_of(&ended);
        let why = match (ended.map_err(anyhow::Error::from), how) {
            (Err(_), AgentEnd::Left) if state == LocalNodeState::Joining => given_up(),
            (Ok(()), _) | (Err(_), AgentEnd::Left) => LocalProblem::default(),
            (Err(_), AgentEnd::Removed) => removed(),
            (Err(error), AgentEnd::Failed | AgentEnd::Stopped) => {
                if lifecycle::after_following(state, how, by) == Afterwards::Fail {
                    return Err(error);
                }
                problem_of(&error)
            }
        };
        match lifecycle::after_following(state, how, by) {
            Afterwards::Stop | Afterwards::Fail => Ok(None),
            Afterwards::MoveAside => self.left(why).map(Some),
            Afterwards::Forget => self.forgotten(why).map(Some),
        }
    }

    fn follower(&self, joined: JoinedCluster) -> Result<(NodeAgent, AgentHandle)> {
        let runtime = node::runtime(&self.state, &self.settings.node)?;
        let manager = FollowedEndpoint {
            endpoint: ManagerEndpoint::Network(joined.address),
            join_token: joined.token,
            is_own: false,
        };
        let agent = node::agent(&self.state, &self.settings.node, manager, runtime)?;
        let handle = agent.handle();
        if let Some(moved) = joined.moved {
            tokio::spawn(moved.write_when_attached(handle.status()));
        }
        Ok((agent, handle))
    }

    /// Answers what is asked meanwhile.
    async fn until_it_ends(
        &mut self,
        mut following: JoinHandle<Result<(), AgentError>>,
        agent: &AgentHandle,
    ) -> Result<Result<(), AgentError>> {
        loop {
            tokio::select! {
                ended = &mut following => return ended.context("the agent's task"),
                Some(waiting) = self.inbox.next() => self.answer_member(waiting, agent),
            }
        }
    }
}

/// What people hear of an error.
pub(super) fn problem_of(error: &anyhow::Error) -> LocalProblem {
    let hint = Advice::hint_of(error).unwrap_or_default();
    LocalProblem { message: Advice::joined(error), hint }
}

fn given_up() -> LocalProblem {
    LocalProblem {
        message: "somebody gave up joining with `skep cluster leave`".into(),
        hint: "`skep cluster join` tries again".into(),
    }
}

fn removed() -> LocalProblem {
    LocalProblem {
        message: "this node was removed from its cluster".into(),
        hint: "`skep cluster join` joins a cluster as a new node".into(),
    }
}
