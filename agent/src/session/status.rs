//! How an agent is, for those who show it; each change of it is logged once.

use super::config::ManagerEndpoint;
use crate::{core::WantedMembership, wall};
use skep_proto::{Id, Timestamp};
use tokio::sync::watch;

/// How an agent is, for those who show it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentStatus {
    /// None before the cluster named it.
    pub node_id: Id,
    /// Of its cluster; none before that named it.
    pub cluster_id: Id,
    /// A session is open.
    pub attached: bool,
    /// Since when that is so, by this machine's clock; the start of the agent where it has never
    /// been otherwise.
    pub since_at: Timestamp,
    /// Why the runtime cannot be used, for people; empty while it can.
    pub runtime_problem: String,
    /// Why there is no session, for people; empty while there is one.
    pub manager_problem: String,
    /// The managers that it may dial, the endpoint that it was started with at the head.
    pub managers: Vec<ContactedAddress>,
    /// What the cluster has said last that this node is to be; none before it has said so in this
    /// run. It stays when a session ends.
    pub membership: Option<WantedMembership>,
}

/// How an agent stands to a manager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContactedAddress {
    /// Where it is.
    pub endpoint: ManagerEndpoint,
    /// The session that is open is with it.
    pub attached: bool,
    /// Since when that is so, by this machine's clock.
    pub since_at: Timestamp,
    /// Why the last try failed, for people; empty where it did not, or where there was none.
    pub problem: String,
}

impl AgentStatus {
    /// Of an agent that begins now.
    pub(super) fn begun(
        node_id: Id,
        cluster_id: Id,
        managers: Vec<ManagerEndpoint>,
    ) -> AgentStatus {
        let since_at = Timestamp(wall::now_ns());
        let mut status = AgentStatus { node_id, cluster_id, since_at, ..AgentStatus::default() };
        status.list(managers, since_at);
        status
    }

    /// What is known of those that stay is kept.
    fn list(&mut self, managers: Vec<ManagerEndpoint>, now: Timestamp) {
        let mut before = std::mem::take(&mut self.managers);
        let contact = |endpoint: ManagerEndpoint| {
            let known = before.iter().position(|known| known.endpoint == endpoint);
            known.map(|index| before.swap_remove(index)).unwrap_or_else(|| ContactedAddress {
                endpoint,
                attached: false,
                since_at: now,
                problem: String::new(),
            })
        };
        self.managers = managers.into_iter().map(contact).collect();
    }

    /// The session, if any, is with this manager from now on.
    fn attach(&mut self, to: Option<&ManagerEndpoint>, now: Timestamp) {
        if self.attached != to.is_some() {
            (self.attached, self.since_at) = (to.is_some(), now);
        }
        for manager in &mut self.managers {
            let attached = to == Some(&manager.endpoint);
            if manager.attached != attached {
                (manager.attached, manager.since_at) = (attached, now);
            }
            if attached {
                manager.problem.clear();
            }
        }
    }
}

/// The same problem is logged once, and so is its end.
pub(super) fn say_runtime(status: &watch::Sender<AgentStatus>, problem: &str) {
    match (replace(status, |status| &mut status.runtime_problem, problem), problem.is_empty()) {
        (false, _) => {}
        (true, true) => tracing::info!("the runtime answers again"),
        (true, false) => tracing::warn!("{problem}"),
    }
}

/// Why there is no session with this manager. It is logged where this manager said something else
/// when it was tried last, and at the beginning of an outage.
pub(super) fn say_manager(
    status: &watch::Sender<AgentStatus>,
    endpoint: &ManagerEndpoint,
    problem: &str,
) {
    let mut is_news = false;
    status.send_if_modified(|status| {
        is_news = status.manager_problem.is_empty();
        let mut changed = status.manager_problem != problem;
        problem.clone_into(&mut status.manager_problem);
        let contact = status.managers.iter_mut().find(|manager| manager.endpoint == *endpoint);
        if let Some(contact) = contact.filter(|contact| contact.problem != problem) {
            problem.clone_into(&mut contact.problem);
            (changed, is_news) = (true, true);
        }
        changed
    });
    if is_news {
        tracing::warn!("no session with a manager, trying again: {problem}");
    }
}

/// A session with this manager is open.
pub(super) fn say_attached(status: &watch::Sender<AgentStatus>, endpoint: &ManagerEndpoint) {
    let mut problem = String::new();
    status.send_modify(|status| {
        status.attach(Some(endpoint), Timestamp(wall::now_ns()));
        problem = std::mem::take(&mut status.manager_problem);
    });
    if !problem.is_empty() {
        tracing::info!(manager = %endpoint, "a session with a manager is open again");
    }
}

/// No session is open any more.
pub(super) fn say_detached(status: &watch::Sender<AgentStatus>) {
    status.send_modify(|status| status.attach(None, Timestamp(wall::now_ns())));
}

/// These are the managers that may be dialed now.
pub(super) fn list_managers(status: &watch::Sender<AgentStatus>, managers: Vec<ManagerEndpoint>) {
    status.send_if_modified(|status| {
        let before = status.managers.clone();
        status.list(managers, Timestamp(wall::now_ns()));
        status.managers != before
    });
}

/// Why there will be no session any more.
pub(super) fn say_over(status: &watch::Sender<AgentStatus>, message: &str) {
    if replace(status, |status| &mut status.manager_problem, message) {
        tracing::info!("{message}");
    }
}

/// Says whether that changed anything.
fn replace(
    status: &watch::Sender<AgentStatus>,
    field: impl FnOnce(&mut AgentStatus) -> &mut String,
    message: &str,
) -> bool {
    status.send_if_modified(|status| {
        let field = field(status);
        let changed = field != message;
        message.clone_into(field);
        changed
    })
}
