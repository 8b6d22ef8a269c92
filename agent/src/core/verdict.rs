//! From how a container ended to the state that its task ends in. PURE.
//!
//! Only what ended by itself with 0 is COMPLETE. What others did to it, or the machine, is FAILED
//! and said to be that, whatever the exit code: a restart policy then answers it, and people are
//! not sent looking for a fault of the program.

use crate::runtime::TaskEnd;
use skep_proto::v1::{ContainerStatus, EndCause, TaskState};

/// The state that a task ends in, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TaskVerdict {
    pub(crate) state: TaskState,
    pub(crate) error: String,
}

/// Of a task that was started and of which there is no trace.
pub(crate) const LOST: &str =
    "what was started is not there any more: removed by somebody else on the node";

/// The end of a task that nobody had asked to end.
pub(crate) fn of(ended: &TaskEnd) -> TaskVerdict {
    let message = match ended.cause {
        EndCause::Itself => match ended.exit_code {
            Some(0) => {
                return TaskVerdict { state: TaskState::Complete, error: ended.error.clone() };
            }
            Some(_) | None => by_itself(ended),
        },
        EndCause::Asked => "stopped by this node's agent".into(),
        EndCause::KilledOutside => "killed by somebody else on the node".into(),
        EndCause::StoppedOutside => "stopped by somebody else on the node".into(),
        EndCause::RemovedOutside => "removed by somebody else on the node".into(),
        EndCause::EngineStopped => {
            "the container engine stopped, and its containers with it".into()
        }
        EndCause::Unhealthy => "its health check failed too often in a row".into(),
        EndCause::Reboot => "the machine was restarted".into(),
        EndCause::NotesDamaged => "this node's files about it are damaged, so it was ended".into(),
    };
    let error =
        if ended.error.is_empty() { message } else { format!("{message}: {}", ended.error) };
    TaskVerdict { state: TaskState::Failed, error }
}

fn by_itself(ended: &TaskEnd) -> String {
    match (ended.out_of_memory, ended.signal, ended.exit_code) {
        (true, _, _) => "killed: it used more memory than it may".into(),
        (false, 0, Some(code)) => format!("exit code {code}"),
        (false, 0, None) => "it ended, and nobody saw how".into(),
        (false, signal, _) => format!("killed by signal {signal}"),
    }
}

/// Writes how it ended into what is reported.
pub(crate) fn note(container: &mut ContainerStatus, ended: &TaskEnd) {
    container.pid = 0;
    container.exit_code = ended.exit_code;
    container.signal = ended.signal;
    container.out_of_memory = ended.out_of_memory;
    container.end_cause = ended.cause.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_ended_is_written_into_the_status_and_the_process_is_gone() {
        let mut container = ContainerStatus { pid: 7, ..ContainerStatus::default() };
        let cause = EndCause::KilledOutside;
        let ended = TaskEnd {
            exit_code: Some(137),
            signal: 9,
            out_of_memory: true,
            cause,
            ..TaskEnd::default()
        };
        note(&mut container, &ended);
        let expected = ContainerStatus {
            exit_code: Some(137),
            signal: 9,
            out_of_memory: true,
            end_cause: cause.into(),
            ..ContainerStatus::default()
        };
        assert_eq!(container, expected);
    }
}
