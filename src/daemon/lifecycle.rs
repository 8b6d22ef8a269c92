//! What a machine is to a cluster, and what it becomes when somebody asks or something ends. PURE.

use skep_gateway::admit::Refusal;
use skep_proto::v1::{FoundCluster, JoinCluster, LeaveCluster, LocalNodeState, NodeRole};
use skep_trust::UnlockKey;

/// What somebody on the machine wants it to become. Not shown as text: a join token is in it.
#[derive(Clone, PartialEq)]
pub(super) enum LocalRequest {
    /// The manager of a new cluster.
    Found(Box<FoundCluster>),
    /// A worker of another machine's cluster.
    Join(JoinCluster),
    /// Part of none.
    Leave(LeaveCluster),
    /// The manager that it is, with its keys open.
    Unlock(UnlockKey),
}

impl LocalRequest {
    /// What is asked, for the log.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            LocalRequest::Found(_) => "found a cluster",
            LocalRequest::Join(_) => "join a cluster",
            LocalRequest::Leave(_) => "leave the cluster",
            LocalRequest::Unlock(_) => "unlock the manager",
        }
    }
}

/// What the state folder and the flags say when the daemon starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct StartFacts {
    /// `--join` was given.
    pub(super) asks_to_join: bool,
    /// `--no-cluster` was given.
    pub(super) waits: bool,
    /// The folder is a manager's.
    pub(super) is_manager: bool,
    /// That manager joined others: `--join` is how its machine came to the cluster.
    pub(super) joined_as_manager: bool,
    /// An earlier start or request wrote down which manager to follow.
    pub(super) follows: bool,
    /// A cluster has given this machine a certificate.
    pub(super) has_certificate: bool,
    /// The machine has left a cluster.
    pub(super) has_left: bool,
}

/// What the daemon begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// It goes on as a manager.
    Manage,
    /// It founds a cluster.
    Found,
    /// It joins the cluster that the flags name.
    Join,
    /// It goes on as a worker.
    Follow,
    /// It waits for somebody who says what it is to be.
    Wait,
    /// It waits too: it was to join a cluster and was not let in. Its token is written down
    /// nowhere, so it can't go on by itself.
    GiveUpJoining,
    /// A manager's folder joins nobody else.
    RefuseManagersFolder,
    /// A worker's folder that names no manager founds nothing.
    RefuseWorkersFolder,
}

/// Who has left a cluster does not found another one by itself: its folder is as empty as that of a
/// machine whose disk is not mounted.
pub(super) fn at_start(facts: StartFacts) -> Start {
    let StartFacts { asks_to_join, waits, is_manager, follows, has_certificate, .. } = facts;
    let StartFacts { joined_as_manager, has_left, .. } = facts;
    match (asks_to_join, is_manager) {
        (true, true) if joined_as_manager => Start::Manage,
        (true, true) => Start::RefuseManagersFolder,
        (true, false) => Start::Join,
        (false, true) => Start::Manage,
        (false, false) => match (follows, has_certificate) {
            (true, true) => Start::Follow,
            (true, false) => Start::GiveUpJoining,
            (false, true) => Start::RefuseWorkersFolder,
            (false, false) if waits || has_left => Start::Wait,
            (false, false) => Start::Found,
        },
    }
}

/// How a machine came to be what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BegunBy {
    /// The daemon's start: what goes wrong at first ends the daemon.
    Start,
    /// Somebody who asked it: where that fails it waits as before.
    Request,
}

/// How a machine's agent ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AgentEnd {
    /// The daemon is stopping.
    Stopped,
    /// It was asked to leave, and nothing of it runs any more.
    Left,
    /// The cluster removed it, and nothing of it runs any more.
    Removed,
    /// It can't go on.
    Failed,
}

/// What becomes of a machine whose agent has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Afterwards {
    /// The daemon ends.
    Stop,
    /// The daemon ends with the agent's error.
    Fail,
    /// Its state is moved aside, and it waits.
    MoveAside,
    /// What it had written down to join is removed, and it waits.
    Forget,
}

/// After the agent of a worker ended; `state` is what the machine was then.
pub(super) fn after_following(state: LocalNodeState, end: AgentEnd, by: BegunBy) -> Afterwards {
    let was_let_in = state != LocalNodeState::Joining;
    match (end, was_let_in, by) {
        (AgentEnd::Stopped, ..) => Afterwards::Stop,
        (AgentEnd::Left | AgentEnd::Removed, true, _) => Afterwards::MoveAside,
        (AgentEnd::Left | AgentEnd::Removed, false, _) => Afterwards::Forget,
        (AgentEnd::Failed, false, BegunBy::Request) => Afterwards::Forget,
        (AgentEnd::Failed, false, BegunBy::Start) | (AgentEnd::Failed, true, _) => Afterwards::Fail,
    }
}

/// After both halves of a manager's machine ended; `state` is what the machine was then. A manager
/// whose own agent had ended before leaves all the same.
pub(super) fn after_managing(state: LocalNodeState, end: AgentEnd) -> Afterwards {
    match (end, state) {
        (AgentEnd::Stopped, _) => Afterwards::Stop,
        (AgentEnd::Left, _) | (_, LocalNodeState::Leaving) => Afterwards::MoveAside,
        (AgentEnd::Removed | AgentEnd::Failed, _) => Afterwards::Fail,
    }
}

/// What a machine becomes while its tasks run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RoleChange {
    /// A manager, beside its agent.
    BecomeManager,
    /// A worker. One that is to be a manager again, under another number, first is none.
    BecomeWorker,
}

/// What a machine is to become, if anything. `own` is its number in raft as a manager, `wanted` the
/// role that people want it to have and the number that the log has given it (0: none), `certified`
/// the role in its certificate, without which other managers do not hear it.
pub(super) fn role_change(
    own: Option<u64>,
    (role, raft_id): (NodeRole, u64),
    certified: Option<NodeRole>,
) -> Option<RoleChange> {
    match (own, role, raft_id) {
        // A cluster of before managers had numbers.
        (_, NodeRole::Manager, 0) => None,
        (None, NodeRole::Manager, _) => {
            (certified == Some(NodeRole::Manager)).then_some(RoleChange::BecomeManager)
        }
        (None, NodeRole::Worker, _) => None,
        // As long as it has its number, others may still count on it.
        (Some(own), _, given) if own == given => None,
        (Some(_), NodeRole::Manager | NodeRole::Worker, _) => Some(RoleChange::BecomeWorker),
    }
}

/// Refuses what makes no sense where the machine is. Its agent knows of so many managers on other
/// machines, those included that have no vote yet.
pub(super) fn may(
    state: LocalNodeState,
    other_managers: usize,
    request: &LocalRequest,
) -> Result<(), Refusal> {
    match request {
        LocalRequest::Found(_) | LocalRequest::Join(_) => may_become_member(state),
        LocalRequest::Leave(leave) => may_leave(state, other_managers, leave),
        LocalRequest::Unlock(_) => may_unlock(state),
    }
}

fn may_unlock(state: LocalNodeState) -> Result<(), Refusal> {
    let message = match state {
        LocalNodeState::Locked => return Ok(()),
        LocalNodeState::Manager => "this manager is not locked",
        LocalNodeState::Alone
        | LocalNodeState::Joining
        | LocalNodeState::Leaving
        | LocalNodeState::Worker
        | LocalNodeState::Unspecified => "this node is not a manager, and is not locked",
    };
    Err(Refusal::precondition(message).hint("`skep node status` shows what this node is and does"))
}

/// What somebody hears who asks a locked manager for anything else.
const LOCKED: &str = "this node is a manager of a locked cluster, and needs its unlock key since it was started again";

/// What to do about that.
const UNLOCK_HINT: &str = "`skep cluster unlock` asks for the key";
/// The same for somebody who wants it to leave.
const LEAVE_HINT: &str = "`skep cluster unlock` asks for the key; then it can leave";

fn may_become_member(state: LocalNodeState) -> Result<(), Refusal> {
    let (message, hint) = match state {
        LocalNodeState::Alone => return Ok(()),
        LocalNodeState::Joining => (
            "this node is joining a cluster already",
            "`skep node status` says how far it is, and `skep cluster leave` gives it up",
        ),
        LocalNodeState::Leaving => (
            "this node is leaving its cluster, and its tasks are ending",
            "`skep node status` says how far it is; try again when it has left",
        ),
        LocalNodeState::Locked => (LOCKED, UNLOCK_HINT),
        LocalNodeState::Worker | LocalNodeState::Manager | LocalNodeState::Unspecified => (
            "this node is already part of a cluster",
            "`skep cluster leave` leaves it; then this node can join another one",
        ),
    };
    Err(Refusal::precondition(message).hint(hint))
}

fn may_leave(
    state: LocalNodeState,
    other_managers: usize,
    leave: &LeaveCluster,
) -> Result<(), Refusal> {
    match state {
        LocalNodeState::Alone => {
            Err(Refusal::precondition("this node is not part of a cluster"))
        }
        LocalNodeState::Locked => Err(Refusal::precondition(LOCKED).hint(LEAVE_HINT)),
        LocalNodeState::Manager if !leave.force && other_managers > 0 => {
            Err(Refusal::precondition(
                "this node is one of the managers of its cluster: if it just leaves, the others still count on it",
            )
            .hint(
                "make it a worker first, with `skep node demote` on a manager; --force leaves all the same",
            ))
        }
        LocalNodeState::Manager if !leave.force => {
            Err(Refusal::precondition(
                "this node knows of no other manager: when the last manager leaves, the cluster's state goes with it",
            )
            .hint(
                "--force leaves all the same; the history stays readable in a folder `left-TIME` below the state folder",
            ))
        }
        LocalNodeState::Manager
        | LocalNodeState::Worker
        | LocalNodeState::Joining
        | LocalNodeState::Leaving
        | LocalNodeState::Unspecified => Ok(()),
    }
}

/// The answer to calls of managers, at the socket of a machine that is none. `manager` is the one
/// that it follows.
pub(super) fn no_manager(state: LocalNodeState, manager: &str) -> Refusal {
    let status = "`skep node status` shows what this node is and does";
    match state {
        LocalNodeState::Joining => {
            Refusal::precondition(format!("this node is only just joining the cluster behind {manager}"))
                .hint(status)
        }
        LocalNodeState::Leaving => {
            Refusal::precondition("this node is leaving its cluster").hint(status)
        }
        LocalNodeState::Locked => Refusal::precondition(LOCKED).hint(UNLOCK_HINT),
        LocalNodeState::Worker => Refusal::precondition(format!(
            "this node is not a manager: it is a worker of the cluster behind {manager}"
        ))
        .hint(format!("ask there; {status}")),
        LocalNodeState::Alone | LocalNodeState::Manager | LocalNodeState::Unspecified => {
            Refusal::precondition("this node is not part of a cluster").hint(
                "`skep cluster init` founds one here, `skep cluster join` joins that of another machine",
            )
        }
    }
}

#[cfg(test)]
mod tests;
