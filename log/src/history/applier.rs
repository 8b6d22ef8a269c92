//! Making committed entries history, one after the other.
//!
//! The fence decides, the fold takes, the ring and the index learn of it. Blank entries,
//! memberships and fenced entries only move the applied index. Now and then an immutable handle of
//! the view is frozen for a snapshot.

use super::{Ring, StatusCell, Unindexed};
use crate::{
    Entry, Fold,
    chain::Hash,
    disk::{index, keys::meta, store_handle::StoreHandle},
    failure::LogFailure,
    fence::HistoryHead,
    fold::Frozen,
};
use skep_proto::{Lineage, Position};
use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

/// When a snapshot is taken: never closer than so many records, and when the log since the last one
/// has outgrown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Records between two snapshots, at least.
    pub records_min: u64,
    /// Bytes of log between two snapshots, at least; the last snapshot's own size counts if it is
    /// more.
    pub bytes_min: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> SnapshotPolicy {
        SnapshotPolicy { records_min: 10_000, bytes_min: 0 }
    }
}

impl SnapshotPolicy {
    /// Whether a log that grew so much since a snapshot of so many bytes is due for the next one.
    fn is_due(self, grown: &Growth, last_snapshot_bytes: u64) -> bool {
        grown.records >= self.records_min.max(1)
            && grown.bytes >= self.bytes_min.max(last_snapshot_bytes)
    }
}

/// What has grown since the last snapshot.
#[derive(Default)]
struct Growth {
    records: u64,
    bytes: u64,
}

/// Where it is shown that history has grown.
#[derive(Clone)]
pub(crate) struct Listeners {
    pub(crate) ring: Arc<Ring>,
    pub(crate) unindexed: Arc<Unindexed>,
    pub(crate) status: Arc<StatusCell>,
}

impl Default for Listeners {
    fn default() -> Listeners {
        Listeners {
            ring: Arc::new(Ring::new(skep_proto::Revision::ZERO)),
            unindexed: Arc::default(),
            status: Arc::new(StatusCell::new(Position::default(), Hash::ZERO)),
        }
    }
}

/// The view at one position, frozen so that a snapshot can be written beside the log's work.
pub(crate) struct FrozenSnapshot {
    pub(crate) named: meta::Snapshot,
    pub(crate) view: Frozen,
}

/// What is committed at one raft index.
#[derive(Clone, Copy)]
pub(crate) enum Committed<'a> {
    Blank,
    Membership(&'a meta::StoredMembership),
    Entry(&'a Arc<Entry>),
}

/// What applying did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApplyOutcome {
    /// The entry is history, and history stands there now.
    Extended(Position),
    /// The entry did not follow on the head: it did nothing.
    Fenced,
    /// Blank entries and memberships are outside the chain.
    Outside,
}

/// Applies committed entries in order.
pub(crate) struct Applier {
    fold: Box<dyn Fold>,
    head: HistoryHead,
    applied: Option<meta::StoredLogId>,
    membership: (Option<meta::StoredLogId>, meta::StoredMembership),
    /// Where the index in the store ended when the log was opened.
    indexed: index::HistoryEnd,
    policy: SnapshotPolicy,
    growth: Growth,
    last_snapshot_bytes: u64,
    /// A snapshot is being written: no other is taken meanwhile.
    writing: bool,
    /// So many index rows wait that the writer should be woken for them.
    gathered: bool,
    listeners: Listeners,
    store: Arc<StoreHandle>,
}

impl Applier {
    /// Before the first entry. The index in the store ends at `indexed`.
    pub(crate) fn new(
        fold: Box<dyn Fold>,
        indexed: index::HistoryEnd,
        policy: SnapshotPolicy,
        listeners: Listeners,
        store: Arc<StoreHandle>,
    ) -> Applier {
        Applier {
            fold,
            head: HistoryHead::default(),
            applied: None,
            membership: (None, meta::StoredMembership::default()),
            indexed,
            policy,
            growth: Growth::default(),
            last_snapshot_bytes: 0,
            writing: false,
            gathered: false,
            listeners,
            store,
        }
    }

    /// Becomes what a snapshot holds. An error leaves everything as it was.
    pub(crate) fn restore(
        &mut self,
        named: &meta::Snapshot,
        view: &[u8],
    ) -> Result<(), crate::RestoreError> {
        let hash = Hash::from_bytes(&named.head)
            .ok_or_else(|| crate::RestoreError::damaged("its chain's head is not a hash"))?;
        self.fold.restore(named.position(), hash, view)?;
        let (position, lineage) = (named.position(), Lineage(named.lineage));
        self.head = HistoryHead { position, lineage, hash };
        self.membership = (named.membership_log_id, named.membership.clone().unwrap_or_default());
        self.applied = named.applied;
        self.growth = Growth::default();
        self.last_snapshot_bytes = named.stored_bytes;
        self.listeners.ring.restart(self.head.position.revision);
        self.announce();
        Ok(())
    }

    /// Takes what is committed at the next raft index. Nothing is applied where it fails.
    pub(crate) fn apply(
        &mut self,
        log_id: meta::StoredLogId,
        what: Committed<'_>,
    ) -> Result<ApplyOutcome, LogFailure> {
        if self.applied.is_some_and(|applied| applied.index >= log_id.index) {
            return Err(LogFailure::Halted(
                format!("raft index {} is applied a second time", log_id.index).into(),
            ));
        }
        let outcome = match what {
            Committed::Blank => ApplyOutcome::Outside,
            Committed::Membership(membership) => {
                self.membership = (Some(log_id), membership.clone());
                ApplyOutcome::Outside
            }
            Committed::Entry(entry) => self.extend(log_id.index, entry)?,
        };
        self.applied = Some(log_id);
        Ok(outcome)
    }

    fn extend(&mut self, index: u64, entry: &Arc<Entry>) -> Result<ApplyOutcome, LogFailure> {
        if !self.head.is_followed_by(entry) {
            return self.fenced(index, entry);
        }
        self.fold(entry)?;
        self.head = HistoryHead::after(entry);
        self.growth.records += entry.records.len() as u64;
        self.growth.bytes += entry.bytes().len() as u64;
        self.listeners.ring.push(entry.clone());
        if index >= self.indexed.next_index {
            self.gathered |= self.listeners.unindexed.push(index, entry.clone());
        }
        Ok(ApplyOutcome::Extended(self.head.position))
    }

    /// A fold that panics would panic again at each attempt to go on: it halts the manager.
    fn fold(&mut self, entry: &Arc<Entry>) -> Result<(), LogFailure> {
        match panic::catch_unwind(AssertUnwindSafe(|| self.fold.apply(entry))) {
            Ok(folded) => folded.map_err(|halt| LogFailure::Halted(halt.message.into())),
            Err(_) => {
                let first = entry.first();
                Err(LogFailure::Halted(
                    format!("the program panicked at the entry of revision {first}").into(),
                ))
            }
        }
    }

    /// What was history once and does not follow now has been altered, or something before it was.
    fn fenced(&self, index: u64, entry: &Entry) -> Result<ApplyOutcome, LogFailure> {
        if index < self.indexed.next_index && index::is_indexed(&self.store, entry, index)? {
            let message = format!(
                "the chain breaks after revision {}: the entry at revision {} (raft index {index}) does not follow \
                 on {}",
                self.head.position.revision,
                entry.first(),
                self.head.hash,
            );
            return Err(LogFailure::Damaged(message.into()));
        }
        tracing::info!(index, parent = %entry.parent(), head = %self.head.hash, "an entry was fenced");
        Ok(ApplyOutcome::Fenced)
    }

    /// Shows everybody how far history goes now: once for many entries.
    ///
    /// The fold comes last: callers that it answers find the entry in every reader.
    pub(crate) fn announce(&mut self) {
        let term = self.applied.map_or(0, |applied| applied.term);
        let HistoryHead { position, hash, .. } = self.head;
        self.listeners.status.applied(position, hash, term);
        self.listeners.ring.publish(position.revision);
        self.fold.announce();
    }

    /// Whether the writer should be woken for index rows; asks once.
    pub(crate) fn gathered(&mut self) -> bool {
        std::mem::take(&mut self.gathered)
    }

    pub(crate) fn applied(&self) -> Option<meta::StoredLogId> {
        self.applied
    }

    /// Begins to take entries of a log that ends before `log_end`, or begins again after a failure.
    ///
    /// What the session before had applied is in the log or in a snapshot, unless the disk failed
    /// just when a snapshot was taken over, or has lost what it had confirmed: then this state is
    /// ahead of the disk, and only a start from there puts it right.
    pub(crate) fn begin_session(&mut self, log_end: u64) -> Result<(), LogFailure> {
        // A snapshot that was being written went with its session.
        self.writing = false;
        match self.applied {
            Some(applied) if applied.index >= log_end => Err(LogFailure::Halted(
                format!(
                    "the disk lacks what is applied: raft index {} is, and the log ends before {log_end}; start the \
                     daemon again, which begins from what the disk has",
                    applied.index
                )
                .into(),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The first index that is not known to be history here: what lies before it was applied, in
    /// this life or in an earlier one.
    pub(crate) fn known_until(&self) -> u64 {
        self.applied.map_or(0, |applied| applied.index + 1).max(self.indexed.next_index)
    }

    /// Of the newest incarnation; none before it was named.
    pub(crate) fn lineage(&self) -> Lineage {
        self.head.lineage
    }

    pub(crate) fn membership(&self) -> &(Option<meta::StoredLogId>, meta::StoredMembership) {
        &self.membership
    }

    pub(crate) fn position(&self) -> (Position, Hash) {
        (self.head.position, self.head.hash)
    }

    /// The view to write, if it is time for a snapshot.
    pub(crate) fn due(&mut self) -> Option<FrozenSnapshot> {
        if self.writing || !self.policy.is_due(&self.growth, self.last_snapshot_bytes) {
            return None;
        }
        self.writing = true;
        self.growth = Growth::default();
        Some(self.freeze())
    }

    /// The view as it is now.
    pub(crate) fn freeze(&self) -> FrozenSnapshot {
        let named = meta::Snapshot {
            incarnation: self.head.position.incarnation,
            revision: self.head.position.revision.0,
            head: self.head.hash.to_bytes(),
            lineage: self.head.lineage.0,
            applied: self.applied,
            membership: Some(self.membership.1.clone()),
            membership_log_id: self.membership.0,
            ..meta::Snapshot::default()
        };
        FrozenSnapshot { named, view: self.fold.freeze() }
    }

    /// The snapshot that was due is written, or could not be.
    pub(crate) fn written(&mut self, stored_bytes: Option<u64>) {
        self.writing = false;
        self.last_snapshot_bytes = stored_bytes.unwrap_or(self.last_snapshot_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelDisk, testing::Hashes};

    #[test]
    fn a_session_does_not_begin_on_a_disk_that_lacks_what_is_applied() {
        let store = StoreHandle::open(Arc::new(ModelDisk::default())).unwrap();
        let (fold, end) = (Box::new(Hashes::default()), index::HistoryEnd::default());
        let listeners = Listeners::default();
        let mut applier =
            Applier::new(fold, end, SnapshotPolicy::default(), listeners, Arc::new(store));
        applier.begin_session(0).unwrap();
        applier.apply(meta::StoredLogId { term: 1, index: 7 }, Committed::Blank).unwrap();
        applier.begin_session(8).unwrap();
        let failure = applier.begin_session(7).unwrap_err();
        assert!(matches!(failure, LogFailure::Halted(_)));
        assert_eq!(
            failure.message(),
            "the disk lacks what is applied: raft index 7 is, and the log ends before 7; start the daemon again, \
             which begins from what the disk has"
        );
    }
}
