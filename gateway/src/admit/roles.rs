//! Who may become a manager, and who may cease to be one. PURE.
//!
//! Only the wanted role is decided here; raft's members follow it one at a time. So what is checked
//! is whether the cluster can decide anything when the change is done: managers that are away count
//! for nothing in a majority.

use super::Refusal;
use skep_projections::{NodeRow, View};
use skep_proto::{
    MANAGERS_LEVEL, REACH_LEVEL,
    v1::{NodeRole, NodeState, RaftMembership},
};

/// Managers in a cluster; one more is refused. Each commit waits for a majority of them, so more of
/// them make the cluster slower, and seven survive the loss of three already.
const MANAGERS_MAX: usize = 15;

/// Whether a node's wanted role may become this one, which it is not yet; with what the caller
/// should know although it may.
pub(super) fn change(view: &View, row: &NodeRow, wanted: NodeRole) -> Result<Vec<String>, Refusal> {
    knows_managers(view)?;
    match wanted {
        NodeRole::Manager => promote(view, row),
        NodeRole::Worker => demote(view, row).map(|()| Vec::new()),
    }
}

/// Whether a node may join in this role.
pub(super) fn join(view: &View, role: NodeRole) -> Result<(), Refusal> {
    match role {
        NodeRole::Worker => Ok(()),
        NodeRole::Manager => {
            knows_managers(view)?;
            within_bound(view)
        }
    }
}

/// Whether a node may be removed, as far as its role goes.
pub(super) fn remove(view: &View, row: &NodeRow) -> Result<(), Refusal> {
    if !row.is_among_managers() {
        return Ok(());
    }
    let name = row.hostname();
    let hint = match row.spec.desired_role() {
        NodeRole::Manager => format!("`skep node demote {name}`"),
        NodeRole::Worker => format!("it is being demoted: {}", when_demoted(view, row)),
    };
    Err(Refusal::precondition(format!(
        "node {name} is a cluster manager and is a member of the raft cluster. It must be demoted to \
         worker before removal"
    ))
    .hint(hint))
}

fn knows_managers(view: &View) -> Result<(), Refusal> {
    if view.level() < MANAGERS_LEVEL {
        let message =
            "a manager of this cluster is older and can't read the records of further managers";
        return Err(Refusal::precondition(message).hint("upgrade every manager first"));
    }
    Ok(())
}

fn within_bound(view: &View) -> Result<(), Refusal> {
    if view.managers().count() >= MANAGERS_MAX {
        let message = format!("the cluster has {MANAGERS_MAX} managers, the most that may be");
        return Err(Refusal::exhausted(message)
            .hint("seven survive the loss of three, and more only make the cluster slower"));
    }
    Ok(())
}

/// A machine that is away may be promoted: it gets a vote only once it has come up as a manager,
/// so till then it takes nothing from the majority.
fn promote(view: &View, row: &NodeRow) -> Result<Vec<String>, Refusal> {
    let name = row.hostname();
    match row.manager.map(|known| known.membership) {
        // Its demotion is taken back. As long as it has its number it keeps its log.
        Some(RaftMembership::Votes | RaftMembership::Follows) => return Ok(warned(view, row)),
        // It is about to lose its number, and gets another one then.
        Some(RaftMembership::None) => {
            let message = format!("node {name} is being demoted");
            return Err(Refusal::precondition(message).hint("try again in a moment"));
        }
        None => {}
    }
    if row.certificate.is_none() {
        let message = format!("node {name} has no certificate, which a manager is known by");
        return Err(Refusal::precondition(message)
            .hint("start its daemon with this version: it gets one when it connects"));
    }
    within_bound(view)?;
    if view.managers().all(|(_, manager)| manager.port.is_none()) {
        let message = "another manager could not reach this one: its port is closed";
        return Err(Refusal::precondition(message)
            .hint("`skep cluster init --advertise-addr ADDRESS` opens it"));
    }
    Ok(warned(view, row))
}

fn warned(view: &View, row: &NodeRow) -> Vec<String> {
    match is_up(row) {
        true => Vec::new(),
        false => {
            vec![format!("{}: it becomes a manager when it is back", what_is_amiss(view, row))]
        }
    }
}

fn demote(view: &View, row: &NodeRow) -> Result<(), Refusal> {
    let name = row.hostname();
    let others = || view.managers().map(|(_, other)| other).filter(|other| other.id != row.id);
    let stay = others().filter(|other| other.spec.desired_role() == NodeRole::Manager);
    let (voters, joining): (Vec<_>, Vec<_>) = stay.partition(|other| votes(view, other));
    if voters.is_empty() && !joining.is_empty() {
        let joining: Vec<&str> = joining.iter().map(|other| other.hostname()).collect();
        let message =
            format!("node {name} is the only manager that votes: {} can't yet", joining.join(", "));
        return Err(Refusal::precondition(message)
            .hint("wait until `skep node ls` shows another one as Reachable"));
    }
    if voters.is_empty() {
        return Err(Refusal::precondition("attempting to demote the last manager of the cluster")
            .hint(
                "promote another node first, and wait until `skep node ls` shows it as Reachable",
            ));
    }
    if !votes(view, row) {
        return Ok(());
    }
    if let Some(leaving) = others().find(|other| other.spec.desired_role() == NodeRole::Worker) {
        let message = format!("another manager is being demoted: {}", leaving.hostname());
        return Err(Refusal::precondition(message).hint(when_demoted(view, leaving)));
    }
    let away: Vec<_> = voters.iter().filter(|voter| !is_ready(view, voter)).collect();
    let (ready, majority) = (voters.len() - away.len(), majority(voters.len()));
    if ready >= majority {
        return Ok(());
    }
    let away: Vec<String> = away.iter().map(|voter| what_is_amiss(view, voter)).collect();
    let away = away.join(", ");
    Err(Refusal::precondition(format!(
        "without node {name} the cluster would have {} managers and need {majority} of them, and \
         {ready} would be ready: {away}",
        voters.len()
    ))
    .hint("wait until they are back, or demote those that are away first"))
}

/// When a demotion that has begun is over: the leader waits until enough of the others answer.
fn when_demoted(view: &View, leaving: &NodeRow) -> String {
    let others = view.managers().map(|(_, other)| other).filter(|other| other.id != leaving.id);
    let voters: Vec<_> = others.filter(|other| votes(view, other)).collect();
    let away: Vec<_> = voters.iter().filter(|voter| !is_ready(view, voter)).collect();
    if voters.len() - away.len() >= majority(voters.len()) {
        return "try again in a moment".to_owned();
    }
    let away: Vec<String> = away.iter().map(|voter| what_is_amiss(view, voter)).collect();
    let name = leaving.hostname();
    format!(
        "that waits until a majority of the others answers: {}; `skep node promote {name}` takes \
         the demotion back",
        away.join(", ")
    )
}

/// Whether a node votes in raft. The leader does, whatever is recorded of it: the cluster's first
/// manager leads before it is seen among raft's members.
pub(crate) fn votes(view: &View, row: &NodeRow) -> bool {
    let is_voter = row.manager.is_some_and(|manager| manager.membership == RaftMembership::Votes);
    is_voter || view.tenure().manager == row.id
}

/// How many of so many voters decide.
pub(crate) fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Whether its own agent is in touch.
pub(crate) fn is_up(row: &NodeRow) -> bool {
    row.state == NodeState::Ready && !row.silent
}

/// Whether a manager can be counted on: it answers the leader, which answers itself. Below the
/// level from which that is recorded, what its agent says must do.
pub(crate) fn is_ready(view: &View, row: &NodeRow) -> bool {
    match row.manager {
        Some(known) if view.level() >= REACH_LEVEL => {
            !known.unreachable || view.tenure().manager == row.id
        }
        Some(_) | None => is_up(row),
    }
}

/// Of a node that is not up, or of a manager that is not ready.
pub(crate) fn what_is_amiss(view: &View, row: &NodeRow) -> String {
    let state = match row.state {
        NodeState::Ready if !row.silent && !is_ready(view, row) => "not answering the leader",
        NodeState::Ready => "silent",
        NodeState::Down => "down",
        NodeState::Disconnected => "disconnected",
        NodeState::Unknown => "not heard of yet",
    };
    format!("node {} is {state}", row.hostname())
}
