//! Requests of machines. An agent is believed about its own node and tasks and about nothing else.
//! PURE.

use super::{
    Admitted, MachineRequest, Refusal, TaskReport, certificates,
    node_rules::{known, within_bound},
    report::cut,
};
use skep_projections::{NodeRow, TaskRow, View};
use skep_proto::{
    Id, MANAGERS_LEVEL, REMOVAL_LEVEL, Revision,
    task_state::EndedBy,
    v1::{
        Condition, ConditionKind, EndCause, NodeConditionsObserved, NodeDescription, NodeSilent,
        NodeState, SessionClosed, SessionOpened, StrayObserved, TaskState, event::Kind,
    },
};

/// Strays that are kept in sight of one node; of more nothing is recorded until some have ended.
const STRAYS_PER_NODE_MAX: usize = 1_000;

pub(super) fn admit(view: &View, machine: &MachineRequest) -> Result<Admitted, Refusal> {
    match machine {
        MachineRequest::Certify(asked) => certificates::certify(view, asked),
        MachineRequest::FoundAuthority { root_certificate, salts } => {
            certificates::found_authority(view, root_certificate, salts)
        }
        MachineRequest::Open { node, session, description, conditions, address, manager } => {
            // Below that level records name no addresses.
            let address = if view.level() < REMOVAL_LEVEL { "" } else { address };
            let manager = if view.level() < MANAGERS_LEVEL { Id::NONE } else { *manager };
            let row = known(view, *node)?;
            open(row, *session, description, conditions, (address, manager))
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
        MachineRequest::Silent { node, session, tenure } => {
            let down = |row: &NodeRow| row.silent || row.state == NodeState::Down;
            let is_outdated = *tenure != view.tenure().revision;
            if is_outdated || view.nodes().by_id(*node).is_some_and(|(_, row)| down(row)) {
                return Ok(Admitted::unchanged(*node));
            }
            let silent = NodeSilent { node_id: node.to_bytes(), session: *session };
            Ok(of_current_session(view, *node, *session, Kind::NodeSilent(silent)))
        }
        MachineRequest::Report { node, tasks } => report(view, *node, tasks),
        MachineRequest::Leader(seen) => Ok(seen.admit(view)),
        MachineRequest::Fact(kind) => Ok(Admitted::one(Id::NONE, kind.clone())),
    }
}

fn open(
    row: &NodeRow,
    session: u64,
    description: &NodeDescription,
    conditions: &[Condition],
    (address, manager): (&str, Id),
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
        let address = address.to_owned();
        let manager_id = manager.to_bytes();
        let opened =
            SessionOpened { node_id, session, description, former_hostname, address, manager_id };
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
        let again =
            open(row, row.session, &row.description, &[], ("", Id::NONE)).expect("it may open");
        assert_eq!(again.events, []);
        assert_eq!(
            open(row, row.session + 1, &row.description, &[], ("", Id::NONE))
                .expect("it may open")
                .events
                .len(),
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
