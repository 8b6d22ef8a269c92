//! A little engine: it does what it is asked, or is away. It outlives the agent.

use crate::{
    core::action::{Outcome, Step},
    runtime::{Ended, Found, FoundState, Prepared, Proof, RuntimeError, Started},
};
use skep_proto::{Id, v1::EndCause};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Container {
    Created,
    Running,
    Ended(Ended),
}

#[derive(Debug, Default)]
pub(super) struct Engine {
    pub(super) containers: BTreeMap<Id, Container>,
    /// How often each was really started.
    pub(super) starts: BTreeMap<Id, u32>,
}

impl Engine {
    /// Takes the step (none lists everything); no answer while what is awaited has not come. What
    /// is waited for is heard of even while the engine is away.
    pub(super) fn answer(&mut self, task: Id, step: Option<&Step>, away: bool) -> Option<Outcome> {
        let here = if away { Err(RuntimeError::Unreachable("away".into())) } else { Ok(()) };
        Some(match step {
            None => Outcome::Listed(here.map(|()| self.list())),
            Some(Step::Prepare(_)) => Outcome::Prepared(here.map(|()| {
                self.containers.entry(task).or_insert(Container::Created);
                Prepared::default()
            })),
            Some(Step::Start(_)) => Outcome::Started(here.and_then(|()| self.start(task))),
            Some(Step::AwaitReady(_)) => {
                Outcome::Ready(if self.runs(task) { Ok(()) } else { Err(RuntimeError::Gone) })
            }
            Some(Step::AwaitEnd(_)) => match self.containers.get(&task) {
                Some(Container::Ended(ended)) => Outcome::Ended(Ok(ended.clone())),
                None => Outcome::Ended(Err(RuntimeError::Gone)),
                Some(Container::Created | Container::Running) => return None,
            },
            Some(Step::Stop { .. }) => {
                Outcome::Stopped(here.map(|()| self.end(task, EndCause::Asked)))
            }
            Some(Step::Remove) => {
                Outcome::Removed(here.map(|()| drop(self.containers.remove(&task))))
            }
        })
    }

    pub(super) fn runs(&self, task: Id) -> bool {
        self.containers.get(&task) == Some(&Container::Running)
    }

    pub(super) fn end(&mut self, task: Id, cause: EndCause) {
        if let Some(container @ Container::Running) = self.containers.get_mut(&task) {
            *container = Container::Ended(Ended { exit_code: Some(0), cause, ..Ended::default() });
        }
    }

    fn start(&mut self, task: Id) -> Result<Started, RuntimeError> {
        match self.containers.get_mut(&task) {
            None => return Err(RuntimeError::Gone),
            Some(container @ Container::Created) => {
                *container = Container::Running;
                *self.starts.entry(task).or_default() += 1;
            }
            Some(Container::Running | Container::Ended(_)) => {}
        }
        Ok(Started::default())
    }

    fn list(&self) -> Vec<Found> {
        let found = |(id, container): (&Id, &Container)| {
            let state = match container {
                Container::Created => FoundState::Created,
                Container::Running => FoundState::Running(Started::default()),
                Container::Ended(ended) => FoundState::Ended(Started::default(), ended.clone()),
            };
            Found { task_id: *id, image_digest: String::new(), proof: Proof::Recorded, state }
        };
        self.containers.iter().map(found).collect()
    }
}
