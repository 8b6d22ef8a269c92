//! Removal of containers that are proven to be this runtime's own, and the stop of those that
//! somebody else started after their tasks' end.

use super::engine::{Engine, is_status, within};
use crate::runtime::RuntimeError;
use bollard::query_parameters::{RemoveContainerOptions, StopContainerOptions};
use skep_proto::Id;
use std::sync::Arc;

/// Removes a container of a removed task. Its entry stays: as long as it is listed it is removed
/// again.
pub(super) async fn clear(engine: Arc<Engine>, task: Id, container: String) {
    match remove(&engine, &container).await {
        Ok(Removal::Removed) => {
            tracing::info!(%task, container, "removed a container that was created after its task's removal");
        }
        Ok(Removal::Absent) => {}
        Err(error) => {
            tracing::debug!(%task, container, %error, "a removed task's container is still there")
        }
    }
}

/// Stops a container whose task has ended, with the grace of its spec. One that goes on is found by
/// the next listing.
pub(super) async fn stop(engine: Arc<Engine>, task: Id, container: String) {
    tracing::warn!(%task, container, "somebody started the container of a task that has ended: it is stopped");
    let client = match engine.patient_client().await {
        Ok(client) => client,
        Err(error) => {
            tracing::debug!(%task, container, %error, "it cannot be stopped");
            return;
        }
    };
    // Without a time of its own the container's stop timeout holds.
    if let Err(error) = client.stop_container(&container, None::<StopContainerOptions>).await {
        let error = engine.say(&error);
        tracing::debug!(%task, container, %error, "it cannot be stopped");
    }
}

/// What a removal found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Removal {
    /// There was a container; it is gone.
    Removed,
    /// There was none.
    Absent,
}

/// Removes a container that is proven ours, with its anonymous volumes.
pub(super) async fn remove(engine: &Engine, container: &str) -> Result<Removal, RuntimeError> {
    let client = engine.client().await?;
    let options = RemoveContainerOptions { v: true, force: true, ..Default::default() };
    match within(client.remove_container(container, Some(options))).await {
        Ok(()) => Ok(Removal::Removed),
        Err(error) if is_status(&error, 404) => Ok(Removal::Absent),
        Err(error) => Err(engine.say(&error)),
    }
}
