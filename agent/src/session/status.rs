//! How an agent is, for those who show it; each change of it is logged once.

use crate::wall;
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
}

impl AgentStatus {
    /// Of an agent that begins now.
    pub(super) fn begun(node_id: Id, cluster_id: Id) -> AgentStatus {
        let since_at = Timestamp(wall::now_ns());
        AgentStatus { node_id, cluster_id, since_at, ..AgentStatus::default() }
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

/// Why there is no session, or, with an empty text, that there is one again. The same text again is
/// not logged.
pub(super) fn say_manager(status: &watch::Sender<AgentStatus>, problem: &str) {
    match (replace(status, |status| &mut status.manager_problem, problem), problem.is_empty()) {
        (false, _) => {}
        (true, true) => tracing::info!("a session with the manager is open again"),
        (true, false) => tracing::warn!("no session with a manager, trying again: {problem}"),
    }
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
