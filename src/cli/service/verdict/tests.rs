//! Stories of services on their way: `slot:created:state[>desired]` a task, then what is said of
//! them.

use super::*;
use skep_proto::v1::{
    ContainerStatus, Meta, Placement, PlacementBlocked, Replicated, RolloutStatus, ServiceMode,
    ServiceSpec, TaskSpec, TaskStatus, service_mode::Mode,
};

fn state_of(word: &str) -> TaskState {
    [
        TaskState::Pending,
        TaskState::Preparing,
        TaskState::Ready,
        TaskState::Running,
        TaskState::Complete,
        TaskState::Shutdown,
        TaskState::Failed,
        TaskState::Rejected,
        TaskState::Remove,
    ]
    .into_iter()
    .find(|state| state_word(*state) == word)
    .expect("a state")
}

/// `1:7:running>shutdown` is a task in slot 1, created at revision 7 (with the spec of that
/// revision's parity), running and wanted to be shut down.
fn task(text: &str) -> Task {
    let mut parts = text.split(':');
    let slot: u64 = parts.next().and_then(|p| p.parse().ok()).expect("a slot");
    let created_revision: u64 = parts.next().and_then(|p| p.parse().ok()).expect("a revision");
    let (state, desired) =
        parts.next().map(|p| p.split_once('>').unwrap_or((p, "running"))).expect("a state");
    Task {
        id: Id(u128::from(created_revision)).to_bytes(),
        name: format!("web.{slot}"),
        slot,
        spec_version: if created_revision < 10 { 1 } else { 10 },
        meta: Some(Meta { created_revision, ..Meta::default() }),
        desired: state_of(desired) as i32,
        status: Some(TaskStatus {
            state: state_of(state) as i32,
            at: created_revision,
            ..TaskStatus::default()
        }),
        ..Task::default()
    }
}

fn reply(replicas: u64, spec_version: u64, tasks: &str) -> WatchServiceReply {
    let mode = Some(ServiceMode { mode: Some(Mode::Replicated(Replicated { replicas })) });
    let spec = Some(ServiceSpec { mode, ..ServiceSpec::default() });
    WatchServiceReply {
        service: Some(Service { spec, spec_version, ..Service::default() }),
        tasks: tasks.split_whitespace().map(task).collect(),
        ..WatchServiceReply::default()
    }
}

/// `settled/wanted`, then `converged`, `trouble` or why it is hopeless.
fn check(reply: &WatchServiceReply, after: u64, expected: &str) {
    let picture = judge(reply, &old_failures(reply, after));
    let mut said = format!("{}/{}", picture.settled, picture.wanted);
    if picture.converged {
        said.push_str(" converged");
    }
    if picture.in_trouble() {
        said.push_str(" trouble");
    }
    if !picture.hopeless.is_empty() {
        said.push_str(&format!(": {}", picture.hopeless));
    }
    assert_eq!(said, expected);
}

#[test]
fn a_new_service_is_settled_when_all_its_slots_run() {
    check(&reply(2, 1, ""), 1, "0/2");
    check(&reply(2, 1, "1:2:pending 2:3:running"), 1, "1/2");
    check(&reply(2, 1, "1:2:running 2:3:running"), 1, "2/2 converged");
    check(&reply(0, 1, ""), 1, "0/0 converged");
}

#[test]
fn a_slot_is_given_up_on_after_three_failures() {
    check(&reply(1, 1, "1:3:ready 1:2:failed>shutdown"), 1, "0/1 trouble");
    let three = "1:5:ready 1:4:failed>shutdown 1:3:failed>shutdown 1:2:rejected>shutdown";
    check(&reply(1, 1, three), 1, "0/1 trouble: web.1 failed 3 times");
    check(&reply(1, 1, "1:5:running 1:4:failed>shutdown"), 1, "1/1 converged");
}

#[test]
fn a_task_that_ends_well_and_is_replaced_again_and_again_does_not_run() {
    check(&reply(1, 1, "1:3:ready 1:2:complete>shutdown"), 1, "0/1 trouble");
    let three = "1:5:ready 1:4:complete>shutdown 1:3:complete>shutdown 1:2:complete>shutdown";
    check(&reply(1, 1, three), 1, "0/1 trouble: web.1 ended 3 times");
    check(&reply(1, 1, three), 4, "0/1");
    let mut asked = reply(1, 1, three);
    for task in asked.tasks.iter_mut().filter(|task| state(task) == TaskState::Complete) {
        let container =
            ContainerStatus { end_cause: EndCause::Asked as i32, ..ContainerStatus::default() };
        task.status.get_or_insert_default().container = Some(container);
    }
    check(&asked, 1, "0/1");
}

#[test]
fn failures_of_before_the_command_do_not_count() {
    let tasks = "1:5:ready 1:4:failed>shutdown 1:3:failed>shutdown 1:2:failed>shutdown";
    check(&reply(1, 1, tasks), 4, "0/1");
}

#[test]
fn a_task_that_is_not_tried_again_decides_at_once() {
    check(
        &reply(1, 1, "1:2:failed>shutdown"),
        1,
        "0/1 trouble: web.1 ended and is not tried again: ",
    );
    check(&reply(1, 1, "1:2:complete>shutdown"), 1, "1/1 converged");
    check(&reply(2, 1, "1:2:complete>shutdown 2:3:running"), 1, "2/2 converged");
    // Its end has been seen and not yet answered: there is hope.
    check(&reply(1, 1, "1:2:failed"), 1, "0/1 trouble");
}

#[test]
fn an_update_is_settled_when_every_slot_runs_the_new_spec() {
    check(&reply(2, 10, "1:2:running 2:3:running"), 10, "0/2");
    check(&reply(2, 10, "1:11:running 1:2:shutdown>shutdown 2:3:running"), 10, "1/2");
    check(&reply(2, 10, "1:11:running 2:12:running 2:3:shutdown>shutdown"), 10, "2/2 converged");
    let mut paused = reply(1, 10, "1:11:failed>shutdown 1:2:shutdown>shutdown");
    let rollout = RolloutStatus {
        state: RolloutState::Paused as i32,
        message: "web.1 failed".into(),
        ..RolloutStatus::default()
    };
    if let Some(service) = paused.service.as_mut() {
        service.rollout = Some(rollout);
    }
    check(&paused, 10, "0/1 trouble: the update is paused: web.1 failed");
}

#[test]
fn tasks_that_still_fit_are_kept_when_only_their_placement_changes() {
    let constrained = |constraint: &str| TaskSpec {
        placement: Some(Placement { constraints: vec![constraint.into()], ..Placement::default() }),
        ..TaskSpec::default()
    };
    let mut kept = reply(2, 10, "1:2:running 2:3:running");
    kept.tasks.iter_mut().for_each(|task| task.spec = Some(constrained("node.labels.a==1")));
    let service = kept.service.as_mut().expect("a service");
    service.spec.get_or_insert_default().task = Some(constrained("node.labels.b==1"));
    check(&kept, 10, "2/2 converged");
    let updating =
        RolloutStatus { state: RolloutState::Updating as i32, ..RolloutStatus::default() };
    kept.service.as_mut().expect("a service").rollout = Some(updating);
    check(&kept, 10, "2/2");
    kept.service.as_mut().expect("a service").spec.get_or_insert_default().task =
        Some(TaskSpec { force_update: 1, ..TaskSpec::default() });
    check(&kept, 10, "0/2");
    assert_eq!(judge(&kept, &BTreeSet::new()).older, 2);
}

#[test]
fn how_far_a_slot_has_come_is_counted_for_the_newest_spec_alone() {
    let reached = |tasks| judge(&reply(1, 10, tasks), &BTreeSet::new()).slots[0].reached;
    assert_eq!(reached("1:2:running"), (0, 0));
    assert_eq!(reached("1:11:preparing 1:2:shutdown>shutdown"), (TaskState::Preparing as i32, 0));
    assert_eq!(reached("1:11:running"), (TaskState::Running as i32, 0));
    assert_eq!(reached("1:11:failed"), (0, 0));
}

#[test]
fn scaling_down_is_settled_when_no_more_are_wanted_than_asked_for() {
    check(&reply(1, 1, "1:2:running 2:3:running"), 4, "2/1");
    check(&reply(1, 1, "1:2:running>remove 2:3:running"), 4, "1/1 converged");
}

#[test]
fn what_blocks_is_trouble() {
    let mut blocked = reply(1, 1, "1:2:pending");
    if let Some(service) = blocked.service.as_mut() {
        service.blocked =
            Some(PlacementBlocked { message: "no node".into(), ..PlacementBlocked::default() });
    }
    check(&blocked, 1, "0/1 trouble");
}
