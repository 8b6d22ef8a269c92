//! Things that tests are made of: small entries, and a fold that can be compared.

use crate::{Draft, Entry, Fold, Frozen, Halt, Hash, RestoreError};
#[cfg(test)]
use crate::{SealedEntry, seal};
use skep_proto::{Id, Lineage, Position, Revision, Timestamp, v1};
use std::sync::{Arc, Mutex, PoisonError};

/// A record about the node `n`.
pub(crate) fn label(n: u64) -> v1::Record {
    let node_id = Id(u128::from(n) + 1).to_bytes();
    let kind =
        v1::event::Kind::NodeUpdated(v1::NodeUpdated { node_id, ..v1::NodeUpdated::default() });
    v1::Record {
        reason: format!("number {n}"),
        event: Some(v1::Event { kind: Some(kind) }),
        ..Default::default()
    }
}

/// A draft of `count` records from revision `first`, about the nodes of those numbers.
pub(crate) fn draft(parent: Hash, first: u64, count: u64) -> Draft {
    Draft {
        parent,
        incarnation: 1,
        first_revision: Revision(first),
        at: Timestamp(1_000_000 + first),
        feature_level: 1,
        code_version: "test".into(),
        lineage: Lineage::NONE,
        made_from: None,
        records: (first..first + count).map(label).collect(),
    }
}

/// A first entry whose bytes are about so many.
#[cfg(test)]
pub(crate) fn sealed_of_bytes(bytes: usize) -> SealedEntry {
    let mut draft = draft(Hash::ZERO, 1, 1);
    draft.records = [v1::Record { reason: "x".repeat(bytes), ..label(1) }].into_iter().collect();
    seal(&draft)
}

/// Seals entry after entry, each on the one before.
#[cfg(test)]
pub(crate) struct EntryChain {
    pub(crate) head: Hash,
    pub(crate) next: u64,
    pub(crate) incarnation: u64,
}

#[cfg(test)]
impl Default for EntryChain {
    fn default() -> EntryChain {
        EntryChain { head: Hash::ZERO, next: 1, incarnation: 1 }
    }
}

#[cfg(test)]
impl EntryChain {
    /// Where a log stands.
    pub(crate) fn on(position: Position, head: Hash) -> EntryChain {
        EntryChain { head, next: position.revision.0 + 1, incarnation: position.incarnation.max(1) }
    }

    pub(crate) fn entry(&mut self, records: u64) -> SealedEntry {
        let draft = Draft { incarnation: self.incarnation, ..draft(self.head, self.next, records) };
        let sealed = seal(&draft);
        self.head = sealed.hash;
        self.next += records;
        sealed
    }
}

/// A fold that keeps the hashes of what it was given.
#[derive(Clone, Default)]
pub(crate) struct Hashes {
    pub(crate) seen: Arc<Mutex<Vec<Hash>>>,
    /// From which revision on it refuses.
    pub(crate) refuse_at: Option<u64>,
}

impl Hashes {
    pub(crate) fn list(&self) -> Vec<Hash> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Fold for Hashes {
    fn apply(&mut self, entry: &Arc<Entry>) -> Result<(), Halt> {
        if self.refuse_at.is_some_and(|refused| entry.last().0 >= refused) {
            let message =
                format!("revision {} has an unknown kind; run a newer skep", entry.last());
            return Err(Halt { message });
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(entry.hash);
        Ok(())
    }

    fn announce(&mut self) {}

    fn freeze(&self) -> Frozen {
        let seen = self.list();
        Box::new(move || seen.iter().flat_map(|hash| hash.0).collect())
    }

    fn restore(&mut self, _: Position, _: Hash, bytes: &[u8]) -> Result<(), RestoreError> {
        if !bytes.len().is_multiple_of(32) {
            return Err(RestoreError::damaged("not a list of hashes"));
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
            bytes.chunks(32).filter_map(Hash::from_bytes).collect();
        Ok(())
    }
}
