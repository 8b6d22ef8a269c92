//! What the daemon answers on its own socket whatever its machine is: the gRPC service `Local`.
//!
//! What changes the machine is handed to the daemon, one request after the other; everything else
//! is looked up here.

use super::{
    advice::Advice,
    lifecycle::{self, LocalRequest},
};
use skep_agent::{AgentHandle, ContactedAddress, ManagerEndpoint};
use skep_gateway::{admit::Refusal, peer::ConnectionPeer, reads};
use skep_proto::{
    os_error,
    v1::{self, LocalNode, LocalNodeState, ManagerContact, Person, local_server},
};
use skep_trust::UnlockKey;
use std::{str::FromStr, sync::Arc};
use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Request, Response, Status};

/// Requests that wait for the daemon; who has one more waits too.
const LOCAL_REQUESTS_MAX: usize = 4;

/// A request, and where its answer goes.
pub(super) type WaitingRequest = (LocalRequest, oneshot::Sender<Result<(), Refusal>>);

/// Why a machine is not what somebody wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct LocalProblem {
    /// For people; empty where nothing went wrong.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: String,
}

impl LocalProblem {
    /// What people hear of an error.
    pub(super) fn of(error: &anyhow::Error) -> LocalProblem {
        let hint = Advice::hint_of(error).unwrap_or_default();
        LocalProblem { message: os_error::plain(&Advice::joined(error)), hint }
    }

    /// Of a machine whose node was removed.
    pub(super) fn removed() -> LocalProblem {
        LocalProblem {
            message: "this node was removed from its cluster, with `skep node rm` on a manager".into(),
            hint: "`skep cluster join` joins a cluster as a new node; `skep cluster token worker` (or \
                   `manager`) prints the whole command on a manager"
                .into(),
        }
    }
}

/// What a machine is now.
#[derive(Clone, Default)]
pub(super) struct LocalState {
    /// As the daemon decides it: a worker that has not been let in yet is joining.
    pub(super) decided: LocalNodeState,
    pub(super) problem: LocalProblem,
    /// Where the state lies of the cluster that it left last.
    pub(super) left_in: String,
    /// Its agent, and whom that follows; none where it belongs to no cluster.
    pub(super) follower: Option<(AgentHandle, String)>,
}

impl LocalState {
    /// What the machine is, by what its agent knows.
    pub(super) fn state(&self) -> LocalNodeState {
        let knows_cluster =
            |(agent, _): &(AgentHandle, String)| !agent.status().borrow().cluster_id.is_none();
        let is_let_in = self.follower.as_ref().is_some_and(knows_cluster);
        if self.decided == LocalNodeState::Worker && !is_let_in {
            return LocalNodeState::Joining;
        }
        self.decided
    }

    /// How many managers on other machines its agent knows.
    fn other_managers(&self) -> usize {
        let known = |(agent, _): &(AgentHandle, String)| {
            let status = agent.status().borrow().clone();
            let is_far =
                |endpoint: &ManagerEndpoint| matches!(endpoint, ManagerEndpoint::Network(_));
            status.managers.iter().filter(|manager| is_far(&manager.endpoint)).count()
        };
        self.follower.as_ref().map_or(0, known)
    }

    /// The answer to calls of managers, where it is none.
    pub(super) fn no_manager(&self) -> Refusal {
        if self.problem == LocalProblem::removed() {
            let LocalProblem { message, hint } = &self.problem;
            return Refusal::precondition(message).hint(hint);
        }
        let manager = self.follower.as_ref().map_or("", |(_, address)| address.as_str());
        lifecycle::no_manager(self.state(), manager)
    }
}

/// The service; its clones are the same one.
#[derive(Clone)]
pub(super) struct LocalService {
    state: watch::Receiver<LocalState>,
    requests: mpsc::Sender<WaitingRequest>,
    /// What never changes.
    facts: Arc<LocalNode>,
}

/// The daemon's end of the service.
pub(super) struct LocalInbox {
    pub(super) state: watch::Sender<LocalState>,
    requests: mpsc::Receiver<WaitingRequest>,
}

/// The service, and the daemon's end of it.
pub(super) fn service(facts: LocalNode) -> (LocalService, LocalInbox) {
    let state = watch::Sender::new(LocalState::default());
    let (requests, waiting) = mpsc::channel(LOCAL_REQUESTS_MAX);
    let service = LocalService { state: state.subscribe(), requests, facts: Arc::new(facts) };
    (service, LocalInbox { state, requests: waiting })
}

impl LocalInbox {
    /// The next request that makes sense where the machine is; the others are refused.
    pub(super) async fn next(&mut self) -> Option<WaitingRequest> {
        loop {
            let (request, answer) = self.requests.recv().await?;
            let (state, others) = {
                let local = self.state.borrow();
                (local.state(), local.other_managers())
            };
            match lifecycle::may(state, others, &request) {
                Ok(()) => return Some((request, answer)),
                // Whoever asked may have gone.
                Err(refusal) => drop(answer.send(Err(refusal))),
            }
        }
    }

    /// Refuses whatever comes, for ever.
    pub(super) async fn refuse_all(&mut self) {
        while let Some((_, answer)) = self.requests.recv().await {
            let changing = Refusal::precondition("this node is just becoming something else");
            answer.send(Err(changing.hint("try again in a moment"))).ok();
        }
    }
}

impl LocalService {
    async fn ask(
        &self,
        who: Option<Person>,
        request: LocalRequest,
    ) -> Result<Response<v1::Begun>, Status> {
        let Person { uid, name, .. } = who.unwrap_or_default();
        tracing::info!(uid, name, "asked to {}", request.verb());
        let stopping = || Refusal::precondition("the daemon is stopping").hint("start it again");
        let (answer, answered) = oneshot::channel();
        let asked = self.requests.send((request, answer)).await;
        let begun = match asked {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(stopping())),
            Err(_) => Err(stopping()),
        };
        begun.map(|()| Response::new(v1::Begun {})).map_err(|refusal| reads::status(&refusal))
    }
}

/// How the machine stands to one of the managers that it may follow.
fn contact(manager: ContactedAddress) -> ManagerContact {
    let ContactedAddress { endpoint, attached, since_at, problem } = manager;
    let address = match endpoint {
        ManagerEndpoint::Unix(socket) => format!("unix://{}", socket.display()),
        ManagerEndpoint::Network(address) => address,
    };
    ManagerContact { address, attached, since_at: since_at.0, problem }
}

/// Who is at the other end, as the kernel says.
fn person<T>(request: &Request<T>) -> Option<Person> {
    let peer = request.extensions().get::<ConnectionPeer>()?;
    peer.person().map(|peer| peer.person.clone())
}

#[tonic::async_trait]
impl local_server::Local for LocalService {
    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<LocalNode>, Status> {
        let local = self.state.borrow().clone();
        let mut node = LocalNode {
            state: local.state() as i32,
            problem: local.problem.message,
            hint: local.problem.hint,
            left_in: local.left_in,
            ..LocalNode::clone(&self.facts)
        };
        if let Some((agent, _)) = local.follower {
            let status = agent.status().borrow().clone();
            node.node_id = status.node_id.to_bytes();
            node.cluster_id = status.cluster_id.to_bytes();
            node.runtime_problem = status.runtime_problem;
            node.managers = status.managers.into_iter().map(contact).collect();
            node.certificate = agent.certificate();
            node.tasks = agent.tasks().await;
            node.runtime = Some(agent.runtime() as i32);
        }
        Ok(Response::new(node))
    }

    async fn found(
        &self,
        request: Request<v1::FoundCluster>,
    ) -> Result<Response<v1::Begun>, Status> {
        let who = person(&request);
        self.ask(who, LocalRequest::Found(Box::new(request.into_inner()))).await
    }

    async fn join(&self, request: Request<v1::JoinCluster>) -> Result<Response<v1::Begun>, Status> {
        let who = person(&request);
        self.ask(who, LocalRequest::Join(request.into_inner())).await
    }

    async fn leave(
        &self,
        request: Request<v1::LeaveCluster>,
    ) -> Result<Response<v1::Begun>, Status> {
        let who = person(&request);
        self.ask(who, LocalRequest::Leave(request.into_inner())).await
    }

    async fn unlock(
        &self,
        request: Request<v1::UnlockManager>,
    ) -> Result<Response<v1::Begun>, Status> {
        let who = person(&request);
        let key = UnlockKey::from_str(&request.into_inner().key);
        let key = key.map_err(|error| reads::status(&Refusal::invalid(error.to_string())))?;
        self.ask(who, LocalRequest::Unlock(key)).await
    }
}
