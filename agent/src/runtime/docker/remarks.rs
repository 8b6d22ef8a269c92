//! What a runtime has to say about tasks beside their states, put together for each task. PURE.

use super::start_health::StartHealth;
use crate::runtime::Noticed;
use skep_proto::Id;
use std::collections::BTreeMap;

/// What a remark is about; a task has at most one of each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum About {
    /// Its container is paused.
    Pause,
    /// Somebody else stopped its container.
    Stop,
    /// Its container cannot be looked at.
    Trouble,
    /// Another container carries its labels.
    Copy,
}

/// All remarks that hold now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Remarks {
    engine_problem: String,
    listing_problem: String,
    starts: StartHealth,
    tasks: BTreeMap<(Id, About), String>,
}

impl Remarks {
    /// Why the engine does not answer; empty while it does.
    pub(super) fn engine(&mut self, problem: &str) {
        problem.clone_into(&mut self.engine_problem);
    }

    /// Why the engine cannot list what it runs; empty while it can.
    pub(super) fn listing(&mut self, problem: &str) {
        problem.clone_into(&mut self.listing_problem);
    }

    /// What shows whether the engine creates and starts containers.
    pub(super) fn starts(&mut self) -> &mut StartHealth {
        &mut self.starts
    }

    /// Says this about the task; an empty text takes back what was said.
    pub(super) fn say(&mut self, task: Id, about: About, text: &str) {
        if text.is_empty() {
            self.tasks.remove(&(task, about));
        } else {
            self.tasks.insert((task, about), text.to_owned());
        }
    }

    /// From now on only these remarks of this kind hold.
    pub(super) fn replace(&mut self, about: About, remarks: &BTreeMap<Id, String>) {
        self.tasks.retain(|(_, kind), _| *kind != about);
        self.tasks.extend(remarks.iter().map(|(task, text)| ((*task, about), text.clone())));
    }

    /// The task is no more.
    pub(super) fn forget(&mut self, task: Id) {
        self.tasks.retain(|(id, _), _| *id != task);
    }

    /// All remarks, as the agent gets them.
    pub(super) fn noticed(&self) -> Noticed {
        let mut tasks: BTreeMap<Id, String> = BTreeMap::new();
        for ((task, _), text) in &self.tasks {
            let all = tasks.entry(*task).or_default();
            if !all.is_empty() {
                all.push_str("; ");
            }
            all.push_str(text);
        }
        // Of an engine that does not answer at all nothing else is said.
        let start_problem = match self.engine_problem.is_empty() {
            true => self.starts.problem(),
            false => String::new(),
        };
        Noticed {
            engine_problem: self.engine_problem.clone(),
            listing_problem: self.listing_problem.clone(),
            start_problem,
            tasks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::start_health::CallReply, *};

    #[test]
    fn remarks_about_one_task_are_put_together_and_taken_back_one_by_one() {
        let mut remarks = Remarks::default();
        remarks.say(Id(1), About::Trouble, "it hangs");
        remarks.replace(About::Pause, &BTreeMap::from([(Id(1), "it is paused".to_owned())]));
        assert_eq!(remarks.noticed().tasks[&Id(1)], "it is paused; it hangs");
        remarks.replace(About::Pause, &BTreeMap::new());
        assert_eq!(remarks.noticed().tasks[&Id(1)], "it hangs");
        remarks.say(Id(1), About::Trouble, "");
        remarks.engine("no answer");
        remarks.listing("it takes too long");
        let expected = Noticed {
            engine_problem: "no answer".into(),
            listing_problem: "it takes too long".into(),
            ..Noticed::default()
        };
        assert_eq!(remarks.noticed(), expected);
    }
    #[test]
    fn an_engine_that_starts_nothing_is_said_so_while_it_answers() {
        let mut remarks = Remarks::default();
        remarks.starts().on_version(CallReply::Missing, 0);
        remarks.starts().on_version(CallReply::Missing, 0);
        assert_ne!(remarks.noticed().start_problem, "");
        remarks.engine("no answer");
        assert_eq!(remarks.noticed().start_problem, "");
    }
}
