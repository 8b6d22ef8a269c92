//! Raft, running: started on an open store, asked through one line, stopped in order.
//!
//! A future of the library must never be dropped before it is done: the library then believes for
//! ever that somebody else is waiting for raft's end, and panics. So only raft's own tasks call it.
//! Whoever wants something sends an order down the line, and one of these tasks carries it out to
//! its end.

use super::{
    alarm::Alarm, log_store, machine, network::Network, proposal, tail::Tail, tasks, types, writer,
};
use crate::{Entry, FailureCause, LogFailure, disk, history};
use openraft::{Config, ReadPolicy, ServerState, SnapshotPolicy, async_runtime::WatchReceiver};
use skep_proto::{Id, Position};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};

/// The raft id of the manager that begins a cluster. Others are given theirs when they join; none
/// is used twice.
pub(crate) const FIRST_RAFT_ID: u64 = 1;
/// Raft's timing. It matters between managers only: one alone never waits for it.
const RAFT_HEARTBEAT_PERIOD_MS: u64 = 100;
/// Silence of a leader after which a manager asks to lead, at least.
const ELECTION_MIN_MS: u64 = 400;
/// Silence of a leader after which a manager asks to lead, at most.
const ELECTION_MAX_MS: u64 = 800;
/// Entries that a snapshot holds already and raft keeps visible, so that a follower a little behind
/// needs no snapshot.
const ENTRIES_BEHIND_SNAPSHOT_MAX: u64 = 10_000;
/// Orders that wait for raft's thread; at it a proposal is refused as too many, and a barrier
/// waits.
const ORDERS_MAX: usize = 8192;

/// Something wanted of raft.
enum RaftRequest {
    Propose(types::Chained, types::OnAnswer<openraft::raft::ClientWriteResult<types::Types>>),
    Barrier(oneshot::Sender<Result<(), NoBarrier>>),
}

/// Why it is not known what was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBarrier {
    /// This manager does not lead.
    NotLeader,
    /// Raft does not run.
    NotRunning,
}

/// The way to raft's thread. Handles are cheap; it is dead when raft has stopped.
#[derive(Clone)]
pub(crate) struct RaftHandle {
    orders: mpsc::Sender<RaftRequest>,
    tasks: Arc<tasks::RaftTasks>,
    queue: writer::Queue,
}

impl RaftHandle {
    /// Gives raft's tasks to this thread if all of them are idle and the disk was quick the last
    /// time.
    pub(crate) fn take_tasks(&self) -> Option<tasks::CallersRun> {
        if self.queue.is_slow() { None } else { self.tasks.take() }
    }

    /// Hands over an entry. The order of calls is the order in the log. `hear` is called with the
    /// answer, on the thread that runs raft's tasks; or at once, on this one, where the entry is
    /// not taken.
    pub(crate) fn propose(
        &self,
        entry: Arc<Entry>,
        hear: impl FnOnce(Result<Position, proposal::ProposeError>) + Send + 'static,
    ) {
        match self.orders.try_reserve() {
            Ok(room) => {
                let answered = types::OnAnswer::new(|answer| hear(proposal::read_answer(answer)));
                room.send(RaftRequest::Propose(types::Chained(entry), answered));
            }
            Err(mpsc::error::TrySendError::Full(())) => {
                let many = "too many proposals are in flight; try again".into();
                hear(Err(proposal::ProposeError::Full(many)));
            }
            Err(mpsc::error::TrySendError::Closed(())) => {
                let closed = "the log is being reopened, or was closed".into();
                hear(Err(proposal::ProposeError::Failed(closed)));
            }
        }
    }

    /// Waits until all that was committed anywhere before this call is applied here.
    pub(crate) async fn barrier(&self) -> Result<(), NoBarrier> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(RaftRequest::Barrier(reply)).await.map_err(|_| NoBarrier::NotRunning)?;
        answer.await.unwrap_or(Err(NoBarrier::NotRunning))
    }
}

/// What raft runs on.
pub(crate) struct RaftParts {
    pub(crate) node_id: Id,
    pub(crate) store: Arc<disk::store_handle::StoreHandle>,
    pub(crate) appender: disk::appender::Appender,
    pub(crate) applier: Arc<Mutex<history::applier::Applier>>,
    pub(crate) snapshots: disk::snapshot::Snapshots,
    pub(crate) listeners: history::applier::Listeners,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) tasks: Arc<tasks::RaftTasks>,
}

/// Raft and its writer, running.
pub(crate) struct RunningRaft {
    raft: machine::Raft,
    queue: writer::Queue,
    writer: Option<JoinHandle<()>>,
}

impl RunningRaft {
    /// Starts writer and raft on this thread's runtime, and waits until the fold is up to date,
    /// where this manager votes alone. `lines` is given the line before that: a caller that sees
    /// that it leads may propose at once.
    pub(crate) async fn start(
        parts: RaftParts,
        lines: impl FnOnce(RaftHandle),
    ) -> Result<RunningRaft, LogFailure> {
        let RaftParts { node_id, store, appender, applier, snapshots, listeners, alarm, tasks } =
            parts;
        let tail = Arc::new(Mutex::new(log_store::load_tail(&store)?));
        let writer =
            writer::Writer::new(appender, tail.clone(), listeners.unindexed.clone(), alarm.clone());
        let (queue, writer) =
            writer.start().map_err(|error| LogFailure::Disk(FailureCause::of(error)))?;
        let mut writer = WriterGuard { queue: queue.clone(), writer: Some(writer) };
        let (finished, announced) = mpsc::channel(1);
        let machine = machine::StateMachine {
            applier,
            snapshots,
            store: store.clone(),
            queue: queue.clone(),
            alarm: alarm.clone(),
            finished,
        };
        let (raft, alone) = start_raft(store, tail, machine, &alarm).await?;
        watch(listeners.status.clone(), alarm.clone(), &raft, alone.clone());
        speak(raft.clone(), announced);
        lines(take_orders(raft.clone(), tasks, queue.clone(), alone.clone()));
        if let Err(failure) = lead(node_id, &raft, &listeners.status, &alarm).await {
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
        drop(WriterGuard { queue: self.queue.clone(), writer: self.writer.take() });
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
    writer: Option<JoinHandle<()>>,
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        // A writer that is gone already needs no order.
        drop(self.queue.push(writer::Work::Stop));
        if writer.join().is_err() {
            tracing::error!("the log's writer panicked");
        }
    }
}

async fn start_raft(
    store: Arc<disk::store_handle::StoreHandle>,
    tail: Arc<Mutex<Tail>>,
    machine: machine::StateMachine,
    alarm: &Arc<Alarm>,
) -> Result<(machine::Raft, Arc<std::sync::atomic::AtomicBool>), LogFailure> {
    let failed = |cause| alarm.failure().unwrap_or(LogFailure::Disk(cause));
    let log_store = log_store::LogStore::new(store, tail, machine.queue.clone(), alarm.clone());
    let alone = log_store.alone();
    let config = timing().validate().map_err(|error| failed(FailureCause::of(error)))?;
    let raft =
        machine::Raft::new(FIRST_RAFT_ID, Arc::new(config), Network, log_store, machine).await;
    Ok((raft.map_err(|error| failed(FailureCause::of(error)))?, alone))
}

/// Makes a cluster of an empty log, and is elected where there is nobody else to ask.
async fn lead(
    node: Id,
    raft: &machine::Raft,
    status: &history::StatusCell,
    alarm: &Alarm,
) -> Result<(), LogFailure> {
    let failed = |error: &dyn std::fmt::Display| LogFailure::Disk(error.to_string().into());
    if raft.is_initialized().await.map_err(|error| failed(&error))? {
        if raft.voter_ids().ne([FIRST_RAFT_ID]) {
            return Ok(());
        }
        raft.trigger().elect(false).await.map_err(|error| failed(&error))?;
    } else {
        let alone = BTreeMap::from([(FIRST_RAFT_ID, types::Peer { node, address: String::new() })]);
        raft.initialize(alone).await.map_err(|error| failed(&error))?;
    }
    let mut status = status.watch();
    tokio::select! {
        led = status.wait_for(|status| status.leader) => led.map(drop).map_err(|error| failed(&error)),
        failure = alarm.wait() => Err(failure),
    }
}

/// Carries out orders in their order. Barriers do not hold up proposals. Where there is no other
/// manager, one that does not lead has not finished starting: nobody else leads instead.
fn take_orders(
    raft: machine::Raft,
    tasks: Arc<tasks::RaftTasks>,
    queue: writer::Queue,
    alone: Arc<std::sync::atomic::AtomicBool>,
) -> RaftHandle {
    let (orders, mut inbox) = mpsc::channel(ORDERS_MAX);
    tasks::spawn(async move {
        while let Some(order) = inbox.recv().await {
            match order {
                // The responder is dropped where raft has ended: the outcome of the entry is
                // unknown then.
                RaftRequest::Propose(entry, responder) => {
                    if raft.client_write_ff(entry, Some(responder)).await.is_err() {
                        return;
                    }
                }
                RaftRequest::Barrier(reply) => {
                    let (raft, alone) = (raft.clone(), alone.clone());
                    tokio::spawn(async move {
                        let passed = raft.ensure_linearizable(ReadPolicy::ReadIndex).await;
                        let answer = passed.map(drop).map_err(|error| match error.api_error() {
                            Some(_) if !alone.load(std::sync::atomic::Ordering::Relaxed) => {
                                NoBarrier::NotLeader
                            }
                            Some(_) | None => NoBarrier::NotRunning,
                        });
                        // Who no longer waits needs no answer.
                        let _unheard = reply.send(answer);
                    });
                }
            }
        }
    });
    RaftHandle { orders, tasks, queue }
}

/// Reports finished snapshots to raft. A report that waits stands for all that finished
/// meanwhile.
fn speak(raft: machine::Raft, mut finished: mpsc::Receiver<()>) {
    tokio::spawn(async move {
        while finished.recv().await.is_some() {
            machine::announce(&raft).await;
        }
    });
}

/// Tells the status of every election, the store whether it is alone, and the alarm of raft's end.
fn watch(
    status: Arc<history::StatusCell>,
    alarm: Arc<Alarm>,
    raft: &machine::Raft,
    alone: Arc<std::sync::atomic::AtomicBool>,
) {
    let mut metrics = raft.metrics();
    tasks::spawn(async move {
        loop {
            let (term, leads, members, running) = {
                let now = metrics.borrow_watched();
                let members = now.membership_config.nodes().count();
                (
                    now.current_term,
                    now.state == ServerState::Leader,
                    members,
                    now.running_state.clone(),
                )
            };
            alone.store(members == 1, std::sync::atomic::Ordering::Relaxed);
            let role = if leads && running.is_ok() {
                history::RaftRole::Leader
            } else {
                history::RaftRole::Follower
            };
            status.elected(term, role);
            if let Err(error) = running {
                if !matches!(error, openraft::errors::Fatal::Stopped) {
                    alarm.raise(LogFailure::Disk(FailureCause::of(error)));
                }
                return;
            }
            if metrics.changed().await.is_err() {
                // Raft is gone without a word: it panicked, or this session is over.
                alarm.raise(LogFailure::Disk("raft ended".into()));
                return;
            }
        }
    });
}

fn timing() -> Config {
    Config {
        cluster_name: "skep".into(),
        heartbeat_interval: RAFT_HEARTBEAT_PERIOD_MS,
        election_timeout_min: ELECTION_MIN_MS,
        election_timeout_max: ELECTION_MAX_MS,
        quorum_loss_probe_interval: Some(2 * ELECTION_MAX_MS),
        enable_pre_vote: Some(true),
        // A restarted leader writes an entry of a new term before it leads: only then is its log
        // known to be committed.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: ENTRIES_BEHIND_SNAPSHOT_MAX,
        ..Config::default()
    }
}
