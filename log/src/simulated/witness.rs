//! Who watches: what was applied anywhere, what was acknowledged, who led in which term, and what
//! readers were told. An invariant that is broken is written down with what was seen.

use crate::{Hash, LogFailure};
use skep_proto::Revision;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// All that is kept; more would only repeat it.
const BROKEN_TOLD_MAX: usize = 10;

/// A write that was refused is noticed within so long, also by a manager that stands still.
const NOTICED_LIMIT: Duration = Duration::from_secs(15);

/// Shared by all who report.
#[derive(Clone, Default)]
pub(super) struct Witness(Arc<Mutex<Seen>>);

/// What was seen so far.
#[derive(Default)]
pub(super) struct Seen {
    /// Each entry holds one record: the entry of revision 1 comes first.
    pub(super) history: Vec<Hash>,
    pub(super) acknowledged: BTreeMap<u64, Hash>,
    /// Entries of which a client was told that they are not history and never will be.
    pub(super) given_up: BTreeSet<Hash>,
    pub(super) leaders: BTreeMap<u64, u64>,
    pub(super) reads: u64,
    pub(super) crashes: u64,
    /// Sessions on what a session before had kept.
    pub(super) went_on: u64,
    /// Managers whose disk takes nothing, and when it was mended.
    pub(super) refused: BTreeMap<u64, Option<Duration>>,
    /// Managers whose log has failed for that: their process must start again.
    pub(super) failed: BTreeSet<u64>,
    /// Managers that are being given a vote.
    pub(super) joining: BTreeSet<u64>,
    /// Managers that have left.
    pub(super) removed: BTreeSet<u64>,
    pub(super) broken: Vec<String>,
}

impl Witness {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a manager has applied: the same on all, in the same order.
    pub(super) fn applied(&self, manager: u64, list: &[Hash]) {
        let mut seen = self.seen();
        for (at, hash) in list.iter().enumerate() {
            match seen.history.get(at).copied() {
                None => seen.history.push(*hash),
                Some(known) if known == *hash => {}
                Some(known) => {
                    let revision = at + 1;
                    seen.broke(format!(
                        "RAFT-1: manager {manager} applied {hash} at revision {revision}, another one {known}"
                    ));
                }
            }
        }
    }

    /// A manager's log has failed, as it must where its disk takes nothing.
    pub(super) fn failed(&self, manager: u64, now: Duration, failure: &LogFailure) {
        let mut seen = self.seen();
        seen.failed.insert(manager);
        let refused = seen
            .refused
            .get(&manager)
            .is_some_and(|mended| mended.is_none_or(|mended| now <= mended + NOTICED_LIMIT));
        let expected = matches!(failure, LogFailure::Disk(_)) && refused;
        if !expected {
            seen.broke(format!("RAFT-5: the log of manager {manager} failed: {failure}"));
        }
    }

    /// A client was told that its entry is history.
    pub(super) fn acknowledged(&self, manager: u64, revision: Revision, hash: Hash) {
        let mut seen = self.seen();
        if let Some(before) = seen.acknowledged.insert(revision.0, hash)
            && before != hash
        {
            seen.broke(format!(
                "RAFT-2: two entries were acknowledged at revision {revision}: {before}, and {hash} by manager {manager}"
            ));
        }
    }

    /// The newest revision that any client knows to be history.
    pub(super) fn newest_acknowledged(&self) -> u64 {
        self.seen().acknowledged.last_key_value().map_or(0, |(revision, _)| *revision)
    }

    /// A manager leads in a term.
    pub(super) fn leads(&self, term: u64, manager: u64) {
        let mut seen = self.seen();
        if let Some(before) = seen.leaders.insert(term, manager)
            && before != manager
        {
            seen.broke(format!("RAFT-3: managers {before} and {manager} both lead in term {term}"));
        }
    }

    /// A reader was told that all up to `read` is history, when `acknowledged` already was before
    /// it asked.
    pub(super) fn read(&self, manager: u64, acknowledged: u64, read: Revision) {
        let mut seen = self.seen();
        seen.reads += 1;
        if read.0 < acknowledged {
            seen.broke(format!(
                "RAFT-4: manager {manager} answered a read at revision {read}, after {acknowledged} was acknowledged"
            ));
        }
    }

    /// An invariant does not hold.
    pub(super) fn broke(&self, what: String) {
        self.seen().broke(what);
    }
}

impl Seen {
    fn broke(&mut self, what: String) {
        if self.broken.len() < BROKEN_TOLD_MAX {
            self.broken.push(what);
        }
    }

    /// What was acknowledged is in history, where its client was told; what was refused is not.
    pub(super) fn check_answers(&mut self) {
        let given_up = self.history.iter().filter(|hash| self.given_up.contains(hash));
        for hash in given_up.copied().collect::<Vec<Hash>>() {
            self.broke(format!(
                "RAFT-2: {hash} is history, and its client was told that it never will be"
            ));
        }
        for (revision, hash) in self.acknowledged.clone() {
            let found = self.history.get(revision as usize - 1);
            if found != Some(&hash) {
                self.broke(format!(
                    "RAFT-2: {hash} was acknowledged at revision {revision}, where history has {found:?}"
                ));
            }
        }
    }
}
