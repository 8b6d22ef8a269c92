//! Looks at the machine and its engine, again and again, and says what this node is.
//!
//! If the runtime cannot say it, the core gets what is known without it: the node is announced
//! all the same, and the cluster hears that the engine cannot be reached. The engine is asked
//! again, and never replaced by another way to run tasks. A look that fails changes nothing about
//! what is known.

use super::{config::AgentConfig, status};
use crate::{
    core::Input,
    machine,
    runtime::{Offer, RuntimeError},
};
use skep_proto::v1::{NodeDescription, RuntimeKind};
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

/// Between looks when all is well.
const DESCRIBE_PERIOD: Duration = Duration::from_secs(20);
/// Between looks while the engine does not answer.
const DESCRIBE_RETRY_PERIOD: Duration = Duration::from_secs(1);

/// Sends a description at the start and whenever it may have changed, until dropped.
pub(super) fn watch(
    config: &AgentConfig,
    inbox: mpsc::Sender<Input>,
    status: watch::Sender<status::AgentStatus>,
) -> AbortOnDropHandle<()> {
    let config = config.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut warned = None;
        loop {
            let pause = match config.runtime.describe().await {
                Ok(offer) => {
                    status::say_runtime(&status, "");
                    let taken = config.reserve.takes_whole(&offer.resources);
                    if std::mem::replace(&mut warned, taken) != taken {
                        warn_of_reserve(taken);
                    }
                    let description = describe(&config, config.runtime.kind(), offer);
                    if inbox.send(Input::Described(Box::new(description))).await.is_err() {
                        return;
                    }
                    DESCRIBE_PERIOD
                }
                Err(error) => {
                    status::say_runtime(&status, &message(&error));
                    let bare = Offer { platform: machine::platform(), ..Offer::default() };
                    let description = describe(&config, config.runtime.kind(), bare);
                    if inbox.send(Input::Undescribed(Box::new(description))).await.is_err() {
                        return;
                    }
                    DESCRIBE_RETRY_PERIOD
                }
            };
            sleep(pause).await;
        }
    }))
}

/// An engine may have a smaller machine than this one, which the start of the agent cannot know.
fn warn_of_reserve(taken: Option<machine::ReservedWhole>) {
    match taken {
        Some(machine::ReservedWhole::Processors) => {
            tracing::warn!("the system reserve leaves tasks none of the engine's processors");
        }
        Some(machine::ReservedWhole::Memory) => {
            tracing::warn!("the system reserve leaves tasks none of the engine's memory");
        }
        None => tracing::info!("the system reserve leaves tasks a part of the engine's machine"),
    }
}

/// Passes on what the runtime notices by itself, until dropped. None where it notices nothing.
pub(super) fn listen(
    config: &AgentConfig,
    inbox: mpsc::Sender<Input>,
) -> Option<AbortOnDropHandle<()>> {
    let mut noticed = config.runtime.noticed()?;
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let now = Box::new(noticed.borrow_and_update().clone());
            if inbox.send(Input::Noticed(now)).await.is_err() || noticed.changed().await.is_err() {
                return;
            }
        }
    })))
}

/// Passes on whether the agent's own files can be written, until dropped.
pub(super) fn listen_to_journal(
    mut problem: watch::Receiver<String>,
    inbox: mpsc::Sender<Input>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        while problem.changed().await.is_ok() {
            let now = problem.borrow_and_update().clone();
            if inbox.send(Input::Unwritable(now)).await.is_err() {
                return;
            }
        }
    }))
}

fn message(error: &RuntimeError) -> String {
    format!("the runtime does not answer, asking again: {error}")
}

fn describe(config: &AgentConfig, kind: RuntimeKind, offer: Offer) -> NodeDescription {
    NodeDescription {
        hostname: config.hostname.clone(),
        platform: Some(offer.platform),
        resources: Some(config.reserve.taken_off(&offer.resources)),
        engine: offer.engine,
        features: offer.features.into_iter().map(i32::from).collect(),
        runtime: kind.into(),
        addr: config.addr.clone(),
    }
}
