//! What one task does with what it is told.

use super::*;
use crate::runtime::Proof;
use skep_proto::v1::{ContainerSpec, PortConfig, TaskAssignment, TaskSpec, task_spec};
use std::sync::Arc;

#[test]
fn a_stop_gives_the_time_that_the_spec_asks_for() {
    let stop = |spec: TaskSpec| {
        let workload = Workload { spec: Arc::new(spec), ..Workload::default() };
        AgentTask::new(workload, TaskState::Running, TaskState::Assigned).step(StepKind::Stop)
    };
    let container =
        ContainerSpec { stop_grace_period_ns: Some(75_000_000_000), ..ContainerSpec::default() };
    let runtime = Some(task_spec::Runtime::Container(container));
    let asked = stop(TaskSpec { runtime, ..TaskSpec::default() });
    assert_eq!(asked, TaskStep::Stop { grace_ns: 75_000_000_000 });
    let unasked = stop(TaskSpec::default());
    assert_eq!(unasked, TaskStep::Stop { grace_ns: defaults::STOP_GRACE_LIMIT_NS });
}

fn task(state: TaskState) -> AgentTask {
    AgentTask::new(Workload::default(), TaskState::Running, state)
}

fn started() -> Started {
    let port = PortConfig { published_port: 8080, ..PortConfig::default() };
    Started { container_ref: "c-a".into(), pid: 7, ports: vec![port] }
}

fn found(image_digest: &str, state: FoundState) -> FoundTask {
    let image_digest = image_digest.to_owned();
    FoundTask { task_id: Id(1), image_digest, proof: Proof::Recorded, state }
}

#[test]
fn where_it_runs_is_reported() {
    let mut task = task(TaskState::Starting);
    task.on_started(&started());
    let container = task.observed.container.expect("it runs");
    assert_eq!((container.container_ref.as_str(), container.pid), ("c-a", 7));
    assert_eq!(container.ports, started().ports);
}

#[test]
fn a_task_is_found_again_with_its_image_and_where_it_runs() {
    let mut running = task(TaskState::Running);
    running.container().image_digest = "sha256:old".into();
    running.adopt(&found("", FoundState::Running(started())));
    let container = running.observed.container.clone().expect("it runs");
    assert_eq!((container.image_digest.as_str(), container.pid), ("sha256:old", 7));
    running.adopt(&found("sha256:new", FoundState::Created));
    assert_eq!(running.container().image_digest, "sha256:new");
    assert!(running.begun);
}

#[test]
fn what_is_known_of_a_task_that_has_ended_stays_as_it_is() {
    let mut ended = task(TaskState::Failed);
    ended.adopt(&found("sha256:new", FoundState::Running(started())));
    assert_eq!(ended.observed.container, None);
    assert_eq!(ended.seen, RuntimeStage::Started);
}

#[test]
fn a_state_is_reported_once_with_the_time_at_which_it_was_seen() {
    let mut task = task(TaskState::Assigned);
    task.raise(TaskState::Starting, Timestamp(5));
    assert_eq!((task.state(), task.observed.observed_at), (TaskState::Starting, 5));
    task.news = false;
    task.raise(TaskState::Starting, Timestamp(6));
    task.raise(TaskState::Accepted, Timestamp(6));
    assert_eq!((task.state(), task.news), (TaskState::Starting, false));
    task.say("its shim hangs".into(), Timestamp(7));
    assert_eq!((task.observed.observed_at, task.news), (7, true));
}

#[test]
fn nothing_is_awaited_of_a_task_that_has_ended() {
    let mut task = task(TaskState::Running);
    task.step.begin(StepKind::Stop, 1, Timestamp(1));
    task.ready.begin(StepKind::AwaitReady, 2, Timestamp(1));
    task.end.begin(StepKind::AwaitEnd, 3, Timestamp(1));
    task.finish(TaskVerdict { state: TaskState::Failed, error: "it is lost".into() }, Timestamp(2));
    let nothing = Effort::default();
    assert_eq!([task.step, task.ready, task.end], [nothing; 3]);
    assert_eq!(task.observed.error, "it is lost");
}

#[test]
fn a_task_that_is_remembered_is_at_least_where_the_cluster_recorded_it() {
    let restored = |seen: TaskState, recorded: TaskState| {
        let observed = TaskObserved { state: seen.into(), ..TaskObserved::default() };
        let recorded = TaskAssignment { recorded: recorded.into(), ..TaskAssignment::default() };
        let kept = RememberedTask { task: recorded, observed, ..RememberedTask::default() };
        let service = Service::new(kept.service.clone());
        AgentTask::restored(Id(1), Id(2), &kept, &service).state()
    };
    assert_eq!(restored(TaskState::New, TaskState::New), TaskState::Assigned);
    assert_eq!(restored(TaskState::Ready, TaskState::Starting), TaskState::Starting);
    assert_eq!(restored(TaskState::Running, TaskState::Starting), TaskState::Running);
}

#[test]
fn the_runtime_may_have_something_of_a_task_that_was_being_prepared_or_was_found() {
    assert!(!task(TaskState::Accepted).begun);
    assert!(task(TaskState::Preparing).begun);
    let mut assigned = task(TaskState::Assigned);
    assigned.adopt(&found("", FoundState::Created));
    assert!(assigned.begun);
}
