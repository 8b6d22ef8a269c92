//! The door: one handle for proposing, waiting, following and reading.

use crate::{
    Fold, History, SealedEntry, Subscription,
    applier::SnapshotPolicy,
    proposal::{Proposal, ProposeError, Weight},
    raft::Chained,
    space::Space,
    status::Status,
    supervise::{self, Shared},
    writer::Counters,
};
use futures::FutureExt;
use openraft::{ReadPolicy, impls::OneshotResponder};
use skep_proto::{Id, Position, Revision};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
};
use tokio::{sync::watch, task::unconstrained};

mod errors;

pub use errors::{BarrierError, OpenError};

/// Bytes of proposals that wait for their answers at most; more are refused as full.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// The share of the disk that is kept free: below it nothing is accepted.
pub const FREE_SHARE_MIN: f64 = 0.05;

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that is the log's alone; made if it is not there.
    pub dir: PathBuf,
    /// The node whose log it is. It must be the same at each opening.
    pub node_id: Id,
    /// When snapshots are taken.
    pub snapshots: SnapshotPolicy,
    /// The share of the disk below whose being free nothing is accepted: 0.05 is five per cent, 0 never refuses.
    pub min_free: f64,
}

impl Config {
    /// The usual way, in `dir`, for `node_id`.
    pub fn new(dir: impl Into<PathBuf>, node_id: Id) -> Config {
        Config { dir: dir.into(), node_id, snapshots: SnapshotPolicy::default(), min_free: FREE_SHARE_MIN }
    }
}

/// What lies where in the log's folder.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) store: PathBuf,
    pub(crate) head: PathBuf,
    pub(crate) probe: PathBuf,
}

impl Places {
    pub(crate) fn new(dir: &Path) -> Places {
        Places { store: dir.join("store"), head: dir.join("head"), probe: dir.join("probe") }
    }
}

/// An open log. Handles are cheap; the log is closed by [`Log::close`], or when the last handle goes.
#[derive(Clone)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keeper: Arc<supervise::Keeper>,
}

impl Log {
    /// Opens the log, restores the fold and brings it up to date. A manager that is the only voter leads when this
    /// returns; an empty folder becomes a log with one voter.
    pub async fn open(config: Config, fold: impl Fold) -> Result<Log, OpenError> {
        let opener = supervise::on_disk(&config.dir);
        supervise::open(config, Box::new(fold), opener).await
    }

    /// Hands over an entry. The order of calls is the order in the log: the next entry may name this one as its
    /// parent before this one is durable.
    pub fn propose(&self, entry: SealedEntry) -> Proposal {
        let (weight, in_flight) = Weight::take(entry.bytes.len(), &self.shared.in_flight);
        if let Err(error) = self.may_propose(in_flight) {
            return Proposal::refused(error, weight);
        }
        let raft = self.shared.raft.read().unwrap_or_else(PoisonError::into_inner);
        let Some(raft) = &*raft else {
            return Proposal::refused(self.not_working(), weight);
        };
        let (responder, answer) = OneshotResponder::new_pair();
        let chained = Chained(Arc::new(entry.into()));
        // Handing over only waits for room in raft's inbox. A task's budget must not make it wait for less.
        let sent = unconstrained(raft.client_write_ff(chained, Some(responder))).now_or_never();
        match sent {
            Some(Ok(())) => Proposal::waiting(answer, weight),
            Some(Err(_)) => Proposal::refused(self.not_working(), weight),
            None => {
                let error = match self.shared.listeners.alarm.failure() {
                    Some(_) => self.not_working(),
                    None => ProposeError::Full("too many proposals are in flight; try again".into()),
                };
                Proposal::refused(error, weight)
            }
        }
    }

    fn may_propose(&self, in_flight: usize) -> Result<(), ProposeError> {
        if in_flight > IN_FLIGHT_BYTES_MAX {
            return Err(ProposeError::Full(format!(
                "{in_flight} bytes of proposals are in flight; try again"
            )));
        }
        if self.shared.gauge.is_below(self.shared.config.min_free) {
            let (free, total) = self.shared.gauge.read();
            return Err(ProposeError::Full(format!(
                "the disk of {} is full: {free} of {total} bytes are free, {:.0} % must be; make room, and it goes on \
                 by itself",
                self.shared.config.dir.display(),
                self.shared.config.min_free * 100.0,
            )));
        }
        Ok(())
    }

    fn not_working(&self) -> ProposeError {
        match self.shared.listeners.alarm.failure() {
            Some(failure) => ProposeError::Failed(failure.words().to_owned()),
            None => ProposeError::Failed("the log is being opened anew, or was closed".into()),
        }
    }

    /// Waits until all that was committed anywhere before this call is applied here, and says where that is:
    /// a read of the view after it is linearizable.
    pub async fn barrier(&self) -> Result<Position, BarrierError> {
        let raft = self.shared.raft.read().unwrap_or_else(PoisonError::into_inner).clone();
        let raft = raft.ok_or_else(|| BarrierError::Failed(self.not_working().to_string()))?;
        raft.ensure_linearizable(ReadPolicy::ReadIndex).await.map_err(|error| match error.api_error() {
            Some(_) => BarrierError::NotLeader,
            None => BarrierError::Failed(self.not_working().to_string()),
        })?;
        Ok(self.shared.listeners.standing.now().applied)
    }

    /// Where the log stands, to be read or waited on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.listeners.standing.watch()
    }

    /// Follows history from the entry that holds `from`: first what there is, then what comes.
    pub fn subscribe(&self, from: Revision) -> Subscription {
        Subscription::new(from, self.shared.listeners.ring.clone(), self.history())
    }

    /// The read side.
    pub fn history(&self) -> History {
        self.shared.history()
    }

    /// Room on the disk.
    pub fn space(&self) -> Space {
        let (free_bytes, total_bytes) = self.shared.gauge.read();
        Space { log_bytes: self.shared.door.bytes(), free_bytes, total_bytes }
    }

    /// What was written since the log was opened.
    pub fn counters(&self) -> Counters {
        self.shared.counts.read()
    }

    /// The incarnation that the next entry must begin, where `recover` cut this log and nothing was written since.
    pub fn begun_incarnation(&self) -> Option<u64> {
        let applied = self.shared.listeners.standing.now().applied;
        Some(self.shared.begun.load(Relaxed)).filter(|begun| *begun > applied.incarnation)
    }

    /// Writes what is left, stops the threads and releases the files. Other handles only answer errors then.
    pub async fn close(self) {
        self.keeper.close().await;
    }
}
