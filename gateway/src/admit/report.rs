//! What an agent says of one of its tasks, read once: from here on task and state are typed, and
//! the texts are within their bound. PURE.
//!
//! An item that cannot be read costs itself and not the report: a newer agent may know states that
//! this manager does not, and the others are as true as ever.

use prost::Message;
use skep_proto::{
    Id,
    v1::{TaskObserved, TaskState},
};

/// Longest message or error of an observation, bytes; what is longer is cut.
const OBSERVATION_TEXT_BYTES_MAX: usize = 2_048;

/// An agent's observation of a task.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskReport {
    task: Id,
    state: TaskState,
    observed: TaskObserved,
}

impl TaskReport {
    /// None where it names no task, or where its state is none that an agent can observe.
    pub fn read(mut observed: TaskObserved) -> Option<TaskReport> {
        let task = Id::from_bytes(&observed.task_id);
        let state = TaskState::try_from(observed.state).ok()?;
        if task.is_none() || !can_be_observed(state) {
            return None;
        }
        cut(&mut observed.message);
        cut(&mut observed.error);
        Some(TaskReport { task, state, observed })
    }

    /// All items of a report that can be read.
    pub fn read_all(observed: Vec<TaskObserved>) -> Vec<TaskReport> {
        observed.into_iter().filter_map(TaskReport::read).collect()
    }

    pub(super) fn task(&self) -> Id {
        self.task
    }

    pub(super) fn state(&self) -> TaskState {
        self.state
    }

    /// As it is recorded.
    pub fn observed(&self) -> &TaskObserved {
        &self.observed
    }

    /// Its size in a message, which is nearly what it takes of an entry.
    pub fn encoded_len(&self) -> usize {
        self.observed.encoded_len()
    }
}

/// Whether an agent can see a task in this state; the others are the manager's own to decide.
fn can_be_observed(state: TaskState) -> bool {
    match state {
        TaskState::Assigned
        | TaskState::Accepted
        | TaskState::Preparing
        | TaskState::Ready
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Complete
        | TaskState::Shutdown
        | TaskState::Failed
        | TaskState::Rejected => true,
        TaskState::New | TaskState::Pending | TaskState::Remove | TaskState::Orphaned => false,
    }
}

/// Cuts a text to the bound, between characters.
pub(super) fn cut(text: &mut String) {
    if text.len() > OBSERVATION_TEXT_BYTES_MAX {
        let end = (0..=OBSERVATION_TEXT_BYTES_MAX)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(task: u128, state: i32) -> TaskObserved {
        TaskObserved { task_id: Id(task).to_bytes(), state, ..TaskObserved::default() }
    }

    #[test]
    fn what_no_agent_can_observe_costs_its_item_alone() {
        let no_id = TaskObserved { task_id: vec![1, 2, 3].into(), ..seen(1, 0) };
        let running = TaskState::Running as i32;
        let told = vec![
            TaskObserved { state: running, ..no_id },
            seen(0, running),
            seen(1, 12_345),
            seen(2, TaskState::New as i32),
            seen(3, TaskState::Pending as i32),
            seen(4, TaskState::Orphaned as i32),
            seen(5, TaskState::Remove as i32),
            seen(6, running),
        ];
        let read = TaskReport::read_all(told);
        let read: Vec<_> = read.iter().map(|report| (report.task(), report.state())).collect();
        assert_eq!(read, [(Id(6), TaskState::Running)]);
    }

    #[test]
    fn every_state_of_an_agents_own_work_can_be_observed() {
        for state in [
            TaskState::Assigned,
            TaskState::Accepted,
            TaskState::Preparing,
            TaskState::Ready,
            TaskState::Starting,
            TaskState::Running,
            TaskState::Complete,
            TaskState::Shutdown,
            TaskState::Failed,
            TaskState::Rejected,
        ] {
            let read = TaskReport::read(seen(1, state as i32)).expect("an agent can see it");
            assert_eq!((read.task(), read.state()), (Id(1), state));
        }
    }
}
