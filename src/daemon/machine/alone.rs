//! A machine that belongs to no cluster, until somebody founds or joins one.

use super::{MachineDaemon, MachineRole};
use crate::daemon::{
    advice::Advice,
    joined,
    lifecycle::{BegunBy, LocalRequest},
    local::LocalProblem,
    promoted::PortWish,
    settings::{DaemonMode, JoinSettings},
};
use anyhow::Result;
use skep_gateway::{admit, admit::Refusal, door};
use skep_proto::v1::{FoundCluster, JoinCluster, LocalNodeState};
use skep_trust::JoinToken;
use std::str::FromStr;
use tokio_util::sync::CancellationToken;

impl MachineDaemon {
    pub(super) async fn wait(&mut self, stop: &CancellationToken) -> Result<Option<MachineRole>> {
        self.inbox.state.send_modify(|local| {
            local.decided = LocalNodeState::Alone;
            local.follower = None;
        });
        tracing::info!(
            "this machine belongs to no cluster: `skep cluster init` founds one, `skep cluster join` joins one"
        );
        let end = stop.child_token();
        let serving = self.serve(&end)?;
        let next = loop {
            let waiting = tokio::select! {
                () = stop.cancelled() => break None,
                waiting = self.inbox.next() => waiting,
            };
            let Some((request, answer)) = waiting else { break None };
            let next = match request {
                LocalRequest::Found(found) => self.found(&found).await,
                LocalRequest::Join(join) => self.join(&join),
                LocalRequest::Leave(_) | LocalRequest::Unlock(_) => continue,
            };
            match next {
                // Whoever asked may have gone.
                Err(refusal) => drop(answer.send(Err(refusal))),
                Ok(next) => {
                    self.inbox.state.send_modify(|local| {
                        // What went wrong before is over.
                        local.problem = LocalProblem::default();
                        local.decided = LocalNodeState::Joining;
                    });
                    answer.send(Ok(())).ok();
                    break Some(next);
                }
            }
        };
        self.wind_down(&end, serving).await?;
        Ok(next)
    }

    async fn found(&mut self, found: &FoundCluster) -> Result<MachineRole, Refusal> {
        self.decides()?;
        let (door, ..) = door::Door::new(door::DoorWatch::default());
        let chosen = door.choose(None, &found.listen_address, &found.advertise_address).await;
        chosen.map_err(|error| error.refusal())?;
        let genesis = found.spec.clone().unwrap_or_default();
        admit::check_cluster(&genesis)?;
        self.settings.genesis = genesis;
        let asked = found.availability.map(|_| found.availability());
        self.settings.node.availability = asked.unwrap_or(self.availability);
        Ok(MachineRole::Manager(BegunBy::Request))
    }

    fn join(&mut self, join: &JoinCluster) -> Result<MachineRole, Refusal> {
        self.decides()?;
        let token = JoinToken::from_str(&join.token).map_err(|error| {
            Refusal::invalid(format!("the join token: {error}"))
                .hint("`skep cluster token -q worker` (or `manager`) prints the token on a manager")
        })?;
        if !joined::is_address(&join.manager) {
            return Err(Refusal::invalid(format!(
                "{:?} is not HOST:PORT of a manager",
                join.manager
            ))
            .hint(
                "`skep cluster token worker` (or `manager`) prints the whole command on a manager",
            ));
        }
        let port = PortWish {
            listen: join.listen_address.clone(),
            advertise: join.advertise_address.clone(),
        };
        port.check().map_err(|error| Refusal::invalid(error.to_string()))?;
        let asked = JoinSettings {
            manager: join.manager.clone(),
            token: Some(token),
            listen_address: port.listen.clone(),
            advertise_address: port.advertise.clone(),
        };
        port.write(&self.state).map_err(|error| Refusal::precondition(Advice::joined(&error)))?;
        self.port = port;
        let joined = joined::join(&self.state, &asked).map_err(|error| {
            Refusal::precondition(Advice::joined(&error))
                .hint(Advice::hint_of(&error).unwrap_or_default())
        })?;
        let asked = join.availability.map(|_| join.availability());
        self.settings.node.availability = asked.unwrap_or(self.availability);
        Ok(MachineRole::Worker(joined, BegunBy::Request))
    }

    /// A daemon that only shows a cluster changes nothing about it.
    pub(super) fn decides(&self) -> Result<(), Refusal> {
        match self.settings.mode {
            DaemonMode::Deciding => Ok(()),
            DaemonMode::Safe => Err(Refusal::precondition(
                "the daemon runs with --safe-mode, which decides nothing",
            )
            .hint("start it without --safe-mode")),
        }
    }
}
