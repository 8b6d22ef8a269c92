//! Lines about tasks.

use super::{after, to_the_second};
use skep_proto::{
    Id, Timestamp,
    task_state::{EndKind, EndedBy},
    v1::{
        ContainerStatus, DesireReason, EndCause, TaskAssigned, TaskCreated, TaskDesired,
        TaskObserved, TaskState,
    },
};

pub(super) fn created(e: &TaskCreated, task: &str) -> String {
    let replaced = Id::from_bytes(&e.replaces_id);
    let mut line = format!("{task} created");
    if !replaced.is_none() {
        line += &format!(" in place of {}", &replaced.to_string()[..12]);
    }
    if e.attempt > 0 {
        line += &format!(", attempt {}", e.attempt);
    }
    if e.start_at > 0 {
        line += &format!(", to start at {}", to_the_second(Timestamp(e.start_at)));
    }
    line
}

pub(super) fn assigned(e: &TaskAssigned, task: &str, node: &str) -> String {
    format!("{task} assigned to {node} (best of {})", e.candidates)
}

pub(super) fn desired(e: &TaskDesired, task: &str) -> String {
    let wanted = e.desired().meaning().desired.unwrap_or("is wanted otherwise");
    let reason = match e.reason() {
        DesireReason::Unspecified => "",
        DesireReason::Start => "its time has come",
        DesireReason::ScaledDown => "the service was scaled down",
        DesireReason::ServiceRemoved => "the service was removed",
        DesireReason::Replaced => "it was replaced",
        DesireReason::NewSpec => "the service has a new spec",
        DesireReason::NodeDrained => "its node was drained",
        DesireReason::NodeDown => "its node went down",
        DesireReason::NodeRemoved => "its node was removed",
        DesireReason::Unfit => "its node no longer fits",
        DesireReason::Ended => "it has ended",
    };
    format!("{task} {wanted}{}", after(reason))
}

pub(super) fn observed(e: &TaskObserved, task: &str, on: &str) -> String {
    let text = if e.error.is_empty() { &e.message } else { &e.error };
    let meaning = e.state().meaning();
    let observed = meaning.observed;
    match meaning.ended_by {
        EndedBy::Itself if e.state() == TaskState::Failed => {
            format!("{task} failed{on}: {}", ended(e.container.as_ref(), &e.error))
        }
        EndedBy::Itself if meaning.end == EndKind::Badly => {
            format!("{task} {observed}{on}{}", after(text))
        }
        EndedBy::Nothing if e.state() != TaskState::Running => {
            format!("{task} {observed}{on}{}", after(text))
        }
        EndedBy::Itself | EndedBy::Cluster | EndedBy::Nothing => format!("{task} {observed}{on}"),
    }
}

/// How a container ended: `exit code 137 (killed from outside)`.
pub fn ended(container: Option<&ContainerStatus>, error: &str) -> String {
    let Some((container, code)) = container.and_then(|c| Some((c, c.exit_code?))) else {
        return if error.is_empty() { "no exit code".into() } else { error.to_owned() };
    };
    let cause = match container.end_cause() {
        EndCause::Itself if container.out_of_memory => "out of memory".into(),
        EndCause::Itself if container.signal != 0 => format!("signal {}", container.signal),
        EndCause::Itself => String::new(),
        EndCause::Asked => "stopped as asked".into(),
        EndCause::KilledOutside => "killed from outside".into(),
        EndCause::StoppedOutside => "stopped from outside".into(),
        EndCause::RemovedOutside => "removed from outside".into(),
        EndCause::EngineStopped => "the engine stopped".into(),
        EndCause::Unhealthy => "unhealthy".into(),
        EndCause::Reboot => "the machine was restarted".into(),
        EndCause::NotesDamaged => "its node's files about it are damaged".into(),
    };
    if cause.is_empty() {
        format!("exit code {code}")
    } else {
        format!("exit code {code} ({cause})")
    }
}
