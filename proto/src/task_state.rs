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
pub struct StateProperties {
    /// The state as people say it.
    pub word: &'static str,
    /// What a task that was seen in it does or did: `web.1 runs`.
    pub observed: &'static str,
    /// Whether it ends the task.
    pub end: EndKind,
    /// Whom the end answers.
    pub ended_by: EndedBy,
    /// What a task is to do that the cluster wants in this state: `is to run`. None for a state
    /// that is only ever observed.
    pub desired: Option<&'static str>,
}

impl TaskState {
    /// The table.
    pub fn meaning(self) -> StateProperties {
        use EndKind::{Badly, NoEnd, Well};
        use EndedBy::{Cluster, Itself, Nothing};
        let (word, observed, end, ended_by, desired) = match self {
            TaskState::New => ("new", "new", NoEnd, Nothing, None),
            TaskState::Pending => ("pending", "pending", NoEnd, Nothing, None),
            TaskState::Assigned => ("assigned", "assigned", NoEnd, Nothing, None),
            TaskState::Accepted => ("accepted", "accepted", NoEnd, Nothing, None),
            TaskState::Preparing => ("preparing", "preparing", NoEnd, Nothing, None),
            TaskState::Ready => ("ready", "ready", NoEnd, Nothing, Some("is to be ready")),
            TaskState::Starting => ("starting", "starting", NoEnd, Nothing, None),
            TaskState::Running => ("running", "runs", NoEnd, Nothing, Some("is to run")),
            TaskState::Complete => ("complete", "completed", Well, Itself, Some("is to complete")),
            TaskState::Shutdown => ("shutdown", "stopped", Well, Cluster, Some("is to stop")),
            TaskState::Failed => ("failed", "failed", Badly, Itself, None),
            TaskState::Rejected => ("rejected", "rejected", Badly, Itself, None),
            TaskState::Remove => ("remove", "remove", Well, Cluster, Some("is to go")),
            TaskState::Orphaned => ("orphaned", "orphaned", Badly, Cluster, None),
        };
        StateProperties { word, observed, end, ended_by, desired }
    }

    /// The state as people say it.
    pub fn word(self) -> &'static str {
        self.meaning().word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<TaskState> {
        (0..=i32::from(u16::MAX)).filter_map(|number| TaskState::try_from(number).ok()).collect()
    }

    /// The words of the states that the condition holds for.
    fn those(holds: impl Fn(StateProperties) -> bool) -> Vec<&'static str> {
        all().into_iter().map(TaskState::meaning).filter(|m| holds(*m)).map(|m| m.word).collect()
    }

    #[test]
    fn ends_are_well_or_bad_and_each_answers_somebody() {
        let ends = ["complete", "shutdown", "failed", "rejected", "remove", "orphaned"];
        assert_eq!(those(|m| m.end != EndKind::NoEnd), ends);
        assert_eq!(those(|m| m.end == EndKind::Badly), ["failed", "rejected", "orphaned"]);
        assert_eq!(those(|m| m.ended_by == EndedBy::Itself), ["complete", "failed", "rejected"]);
        assert_eq!(those(|m| m.ended_by == EndedBy::Cluster), ["shutdown", "remove", "orphaned"]);
    }

    #[test]
    fn five_states_can_be_wanted() {
        let wanted = all().into_iter().filter_map(|state| state.meaning().desired);
        let said: Vec<&str> = wanted.collect();
        assert_eq!(
            said,
            ["is to be ready", "is to run", "is to complete", "is to stop", "is to go"]
        );
        assert_eq!(
            those(|m| m.desired.is_some()),
            ["ready", "running", "complete", "shutdown", "remove"]
        );
    }

    #[test]
    fn what_was_observed_is_said_as_a_verb_where_there_is_one() {
        let said: Vec<_> = all().into_iter().map(|state| state.meaning().observed).collect();
        let expected = "new pending assigned accepted preparing ready starting runs completed stopped \
                        failed rejected remove orphaned";
        assert_eq!(said.join(" "), expected);
    }

    #[test]
    fn words_are_the_schema_s_names_and_ends_come_after_all_other_states() {
        assert_eq!(all().len(), 14);
        for state in all() {
            assert_eq!(format!("TASK_STATE_{}", state.word().to_uppercase()), state.as_str_name());
            let ends = state.meaning().end != EndKind::NoEnd;
            assert_eq!(ends, state >= TaskState::Complete, "{state:?}");
            assert_eq!(ends, state.meaning().ended_by != EndedBy::Nothing, "{state:?}");
        }
    }
}
