//! Removal of containers that are proven to be this runtime's own.

use super::{
    engine::{Engine, is_status, within},
    records::ContainerRecords,
};
use crate::runtime::RuntimeError;
use bollard::query_parameters::RemoveContainerOptions;
use skep_proto::Id;
use std::sync::Arc;

/// Removes a container of a removed task. It is listed again, and so removed again, until it is
/// gone.
pub(super) async fn clear(
    engine: Arc<Engine>,
    records: Arc<ContainerRecords>,
    task: Id,
    container: String,
) {
    match remove(&engine, &container).await {
        Ok(()) => {
            tracing::info!(%task, container, "removed a container that was created after its task's removal");
            let _ = records.change(task, |ledger, _| ledger.gone(task));
        }
        Err(error) => {
            tracing::debug!(%task, container, %error, "a removed task's container is still there")
        }
    }
}

/// Removes a container that is proven ours, with its anonymous volumes.
pub(super) async fn remove(engine: &Engine, container: &str) -> Result<(), RuntimeError> {
    let client = engine.client().await?;
    let options = RemoveContainerOptions { v: true, force: true, ..Default::default() };
    match within(client.remove_container(container, Some(options))).await {
        Ok(()) => Ok(()),
        Err(error) if is_status(&error, 404) => Ok(()),
        Err(error) => Err(engine.say(&error)),
    }
}
