//! What a daemon does, one role of its machine after the other: it waits, follows a manager, or is
//! one. The socket is the same all the time.

mod alone;
mod locked;
mod manager;
mod roles;
mod worker;

use super::{joined, left, lifecycle, local, promoted, settings, state};
use anyhow::{Context, Result};
use skep_agent::{AgentError, AgentHandle, core};
use skep_gateway::{api::serve, clock, connections};
use skep_proto::{
    Id,
    v1::{LeaveCluster, LocalNodeState, LocalTask, NodeAvailability, local_server::LocalServer},
};
use skep_trust::KeyLock;
use std::{os::unix, time::Duration};
use tokio::{net::UnixListener, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// A machine that is forced to leave waits so long for its tasks to end; what has not ended then is
/// left behind.
const FORCED_LEAVE_LIMIT: Duration = Duration::from_secs(30);

/// What a machine is in a cluster, and how it came to be that.
pub(super) enum MachineRole {
    /// Nothing: it waits for somebody to found or join a cluster.
    Alone,
    /// Its manager.
    Manager(lifecycle::BegunBy),
    /// A worker of another machine's cluster.
    Worker(joined::JoinedCluster, lifecycle::BegunBy),
}

/// A machine's daemon.
pub(super) struct MachineDaemon {
    pub(super) state: state::StateDir,
    pub(super) settings: settings::DaemonSettings,
    /// As the daemon was started, whatever somebody asked for since.
    pub(super) availability: NodeAvailability,
    /// Where it listens once it is a manager.
    pub(super) port: promoted::PortWish,
    pub(super) inbox: local::LocalInbox,
    pub(super) service: local::LocalService,
    pub(super) listener: unix::net::UnixListener,
    /// The unlock keys that were given, or that follow from the authority's key.
    pub(super) lock: KeyLock,
}

impl MachineDaemon {
    /// Runs until `stop`, or until something fails.
    pub(super) async fn run(mut self, first: MachineRole, stop: CancellationToken) -> Result<()> {
        let mut next = Some(first);
        while let Some(role) = next {
            next = match role {
                MachineRole::Alone => self.wait(&stop).await?,
                MachineRole::Manager(by) => self.manage(by, &stop).await?,
                MachineRole::Worker(joined, by) => self.follow(joined, by, &stop).await?,
            };
        }
        Ok(())
    }

    /// The socket, for one role.
    fn listener(&self) -> Result<UnixListener> {
        let listener = self.listener.try_clone().and_then(UnixListener::from_std);
        let socket = self.settings.listen_control.display();
        listener.with_context(|| format!("control socket {socket}"))
    }

    fn routes(&self) -> Routes {
        Routes::new(LocalServer::new(self.service.clone()))
    }

    /// Serves the socket of a machine that is no manager, until `end`.
    fn serve(&self, end: &CancellationToken) -> Result<JoinHandle<()>> {
        let state = self.inbox.state.subscribe();
        let no_manager = Box::new(move || state.borrow().no_manager());
        let services = serve::LocalServices { routes: self.routes(), no_manager };
        let limiter = connections::of_local_socket();
        Ok(tokio::spawn(serve::serve_local(self.listener()?, limiter, services, end.clone())))
    }

    /// Lets connections end. Who asks for something meanwhile is told to come again: such a call
    /// would wait for what comes next, and this for the call.
    async fn wind_down(&mut self, end: &CancellationToken, serving: JoinHandle<()>) -> Result<()> {
        end.cancel();
        tokio::select! {
            ended = serving => ended.context("the socket's task"),
            () = self.inbox.refuse_all() => Ok(()),
        }
    }

    /// Nothing but leaving makes sense for a member.
    fn answer_member(&self, (request, answer): local::WaitingRequest, agent: &AgentHandle) {
        let lifecycle::LocalRequest::Leave(leave) = request else { return };
        let may = self.decides().and_then(|()| left::check(&self.state));
        if may.is_ok() {
            self.begin_to_leave(agent, &leave);
        }
        // Whoever asked may have gone.
        answer.send(may).ok();
    }

    /// Whether its tasks are ending: what it was to become does not matter any more.
    fn is_leaving(&self) -> bool {
        self.inbox.state.borrow().decided == LocalNodeState::Leaving
    }

    /// The tasks begin to end; the agent ends with them.
    fn begin_to_leave(&self, agent: &AgentHandle, leave: &LeaveCluster) {
        let is_let_in = self.inbox.state.borrow().state() != LocalNodeState::Joining;
        if is_let_in {
            self.inbox.state.send_modify(|local| local.decided = LocalNodeState::Leaving);
        }
        tracing::info!(force = leave.force, "leaving the cluster: tasks are ending");
        let (agent, force) = (agent.clone(), leave.force);
        let state = self.inbox.state.clone();
        tokio::spawn(async move {
            agent.leave(core::TasksOfLeaver::Awaited).await;
            if !force {
                return;
            }
            sleep(FORCED_LEAVE_LIMIT).await;
            let tasks = agent.tasks().await;
            if !tasks.is_empty() {
                let problem = left_behind(&tasks);
                tracing::warn!("{}", problem.message);
                state.send_modify(|local| local.problem = problem);
            }
            agent.leave(core::TasksOfLeaver::LeftBehind).await;
        });
    }

    /// Nothing of the cluster runs here any more: its state is moved aside.
    fn left(&mut self, why: local::LocalProblem) -> Result<MachineRole> {
        let folder = left::move_aside(&self.state, clock::wall())?;
        // What opened that folder opens nothing of what comes next.
        self.lock = KeyLock::default();
        let left_in = folder.display().to_string();
        if !why.message.is_empty() {
            tracing::warn!(hint = why.hint, "{}", why.message);
        }
        tracing::info!(folder = left_in, "left the cluster; its state lies in this folder");
        // What was left behind is told already.
        let told = self.inbox.state.borrow().problem.clone();
        let first = [told, why].into_iter().find(|problem| !problem.message.is_empty());
        let problem = match (first, &self.settings.join) {
            (Some(problem), _) => problem,
            (None, Some(join)) => local::LocalProblem {
                message: format!("the daemon was started with --join {}", join.manager),
                hint: "it joins there again at its next start, unless that is taken out".into(),
            },
            (None, None) => local::LocalProblem::default(),
        };
        let local = local::LocalState { left_in, problem, ..local::LocalState::default() };
        self.inbox.state.send_replace(local);
        Ok(MachineRole::Alone)
    }

    /// The machine is where it was before somebody asked it to become a member.
    fn forgotten(&mut self, why: local::LocalProblem) -> Result<MachineRole> {
        if !why.message.is_empty() {
            tracing::warn!("this machine did not become a member of a cluster: {}", why.message);
        }
        self.lock = KeyLock::default();
        if let Err(error) = joined::forget(&self.state) {
            tracing::warn!("what was written down to join stays there: {error:#}");
        }
        self.inbox.state.send_modify(|local| {
            local.decided = LocalNodeState::Alone;
            local.problem = why;
            local.follower = None;
        });
        Ok(MachineRole::Alone)
    }
}

fn left_behind(tasks: &[LocalTask]) -> local::LocalProblem {
    let named = tasks.iter().map(|task| format!("{} ({})", task.name, Id::from_bytes(&task.id)));
    let all = named.collect::<Vec<_>>().join(", ");
    local::LocalProblem {
        message: format!("these tasks did not end and are left behind: {all}"),
        hint: "end and remove what runs of them by hand; containers have the label of their task"
            .into(),
    }
}

/// How an agent ended.
fn end_of(ended: &Result<(), AgentError>) -> lifecycle::AgentEnd {
    match ended {
        Ok(()) => lifecycle::AgentEnd::Stopped,
        Err(AgentError::Halted(core::AgentHalt::Left)) => lifecycle::AgentEnd::Left,
        Err(AgentError::Halted(core::AgentHalt::NodeRemoved { .. })) => {
            lifecycle::AgentEnd::Removed
        }
        Err(_) => lifecycle::AgentEnd::Failed,
    }
}
