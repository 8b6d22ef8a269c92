//! One session: raft on an open store, on a thread and a runtime of its own, from its start to its
//! end.
//!
//! Raft's tasks run on this thread: a proposal wakes it, it wakes the writer, the writer wakes it,
//! and it answers. A busy gateway so never delays a commit. While all is idle, a caller's thread
//! may run them instead, one thread at a time. When the session ends, in order or by a panic, all
//! its tasks are dropped: nothing of it can still write when the next one begins.

use super::{open_log, opening};
use crate::{
    OpenError,
    failure::LogFailure,
    raft::{alarm::Alarm, network, node, peers, tasks::RaftTasks, timing},
};
use skep_proto::Lineage;
use std::{
    io,
    sync::{Arc, PoisonError},
    thread::{self, JoinHandle},
};
use tokio::sync::{oneshot, watch};

/// How a session ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The log is being closed.
    Closed,
    /// It could not be started.
    NotStarted(OpenError),
    /// It ran, and then this happened.
    Failed(LogFailure),
    /// Its thread panicked.
    Panicked,
}

/// A session on its thread.
pub(crate) struct SessionThread {
    started: oneshot::Receiver<()>,
    ended: oneshot::Receiver<Ended>,
    thread: io::Result<JoinHandle<()>>,
}

impl SessionThread {
    /// Starts it.
    pub(crate) fn spawn(
        shared: &Arc<open_log::OpenLog>,
        applier: &open_log::SharedApplier,
        closing: &watch::Receiver<bool>,
    ) -> SessionThread {
        let (shared, applier, closing) = (shared.clone(), applier.clone(), closing.clone());
        let (tell_started, started) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let life = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(2)
                .thread_name("skep-log")
                .build();
            let how = match runtime {
                Ok(runtime) => {
                    let tasks = RaftTasks::new(runtime.handle().clone());
                    let _owned = tasks.own();
                    runtime.block_on(live(&shared, applier, tasks, closing, tell_started))
                }
                Err(error) => Ended::NotStarted(no_thread(&shared, &error)),
            };
            // The keeper waits for it.
            drop(tell_ended.send(how));
        };
        let thread = thread::Builder::new().name("skep-raft".into()).spawn(life);
        SessionThread { started, ended, thread }
    }

    /// Whether it works; false where it ended before it did.
    pub(crate) async fn works(&mut self) -> bool {
        (&mut self.started).await.is_ok()
    }

    /// How it ended, once all of it has.
    pub(crate) async fn ended(self, shared: &open_log::OpenLog) -> Ended {
        let thread = match self.thread {
            Ok(thread) => thread,
            Err(error) => return Ended::NotStarted(no_thread(shared, &error)),
        };
        let ended = self.ended.await;
        match (thread.join(), ended) {
            (Ok(()), Ok(ended)) => ended,
            (Ok(()) | Err(_), _) => Ended::Panicked,
        }
    }
}

fn no_thread(shared: &open_log::OpenLog, error: &io::Error) -> OpenError {
    let source = format!("no thread can be had: {error}").into();
    OpenError::Failed { dir: opening::dir_of(&*shared.files), source }
}

async fn live(
    shared: &Arc<open_log::OpenLog>,
    applier: open_log::SharedApplier,
    tasks: Arc<RaftTasks>,
    mut closing: watch::Receiver<bool>,
    started: oneshot::Sender<()>,
) -> Ended {
    let alarm = Arc::new(Alarm::default());
    let node = match start(shared, applier, tasks, alarm.clone()).await {
        Ok(node) => node,
        Err(error) => return Ended::NotStarted(error),
    };
    // Whoever opened the log may have given up waiting.
    let _unheard = started.send(());
    let ended = tokio::select! {
        // An error means that the last handle has gone.
        _ = closing.wait_for(|closing| *closing) => Ended::Closed,
        failure = alarm.wait() => Ended::Failed(failure),
    };
    shared.set_line(None);
    node.stop().await;
    ended
}

async fn start(
    shared: &Arc<open_log::OpenLog>,
    applier: open_log::SharedApplier,
    tasks: Arc<RaftTasks>,
    alarm: Arc<Alarm>,
) -> Result<node::RunningRaft, OpenError> {
    let files = &*shared.files;
    let identity = &shared.identity;
    // Who has joined may still have to hear of its cluster's first record.
    let lineage = match identity.joined {
        true => Lineage(identity.lineage),
        false => applier.lock().unwrap_or_else(PoisonError::into_inner).lineage(),
    };
    let own = peers::OwnIdentity { raft_id: identity.raft_id, lineage };
    let founder = (!identity.joined).then_some((identity.raft_id, shared.config.node_id));
    let transport = shared.config.peers.clone();
    let parts = node::RaftParts {
        own,
        founders: founder.into_iter().collect(),
        transport: transport.unwrap_or_else(|| Arc::new(network::NoTransport)),
        snapshot_part_bytes: network::SNAPSHOT_PART_BYTES_MAX,
        entries_behind_snapshot: timing::ENTRIES_BEHIND_SNAPSHOT_MAX,
        store: shared.store.clone(),
        appender: opening::appender(files, &shared.store, &shared.counts)?,
        applier: applier.clone(),
        snapshots: shared.snapshots.clone(),
        listeners: shared.listeners.clone(),
        alarm,
        tasks: Some(tasks),
    };
    node::RunningRaft::start(parts, |line| shared.set_line(Some(line))).await.map_err(|failure| {
        opening::not_started(
            files,
            &applier.lock().unwrap_or_else(PoisonError::into_inner),
            failure,
        )
    })
}
