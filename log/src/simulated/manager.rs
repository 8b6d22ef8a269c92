//! One manager: a process that opens its disk, runs raft, and serves those who use it.

use super::{kept::OpenedLog, people, wire, witness::Witness};
use crate::{
    LogFailure, ModelDisk,
    raft::{alarm::Alarm, node::RunningRaft, virtual_time},
    testing::Hashes,
};
use skep_proto::Id;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

/// The id of a manager's node.
pub(super) fn node_of(raft_id: u64) -> Id {
    Id(u128::from(raft_id) << 64)
}

/// A manager, whether it runs or not.
pub(super) struct Manager {
    pub(super) raft_id: u64,
    pub(super) disk: ModelDisk,
    pub(super) life: Option<Life>,
}

/// From a start to the next crash.
pub(super) struct Life {
    pub(super) process: virtual_time::Process,
    pub(super) fold: Hashes,
    /// Once it is open.
    pub(super) log: Arc<OnceLock<OpenedLog>>,
}

/// All that a process needs to begin.
pub(super) struct Beginning {
    pub(super) world: virtual_time::VirtualTime,
    pub(super) wire: wire::ManagerNetwork,
    pub(super) witness: Witness,
    pub(super) founders: BTreeMap<u64, Id>,
    pub(super) raft_id: u64,
    pub(super) disk: ModelDisk,
}

impl Beginning {
    /// Starts the process.
    pub(super) fn start(self) -> Life {
        self.begin(Hashes::default(), Arc::default())
    }

    /// As the process does whose disk works again: another session, on what it has kept. None where
    /// its store does not open.
    pub(super) fn go_on(self, fold: Hashes, log: &OpenedLog) -> Option<Life> {
        log.reopen().then(|| self.begin(fold, Arc::new(OnceLock::from(log.clone()))))
    }

    fn begin(self, fold: Hashes, log: Arc<OnceLock<OpenedLog>>) -> Life {
        let (world, process) = (self.world.clone(), self.world.process());
        let life = Life { process, fold: fold.clone(), log: log.clone() };
        world.clone().spawn_in(
            process,
            Box::pin(async move {
                let (witness, raft_id) = (self.witness.clone(), self.raft_id);
                let failure = self.live(process, fold, &log).await;
                witness.failed(raft_id, world.now(), &failure);
            }),
        );
        life
    }

    /// Returns only where the log fails.
    async fn live(
        self,
        process: virtual_time::Process,
        fold: Hashes,
        kept: &OnceLock<OpenedLog>,
    ) -> LogFailure {
        let alarm = Arc::new(Alarm::default());
        let opened = match kept.get() {
            Some(log) => Ok(log.clone()),
            None => OpenedLog::open(&self.disk, (node_of(self.raft_id), self.raft_id), fold),
        };
        let end = wire::NetworkEnd { wire: self.wire.clone(), own: self.raft_id };
        let parts = opened.and_then(|log| {
            let parts = log.parts(&self.disk, self.founders.clone(), end, alarm.clone())?;
            Ok((log, parts))
        });
        let (log, parts) = match parts {
            Ok(parts) => parts,
            Err(error) => return error.failure(),
        };
        let log = kept.get_or_init(|| log);
        let desk = |raft| people::Desk {
            world: self.world.clone(),
            manager: self.raft_id,
            raft,
            status: log.listeners.status.watch(),
            witness: self.witness.clone(),
        };
        let started = RunningRaft::start(parts, |raft| {
            self.wire.open(self.raft_id, process, raft.clone());
            let desk = desk(raft);
            self.world.spawn(Box::pin(desk.clone().propose()));
            self.world.spawn(Box::pin(desk.read()));
        });
        let _raft = match started.await {
            Ok(raft) => raft,
            Err(failure) => return failure,
        };
        let leadership = log.listeners.status.watch_leadership();
        self.world.spawn(Box::pin(people::watch(self.raft_id, leadership, self.witness.clone())));
        alarm.wait().await
    }
}
