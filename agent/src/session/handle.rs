//! How others in the process ask a running agent.

use super::{AgentStatus, credentials::NodeCredentials};
use crate::core::{Core, Input, TasksOfLeaver};
use skep_proto::{
    Id,
    v1::{LocalTask, NodeRole, RuntimeKind, ShownCertificate, TaskState},
};
use skep_trust::IssuedFiles;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests that wait for the agent; who has one more waits too.
const AGENT_REQUESTS_MAX: usize = 16;

/// What somebody else in the process wants of an agent.
pub(super) enum AgentRequest {
    /// Take the node out of its cluster.
    Leave(TasksOfLeaver),
    /// Say which tasks there are.
    Tasks(oneshot::Sender<Vec<LocalTask>>),
}

/// Asks a running agent; its clones ask the same one.
#[derive(Clone)]
pub struct AgentHandle {
    requests: mpsc::Sender<AgentRequest>,
    status: watch::Receiver<AgentStatus>,
    credentials: NodeCredentials,
    runtime: RuntimeKind,
}

/// The handle, and where the agent hears of what it is asked.
pub(super) fn handle(
    status: watch::Receiver<AgentStatus>,
    credentials: NodeCredentials,
    runtime: RuntimeKind,
) -> (AgentHandle, mpsc::Receiver<AgentRequest>) {
    let (requests, asked) = mpsc::channel(AGENT_REQUESTS_MAX);
    (AgentHandle { requests, status, credentials, runtime }, asked)
}

impl AgentHandle {
    /// What runs its tasks.
    pub fn runtime(&self) -> RuntimeKind {
        self.runtime
    }

    /// How it is, now and whenever that changes.
    pub fn status(&self) -> watch::Receiver<AgentStatus> {
        self.status.clone()
    }

    /// Takes the node out of its cluster: its tasks end, and then the agent does, with
    /// [`AgentHalt::Left`](crate::core::AgentHalt::Left).
    pub async fn leave(&self, tasks: TasksOfLeaver) {
        // One that has ended has left, or says itself why it ended.
        self.requests.send(AgentRequest::Leave(tasks)).await.ok();
    }

    /// Every task that the cluster gave to this node, in the order of their ids; none when the
    /// agent has ended.
    pub async fn tasks(&self) -> Vec<LocalTask> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(AgentRequest::Tasks(answer)).await.ok();
        answered.await.unwrap_or_default()
    }

    /// The certificate that this node shows, if it has one.
    pub fn certificate(&self) -> Option<ShownCertificate> {
        let issued = self.credentials.certificate().borrow().clone()?;
        let read = issued.read;
        Some(ShownCertificate { role: read.role as i32, not_after_at: read.validity.not_after.0 })
    }

    /// The role that this node's certificate says, if it has one.
    pub fn role(&self) -> Option<NodeRole> {
        self.credentials.certificate().borrow().as_ref().map(|issued| issued.read.role)
    }

    /// Returns when this node shows a certificate of that role.
    pub async fn certified_as(&self, role: NodeRole) {
        let has_role = |issued: &Option<IssuedFiles>| {
            issued.as_ref().is_some_and(|issued| issued.read.role == role)
        };
        // The handle keeps what sends it.
        self.credentials.certificate().wait_for(has_role).await.ok();
    }
}

/// What the core is told of a request, if anything.
pub(super) fn input_of(request: AgentRequest, core: &Core) -> Option<Input> {
    match request {
        AgentRequest::Leave(tasks) => Some(Input::Leave(tasks)),
        AgentRequest::Tasks(answer) => {
            let shown = |(id, state, desired): (Id, TaskState, TaskState)| LocalTask {
                id: id.to_bytes(),
                name: core.task_name(id).unwrap_or_default(),
                state: state as i32,
                desired_state: desired as i32,
            };
            // Whoever asked may have gone.
            answer.send(core.tasks().map(shown).collect()).ok();
            None
        }
    }
}
