//! One life of raft on an open store: from loading it to stopping it.
//!
//! Opening a log loads the newest snapshot into the fold, checks that nothing synced is missing, and starts raft,
//! which applies the rest. A manager that votes alone is elected without waiting for a timeout, and all that lies
//! in its log is then committed: when [`Session::start`] returns, the fold is up to date.

use crate::{
    Config, Fold, OpenError,
    alarm::{Alarm, Failure},
    applier::{Applier, Listeners},
    head::HeadFile,
    history::{
        named_snapshots,
        offline::{indexed_end, readable_end},
    },
    keys::{self, meta},
    log::Places,
    raft::{
        Peer, Raft,
        log_store::{LogStore, load_tail},
        machine::{Machine, announce},
        network::Network,
        tail::Tail,
    },
    ring::Ring,
    snapshot::{Snapshots, sync_parent},
    space::Gauge,
    status::Standing,
    store::{Batch, Door, Durability, StoreError, Table},
    supervise::{Openers, Shared},
    unindexed::Unindexed,
    writer::{Counts, Queue, Work, Writer},
};
use openraft::{ServerState, SnapshotPolicy, async_runtime::WatchReceiver};
use prost::Message;
use skep_proto::{Position, Revision};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
};
use tokio::sync::mpsc;

/// The raft id of the manager that begins a cluster. Others are given theirs when they join; none is used twice.
const FIRST_RAFT_ID: u64 = 1;
/// Raft's timing. It matters between managers only: one alone never waits for it.
const HEARTBEAT_MS: u64 = 100;
const ELECTION_MIN_MS: u64 = 400;
const ELECTION_MAX_MS: u64 = 800;
/// Entries that a snapshot holds already and raft keeps visible, so that a follower a little behind needs no snapshot.
const KEPT_BEHIND_SNAPSHOT: u64 = 10_000;

/// The applier outlives sessions: what is applied stays applied.
pub(crate) type SharedApplier = Arc<Mutex<Applier>>;

/// Raft and its writer, running.
pub(crate) struct Session {
    raft: Raft,
    queue: Queue,
    writer: JoinHandle<()>,
    applier: SharedApplier,
}

/// Opens the store and loads the newest snapshot.
pub(crate) fn load(
    config: Config,
    fold: Box<dyn Fold>,
    openers: &Openers,
) -> Result<(Arc<Shared>, SharedApplier), OpenError> {
    let dir = config.dir.clone();
    let refused = |error: StoreError| Shared::refused(&dir, error);
    let failed = |error: std::io::Error| OpenError::Failed {
        dir: dir.display().to_string(),
        words: error.to_string(),
    };
    fs::create_dir_all(&dir).and_then(|()| sync_parent(&dir)).map_err(failed)?;
    let door = Arc::new(Door::open(openers.work.clone()).map_err(refused)?);
    sync_parent(&Places::new(&dir).store).map_err(failed)?;
    identify(&config, &door)?;
    let begun = door.get(Table::Meta, keys::BEGUN).map_err(refused)?;
    let begun = begun.and_then(|value| meta::Begun::decode(value).ok()).map_or(0, |begun| begun.incarnation);
    let damaged = |words: String| OpenError::Damaged { dir: dir.display().to_string(), words };
    let (indexed, ..) = indexed_end(&door).map_err(|error| damaged(error.to_string()))?;
    let listeners = Listeners {
        ring: Arc::new(Ring::new(Revision::ZERO)),
        unindexed: Arc::new(Unindexed::default()),
        standing: Arc::new(Standing::new(Position::default(), crate::Hash::ZERO)),
        alarm: Arc::new(Alarm::default()),
    };
    let snapshots = Snapshots::new(&dir);
    let mut applier = Applier::new(fold, indexed, config.snapshots, listeners.clone(), door.clone());
    restore(&mut applier, &door, &snapshots).map_err(refused)?;
    let shared = Shared {
        places: Places::new(&dir),
        gauge: Gauge::new(dir.clone()),
        counts: Arc::new(Counts::default()),
        in_flight: Arc::new(AtomicUsize::new(0)),
        begun: AtomicU64::new(begun),
        raft: RwLock::new(None),
        config,
        door,
        listeners,
        snapshots,
    };
    Ok((Arc::new(shared), Arc::new(Mutex::new(applier))))
}

/// Finds out whose log it is, or says so in an empty one.
fn identify(config: &Config, door: &Door) -> Result<(), OpenError> {
    let dir = || config.dir.display().to_string();
    let refused = |error| Shared::refused(&config.dir, error);
    if let Some(value) = door.get(Table::Meta, keys::IDENTITY).map_err(refused)? {
        let found = meta::Identity::decode(value)
            .map_err(|error| OpenError::Damaged { dir: dir(), words: format!("its identity: {error}") })?;
        if found.node() != config.node_id {
            return Err(OpenError::OtherNode { dir: dir(), found: found.node(), wanted: config.node_id });
        }
        return Ok(());
    }
    let identity = meta::Identity { node_id: config.node_id.to_bytes(), raft_id: FIRST_RAFT_ID };
    let mut batch = Batch::default();
    batch.put(Table::Meta, keys::IDENTITY, &[&identity.encode_to_vec()]);
    door.commit(&batch, Durability::Synced).map_err(refused)
}

/// Puts the newest readable snapshot into the fold. One that is damaged loses its name, and what raft had hidden
/// behind it is shown again: the entries are all still there.
fn restore(applier: &mut Applier, door: &Door, snapshots: &Snapshots) -> Result<(), StoreError> {
    let mut named = named_snapshots(door, Revision(u64::MAX))?;
    let mut batch = Batch::default();
    let mut restored = None;
    while let Some(newest) = named.first() {
        let view = snapshots.read(newest).map_err(|error| error.to_string());
        match view.and_then(|view| applier.restore(newest, &view)) {
            Ok(()) => {
                restored = newest.applied;
                break;
            }
            Err(words) => {
                tracing::warn!(
                    words,
                    revision = newest.revision,
                    "a snapshot can't be used; trying the one before"
                );
                batch.delete(Table::Meta, &keys::snapshot_key(Revision(newest.revision)));
                named.remove(0);
            }
        }
    }
    if !batch.is_empty() {
        match restored {
            Some(place) => batch.put(Table::Meta, keys::PURGED, &[&place.encode_to_vec()]),
            None => batch.delete(Table::Meta, keys::PURGED),
        }
        door.commit(&batch, Durability::Synced)?;
    }
    if let Err(error) = snapshots.sweep(&named) {
        tracing::warn!(%error, "leftover snapshots could not be removed");
    }
    Ok(())
}

impl Session {
    /// Starts writer and raft, and waits until the fold is up to date, where this manager votes alone.
    pub(crate) async fn start(shared: &Arc<Shared>, applier: SharedApplier) -> Result<Session, OpenError> {
        let dir = &shared.config.dir;
        let told = || dir.display().to_string();
        let failed = |words: String| OpenError::Failed { dir: told(), words };
        let tail = load_tail(&shared.door).map_err(|error| Shared::refused(dir, error))?;
        let head = HeadFile::open(&shared.places.head).map_err(|error| failed(error.to_string()))?;
        if tail.next() < head.mark().next_index {
            return Err(ends_early(shared, dir, head.mark().revision));
        }
        let tail = Arc::new(Mutex::new(tail));
        let writer = Writer {
            door: shared.door.clone(),
            tail: tail.clone(),
            head,
            unindexed: shared.listeners.unindexed.clone(),
            alarm: shared.listeners.alarm.clone(),
            counts: shared.counts.clone(),
            room: Batch::default(),
        };
        let (queue, writer) = writer.start().map_err(|error| failed(error.to_string()))?;
        let started = Session::start_raft(shared, applier.clone(), tail, queue.clone()).await;
        match started {
            Ok(raft) => Ok(Session { raft, queue, writer, applier }),
            Err(words) => {
                stop_writer(&queue, writer);
                Err(match shared.listeners.alarm.failure() {
                    Some(Failure::Halted(words)) => {
                        let (applied, _) = applier.lock().unwrap_or_else(PoisonError::into_inner).position();
                        OpenError::Halted { dir: told(), applied, words }
                    }
                    Some(Failure::Damaged(words)) => OpenError::Damaged { dir: told(), words },
                    Some(Failure::Disk(words)) => failed(words),
                    None => failed(words),
                })
            }
        }
    }

    async fn start_raft(
        shared: &Arc<Shared>,
        applier: SharedApplier,
        tail: Arc<Mutex<Tail>>,
        queue: Queue,
    ) -> Result<Raft, String> {
        // One that waits to be told speaks for all that finished meanwhile.
        let (finished, mut announced) = mpsc::channel(1);
        let machine = Machine {
            applier,
            snapshots: shared.snapshots.clone(),
            door: shared.door.clone(),
            queue: queue.clone(),
            finished,
        };
        let store = LogStore::new(shared.door.clone(), tail, queue, shared.listeners.alarm.clone());
        let alone = store.alone();
        let config = Arc::new(timing().validate().map_err(|error| error.to_string())?);
        let raft =
            Raft::new(FIRST_RAFT_ID, config, Network, store, machine).await.map_err(|e| e.to_string())?;
        watch(shared.clone(), &raft, alone);
        let speaker = raft.clone();
        tokio::spawn(async move {
            while announced.recv().await.is_some() {
                announce(&speaker).await;
            }
        });
        // Before it leads: who sees that it leads may propose at once.
        *shared.raft.write().unwrap_or_else(PoisonError::into_inner) = Some(raft.clone());
        let led = Session::lead(shared, &raft).await;
        if let Err(words) = led {
            *shared.raft.write().unwrap_or_else(PoisonError::into_inner) = None;
            // It is given up: how it ended does not matter any more.
            drop(raft.shutdown().await);
            return Err(words);
        }
        Ok(raft)
    }

    /// Makes a cluster of an empty log, and is elected where there is nobody else to ask.
    async fn lead(shared: &Arc<Shared>, raft: &Raft) -> Result<(), String> {
        if raft.is_initialized().await.map_err(|error| error.to_string())? {
            if raft.voter_ids().ne([FIRST_RAFT_ID]) {
                return Ok(());
            }
            raft.trigger().elect(false).await.map_err(|error| error.to_string())?;
        } else {
            let peer = Peer { node: shared.config.node_id, address: String::new() };
            let alone = BTreeMap::from([(FIRST_RAFT_ID, peer)]);
            raft.initialize(alone).await.map_err(|error| error.to_string())?;
        }
        let mut status = shared.listeners.standing.watch();
        tokio::select! {
            led = status.wait_for(|status| status.leader) => led.map(drop).map_err(|error| error.to_string()),
            failure = shared.listeners.alarm.wait() => Err(failure.words().to_owned()),
        }
    }

    pub(crate) fn applier(&self) -> SharedApplier {
        self.applier.clone()
    }

    /// Takes no more, stops raft, writes what is left.
    pub(crate) async fn stop(self, shared: &Shared) {
        *shared.raft.write().unwrap_or_else(PoisonError::into_inner) = None;
        shared.listeners.standing.elected(shared.listeners.standing.now().term, false);
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "raft did not stop in order");
        }
        drop(self.raft);
        stop_writer(&self.queue, self.writer);
    }
}

fn stop_writer(queue: &Queue, writer: JoinHandle<()>) {
    // A writer that is gone already needs no order.
    drop(queue.push(Work::Stop));
    if writer.join().is_err() {
        tracing::error!("the log's writer panicked");
    }
}

/// Tells the standing of every election, the store whether it is alone, and the alarm of raft's end.
fn watch(shared: Arc<Shared>, raft: &Raft, alone: Arc<AtomicBool>) {
    let mut metrics = raft.metrics();
    tokio::spawn(async move {
        loop {
            let (term, leads, members, running) = {
                let now = metrics.borrow_watched();
                let members = now.membership_config.nodes().count();
                (now.current_term, now.state == ServerState::Leader, members, now.running_state.clone())
            };
            alone.store(members == 1, Relaxed);
            shared.listeners.standing.elected(term, leads && running.is_ok());
            if let Err(error) = running {
                if !matches!(error, openraft::errors::Fatal::Stopped) {
                    shared.listeners.alarm.raise(Failure::Disk(error.to_string()));
                }
                return;
            }
            if metrics.changed().await.is_err() {
                return;
            }
        }
    });
}

fn ends_early(shared: &Shared, dir: &Path, durable: Revision) -> OpenError {
    let readable = readable_end(&shared.door).map_or(Revision::ZERO, |position| position.revision);
    OpenError::EndsEarly { dir: dir.display().to_string(), readable, durable: durable.max(readable) }
}

fn timing() -> openraft::Config {
    openraft::Config {
        cluster_name: "skep".into(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MIN_MS,
        election_timeout_max: ELECTION_MAX_MS,
        quorum_loss_probe_interval: Some(2 * ELECTION_MAX_MS),
        enable_pre_vote: Some(true),
        // A restarted leader writes an entry of a new term before it leads: only then is its log known to be committed.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: KEPT_BEHIND_SNAPSHOT,
        ..openraft::Config::default()
    }
}
