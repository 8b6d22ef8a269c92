//! A machine that is a manager whose keys are sealed, until somebody unlocks it.

use super::MachineDaemon;
pub(super) use crate::daemon::key_files::KeyFiles;
use crate::daemon::lifecycle::LocalRequest;
use anyhow::{Context, Result};
use skep_proto::v1::LocalNodeState;
use std::ops::ControlFlow;
use tokio_util::sync::CancellationToken;

impl MachineDaemon {
    /// The manager's keys, open. None where the daemon is to stop before anybody has unlocked them.
    pub(super) async fn keys(&mut self, stop: &CancellationToken) -> Result<Option<KeyFiles>> {
        let keys = KeyFiles::of(&self.state, &self.lock);
        let folder = self.state.path().display().to_string();
        if keys.open().with_context(|| format!("state folder {folder}"))?.is_none() {
            return Ok(Some(keys));
        }
        self.inbox.state.send_modify(|local| {
            local.decided = LocalNodeState::Locked;
            local.follower = None;
        });
        tracing::warn!(
            "this manager is locked, and waits for its unlock key: `skep cluster unlock`. Tasks go on"
        );
        let end = stop.child_token();
        let serving = self.serve(&end)?;
        let unlocked = self.until_unlocked(&keys, stop).await;
        self.wind_down(&end, serving).await?;
        Ok(unlocked.is_break().then_some(keys))
    }

    /// Of a machine that is no manager any more.
    pub(super) fn clear_node_key(&self) -> Result<()> {
        Ok(KeyFiles::of(&self.state, &self.lock).clear_node_key()?)
    }

    /// Breaks when it is unlocked, continues to its end where the daemon stops.
    async fn until_unlocked(
        &mut self,
        keys: &KeyFiles,
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        loop {
            let waiting = tokio::select! {
                () = stop.cancelled() => return ControlFlow::Continue(()),
                waiting = self.inbox.next() => waiting,
            };
            let Some((request, answer)) = waiting else { return ControlFlow::Continue(()) };
            let LocalRequest::Unlock(key) = request else { continue };
            let unlocked = keys.unlock(&key);
            if let Err(refusal) = &unlocked {
                tracing::warn!("not unlocked: {}", refusal.message);
            }
            let is_unlocked = unlocked.is_ok();
            // Whoever asked may have gone.
            answer.send(unlocked).ok();
            if is_unlocked {
                tracing::info!("this manager was unlocked");
                return ControlFlow::Break(());
            }
        }
    }
}
