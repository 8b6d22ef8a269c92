//! What the conditions of a node are called, and what each of them means for placement. PURE.

use crate::v1::{Condition, ConditionKind};

/// What a condition means for new tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The node gets no new tasks; those that it has stay.
    StopsPlacement,
    /// People should know; placement goes on.
    Shown,
}

/// What a condition of this kind means for new tasks. One that this program does not know stops
/// nothing.
pub fn effect(kind: ConditionKind) -> Effect {
    match kind {
        ConditionKind::EngineUnreachable
        | ConditionKind::TasksUnlisted
        | ConditionKind::StateUnwritable
        | ConditionKind::EngineStuck => Effect::StopsPlacement,
        ConditionKind::PullFailing | ConditionKind::Unspecified => Effect::Shown,
    }
}

/// The kind as people read it.
pub fn name(kind: ConditionKind) -> &'static str {
    match kind {
        ConditionKind::Unspecified => "unknown condition",
        ConditionKind::EngineUnreachable => "engine unreachable",
        ConditionKind::TasksUnlisted => "tasks cannot be listed",
        ConditionKind::PullFailing => "images cannot be pulled",
        ConditionKind::StateUnwritable => "agent's state cannot be written",
        ConditionKind::EngineStuck => "engine starts no containers",
    }
}

/// A condition in one line: its kind and the agent's message.
pub fn line(condition: &Condition) -> String {
    let name = name(condition.kind());
    if condition.message.is_empty() {
        name.to_owned()
    } else {
        format!("{name}: {}", condition.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_has_a_name_and_says_whether_it_stops_placement() {
        let of = |kind: ConditionKind, message: &str| {
            let condition = Condition { kind: kind as i32, message: message.into(), since_at: 0 };
            (line(&condition), effect(kind))
        };
        let stops = Effect::StopsPlacement;
        assert_eq!(
            of(ConditionKind::EngineUnreachable, ""),
            ("engine unreachable".to_owned(), stops)
        );
        assert_eq!(
            of(ConditionKind::TasksUnlisted, "timed out"),
            ("tasks cannot be listed: timed out".to_owned(), stops)
        );
        assert_eq!(
            of(ConditionKind::StateUnwritable, ""),
            ("agent's state cannot be written".to_owned(), stops)
        );
        assert_eq!(
            of(ConditionKind::EngineStuck, ""),
            ("engine starts no containers".to_owned(), stops)
        );
        assert_eq!(
            of(ConditionKind::PullFailing, "no space"),
            ("images cannot be pulled: no space".to_owned(), Effect::Shown)
        );
        assert_eq!(
            of(ConditionKind::Unspecified, ""),
            ("unknown condition".to_owned(), Effect::Shown)
        );
    }
}
