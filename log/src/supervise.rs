//! Who keeps the log alive: one thread that opens it, watches it, opens it anew after the disk failed, and closes it.
//!
//! All of raft runs on this thread: a proposal wakes it, it wakes the writer, the writer wakes it, and it answers.
//! A busy gateway so never delays a commit, and entries are folded by one thread.

use crate::{
    Config, Fold, History, Log, OpenError,
    alarm::Failure,
    applier::Listeners,
    history::Source,
    log::Places,
    raft::Raft,
    session::{self, Session},
    snapshot::Snapshots,
    space::Gauge,
    status::Health,
    store::{Door, Store, StoreError, door::Opener, rocks::Rocks},
    writer::Counts,
};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Between two attempts to open the log anew.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// What a disk must take before it counts as healed.
const PROBE_BYTES: usize = 64 << 10;

/// Orders to close that wait; the first one ends the thread, and with it all others.
const ORDERS_MAX: usize = 4;

/// What all handles share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) places: Places,
    pub(crate) door: Arc<Door>,
    pub(crate) listeners: Listeners,
    pub(crate) snapshots: Snapshots,
    pub(crate) counts: Arc<Counts>,
    pub(crate) gauge: Gauge,
    pub(crate) in_flight: Arc<AtomicUsize>,
    /// The incarnation that `recover` wants begun; 0 is none.
    pub(crate) begun: AtomicU64,
    /// None while the log is not working.
    pub(crate) raft: RwLock<Option<Raft>>,
}

/// Where a store is opened from: for work, and for reading alone while work is impossible.
pub(crate) struct Openers {
    pub(crate) work: Opener,
    pub(crate) reading: Opener,
}

/// The store on disk.
pub(crate) fn on_disk(dir: &Path) -> Openers {
    let (work, reading) = (Places::new(dir).store, Places::new(dir).store);
    Openers {
        work: Arc::new(move || Ok(Box::new(Rocks::open(&work)?) as Box<dyn Store>)),
        reading: Arc::new(move || Ok(Box::new(Rocks::open_read_only(&reading)?) as Box<dyn Store>)),
    }
}

/// Ends the thread, when asked or when the last handle goes.
pub(crate) struct Keeper {
    orders: mpsc::Sender<oneshot::Sender<()>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.orders.send(done).await.is_ok() {
            // The thread that dropped it has ended, which is as good.
            drop(closed.await);
        }
        self.join();
    }

    fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log's thread panicked");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let (done, _) = oneshot::channel();
        // A process must not end while a thread of ours is inside the store.
        drop(self.orders.try_send(done));
        self.join();
    }
}

/// Opens a log on any store.
pub(crate) async fn open(config: Config, fold: Box<dyn Fold>, openers: Openers) -> Result<Log, OpenError> {
    let (ready, opened) = oneshot::channel();
    let (orders, inbox) = mpsc::channel(ORDERS_MAX);
    let failed = |words: String| OpenError::Failed { dir: config.dir.display().to_string(), words };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_name("skep-log")
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let begin = config.clone();
    let thread = thread::Builder::new()
        .name("skep-raft".into())
        .spawn(move || runtime.block_on(live(begin, fold, openers, ready, inbox)))
        .map_err(|error| failed(error.to_string()))?;
    let keeper = Arc::new(Keeper { orders, thread: Mutex::new(Some(thread)) });
    let shared = opened.await.map_err(|_| failed("its thread ended unexpectedly".into()))??;
    Ok(Log { shared, keeper })
}

/// The thread's life.
async fn live(
    config: Config,
    fold: Box<dyn Fold>,
    openers: Openers,
    ready: oneshot::Sender<Result<Arc<Shared>, OpenError>>,
    mut orders: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let dir = config.dir.clone();
    let (shared, loaded) = match session::load(config, fold, &openers) {
        Ok(loaded) => loaded,
        Err(error) => {
            // Who gave up waiting needs no answer.
            drop(ready.send(Err(error)));
            return;
        }
    };
    let mut session = match Session::start(&shared, loaded).await {
        Ok(session) => session,
        Err(error) => {
            shared.door.close();
            drop(ready.send(Err(error)));
            return;
        }
    };
    let applier = session.applier();
    drop(ready.send(Ok(shared.clone())));
    loop {
        let failure = tokio::select! {
            order = orders.recv() => {
                session.stop(&shared).await;
                shared.close();
                let _closed = order.map(|done| done.send(()));
                return;
            }
            failure = shared.listeners.alarm.wait() => failure,
        };
        shared.listeners.standing.health(Health::Failed(failure.words().to_owned()));
        session.stop(&shared).await;
        session = match heal(&shared, &openers, &failure, &applier, &dir, &mut orders).await {
            Some(session) => session,
            None => return,
        };
        shared.listeners.standing.health(Health::Ok);
        tracing::info!("the log works again");
    }
}

/// Waits for the disk to work and starts a new session; none when the log is closed meanwhile.
async fn heal(
    shared: &Arc<Shared>,
    openers: &Openers,
    failure: &Failure,
    applier: &session::SharedApplier,
    dir: &Path,
    orders: &mut mpsc::Receiver<oneshot::Sender<()>>,
) -> Option<Session> {
    let mut reading = false;
    loop {
        let order = tokio::time::timeout(RETRY_EVERY, orders.recv()).await;
        if let Ok(order) = order {
            shared.close();
            let _closed = order.map(|done| done.send(()));
            return None;
        }
        let Failure::Disk(_) = failure else { continue };
        if let Err(error) = probe(&shared.places.probe, dir) {
            tracing::debug!(%error, "the disk does not work yet");
            continue;
        }
        match shared.door.reopen(&openers.reading) {
            Ok(()) => reading = false,
            Err(error) if reading => tracing::debug!(%error, "the store does not open yet"),
            Err(error) => {
                tracing::warn!(%error, "the store does not open; only reading goes on");
                reading = true;
            }
        }
        if reading {
            continue;
        }
        shared.listeners.alarm.clear();
        match Session::start(shared, applier.clone()).await {
            Ok(session) => return Some(session),
            Err(error) => {
                tracing::warn!(%error, "the log could not be opened anew");
                shared.listeners.alarm.raise(Failure::Disk(error.to_string()));
                shared.listeners.standing.health(Health::Failed(error.to_string()));
            }
        }
    }
}

/// Whether the disk takes bytes and makes them durable.
fn probe(path: &Path, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut file = File::create(path)?;
    let written = file.write_all(&[0x5a; PROBE_BYTES]).and_then(|()| file.sync_data());
    fs::remove_file(path)?;
    written
}

impl Shared {
    pub(crate) fn history(&self) -> History {
        History::new(Source {
            door: self.door.clone(),
            unindexed: self.listeners.unindexed.clone(),
            snapshots: self.snapshots.clone(),
            standing: self.listeners.standing.watch(),
        })
    }

    /// Nothing more comes and nothing more is read.
    fn close(&self) {
        self.listeners.ring.close();
        self.door.close();
    }

    /// The store's refusal in the words of opening.
    pub(crate) fn refused(dir: &Path, error: StoreError) -> OpenError {
        let dir = dir.display().to_string();
        match error {
            StoreError::Locked(words) => OpenError::Locked { dir, words },
            StoreError::Damaged(words) => OpenError::Damaged { dir, words },
            StoreError::Absent(words) | StoreError::Failed(words) => OpenError::Failed { dir, words },
        }
    }
}
