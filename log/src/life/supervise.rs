//! Who keeps the log alive: one thread that runs session after session until the log is closed.
//!
//! A session that ends because the disk refused, or by a panic, is followed by the next one as soon
//! as the disk takes writes again. A log that is damaged, or that holds what this program can't
//! take, waits for a person; it can still be read.

use super::{open_log, opening, panics::RaftPanics, probe, session};
use crate::{
    Config, Fold, OpenError,
    disk::{files::Files, names, store_handle::Reopened},
    failure::{ErrorSource, LogFailure},
    history::Health,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// Between two attempts to open the log again.
const REOPEN_PERIOD: Duration = Duration::from_millis(500);

/// Ends the log's threads, when asked or when the last handle goes.
pub(crate) struct SupervisorThread {
    closing: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    closed: watch::Receiver<()>,
}

impl SupervisorThread {
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        // The thread drops its end when it has closed everything; nothing is ever sent.
        let mut closed = self.closed.clone();
        while closed.changed().await.is_ok() {}
        self.join();
    }

    fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log's supervisor panicked");
        }
    }
}

impl Drop for SupervisorThread {
    fn drop(&mut self) {
        // A process must not end while a thread of ours is inside the store.
        self.closing.send_replace(true);
        self.join();
    }
}

/// Opens a log, and starts what keeps it alive.
pub(crate) async fn open(
    config: Config,
    fold: Box<dyn Fold>,
    files: Arc<dyn Files>,
) -> Result<(Arc<open_log::OpenLog>, SupervisorThread), OpenError> {
    let (ready, opened) = oneshot::channel();
    let (closing, close) = watch::channel(false);
    let (alive, closed) = watch::channel(());
    let dir = opening::dir_of(&*files);
    let failed = |source: ErrorSource| OpenError::Failed { dir: dir.clone(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| failed(error.into()))?;
    let life = move || {
        runtime.block_on(keep(config, fold, files, ready, close));
        drop(alive);
    };
    let thread = match thread::Builder::new().name("skep-log-keeper".into()).spawn(life) {
        Ok(thread) => Mutex::new(Some(thread)),
        Err(error) => return Err(failed(error.into())),
    };
    let keeper = SupervisorThread { closing, thread, closed };
    let shared = opened.await.map_err(|_| OpenError::Panicked { dir: dir.clone() })??;
    Ok((shared, keeper))
}

/// The thread's life.
async fn keep(
    config: Config,
    fold: Box<dyn Fold>,
    files: Arc<dyn Files>,
    ready: oneshot::Sender<Result<Arc<open_log::OpenLog>, OpenError>>,
    mut closing: watch::Receiver<bool>,
) {
    let opened =
        match opening::open(&files, (config.node_id, config.origin), config.snapshots, fold) {
            Ok(opened) => opened,
            // Whoever gave up waiting needs no answer.
            Err(error) => return drop(ready.send(Err(error))),
        };
    let (shared, applier) = open_log::OpenLog::new(config, files, opened);
    let (mut ready, mut panics) = (Some(ready), RaftPanics::default());
    let begun = tokio::time::Instant::now();
    loop {
        let error = match one_session(&shared, &applier, &closing, &mut ready).await {
            session::Ended::Closed => break,
            session::Ended::Failed(failure) => Err(failure),
            session::Ended::NotStarted(error) => Ok(error),
            session::Ended::Panicked => {
                Ok(OpenError::Panicked { dir: opening::dir_of(&*shared.files) })
            }
        };
        let failure = match (error, ready.take()) {
            (Ok(error), Some(ready)) => {
                shared.close();
                // Whoever gave up waiting needs no answer.
                return drop(ready.send(Err(error)));
            }
            (Ok(error), None) => error.failure(),
            (Err(failure), waiting) => {
                ready = waiting;
                failure
            }
        };
        let failure = panics.judge(failure, begun.elapsed());
        tracing::error!(error = %failure, "the log failed");
        if wait_until_healed(&shared, &failure, &mut closing).await.is_err() {
            break;
        }
        tracing::info!("the disk takes writes; the log starts again");
    }
    shared.close();
}

/// One session from its start to its end. A caller that waits for the log to be ready is answered
/// when it works.
async fn one_session(
    shared: &Arc<open_log::OpenLog>,
    applier: &open_log::SharedApplier,
    closing: &watch::Receiver<bool>,
    ready: &mut Option<oneshot::Sender<Result<Arc<open_log::OpenLog>, OpenError>>>,
) -> session::Ended {
    let mut session = session::SessionThread::spawn(shared, applier, closing);
    if session.works().await {
        shared.listeners.status.health(Health::Ok);
        // Later sessions have nobody who waits for them.
        drop(ready.take().map(|ready| ready.send(Ok(shared.clone()))));
    }
    let ended = session.ended(shared).await;
    shared.session_over();
    ended
}

/// The log is being closed.
struct Closing;

/// Says what failed, and waits until the store is open for work again.
async fn wait_until_healed(
    shared: &open_log::OpenLog,
    failure: &LogFailure,
    closing: &mut watch::Receiver<bool>,
) -> Result<(), Closing> {
    let message = failure.message().to_owned();
    match failure {
        LogFailure::Disk(_) | LogFailure::Panicked(_) => {
            shared.listeners.status.health(Health::Failed(message))
        }
        LogFailure::Damaged(_) | LogFailure::Halted(_) => {
            shared.listeners.status.health(Health::Stopped(message));
            // An error means that the last handle has gone: the log is closed then too.
            drop(closing.wait_for(|closing| *closing).await);
            return Err(Closing);
        }
    }
    let mut reading = false;
    loop {
        let closed =
            tokio::time::timeout(REOPEN_PERIOD, closing.wait_for(|closing| *closing)).await.is_ok();
        if closed {
            return Err(Closing);
        }
        if let Err(error) = probe::write(&*shared.files, names::PROBE) {
            tracing::debug!(%error, "the disk does not work yet");
            continue;
        }
        match shared.store.reopen() {
            Reopened::Working => return Ok(()),
            Reopened::Reading(error) if !reading => {
                tracing::warn!(%error, "the store does not open; only reading goes on");
                reading = true;
            }
            Reopened::Reading(error) | Reopened::Closed(error) => {
                tracing::debug!(%error, "the store does not open yet");
            }
        }
    }
}
