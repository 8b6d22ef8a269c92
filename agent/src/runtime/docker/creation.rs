//! Creations of containers. Each is carried to its end, even when the step that asked is dropped.
//!
//! A request that has reached the engine is carried out, even after the client has hung up. So a
//! creation runs as a task of its own until the engine has answered: a step that is tried again
//! joins it instead of asking twice, and the container of a task that was removed meanwhile is
//! removed as soon as it exists.

use super::{engine, ledger::ContainerFate, records::ContainerRecords, removal};
use crate::runtime::RuntimeError;
use bollard::{
    errors::Error, models::ContainerCreateBody, query_parameters::CreateContainerOptions,
};
use skep_proto::Id;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Longest that an answer to a creation is waited for. After that the container may still come to
/// be: it is found by its name when the step is tried again, or removed if its task was.
const CREATION_LIMIT: Duration = Duration::from_secs(600);

/// The engine's answer to a creation.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum CreationAnswer {
    /// There is a container.
    Made,
    /// The engine refuses, with this status.
    Refused(u16, RuntimeError),
    /// The answer was lost: the container may exist or not.
    Lost(RuntimeError),
}

/// Whether the engine still has to answer a creation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CreationState {
    /// It has; or none was asked for.
    Settled,
    /// It has not. A container that shows itself before is half made: to remove it then leaves an
    /// engine with one that it lists and cannot remove.
    UnderWay,
}

/// Creations that the engine has not answered yet. Clones are the same ones.
#[derive(Clone, Default)]
pub(super) struct Creations(Arc<Mutex<BTreeMap<Id, watch::Receiver<Option<CreationAnswer>>>>>);

/// What is to be created.
pub(super) struct Creation {
    pub(super) task: Id,
    pub(super) name: String,
    pub(super) body: ContainerCreateBody,
}

impl Creations {
    /// Begins a creation, or joins the one that is under way for the task.
    pub(super) fn begin(
        &self,
        engine: &Arc<engine::Engine>,
        records: &Arc<ContainerRecords>,
        creation: Creation,
    ) -> watch::Receiver<Option<CreationAnswer>> {
        let task = creation.task;
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = under_way.get(&task) {
            return answer.clone();
        }
        let (tell, answer) = watch::channel(None);
        under_way.insert(task, answer.clone());
        let (all, engine, records) = (Arc::clone(&self.0), Arc::clone(engine), Arc::clone(records));
        tokio::spawn(async move {
            let answer = carry_out(&engine, &records, creation).await;
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
            tell.send_replace(Some(answer));
        });
        answer
    }

    /// Waits until no creation is under way for the task, or until the time is over.
    pub(super) async fn settled(&self, task: Id, limit: Duration) -> CreationState {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&task).cloned();
        if let Some(mut answer) = answer {
            let _ = tokio::time::timeout(limit, answer.wait_for(Option::is_some)).await;
        }
        self.state(task)
    }

    /// Whether a creation is under way for the task.
    pub(super) fn state(&self, task: Id) -> CreationState {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&task) {
            true => CreationState::UnderWay,
            false => CreationState::Settled,
        }
    }
}

async fn carry_out(
    engine: &Arc<engine::Engine>,
    records: &Arc<ContainerRecords>,
    creation: Creation,
) -> CreationAnswer {
    let Creation { task, name, body } = creation;
    let client = match engine.client().await {
        Ok(client) => client.with_timeout(engine::LONG_CALL_LIMIT),
        Err(error) => return CreationAnswer::Lost(error),
    };
    let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    let call = client.create_container(Some(options), body);
    let made =
        tokio::time::timeout(CREATION_LIMIT, call).await.unwrap_or(Err(Error::RequestTimeoutError));
    match made {
        Ok(made) => {
            // In memory it counts even where the disk refuses it; the name stands there already.
            let mut fate = ContainerFate::Kept;
            let _ =
                records.change(task, |ledger, _| fate = ledger.made(task, &name, &made.id)).await;
            if fate == ContainerFate::Condemned {
                removal::clear(Arc::clone(engine), task, made.id).await;
            }
            CreationAnswer::Made
        }
        Err(Error::DockerResponseServerError { status_code, message }) => {
            let error = engine.say(&Error::DockerResponseServerError { status_code, message });
            CreationAnswer::Refused(status_code, error)
        }
        Err(error) => CreationAnswer::Lost(engine.say(&error)),
    }
}
