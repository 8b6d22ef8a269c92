//! A little engine: it does what it is asked, or is away. It outlives the agent.

use crate::{
    core::action::{StepOutcome, TaskStep},
    runtime::{FoundState, FoundTask, Prepared, Proof, RuntimeError, Started, TaskEnd},
};
use skep_proto::{Id, v1::EndCause};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum ModelContainer {
    Created,
    Running,
    Ended(TaskEnd),
}

#[derive(Debug, Default)]
pub(super) struct ModelEngine {
    pub(super) containers: BTreeMap<Id, ModelContainer>,
    /// How often each was really started.
    pub(super) starts: BTreeMap<Id, u32>,
}

impl ModelEngine {
    /// Takes the step (none lists everything); no answer while what is awaited has not come. An
    /// awaited answer arrives even while the engine is away.
    pub(super) fn answer(
        &mut self,
        task: Id,
        step: Option<&TaskStep>,
        away: bool,
    ) -> Option<StepOutcome> {
        let here = if away { Err(RuntimeError::Unreachable("away".into())) } else { Ok(()) };
        Some(match step {
            None => StepOutcome::Listed(here.map(|()| self.list())),
            Some(TaskStep::Prepare(_)) => StepOutcome::Prepared(here.map(|()| {
                self.containers.entry(task).or_insert(ModelContainer::Created);
                Prepared::default()
            })),
            Some(TaskStep::Start(_)) => StepOutcome::Started(here.and_then(|()| self.start(task))),
            Some(TaskStep::AwaitReady(_)) => {
                StepOutcome::Ready(if self.runs(task) { Ok(()) } else { Err(RuntimeError::Gone) })
            }
            Some(TaskStep::AwaitEnd(_)) => match self.containers.get(&task) {
                Some(ModelContainer::Ended(ended)) => StepOutcome::Ended(Ok(ended.clone())),
                None => StepOutcome::Ended(Err(RuntimeError::Gone)),
                Some(ModelContainer::Created | ModelContainer::Running) => return None,
            },
            Some(TaskStep::Stop { .. }) => {
                StepOutcome::Stopped(here.map(|()| self.end(task, EndCause::Asked)))
            }
            Some(TaskStep::Remove) => {
                StepOutcome::Removed(here.map(|()| drop(self.containers.remove(&task))))
            }
        })
    }

    pub(super) fn runs(&self, task: Id) -> bool {
        self.containers.get(&task) == Some(&ModelContainer::Running)
    }

    pub(super) fn end(&mut self, task: Id, cause: EndCause) {
        if let Some(container @ ModelContainer::Running) = self.containers.get_mut(&task) {
            *container =
                ModelContainer::Ended(TaskEnd { exit_code: Some(0), cause, ..TaskEnd::default() });
        }
    }

    fn start(&mut self, task: Id) -> Result<Started, RuntimeError> {
        match self.containers.get_mut(&task) {
            None => return Err(RuntimeError::Gone),
            Some(container @ ModelContainer::Created) => {
                *container = ModelContainer::Running;
                *self.starts.entry(task).or_default() += 1;
            }
            Some(ModelContainer::Running | ModelContainer::Ended(_)) => {}
        }
        Ok(Started::default())
    }

    fn list(&self) -> Vec<FoundTask> {
        let found = |(id, container): (&Id, &ModelContainer)| {
            let state = match container {
                ModelContainer::Created => FoundState::Created,
                ModelContainer::Running => FoundState::Running(Started::default()),
                ModelContainer::Ended(ended) => {
                    FoundState::Ended(Started::default(), ended.clone())
                }
            };
            FoundTask { task_id: *id, image_digest: String::new(), proof: Proof::Recorded, state }
        };
        self.containers.iter().map(found).collect()
    }
}
