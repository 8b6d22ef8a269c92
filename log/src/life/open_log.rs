//! What all handles of an open log share. It outlives the sessions behind it.

use super::{config::Config, opening::Opened, space::Gauge};
use crate::{
    HistoryReader,
    disk::{appender::Counts, files::Files, keys::meta, snapshot, store_handle::StoreHandle},
    history::{self, Health, HistorySource, applier},
    raft::handle::RaftHandle,
};
use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{AtomicU64, AtomicUsize},
};

/// The applier outlives sessions: what is applied stays applied.
pub(crate) type SharedApplier = Arc<Mutex<applier::Applier>>;

/// An open log.
pub(crate) struct OpenLog {
    pub(crate) config: Config,
    pub(crate) identity: meta::StoredIdentity,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) store: Arc<StoreHandle>,
    pub(crate) listeners: applier::Listeners,
    pub(crate) snapshots: snapshot::Snapshots,
    pub(crate) counts: Arc<Counts>,
    pub(crate) gauge: Gauge,
    pub(crate) in_flight: Arc<AtomicUsize>,
    /// The incarnation that a recovery wants begun; 0 is none.
    pub(crate) begun: AtomicU64,
    /// The way to raft; none while the log does not work.
    line: RwLock<Option<RaftHandle>>,
}

impl OpenLog {
    /// What an opened log shares, and its applier.
    pub(crate) fn new(
        config: Config,
        files: Arc<dyn Files>,
        opened: Opened,
    ) -> (Arc<OpenLog>, SharedApplier) {
        let Opened { identity, store, snapshots, listeners, applier, begun } = opened;
        let shared = OpenLog {
            gauge: Gauge::new(config.dir.clone()),
            counts: Arc::default(),
            in_flight: Arc::default(),
            begun: AtomicU64::new(begun),
            line: RwLock::new(None),
            config,
            identity,
            files,
            store,
            listeners,
            snapshots,
        };
        (Arc::new(shared), Arc::new(Mutex::new(applier)))
    }

    pub(crate) fn line(&self) -> Option<RaftHandle> {
        self.line.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_line(&self, line: Option<RaftHandle>) {
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = line;
    }

    pub(crate) fn health(&self) -> Health {
        self.listeners.status.now().health
    }

    pub(crate) fn history(&self) -> HistoryReader {
        HistoryReader::new(HistorySource {
            store: self.store.clone(),
            unindexed: self.listeners.unindexed.clone(),
            snapshots: self.snapshots.clone(),
            status: self.listeners.status.watch(),
        })
    }

    /// The session is over: nothing is taken, and this manager does not lead.
    pub(crate) fn session_over(&self) {
        self.set_line(None);
        self.listeners
            .status
            .elected(self.listeners.status.now().term, history::RaftRole::Follower);
        self.listeners.status.follows(None);
    }

    /// Nothing more comes and nothing more is read.
    pub(crate) fn close(&self) {
        self.listeners.ring.close();
        self.store.close();
    }
}
