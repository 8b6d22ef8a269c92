//! Where the log stands, as everybody may watch it.

use crate::chain::Hash;
use skep_proto::Position;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::watch;

/// A moment of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether this manager leads and has applied an entry of its own term: turns may begin.
    pub leader: bool,
    /// Raft's term; grows with each election.
    pub term: u64,
    /// The newest record in history.
    pub applied: Position,
    /// The hash of the entry that holds it.
    pub head: Hash,
    /// Whether the log works.
    pub health: Health,
    /// The raft id of the manager that leads, as long as it is heard of.
    pub known_leader: Option<u64>,
}

/// What a manager is in a term of raft.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RaftRole {
    Leader,
    Follower,
}

/// Whether the log takes proposals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ok,
    /// It does not, and why. It goes on by itself when the disk does; reads go on meanwhile.
    Failed(String),
    /// It does not, and why. Only a person can help; reads go on meanwhile.
    Stopped(String),
}

/// What decides whether this manager may take turns. It changes seldom, and wakes only when it
/// does: who waits for it is not woken by each entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Whether this manager leads and has applied an entry of its own term.
    pub leader: bool,
    /// Raft's term.
    pub term: u64,
    /// Whether the log works.
    pub health: Health,
    /// The raft id of the manager that leads, as long as it is heard of.
    pub known_leader: Option<u64>,
}

impl Status {
    fn leadership(&self) -> Leadership {
        Leadership {
            leader: self.leader,
            term: self.term,
            health: self.health.clone(),
            known_leader: self.known_leader,
        }
    }
}

/// Gathers what makes a [`Status`] from those who know its parts.
pub(crate) struct StatusCell {
    status: watch::Sender<Status>,
    leadership: watch::Sender<Leadership>,
    /// The term this manager leads in; 0 is none.
    leading: AtomicU64,
    /// The term of the newest applied raft entry.
    applied_term: AtomicU64,
}

impl StatusCell {
    pub(crate) fn new(applied: Position, head: Hash) -> StatusCell {
        let status = Status {
            leader: false,
            term: 0,
            applied,
            head,
            health: Health::Ok,
            known_leader: None,
        };
        StatusCell {
            leadership: watch::Sender::new(status.leadership()),
            status: watch::Sender::new(status),
            leading: AtomicU64::new(0),
            applied_term: AtomicU64::new(0),
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(crate) fn watch_leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    pub(crate) fn now(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Entries up to `applied` are history; the newest raft entry is of `term`.
    pub(crate) fn applied(&self, applied: Position, head: Hash, term: u64) {
        self.applied_term.store(term, Relaxed);
        self.change(|status| (status.applied, status.head) = (applied, head));
    }

    /// Raft is in `term`, in which this manager has that role.
    pub(crate) fn elected(&self, term: u64, role: RaftRole) {
        let leading = match role {
            RaftRole::Leader => term,
            RaftRole::Follower => 0,
        };
        self.leading.store(leading, Relaxed);
        self.change(|status| status.term = term);
    }

    /// This manager leads, or is told who does.
    pub(crate) fn follows(&self, leader: Option<u64>) {
        self.change(|status| status.known_leader = leader);
    }

    pub(crate) fn health(&self, health: Health) {
        if health != Health::Ok {
            self.leading.store(0, Relaxed);
        }
        self.change(|status| status.health = health);
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            let leading = self.leading.load(Relaxed);
            status.leader = leading != 0 && leading == self.applied_term.load(Relaxed);
            let now = status.leadership();
            self.leadership.send_if_modified(|known| {
                let changed = *known != now;
                *known = now;
                changed
            });
            *status != before
        });
    }
}
