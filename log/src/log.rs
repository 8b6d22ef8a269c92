//! What others call: one handle for proposing, waiting, following and reading.

use crate::{
    Config, Counters, Fold, Health, HistoryReader, Leadership, MemberChange, NoMemberChange,
    OpenError, RaftMembers, SealedEntry, Space, Status, Subscription,
    disk::{files, names},
    life::{open_log, probe, supervise},
    raft::{handle, hearing, members, proposal, tasks},
};
use bytes::Bytes;
use proposal::{InFlightBytes, Proposal, ProposeError};
use skep_proto::{Position, Revision};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::sync::watch;

/// Bytes of proposals that wait for their answers at most; more are refused as full.
pub const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;

/// Why it is not known what was committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BarrierError {
    /// This manager does not lead.
    #[error("this manager does not lead")]
    NotLeader,
    /// The log does not work now.
    #[error("{0}")]
    Failed(String),
}

/// The log's own tasks, taken by this thread. Nobody else runs them until it does or drops this.
#[must_use = "the log stands still as long as this is held"]
pub struct LogTasks(tasks::CallersRun);

impl LogTasks {
    /// Runs what is ready.
    pub fn run(self) {
        self.0.run();
    }
}

/// An open log. Handles are cheap; the log is closed by [`Log::close`], or when the last handle
/// goes.
#[derive(Clone)]
pub struct Log {
    pub(crate) shared: Arc<open_log::OpenLog>,
    keeper: Arc<supervise::SupervisorThread>,
}

impl Log {
    /// Opens the log, restores the fold and brings it up to date. A manager that is the only voter
    /// leads when this returns; an empty folder becomes a log with one voter.
    pub async fn open(config: Config, fold: impl Fold) -> Result<Log, OpenError> {
        let files = Arc::new(files::os::OsFiles::new(&config.dir));
        Log::open_in(config, Box::new(fold), files).await
    }

    /// Opens a log on the model of a disk, with the threads of the real one.
    #[cfg(any(test, feature = "model"))]
    pub async fn open_on_model(
        config: Config,
        fold: impl Fold,
        disk: &crate::ModelDisk,
    ) -> Result<Log, OpenError> {
        Log::open_in(config, Box::new(fold), Arc::new(disk.clone())).await
    }

    /// Opens a log in any folder.
    pub(crate) async fn open_in(
        config: Config,
        fold: Box<dyn Fold>,
        files: Arc<dyn files::Files>,
    ) -> Result<Log, OpenError> {
        let files = files::sealed::SealedFiles::over(files, config.cipher.clone());
        let (shared, keeper) = supervise::open(config, fold, files).await?;
        Ok(Log { shared, keeper: Arc::new(keeper) })
    }

    /// Hands over an entry. The order of calls is the order in the log: the next entry may name
    /// this one as its parent before this one is durable.
    pub fn propose(&self, entry: SealedEntry) -> Proposal {
        let (proposal, hear) = Proposal::new();
        self.propose_with(entry, hear);
        proposal
    }

    /// The same for a caller that needs no task to wait: `hear` is called with the answer. It is
    /// called on the thread that runs the log's tasks, so it must not block; where the entry is not
    /// taken, it is called on this thread before this returns.
    pub fn propose_with(
        &self,
        entry: SealedEntry,
        hear: impl FnOnce(Result<Position, ProposeError>) + Send + 'static,
    ) {
        let (weight, in_flight) = InFlightBytes::take(entry.bytes.len(), &self.shared.in_flight);
        if let Err(error) = self.may_propose(in_flight) {
            return hear(Err(error));
        }
        match self.shared.line() {
            Some(line) => line.propose(Arc::new(entry.into()), move |answer| {
                drop(weight);
                hear(answer);
            }),
            None => hear(Err(self.not_working())),
        }
    }

    /// Gives the log's own tasks to this thread if all of them are idle. What is proposed before
    /// they are run here is written, synced and applied by that run, which blocks this thread for
    /// as long; no other thread is woken for it. None where the log is busy, slow or does not work.
    pub fn take_tasks(&self) -> Option<LogTasks> {
        self.shared.line()?.take_tasks().map(LogTasks)
    }

    fn may_propose(&self, in_flight: usize) -> Result<(), ProposeError> {
        if in_flight > IN_FLIGHT_BYTES_MAX {
            return Err(ProposeError::Full(format!(
                "{in_flight} bytes of proposals are in flight; try again"
            )));
        }
        let space = self.shared.gauge.read(0);
        if space.free_share() < self.shared.config.min_free {
            return Err(ProposeError::Full(format!(
                "the disk of {} is full: {}, {:.0} % must be; make room, and it goes on by itself",
                self.shared.config.dir.display(),
                space.scarcest(),
                self.shared.config.min_free * 100.0,
            )));
        }
        Ok(())
    }

    fn not_working(&self) -> ProposeError {
        match self.shared.health() {
            Health::Ok => ProposeError::Failed("the log is being reopened, or was closed".into()),
            Health::Failed(message) => ProposeError::Failed(message),
            Health::Stopped(message) => ProposeError::Stopped(message),
        }
    }

    /// Waits until all that was committed anywhere before this call is applied here, and says where
    /// that is: a read of the view after it is linearizable.
    pub async fn barrier(&self) -> Result<Position, BarrierError> {
        let not_running = || BarrierError::Failed(self.not_working().to_string());
        let line = self.shared.line().ok_or_else(not_running)?;
        line.barrier().await.map_err(|error| match error {
            handle::NoBarrier::NotLeader => BarrierError::NotLeader,
            handle::NoBarrier::NotRunning => not_running(),
        })?;
        Ok(self.shared.listeners.status.now().applied)
    }

    /// Answers what the raft of another manager asks, as its transport has brought it.
    pub async fn hear(&self, question: Bytes) -> Bytes {
        match self.shared.line() {
            Some(line) => line.hear(question).await,
            None => hearing::nobody(),
        }
    }

    /// Changes the set of managers, where this one leads and nothing speaks against it.
    pub async fn change_members(&self, change: MemberChange) -> Result<(), NoMemberChange> {
        let changed = match self.shared.line() {
            Some(line) => line.run(move |raft| members::change(raft, change)).await,
            None => None,
        };
        changed.unwrap_or_else(|| Err(NoMemberChange::Refused(self.not_working().to_string())))
    }

    /// Hands leadership over to another manager that votes, answers and has caught up.
    pub async fn hand_over(&self, to: u64) -> Result<(), NoMemberChange> {
        let given = match self.shared.line() {
            Some(line) => line.run(move |raft| members::hand_over(raft, to)).await,
            None => None,
        };
        given.unwrap_or_else(|| Err(NoMemberChange::Refused(self.not_working().to_string())))
    }

    /// Who takes part in raft, as far as this manager knows; none where the log does not work.
    pub async fn members(&self) -> Option<RaftMembers> {
        let line = self.shared.line()?;
        line.run(|raft| async move { members::members(&raft) }).await
    }

    /// Whether the log's disk takes a small file and makes it durable. Blocks for as long as the
    /// disk does not answer.
    pub fn try_disk(&self) -> std::io::Result<()> {
        probe::write(&*self.shared.files, names::ASKED_PROBE)
    }

    /// Where the log stands, to be read or waited on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.listeners.status.watch()
    }

    /// Whether this manager leads, and whether the log works: wakes only when that changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.listeners.status.watch_leadership()
    }

    /// Follows history from the entry that holds `from`: first what there is, then what comes.
    pub fn subscribe(&self, from: Revision) -> Subscription {
        Subscription::new(from, self.shared.listeners.ring.clone(), self.history())
    }

    /// The read side.
    pub fn history(&self) -> HistoryReader {
        self.shared.history()
    }

    /// Room on the disk.
    pub fn space(&self) -> Space {
        self.shared.gauge.read(self.shared.store.bytes())
    }

    /// The free share of the disk, bytes or inodes, whichever is less.
    pub fn free_share(&self) -> f64 {
        self.shared.gauge.read(0).free_share()
    }

    /// What was written since the log was opened.
    pub fn counters(&self) -> Counters {
        self.shared.counts.read()
    }

    /// The incarnation that the next entry must begin, where a recovery cut this log and nothing
    /// was written since.
    pub fn begun_incarnation(&self) -> Option<u64> {
        let applied = self.shared.listeners.status.now().applied;
        Some(self.shared.begun.load(Relaxed)).filter(|begun| *begun > applied.incarnation)
    }

    /// Writes what is left, stops the threads and releases the files. Other handles only answer
    /// errors then.
    pub async fn close(self) {
        self.keeper.close().await;
    }
}
