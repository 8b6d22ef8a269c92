//! What each state of a task means, in one table. Pure.

use crate::v1::TaskState;

/// How a state ends a task, if it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndKind {
    /// The task goes on.
    NoEnd,
    /// It ended as it should, or because it was asked to.
    Well,
    /// It failed, was rejected, or is lost with its node.
    Badly,
}

/// Whether the cluster may want a task to be in a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Desirable {
    /// It may.
    Yes,
    /// It is only ever observed.
    No,
}

/// What a state means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meaning {
    /// The state as people say it.
    pub word: &'static str,
    /// Whether it ends the task.
    pub end: EndKind,
    /// Whether it can be wanted.
    pub desirable: Desirable,
}

impl TaskState {
    /// The table.
    pub fn meaning(self) -> Meaning {
        use Desirable::{No, Yes};
        use EndKind::{Badly, NoEnd, Well};
        let (word, end, desirable) = match self {
            TaskState::New => ("new", NoEnd, No),
            TaskState::Pending => ("pending", NoEnd, No),
            TaskState::Assigned => ("assigned", NoEnd, No),
            TaskState::Accepted => ("accepted", NoEnd, No),
            TaskState::Preparing => ("preparing", NoEnd, No),
            TaskState::Ready => ("ready", NoEnd, Yes),
            TaskState::Starting => ("starting", NoEnd, No),
            TaskState::Running => ("running", NoEnd, Yes),
            TaskState::Complete => ("complete", Well, Yes),
            TaskState::Shutdown => ("shutdown", Well, Yes),
            TaskState::Failed => ("failed", Badly, No),
            TaskState::Rejected => ("rejected", Badly, No),
            TaskState::Remove => ("remove", Well, Yes),
            TaskState::Orphaned => ("orphaned", Badly, No),
        };
        Meaning { word, end, desirable }
    }

    /// The state as people say it.
    pub fn word(self) -> &'static str {
        self.meaning().word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_schema_s_names_and_ends_come_after_all_other_states() {
        let all = (0..=i32::from(u16::MAX)).filter_map(|number| TaskState::try_from(number).ok());
        let all: Vec<TaskState> = all.collect();
        assert_eq!(all.len(), 14);
        for state in all {
            assert_eq!(format!("TASK_STATE_{}", state.word().to_uppercase()), state.as_str_name());
            let ends = state.meaning().end != EndKind::NoEnd;
            assert_eq!(ends, state >= TaskState::Complete, "{state:?}");
        }
    }
}
