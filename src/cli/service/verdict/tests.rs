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
    let mut replaced = reply(1, 10, "1:11:running");
    replaced
        .service
        .as_mut()
        .expect("a service")
        .rollout
        .clone_from(&kept.service.as_ref().expect("a service").rollout);
    check(&replaced, 10, "1/1 converged");
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

/// What is said of the first slot.
fn line_of(reply: &WatchServiceReply) -> String {
    slot_line(&judge(reply, &BTreeSet::new()).slots[0])
}

#[test]
fn a_line_says_where_the_newest_task_is_and_what_went_wrong_before() {
    assert_eq!(line_of(&reply(1, 1, "1:2:running")), "running");
    let mut placed = reply(1, 1, "1:5:ready");
    placed.tasks[0].node_name = "n1".into();
    assert_eq!(line_of(&placed), "ready on n1");
    let failed = |replaced: &str| {
        let mut reply = reply(1, 1, replaced);
        for task in reply
            .tasks
            .iter_mut()
            .filter(|task| task.meta.as_ref().is_some_and(|m| m.created_revision < 5))
        {
            let container = ContainerStatus { exit_code: Some(3), ..ContainerStatus::default() };
            task.status.get_or_insert_default().container = Some(container);
        }
        line_of(&reply)
    };
    assert_eq!(failed("1:5:ready 1:4:failed>shutdown"), "ready, failed once: exit code 3");
    assert_eq!(
        failed("1:5:ready 1:4:failed>shutdown 1:3:failed>shutdown"),
        "ready, failed 2 times: exit code 3"
    );
    assert_eq!(failed("1:5:ready 1:4:complete>shutdown"), "ready, ended once: exit code 3");
    assert_eq!(failed("1:5:running 1:4:failed>shutdown"), "running", "it runs now");
    assert_eq!(failed("1:4:failed"), "failed: exit code 3");
}

#[test]
fn a_line_says_what_is_pulled_or_what_the_agent_says() {
    let pulled = |done_bytes, total_bytes| {
        let mut reply = reply(1, 1, "1:5:preparing");
        let task_id = reply.tasks[0].id.clone();
        let message = "downloading".into();
        reply.pulls = vec![
            PullProgress { done_bytes: 1, ..PullProgress::default() },
            PullProgress { task_id, message, done_bytes, total_bytes },
        ];
        line_of(&reply)
    };
    assert_eq!(pulled(0, 0), "preparing, downloading");
    assert_eq!(pulled(1024, 0), "preparing, downloading 1KiB");
    assert_eq!(pulled(1024, 4096), "preparing, downloading 1KiB of 4KiB");
    let told = |state: &str, message: &str| {
        let mut reply = reply(1, 1, &format!("1:5:{state}"));
        reply.tasks[0].status.get_or_insert_default().message = message.into();
        line_of(&reply)
    };
    assert_eq!(told("ready", "waiting for its predecessor"), "ready, waiting for its predecessor");
    assert_eq!(told("ready", "ready"), "ready", "nothing is said twice");
    assert_eq!(told("running", "its container is paused"), "running");
}

#[test]
fn whether_any_attempt_failed_is_known_although_it_runs_now() {
    let has_failed = |tasks| judge(&reply(1, 1, tasks), &BTreeSet::new()).has_failed();
    assert!(!has_failed("1:2:running"));
    assert!(has_failed("1:5:running 1:4:failed>shutdown"));
}

#[test]
fn tasks_in_any_order_mean_the_same() {
    check(&reply(1, 1, "1:4:failed>shutdown 1:5:running"), 1, "1/1 converged");
    let picture = judge(
        &reply(1, 1, "1:3:rejected>shutdown 1:4:failed>shutdown 1:5:ready"),
        &BTreeSet::new(),
    );
    let failed = picture.culprit().and_then(|slot| slot.failed.as_ref()).map(created);
    assert_eq!(failed, Some(4), "the newest of them");
}

#[test]
fn a_slot_that_was_given_up_does_not_decide_where_enough_others_live() {
    check(&reply(1, 1, "1:2:running 2:3:failed>shutdown"), 1, "1/1 converged trouble");
    check(&reply(1, 1, "1:2:ready 2:3:failed>shutdown"), 1, "0/1 trouble");
}

#[test]
fn a_task_that_was_shut_down_and_did_not_fail_is_not_on_its_way() {
    let tasks = "1:5:shutdown>shutdown 1:4:failed>shutdown";
    assert_eq!(judge(&reply(1, 1, tasks), &BTreeSet::new()).slots, []);
    let old = "1:5:failed>shutdown";
    let reply = reply(1, 1, old);
    assert_eq!(judge(&reply, &old_failures(&reply, 5)).slots, [], "it failed before the command");
}

#[test]
fn failures_of_before_are_ended_tasks_alone() {
    let reply = reply(2, 1, "1:2:failed>shutdown 1:3:complete>shutdown 2:4:running");
    assert_eq!(old_failures(&reply, 9), BTreeSet::from([Id(2), Id(3)]));
}

#[test]
fn older_tasks_are_counted_while_they_serve() {
    let older = |tasks| judge(&reply(1, 10, tasks), &BTreeSet::new()).older;
    assert_eq!(older("1:11:running"), 0);
    assert_eq!(older("1:11:ready 1:2:running"), 1);
    assert_eq!(older("1:11:ready 1:2:running>shutdown"), 0);
    assert_eq!(older("1:11:ready 1:2:ready"), 0);
}

#[test]
fn the_time_of_the_newest_change_is_that_of_a_settled_task() {
    let at = |tasks| judge(&reply(2, 1, tasks), &BTreeSet::new()).settled_at;
    assert_eq!(at("1:4:running 2:7:running"), 7);
    assert_eq!(at("1:4:running 2:7:ready"), 4);
}
