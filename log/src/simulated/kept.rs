//! A manager's log, opened: what outlives a session of raft whose disk failed.

use super::wire::NetworkEnd;
use crate::{
    LogOrigin, ModelDisk, OpenError, SnapshotPolicy, disk,
    history::{self, applier},
    life::opening,
    raft::{alarm::Alarm, node::RaftParts, peers::OwnIdentity},
    testing::Hashes,
};
use skep_proto::{Id, Lineage};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Snapshots are taken often, so that followers fall behind them.
const SNAPSHOTS: SnapshotPolicy = SnapshotPolicy { records_min: 15, bytes_min: 0 };
/// Of the one cluster there is.
const LINEAGE: Lineage = Lineage(7);
/// Entries that raft keeps behind a snapshot.
const ENTRIES_KEPT_MAX: u64 = 5;

/// An opened log.
#[derive(Clone)]
pub(super) struct OpenedLog {
    store: Arc<disk::store_handle::StoreHandle>,
    snapshots: disk::snapshot::Snapshots,
    pub(super) listeners: applier::Listeners,
    applier: Arc<Mutex<applier::Applier>>,
}

impl OpenedLog {
    /// As the daemon does it when it starts.
    pub(super) fn open(
        disk: &ModelDisk,
        (node, raft_id): (Id, u64),
        fold: Hashes,
    ) -> Result<OpenedLog, OpenError> {
        let files = disk.sealed();
        let whose = (node, LogOrigin::Joins { raft_id, lineage: LINEAGE });
        let opened = opening::open(&files, whose, SNAPSHOTS, Box::new(fold))?;
        Ok(OpenedLog {
            store: opened.store,
            snapshots: opened.snapshots,
            listeners: opened.listeners,
            applier: Arc::new(Mutex::new(opened.applier)),
        })
    }

    /// As the daemon does it when its disk works again; false where it does not.
    pub(super) fn reopen(&self) -> bool {
        let disk::store_handle::Reopened::Working = self.store.reopen() else { return false };
        let status = &self.listeners.status;
        status.elected(status.now().term, history::RaftRole::Follower);
        true
    }

    /// As each session does it.
    pub(super) fn parts(
        &self,
        disk: &ModelDisk,
        founders: BTreeMap<u64, Id>,
        end: NetworkEnd,
        alarm: Arc<Alarm>,
    ) -> Result<RaftParts, OpenError> {
        Ok(RaftParts {
            own: OwnIdentity { raft_id: end.own, lineage: LINEAGE },
            founders,
            transport: Arc::new(end),
            // Many parts, some of which are lost.
            snapshot_part_bytes: 500,
            entries_behind_snapshot: ENTRIES_KEPT_MAX,
            store: self.store.clone(),
            appender: opening::appender(disk, &self.store, &Arc::default())?,
            applier: self.applier.clone(),
            snapshots: self.snapshots.clone(),
            listeners: self.listeners.clone(),
            alarm,
            tasks: None,
        })
    }
}
