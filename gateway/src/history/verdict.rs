//! How things stand with an object, and why, in one line. PURE.

use super::summary::{ended, to_the_second};
use crate::{admit, show};
use skep_projections::{NodeRow, ServiceIdx, ServiceRow, TaskRow, View};
use skep_proto::{
    MANAGERS_LEVEL, author, condition, defaults,
    task_state::{EndKind, EndedBy},
    v1::{
        DesireReason, NodeAvailability, NodeRole, NodeState, RestartCondition, RolloutState,
        TaskState,
    },
};
use skep_reconcilers::attempts::may_restart;

/// A task in one line.
pub fn task(view: &View, row: &TaskRow) -> String {
    let name = view.task_name(row);
    let now = if row.has_ended() {
        how_it_ended(view, row)
    } else if !row.is_wanted() {
        format!("is being stopped{}: {}", on(view, row), because(view, row))
    } else if row.is_pending() {
        pending(view, row)
    } else {
        living(view, row)
    };
    let more = if row.is_wanted() && !row.has_ended() {
        origin(view, row)
    } else {
        match ended_for_good(view, row) {
            Some(why) => format!("; {why}"),
            None => successor(view, row),
        }
    };
    format!("{name} {now}{more}")
}

fn pending(view: &View, row: &TaskRow) -> String {
    let service = view.services().get(row.service);
    if let Some(parked) = parked(view, service) {
        return format!("is pending: {parked}");
    }
    match show::blocked(row, service) {
        Some(why) => format!("is pending: {why}"),
        None => "is pending: placement has not come to it yet".into(),
    }
}

fn living(view: &View, row: &TaskRow) -> String {
    let on = on(view, row);
    let message = row.detail.as_ref().map_or("", |detail| detail.message.as_str());
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    if row.state == TaskState::Running {
        return format!("runs{on} since {}{message}", to_the_second(row.state_since.1));
    }
    let held = match (row.is_held(), row.start_at.0) {
        (false, _) => String::new(),
        (true, 0) => ", held until the task before it has ended".into(),
        (true, _) => format!(", held until {}", to_the_second(row.start_at)),
    };
    format!("is {}{on}{held}{message}", state_word(row.state))
}

/// A state as people say it: `preparing`.
pub fn state_word(state: TaskState) -> String {
    state.word().to_owned()
}

fn how_it_ended(view: &View, row: &TaskRow) -> String {
    let on = on(view, row);
    let detail = row.detail.as_deref();
    let error = detail.map_or("", |detail| detail.error.as_str());
    let container = detail.and_then(|detail| detail.container.as_ref());
    let meaning = row.state.meaning();
    match (meaning.end, meaning.ended_by) {
        (EndKind::NoEnd, _) | (_, EndedBy::Nothing) => format!("is {}{on}", meaning.word),
        (EndKind::Well, EndedBy::Itself) => {
            format!("ended by itself{on} with {}", ended(container, error))
        }
        (EndKind::Well, EndedBy::Cluster) => format!("was stopped{on}: {}", because(view, row)),
        (EndKind::Badly, EndedBy::Cluster) => format!("is lost{on}: {}", because(view, row)),
        (EndKind::Badly, EndedBy::Itself) if row.state == TaskState::Failed => {
            format!("failed{on}: {}", ended(container, error))
        }
        (EndKind::Badly, EndedBy::Itself) => {
            let why = if error.is_empty() { "no reason given" } else { error };
            format!("was rejected{on}: {why}")
        }
    }
}

/// Why the system wants of a task what it wants.
fn because(view: &View, row: &TaskRow) -> String {
    let node =
        row.node.and_then(|index| view.nodes().get(index)).map_or("its node", NodeRow::hostname);
    let service = view.services().get(row.service).map_or("its service", |service| service.name());
    match row.desire_reason {
        DesireReason::Unspecified | DesireReason::Start => "nobody asked for it".into(),
        DesireReason::ScaledDown => format!("{service} was scaled down"),
        DesireReason::ServiceRemoved => format!("{service} was removed"),
        DesireReason::Replaced => "another task took its place".into(),
        DesireReason::NewSpec => format!("{service} has a new spec"),
        DesireReason::NodeDrained => format!("node {node} was drained"),
        DesireReason::NodeDown => format!("node {node} went down"),
        DesireReason::NodeRemoved => format!("node {node} was removed"),
        DesireReason::Unfit => format!("node {node} no longer fits"),
        DesireReason::Ended => "it had ended".into(),
    }
}

/// Why there is this task, where another one stood in its slot.
fn origin(view: &View, row: &TaskRow) -> String {
    let Some(before) = view.tasks().find(row.replaces).and_then(|index| view.tasks().get(index))
    else {
        return String::new();
    };
    match before.desire_reason {
        DesireReason::NodeDrained
        | DesireReason::NodeDown
        | DesireReason::NodeRemoved
        | DesireReason::Unfit => {
            format!("; it was moved because {}", because(view, before))
        }
        DesireReason::NewSpec => format!("; it is new because {}", because(view, before)),
        DesireReason::Ended
        | DesireReason::Replaced
        | DesireReason::Start
        | DesireReason::Unspecified => {
            let times = if row.attempt > 1 {
                format!(", failure {} in a row", row.attempt)
            } else {
                String::new()
            };
            format!("; the task before it {}{times}", how_it_ended(view, before))
        }
        DesireReason::ScaledDown | DesireReason::ServiceRemoved => String::new(),
    }
}

fn successor(view: &View, row: &TaskRow) -> String {
    let next =
        view.tasks_in_slot(row.service, row.slot).find(|(_, other)| other.replaces == row.id);
    next.map_or_else(String::new, |(_, next)| {
        format!("; {} took its place{}", next.id, on(view, next))
    })
}

fn on(view: &View, row: &TaskRow) -> String {
    let node = row.node.and_then(|index| view.nodes().get(index));
    node.map_or_else(String::new, |node| format!(" on {}", node.hostname()))
}

fn parked(view: &View, service: Option<&ServiceRow>) -> Option<String> {
    let parked = view.parked(service?.id)?;
    let by = author::reconciler_name(parked.reconciler());
    Some(format!("its service is parked because {by} failed on it: {}", parked.message))
}

/// A service in one line.
pub fn service(view: &View, index: ServiceIdx, row: &ServiceRow) -> String {
    let name = row.name();
    if row.removed {
        return format!("{name} was removed; {} of its tasks are still there", row.tasks);
    }
    let (running, wanted) = (row.running_tasks, row.replicas());
    if let Some(parked) = view.parked(row.id) {
        let by = author::reconciler_name(parked.reconciler());
        return format!(
            "{name} is parked because {by} failed on it: {}; {running} of {wanted} run",
            parked.message
        );
    }
    let pending = view.pending_of(index).count();
    if let (Some(blocked), true) = (&row.blocked, pending > 0) {
        return format!(
            "{name} runs {running} of {wanted}: {pending} pending: {}",
            blocked.message
        );
    }
    if let Some(paused) = paused(row) {
        return format!("{name} runs {running} of {wanted}; {paused}");
    }
    if u64::from(running) >= wanted {
        return format!("{name} runs as wanted: {running} of {wanted}");
    }
    let why = [finished(view, index).map(|(why, _)| why), failing(view, index)];
    let mut why: Vec<String> = why.into_iter().flatten().collect();
    let ended = finished(view, index).map_or(0, |(_, tasks)| tasks);
    if why.is_empty() || (why.len() == 1 && ended > 0 && u64::from(running) + ended < wanted) {
        why.push("the others are on their way".into());
    }
    format!("{name} runs {running} of {wanted}: {}", why.join("; "))
}

/// Why nothing replaces a task of the service's newest spec that has ended: its restart policy.
fn ended_for_good(view: &View, row: &TaskRow) -> Option<String> {
    let service = view.services().get(row.service)?;
    let is_finished = row.has_ended()
        && row.desired != TaskState::Remove
        && row.spec_version == service.spec_version
        && !service.removed
        && !may_restart(view, row)
        && view.tasks_in_slot(row.service, row.slot).all(|(_, other)| other.replaces != row.id);
    let spec = view.spec_of(row).and_then(|spec| spec.task.as_ref()).filter(|_| is_finished)?;
    let policy = defaults::restart(spec);
    let none = |word: &str| format!("its restart condition is {word}, so nothing replaces it");
    Some(match policy.condition {
        RestartCondition::None => none("none"),
        RestartCondition::OnFailure if row.state == TaskState::Complete => none("on-failure"),
        RestartCondition::OnFailure | RestartCondition::Any => format!(
            "its restart policy allows {} in a row, so nothing replaces it",
            super::placement::counted_or_no(
                u32::try_from(policy.max_attempts).unwrap_or(u32::MAX),
                "restart"
            )
        ),
    })
}

/// The first slot whose task has ended for good, how and why, and how many slots there are like it.
pub(crate) fn finished(view: &View, index: ServiceIdx) -> Option<(String, u64)> {
    let ended =
        || view.tasks_of(index).filter_map(|(_, row)| Some((row, ended_for_good(view, row)?)));
    let (row, why) = ended().min_by_key(|(row, _)| row.slot)?;
    let tasks = ended().count() as u64;
    let more = match tasks - 1 {
        0 => String::new(),
        n => format!(" (and {n} more like it)"),
    };
    let text = format!("{} {}; {why}{more}", view.task_name(row), how_it_ended(view, row));
    Some((text, tasks))
}

/// That its roll-out is paused, and why.
pub(crate) fn paused(row: &ServiceRow) -> Option<String> {
    let rollout = row.rollout.as_ref().filter(|rollout| rollout.state == RolloutState::Paused)?;
    let why =
        if rollout.message.is_empty() { String::new() } else { format!(": {}", rollout.message) };
    Some(format!("its roll-out is paused{why}"))
}

/// The slot that fails most often, and how.
fn failing(view: &View, index: ServiceIdx) -> Option<String> {
    let wanted = view.tasks_of(index).filter(|(_, row)| {
        row.is_wanted() && failures(row) > 0 && ended_for_good(view, row).is_none()
    });
    let (_, worst) = wanted.max_by_key(|(_, row)| (failures(row), std::cmp::Reverse(row.slot)))?;
    let how = failed_last(view, worst)
        .map_or_else(String::new, |row| format!("; it {}", how_it_ended(view, row)));
    let times = super::placement::counted_or_no(failures(worst), "failure");
    Some(format!("{} keeps failing, {times} in a row{how}", view.task_name(worst)))
}

/// How often a slot has failed in a row, as its newest task tells.
fn failures(row: &TaskRow) -> u32 {
    let failed = matches!(row.state, TaskState::Failed | TaskState::Rejected);
    row.attempt.saturating_add(u32::from(failed))
}

/// Of a slot's newest task: itself, if it failed before its time came and is still to be answered,
/// or the one that it stands in for.
pub(super) fn failed_last<'a>(view: &'a View, row: &'a TaskRow) -> Option<&'a TaskRow> {
    if row.has_ended() {
        return (failures(row) > row.attempt).then_some(row);
    }
    view.tasks().get(view.tasks().find(row.replaces)?).filter(|_| row.attempt > 0)
}

/// A node in one line.
pub fn node(view: &View, row: &NodeRow) -> String {
    let (name, since) = (row.hostname(), to_the_second(row.state_at));
    let why = if row.state_message.is_empty() {
        String::new()
    } else {
        format!(": {}", row.state_message)
    };
    if row.removed {
        return format!("node {name} was removed");
    }
    let state = match row.state {
        NodeState::Unknown => format!("has not been heard from since {since}{why}"),
        NodeState::Down => format!("is down since {since}{why}"),
        NodeState::Disconnected => format!("is disconnected since {since}{why}"),
        NodeState::Ready => format!("is ready since {since}{why}"),
    };
    let wanted = match row.spec.availability() {
        NodeAvailability::Active => "",
        NodeAvailability::Pause => "; it is paused: nothing new is placed on it",
        NodeAvailability::Drain => "; it is drained: nothing may stay on it",
    };
    let problems: Vec<String> = row.conditions.iter().map(condition::line).collect();
    let problems = match (problems.is_empty(), row.is_impaired()) {
        (true, _) => String::new(),
        (false, false) => format!("; {}", problems.join("; ")),
        (false, true) => format!("; {}; it gets no new tasks meanwhile", problems.join("; ")),
    };
    format!(
        "node {name} {state}{wanted}{}{problems}; {}",
        among_managers(view, row),
        super::placement::counted_or_no(row.live_tasks, "live task")
    )
}

/// What a node is among the managers; nothing of a worker.
fn among_managers(view: &View, row: &NodeRow) -> &'static str {
    match row.spec.desired_role() {
        _ if view.tenure().manager == row.id => "; it is the leader of the managers",
        NodeRole::Manager if admit::votes(view, row) && !admit::is_ready(view, row) => {
            "; it is a manager, and does not answer the leader"
        }
        NodeRole::Worker if row.manager.is_none() => "",
        NodeRole::Worker => "; it is being demoted",
        NodeRole::Manager if admit::votes(view, row) || view.level() < MANAGERS_LEVEL => {
            "; it is a manager"
        }
        NodeRole::Manager => "; it is becoming a manager",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::{World, id};

    #[test]
    fn a_node_is_told_as_what_it_is_among_the_managers() {
        let mut world = World::of(
            "level 5 | node m1 role=manager | tenure m1 | open m1 | node m2 role=manager | node n1",
        );
        let mut check = |statement: &str, name: &str, expected: &str| {
            world.tell(statement);
            let (_, row) = world.view.nodes().by_id(id("node", name)).expect("it is there");
            let told = node(&world.view, row);
            assert!(told.ends_with(&format!("Z{expected}; no live tasks")), "{told}");
        };
        check("", "m1", "; it is the leader of the managers");
        check("", "m2", "; it is a manager");
        check("", "n1", "");
        check("level 6", "m2", "; it is becoming a manager");
        check("number m1 | number m2 | follows m2", "m2", "; it is becoming a manager");
        check("votes m2", "m2", "; it is a manager");
        check("demote m2", "m2", "; it is being demoted");
        check("leaves m2", "m2", "");
    }

    fn of_task(world: &World, name: &str) -> String {
        task(&world.view, world.view.tasks().get(world.task(name)).expect("it is there"))
    }

    fn of_service(world: &World, name: &str) -> String {
        let index = world.service(name);
        service(&world.view, index, world.view.services().get(index).expect("it is there"))
    }

    #[test]
    fn a_task_of_a_parked_service_says_why_nobody_places_it() {
        let world = World::of("node n1 | service web | task web.1 | park web");
        let verdict = of_task(&world, "web.1");
        let why = "its service is parked because replicas failed on it: parked by a story";
        assert_eq!(verdict, format!("web.1 is pending: {why}"));
    }

    #[test]
    fn tasks_that_have_not_failed_are_on_their_way() {
        let world = World::of(
            "node n1 | service web replicas=2 | task web.1 on n1 running | task web.2 on n1",
        );
        assert_eq!(of_service(&world, "web"), "web runs 1 of 2: the others are on their way");
    }

    #[test]
    fn tasks_that_have_ended_for_good_name_the_policy_that_replaces_nothing() {
        let world =
            World::of("node n1 | service bye restart=NONE | task bye.1 on n1 failed exit=3");
        let why = "bye.1 failed on n1: exit code 3; its restart condition is none, \
                   so nothing replaces it";
        assert_eq!(of_task(&world, "bye.1"), why);
        assert_eq!(of_service(&world, "bye"), format!("bye runs 0 of 1: {why}"));

        let world = World::of(
            "node n1 | service job replicas=3 restart=ON_FAILURE | task job.1 on n1 complete exit=0 \
             | task job.2 on n1 complete exit=0 | task job.3 on n1",
        );
        assert_eq!(
            of_service(&world, "job"),
            "job runs 0 of 3: job.1 ended by itself on n1 with exit code 0; its restart condition \
             is on-failure, so nothing replaces it (and 1 more like it); the others are on their way"
        );

        let world = World::of(
            "node n1 | service bad max-attempts=2 | task bad.1 on n1 failed exit=1 attempt=2",
        );
        assert_eq!(
            of_service(&world, "bad"),
            "bad runs 0 of 1: bad.1 failed on n1: exit code 1; its restart policy allows 2 restarts \
             in a row, so nothing replaces it"
        );
    }

    #[test]
    fn only_a_failure_is_named_as_the_one_before() {
        let last = |story: &str| {
            let world = World::of(story);
            let newest = world.view.tasks().get(world.task("web.1")).expect("it is there");
            failed_last(&world.view, newest).map(|row| row.state)
        };
        let moved = "node n1 | service web | task web.1 on n1 shutdown | task web.1 on n1 running";
        assert_eq!(last(moved), None);
        let failed = "node n1 | service web | task web.1 on n1 failed | web.1 wanted shutdown \
                      | task web.1 on n1 running attempt=1";
        assert_eq!(last(failed), Some(TaskState::Failed));
    }
}
