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

/// What a state that ends a task answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndedBy {
    /// The state ends nothing.
    Nothing,
    /// The task or its node, unasked.
    Itself,
    /// The cluster: it wanted the end, or has given the task up.
    Cluster,
}

/// What a state means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meaning {
    /// The state as people say it.
    pub word: &'static str,
    /// What a task that was seen in it does or did: `web.1 runs`.
    pub observed: &'static str,
    /// Whether it ends the task.
    pub end: EndKind,
    /// Whom the end answers.
    pub ended_by: EndedBy,
    /// Whether it can be wanted.
    pub desirable: Desirable,
}

impl TaskState {
    /// The table.
    pub fn meaning(self) -> Meaning {
        use Desirable::{No, Yes};
        use EndKind::{Badly, NoEnd, Well};
        use EndedBy::{Cluster, Itself, Nothing};
        let (word, observed, end, ended_by, desirable) = match self {
            TaskState::New => ("new", "new", NoEnd, Nothing, No),
            TaskState::Pending => ("pending", "pending", NoEnd, Nothing, No),
            TaskState::Assigned => ("assigned", "assigned", NoEnd, Nothing, No),
            TaskState::Accepted => ("accepted", "accepted", NoEnd, Nothing, No),
            TaskState::Preparing => ("preparing", "preparing", NoEnd, Nothing, No),
            TaskState::Ready => ("ready", "ready", NoEnd, Nothing, Yes),
            TaskState::Starting => ("starting", "starting", NoEnd, Nothing, No),
            TaskState::Running => ("running", "runs", NoEnd, Nothing, Yes),
            TaskState::Complete => ("complete", "completed", Well, Itself, Yes),
            TaskState::Shutdown => ("shutdown", "stopped", Well, Cluster, Yes),
            TaskState::Failed => ("failed", "failed", Badly, Itself, No),
            TaskState::Rejected => ("rejected", "rejected", Badly, Itself, No),
            TaskState::Remove => ("remove", "remove", Well, Cluster, Yes),
            TaskState::Orphaned => ("orphaned", "orphaned", Badly, Cluster, No),
        };
        Meaning { word, observed, end, ended_by, desirable }
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
            assert_eq!(ends, state.meaning().ended_by != EndedBy::Nothing, "{state:?}");
        }
    }
}
