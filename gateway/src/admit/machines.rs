//! Requests of machines. An agent is believed about its own node and tasks and about nothing else.
//! PURE.

use super::{Admitted, MachineRequest, Refusal, TaskReport, refusal::excerpt, report::cut, spec};
use prost::Message;
use skep_projections::{NodeRow, TaskRow, View};
use skep_proto::{
    Id, Revision,
    task_state::EndedBy,
    v1::{
        Condition, ConditionKind, EndCause, NodeConditionsObserved, NodeDescription, NodeJoined,
        NodeSecretRenewed, NodeSilent, NodeSpec, NodeState, SessionClosed, SessionOpened,
        StrayObserved, TaskState, event::Kind,
    },
};
use std::collections::BTreeMap;

/// Strays that are kept in sight of one node; of more nothing is recorded until some have ended.
const STRAYS_PER_NODE_MAX: usize = 1_000;
/// Largest description of a machine, bytes encoded; a larger one is refused.
const DESCRIPTION_BYTES_MAX: usize = 64 << 10;
/// Longest host name of a node, bytes; a longer one is refused.
const NODE_HOSTNAME_BYTES_MAX: usize = 255;

pub(super) fn admit(view: &View, machine: &MachineRequest) -> Result<Admitted, Refusal> {
    match machine {
        MachineRequest::Join { node, spec, description, secret_hash } => {
            join(view, *node, (spec, description), secret_hash)
        }
        MachineRequest::Open { node, session, description, conditions } => {
            open(known(view, *node)?, *session, description, conditions)
        }
        MachineRequest::Reclaim { node, secret_hash } => {
            let row = known(view, *node)?;
            let secret_hash = bytes::Bytes::copy_from_slice(secret_hash);
            if row.secret_hash[..] == secret_hash[..] {
                return Ok(Admitted::unchanged(*node));
            }
            let renewed = NodeSecretRenewed { node_id: node.to_bytes(), secret_hash };
            Ok(Admitted::one(*node, Kind::NodeSecretRenewed(renewed)))
        }
        MachineRequest::Conditions { node, session, conditions } => {
            let row = known(view, *node)?;
            let observed = conditions_observed(row, conditions).filter(|_| row.session == *session);
            Ok(observed
                .map_or_else(|| Admitted::unchanged(*node), |kind| Admitted::one(*node, kind)))
        }
        MachineRequest::Close { node, session } => {
            let closed = SessionClosed { node_id: node.to_bytes(), session: *session };
            Ok(of_current_session(view, *node, *session, Kind::SessionClosed(closed)))
        }
        MachineRequest::Silent { node, session } => {
            let down = |row: &NodeRow| row.silent || row.state == NodeState::Down;
            if view.nodes().by_id(*node).is_some_and(|(_, row)| down(row)) {
                return Ok(Admitted::unchanged(*node));
            }
            let silent = NodeSilent { node_id: node.to_bytes(), session: *session };
            Ok(of_current_session(view, *node, *session, Kind::NodeSilent(silent)))
        }
        MachineRequest::Report { node, tasks } => report(view, *node, tasks),
        MachineRequest::Fact(kind) => Ok(Admitted::one(Id::NONE, kind.clone())),
    }
}

fn join(
    view: &View,
    node: Id,
    (spec, description): (&NodeSpec, &NodeDescription),
    secret_hash: &[u8; 32],
) -> Result<Admitted, Refusal> {
    if view.nodes().find(node).is_some() {
        return Err(Refusal::exists(format!("node {node} has joined already"))
            .hint("start the agent with an empty state folder to join as another node"));
    }
    within_bound(description)?;
    let labels = spec.annotations.as_ref().map(|annotations| &annotations.labels);
    labels.map_or(Ok(()), node_labels)?;
    let joined = NodeJoined {
        node_id: node.to_bytes(),
        spec: Some(spec.clone()),
        description: Some(description.clone()),
        secret_hash: bytes::Bytes::copy_from_slice(secret_hash),
    };
    let warnings = same_names(view, node, &description.hostname);
    Ok(Admitted { warnings, ..Admitted::one(node, Kind::NodeJoined(Box::new(joined))) })
}

/// Refuses what no node can join with: a name or labels that cannot be kept or shown.
pub fn check_node(name: &str, labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    node_name(name)?;
    node_labels(labels)
}

fn node_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > NODE_HOSTNAME_BYTES_MAX || spec::has_control(name) {
        return Err(Refusal::invalid(format!(
            "{:?} is not a host name for a node",
            excerpt(name, 80)
        ))
        .hint(format!(
            "1 to {NODE_HOSTNAME_BYTES_MAX} bytes without control characters: see --hostname"
        )));
    }
    Ok(())
}

fn node_labels(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if labels.len() > spec::LABELS_MAX {
        return Err(Refusal::invalid(format!(
            "a node may have {} labels at most",
            spec::LABELS_MAX
        )));
    }
    labels.iter().try_for_each(|(key, value)| spec::label(key, value))
}

/// A warning for each other node of this host name.
pub(crate) fn same_names(view: &View, node: Id, hostname: &str) -> Vec<String> {
    let named = view.nodes_named(hostname).filter_map(|index| view.nodes().get(index));
    let others = named.filter(|row| row.id != node);
    let warning = |row: &NodeRow| {
        format!(
            "node {} has the host name {} too: until one of them is renamed, commands must name them by id",
            row.id,
            row.hostname()
        )
    };
    others.map(warning).collect()
}

/// Refuses a description that is too large to keep or to show: an agent's message may have
/// megabytes.
fn within_bound(description: &NodeDescription) -> Result<(), Refusal> {
    let name = description.hostname.as_str();
    node_name(name)?;
    let bytes = description.encoded_len();
    if bytes > DESCRIPTION_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "the description of node {name} has {bytes} bytes, {DESCRIPTION_BYTES_MAX} are possible"
        ))
        .hint("an engine with so many labels or plugins can't be described; remove some"));
    }
    Ok(())
}

fn open(
    row: &NodeRow,
    session: u64,
    description: &NodeDescription,
    conditions: &[Condition],
) -> Result<Admitted, Refusal> {
    within_bound(description)?;
    let description = (*description != *row.description).then(|| description.clone());
    // Two tenures in a row may each make a living session say that it lives.
    let is_open = row.session == session && row.state == NodeState::Ready && !row.silent;
    let mut admitted = Admitted::unchanged(row.id);
    if !is_open || description.is_some() {
        let is_renamed = description.as_ref().is_some_and(|new| new.hostname != row.hostname());
        let former_hostname = if is_renamed { row.hostname().to_owned() } else { String::new() };
        let node_id = row.id.to_bytes();
        let opened = SessionOpened { node_id, session, description, former_hostname };
        admitted.events.push((Revision::ZERO, Kind::SessionOpened(Box::new(opened))));
    }
    // In the same entry, so that a node without its engine is never taken for a sound one in
    // between.
    admitted.events.extend(conditions_observed(row, conditions).map(|kind| (Revision::ZERO, kind)));
    Ok(admitted)
}

/// The node's conditions, where they have changed. Another time alone is no change: it moves with
/// the agent's restarts.
fn conditions_observed(row: &NodeRow, told: &[Condition]) -> Option<Kind> {
    let mut conditions: Vec<Condition> = Vec::new();
    for condition in told {
        let known = condition.kind() != ConditionKind::Unspecified;
        if known && conditions.iter().all(|other| other.kind != condition.kind) {
            let mut condition = condition.clone();
            cut(&mut condition.message);
            conditions.push(condition);
        }
    }
    conditions.sort_by_key(|condition| condition.kind);
    let same = |a: &Condition, b: &Condition| (a.kind, &a.message) == (b.kind, &b.message);
    let unchanged = conditions.len() == row.conditions.len()
        && conditions.iter().zip(row.conditions.iter()).all(|(a, b)| same(a, b));
    let observed = NodeConditionsObserved { node_id: row.id.to_bytes(), conditions };
    (!unchanged).then_some(Kind::NodeConditionsObserved(observed))
}

/// Admits an event of the node's current session; one of an older session changes nothing.
fn of_current_session(view: &View, node: Id, session: u64, kind: Kind) -> Admitted {
    match view.nodes().by_id(node) {
        Some((_, row)) if row.session == session && !row.removed => Admitted::one(node, kind),
        Some(_) | None => Admitted::unchanged(node),
    }
}

fn report(view: &View, node: Id, tasks: &[TaskReport]) -> Result<Admitted, Refusal> {
    known(view, node)?;
    let index = view.nodes().find(node);
    let mut admitted = Admitted { object: node, ..Admitted::default() };
    for seen in tasks {
        let Some((_, task)) = view.tasks().by_id(seen.task()) else { continue };
        // Another node's task costs this item and not the report: what the agent says of its own
        // tasks counts.
        if task.node != index {
            admitted
                .warnings
                .push(format!("task {} is not node {node}'s to report: it was left out", task.id));
            continue;
        }
        if says_something_new(task, seen) {
            let observed = Kind::TaskObserved(seen.observed().clone());
            admitted.events.push((cause(task, seen), observed));
        }
    }
    admitted.events.extend(strays(view, node, tasks));
    Ok(admitted)
}

/// Tasks in a report that are not in the view. Normally they have left the view, which is no news;
/// after history went back, their records may be lost.
fn strays(view: &View, node: Id, tasks: &[TaskReport]) -> Vec<(Revision, Kind)> {
    let mut found = Vec::new();
    if view.position().incarnation <= 1 {
        return found;
    }
    let mut room = STRAYS_PER_NODE_MAX.saturating_sub(view.strays_on(node).count());
    for seen in tasks {
        let id = seen.task();
        let ended = seen.state() >= TaskState::Complete;
        let is_news = match view.stray(id) {
            Some(known) => ended && Id::from_bytes(&known.node_id) == node,
            None => !ended && view.tasks().find(id).is_none() && room > 0,
        };
        if !is_news {
            continue;
        }
        room -= usize::from(!ended);
        let state = seen.state() as i32;
        let stray = StrayObserved { task_id: id.to_bytes(), node_id: node.to_bytes(), state };
        found.push((Revision::ZERO, Kind::StrayObserved(stray)));
    }
    found
}

/// Reports only ever raise a state. At the same state another message or error is news, also an
/// empty one, which takes the last one back. Texts are compared as they are kept, cut to their
/// bound: otherwise a long one would be news for ever.
fn says_something_new(task: &TaskRow, seen: &TaskReport) -> bool {
    if task.has_ended() {
        return false;
    }
    let (message, error) =
        task.detail.as_ref().map_or(("", ""), |d| (d.message.as_str(), d.error.as_str()));
    let observed = seen.observed();
    let is_other_text = (observed.message.as_str(), observed.error.as_str()) != (message, error);
    seen.state() > task.state
        || (seen.state() == task.state && task.state > TaskState::Assigned && is_other_text)
}

/// The cause of an observation: a start answers the record before it, a stop answers the desired
/// state, and an end that was not asked for has no cause.
fn cause(task: &TaskRow, seen: &TaskReport) -> Revision {
    let container = seen.observed().container.as_ref();
    let end_cause = container.map_or(EndCause::Itself, |c| c.end_cause());
    match seen.state().meaning().ended_by {
        EndedBy::Nothing => task.state_since.0.max(task.desired_revision),
        EndedBy::Cluster => task.desired_revision,
        EndedBy::Itself if end_cause == EndCause::Asked => task.desired_revision,
        EndedBy::Itself => Revision::ZERO,
    }
}

fn known(view: &View, node: Id) -> Result<&NodeRow, Refusal> {
    match view.nodes().by_id(node) {
        Some((_, row)) if !row.removed => Ok(row),
        Some(_) | None => Err(gone(node)),
    }
}

fn gone(node: Id) -> Refusal {
    Refusal::not_found(format!("no node {node} in this cluster"))
        .hint("it was removed; start the agent with an empty state folder to join again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::{
        Stamp,
        fixture::{World, id},
    };
    use skep_proto::{
        Timestamp, event,
        v1::{IncarnationBegun, Record, TaskObserved},
    };

    /// A cluster whose history went back once, with one task on one node.
    fn after_a_loss() -> View {
        let mut view = World::of("node n1 | service web replicas=1 | task web.1 on n1").view;
        let begun =
            Kind::IncarnationBegun(IncarnationBegun { incarnation: 2, ..Default::default() });
        let record = Record { event: Some(event::event(begun)), ..Record::default() };
        let stamp =
            Stamp { revision: view.position().revision.next(), at: Timestamp(1), incarnation: 2 };
        view.apply(stamp, &record).expect("it is known");
        view
    }

    fn seen(task: u128, state: TaskState) -> TaskReport {
        let (task_id, state) = (Id(task).to_bytes(), state.into());
        TaskReport::read(TaskObserved { task_id, state, ..TaskObserved::default() })
            .expect("an agent can see it")
    }

    #[test]
    fn a_session_that_is_open_already_is_no_news() {
        let view = World::of("node n1").view;
        let row = view.nodes().by_id(id("node", "n1")).expect("it has joined").1;
        let again = open(row, row.session, &row.description, &[]).expect("it may open");
        assert_eq!(again.events, []);
        assert_eq!(
            open(row, row.session + 1, &row.description, &[]).expect("it may open").events.len(),
            1
        );
    }

    #[test]
    fn unknown_tasks_are_news_only_after_history_went_back() {
        let tasks = [seen(1, TaskState::Running), seen(2, TaskState::Failed)];
        let before = World::of("node n1").view;
        assert_eq!(strays(&before, id("node", "n1"), &tasks), []);
        assert_eq!(
            strays(&after_a_loss(), id("node", "n1"), &tasks).len(),
            1,
            "what has ended is none"
        );
    }

    #[test]
    fn only_the_node_of_a_stray_ends_it() {
        let mut view = after_a_loss();
        let stray = strays(&view, id("node", "n1"), &[seen(1, TaskState::Running)]);
        let [(_, kind)] = &stray[..] else { panic!("{stray:?}") };
        let record = Record { event: Some(event::event(kind.clone())), ..Record::default() };
        let stamp =
            Stamp { revision: view.position().revision.next(), at: Timestamp(1), incarnation: 2 };
        view.apply(stamp, &record).expect("it is known");
        let ended = [seen(1, TaskState::Failed)];
        assert_eq!(strays(&view, id("node", "n2"), &ended), []);
        assert_eq!(strays(&view, id("node", "n1"), &ended).len(), 1);
    }

    #[test]
    fn one_report_cannot_pass_the_bound() {
        let many: Vec<_> =
            (1..=STRAYS_PER_NODE_MAX as u128 + 5).map(|n| seen(n, TaskState::Running)).collect();
        assert_eq!(strays(&after_a_loss(), id("node", "n1"), &many).len(), STRAYS_PER_NODE_MAX);
    }
}
