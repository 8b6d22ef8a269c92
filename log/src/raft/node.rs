//! Raft, running: started on an open store, asked through one line, stopped in order.

use super::{
    alarm::Alarm, contact, handle, hearing, log_store, machine, network, peers, runtime,
    tail::SharedTail, tasks, timing, types, watching, writer,
};
use crate::{FailureCause, LogFailure, disk, history};
use skep_proto::Id;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;

/// The raft id of the manager that begins a cluster. Others are given theirs when they join; none
/// is used twice.
pub(crate) const FIRST_RAFT_ID: u64 = 1;

/// What raft runs on.
pub(crate) struct RaftParts {
    pub(crate) own: peers::OwnIdentity,
    /// Who makes a cluster of an empty log; a manager that is none of them waits to be added.
    pub(crate) founders: BTreeMap<u64, Id>,
    pub(crate) transport: Arc<dyn peers::PeerTransport>,
    /// How much of a snapshot travels at once.
    pub(crate) snapshot_part_bytes: usize,
    pub(crate) entries_behind_snapshot: u64,
    pub(crate) store: Arc<disk::store_handle::StoreHandle>,
    pub(crate) appender: disk::appender::Appender,
    pub(crate) applier: Arc<Mutex<history::applier::Applier>>,
    pub(crate) snapshots: disk::snapshot::Snapshots,
    pub(crate) listeners: history::applier::Listeners,
    pub(crate) alarm: Arc<Alarm>,
    /// For callers that run raft's tasks on their own thread.
    pub(crate) tasks: Option<Arc<tasks::RaftTasks>>,
}

/// Raft and its writer, running.
pub(crate) struct RunningRaft {
    raft: machine::Raft,
    queue: writer::Queue,
    writer: Option<writer::WriterLife>,
}

impl RunningRaft {
    /// Starts writer and raft on this thread's runtime, and waits until the fold is up to date,
    /// where this manager votes alone. `lines` is given the line before that: a caller that sees
    /// that it leads may propose at once.
    pub(crate) async fn start(
        parts: RaftParts,
        lines: impl FnOnce(handle::RaftHandle),
    ) -> Result<RunningRaft, LogFailure> {
        let RaftParts { own, founders, transport, entries_behind_snapshot, .. } = parts;
        let part_bytes = parts.snapshot_part_bytes;
        let RaftParts { store, appender, applier, snapshots, listeners, alarm, tasks, .. } = parts;
        let tail = log_store::load_tail(&store)?;
        let applied_before = {
            let mut applier = applier.lock().unwrap_or_else(PoisonError::into_inner);
            applier.begin_session(tail.next())?;
            applier.known_until()
        };
        let tail = Arc::new(SharedTail::new(tail));
        let writer =
            writer::Writer::new(appender, tail.clone(), listeners.unindexed.clone(), alarm.clone());
        let (queue, writer) =
            writer.start().map_err(|error| LogFailure::Disk(FailureCause::of(error)))?;
        let mut writer = WriterGuard { queue: queue.clone(), writer: Some(writer) };
        let (finished, announced) = mpsc::channel(1);
        let machine = machine::StateMachine {
            applier,
            tail: Some(tail.clone()),
            snapshots,
            store: store.clone(),
            queue: queue.clone(),
            alarm: alarm.clone(),
            finished,
        };
        let failed = |cause| alarm.failure().unwrap_or(LogFailure::Disk(cause));
        let config = timing::config(entries_behind_snapshot).validate();
        let config = config.map_err(|error| failed(FailureCause::of(error)))?;
        let log_store = log_store::LogStore::new(store, tail, queue.clone(), alarm.clone());
        let log_store = log_store.applied_before(applied_before)?;
        let alone = log_store.alone();
        let (network, raft_id) = (network::Network { transport, own, part_bytes }, own.raft_id);
        let raft = machine::Raft::new(raft_id, Arc::new(config), network, log_store, machine).await;
        let raft = raft.map_err(|error| failed(FailureCause::of(error)))?;
        let (contact, contact_watch) = contact::channel();
        let told = (listeners.status.clone(), alarm.clone(), alone.clone());
        watching::watch(told, &raft, contact_watch);
        speak(raft.clone(), announced);
        let hearing = hearing::PeerHearing::new(own, contact);
        let orders = (raft.clone(), tasks, queue.clone());
        lines(handle::RaftHandle::take_orders(orders, alone, hearing));
        if let Err(failure) = lead(raft_id, founders, &raft, &listeners.status, &alarm).await {
            // It is given up: how it ended does not matter any more.
            drop(raft.shutdown().await);
            return Err(alarm.failure().unwrap_or(failure));
        }
        Ok(RunningRaft { raft, queue, writer: writer.writer.take() })
    }

    /// Stops raft, writes what is left.
    pub(crate) async fn stop(mut self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "raft did not stop in order");
        }
        let Some(writer) = self.writer.take() else { return };
        // A writer that is gone already needs no order.
        drop(self.queue.push(writer::Work::Stop));
        writer.ended().await;
    }
}

impl Drop for RunningRaft {
    fn drop(&mut self) {
        drop(WriterGuard { queue: self.queue.clone(), writer: self.writer.take() });
    }
}

/// Ends the writer's thread, however its session ends.
struct WriterGuard {
    queue: writer::Queue,
    writer: Option<writer::WriterLife>,
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        // A writer that is gone already needs no order.
        drop(self.queue.push(writer::Work::Stop));
        writer.join();
    }
}

/// Makes a cluster of an empty log, and is elected where there is nobody else to ask.
async fn lead(
    raft_id: u64,
    founders: BTreeMap<u64, Id>,
    raft: &machine::Raft,
    status: &history::StatusCell,
    alarm: &Alarm,
) -> Result<(), LogFailure> {
    let failed = |error: &dyn std::fmt::Display| LogFailure::Disk(error.to_string().into());
    if raft.is_initialized().await.map_err(|error| failed(&error))? {
        if raft.voter_ids().ne([raft_id]) {
            return Ok(());
        }
        raft.trigger().elect(false).await.map_err(|error| failed(&error))?;
    } else {
        let alone = founders.keys().eq([&raft_id]);
        if !founders.contains_key(&raft_id) {
            return Ok(());
        }
        let peer = |node| types::Peer { node, address: String::new() };
        let founders: BTreeMap<u64, types::Peer> =
            founders.into_iter().map(|(raft_id, node)| (raft_id, peer(node))).collect();
        if let Err(error) = raft.initialize(founders).await
            // Another founder was quicker, and has sent its entries already.
            && !raft.is_initialized().await.map_err(|error| failed(&error))?
        {
            return Err(failed(&error));
        }
        if !alone {
            return Ok(());
        }
    }
    let mut leadership = status.watch_leadership();
    tokio::select! {
        biased;
        led = leadership.wait_for(|leadership| leadership.leader) => led.map(drop).map_err(|error| failed(&error)),
        failure = alarm.wait() => Err(failure),
    }
}

/// Reports finished snapshots to raft. A report that waits stands for all that finished
/// meanwhile.
fn speak(raft: machine::Raft, mut finished: mpsc::Receiver<()>) {
    runtime::spawn_beside(async move {
        while finished.recv().await.is_some() {
            machine::announce(&raft).await;
        }
    });
}
