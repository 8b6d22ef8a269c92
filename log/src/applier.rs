//! Making committed entries history, one after the other.
//!
//! The fence decides, the fold takes, the ring and the index learn of it. Blank entries, memberships and fenced
//! entries only move raft's own pointer. Now and then an immutable handle of the view is set aside for a snapshot.

use crate::{
    Entry, Fold,
    alarm::{Alarm, Failure},
    chain::Hash,
    fence::follows,
    fold::Frozen,
    keys::{self, meta},
    raft::{LogId, Outcome, RaftEntry, StoredMembership, codec},
    ring::Ring,
    status::Standing,
    store::{Door, Table},
    unindexed::Unindexed,
};
use openraft::EntryPayload;
use skep_proto::Position;
use std::{io, sync::Arc};

/// When a snapshot is taken: never closer than so many records, and when the log since the last one has outgrown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Records between two snapshots, at least.
    pub records_min: u64,
    /// Bytes of log between two snapshots, at least; the last snapshot's own size counts if it is more.
    pub bytes_min: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> SnapshotPolicy {
        SnapshotPolicy { records_min: 10_000, bytes_min: 0 }
    }
}

/// What has grown since the last snapshot.
#[derive(Default)]
struct Growth {
    records: u64,
    bytes: u64,
}

/// Where everything is told that history has grown.
#[derive(Clone)]
pub(crate) struct Listeners {
    pub(crate) ring: Arc<Ring>,
    pub(crate) unindexed: Arc<Unindexed>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) alarm: Arc<Alarm>,
}

/// A view set aside, and where it stands.
pub(crate) struct Aside {
    pub(crate) named: meta::Snapshot,
    pub(crate) view: Frozen,
}

/// See the module.
pub(crate) struct Applier {
    fold: Box<dyn Fold>,
    position: Position,
    head: Hash,
    applied: Option<LogId>,
    membership: StoredMembership,
    /// Up to this raft index the index rows are in the store.
    indexed: u64,
    policy: SnapshotPolicy,
    growth: Growth,
    last_snapshot_bytes: u64,
    /// A snapshot is being written: no other is taken meanwhile.
    writing: bool,
    /// So many index rows wait that the writer should be woken for them.
    gathered: bool,
    listeners: Listeners,
    door: Arc<Door>,
}

impl Applier {
    /// Before the first entry. Index rows below raft index `indexed` are in the store already.
    pub(crate) fn new(
        fold: Box<dyn Fold>,
        indexed: u64,
        policy: SnapshotPolicy,
        listeners: Listeners,
        door: Arc<Door>,
    ) -> Applier {
        Applier {
            fold,
            position: Position::default(),
            head: Hash::ZERO,
            applied: None,
            membership: StoredMembership::default(),
            indexed,
            policy,
            growth: Growth::default(),
            last_snapshot_bytes: 0,
            writing: false,
            gathered: false,
            listeners,
            door,
        }
    }

    /// Becomes what a snapshot holds.
    pub(crate) fn restore(&mut self, named: &meta::Snapshot, view: &[u8]) -> Result<(), String> {
        let head = Hash::from_bytes(&named.head).ok_or("its chain's head is not a hash")?;
        let membership = codec::load_stored_membership(named).map_err(|error| error.to_string())?;
        self.fold.restore(named.position(), head, view).map_err(|error| error.to_string())?;
        (self.position, self.head, self.membership) = (named.position(), head, membership);
        self.applied = named.applied.as_ref().map(codec::load_place);
        self.growth = Growth::default();
        self.last_snapshot_bytes = named.stored_bytes;
        self.listeners.ring.restart(self.position.revision);
        self.publish();
        Ok(())
    }

    /// Takes the next raft entry. An error stops raft: its words are kept for the operator.
    pub(crate) fn apply(&mut self, entry: &RaftEntry) -> io::Result<Outcome> {
        if self.applied.is_some_and(|applied| applied.index >= entry.log_id.index) {
            return Err(self.halt(format!("raft applies index {} a second time", entry.log_id.index)));
        }
        let outcome = match &entry.payload {
            EntryPayload::Blank => Outcome::Outside,
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                Outcome::Outside
            }
            EntryPayload::Normal(chained) => self.extend(entry.log_id.index, &chained.0)?,
        };
        self.applied = Some(entry.log_id);
        Ok(outcome)
    }

    fn extend(&mut self, index: u64, entry: &Arc<Entry>) -> io::Result<Outcome> {
        if !follows(entry, self.position, self.head) {
            return self.fenced(index, entry);
        }
        self.fold.apply(entry).map_err(|halt| self.halt(halt.message))?;
        (self.position, self.head) = (entry.position(), entry.hash);
        self.growth.records += entry.records.len() as u64;
        self.growth.bytes += entry.bytes().len() as u64;
        self.listeners.ring.push(entry.clone());
        if index >= self.indexed {
            self.gathered |= self.listeners.unindexed.push(index, entry.clone());
        }
        Ok(Outcome::Extended(self.position))
    }

    /// What was history once and does not follow now has been altered, or something before it was.
    fn fenced(&mut self, index: u64, entry: &Entry) -> io::Result<Outcome> {
        if index < self.indexed {
            let row = self.door.get(Table::Revisions, &keys::revision_key(entry.first()))?;
            let row =
                row.and_then(|value| keys::read_revision(&keys::revision_key(entry.first()), &value).ok());
            if row.is_some_and(|row| row.index == index) {
                let words = format!(
                    "the chain breaks after revision {}: the entry at revision {} (raft index {index}) does not \
                     follow on {}",
                    self.position.revision,
                    entry.first(),
                    self.head,
                );
                self.listeners.alarm.raise(Failure::Damaged(words.clone()));
                return Err(io::Error::new(io::ErrorKind::InvalidData, words));
            }
        }
        tracing::info!(index, parent = %entry.parent(), head = %self.head, "an entry was fenced");
        Ok(Outcome::Fenced)
    }

    /// Tells everybody how far history goes now: once for many entries.
    ///
    /// The fold comes last: whoever it answers finds the entry wherever they look.
    pub(crate) fn publish(&mut self) {
        let term = self.applied.map_or(0, |applied| applied.leader_id.term);
        self.listeners.standing.applied(self.position, self.head, term);
        self.listeners.ring.publish(self.position.revision);
        self.fold.announce();
    }

    /// Whether the writer should be woken for index rows; asks once.
    pub(crate) fn gathered(&mut self) -> bool {
        std::mem::take(&mut self.gathered)
    }

    pub(crate) fn applied(&self) -> (Option<LogId>, StoredMembership) {
        (self.applied, self.membership.clone())
    }

    pub(crate) fn position(&self) -> (Position, Hash) {
        (self.position, self.head)
    }

    /// The view to write, if it is time for a snapshot.
    pub(crate) fn due(&mut self) -> Option<Aside> {
        let SnapshotPolicy { records_min, bytes_min } = self.policy;
        let outgrown = self.growth.bytes >= bytes_min.max(self.last_snapshot_bytes);
        if self.writing || self.growth.records < records_min.max(1) || !outgrown {
            return None;
        }
        self.writing = true;
        self.growth = Growth::default();
        Some(self.aside())
    }

    /// The view as it is now.
    pub(crate) fn aside(&self) -> Aside {
        let named = meta::Snapshot {
            incarnation: self.position.incarnation,
            revision: self.position.revision.0,
            head: self.head.to_bytes(),
            applied: self.applied.as_ref().map(codec::store_place),
            membership: Some(codec::store_membership(self.membership.membership())),
            membership_place: self.membership.log_id().as_ref().map(codec::store_place),
            ..meta::Snapshot::default()
        };
        Aside { named, view: self.fold.freeze() }
    }

    /// The snapshot that was due is written, or could not be.
    pub(crate) fn written(&mut self, stored_bytes: Option<u64>) {
        self.writing = false;
        self.last_snapshot_bytes = stored_bytes.unwrap_or(self.last_snapshot_bytes);
    }

    fn halt(&self, words: String) -> io::Error {
        self.listeners.alarm.raise(Failure::Halted(words.clone()));
        io::Error::other(words)
    }
}
