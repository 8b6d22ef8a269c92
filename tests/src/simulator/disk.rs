//! The model of the log: commits in order, fences, and loses what was not synced.

use bytes::Bytes;
use prost::Message;
use skep_log::chain::{self, Hash, SealedEntry};
use skep_projections::{View, apply::Stamp};
use skep_proto::{Revision, Timestamp, v1::Record};

/// One manager's disk.
#[derive(Default)]
pub struct Disk {
    entries: Vec<SealedEntry>,
    synced: usize,
}

impl Disk {
    /// Writes an entry, not yet synced; its number.
    pub fn append(&mut self, entry: SealedEntry) -> usize {
        self.entries.push(entry);
        self.entries.len()
    }

    /// Everything up to this number is safe.
    pub fn sync(&mut self, number: usize) {
        self.synced = self.synced.max(number);
    }

    /// The power fails: of what was not synced, only so many entries are there afterwards.
    pub fn lose_unsynced(&mut self, kept: usize) -> usize {
        let left = (self.synced + kept).min(self.entries.len());
        let lost = self.entries.len() - left;
        self.entries.truncate(left);
        self.synced = left;
        lost
    }

    /// Entries written and not yet safe.
    pub fn unsynced(&self) -> usize {
        self.entries.len() - self.synced
    }

    /// The entry that holds a revision.
    pub fn entry_of(&self, revision: Revision) -> Option<&SealedEntry> {
        let after = self.entries.partition_point(|entry| entry.header.first_revision <= revision.0);
        self.entries.get(after.checked_sub(1)?)
    }

    /// All records in order, decoded anew from their bytes; a broken chain is an error.
    pub fn replay(&self) -> Result<(View, Hash), String> {
        let mut view = View::default();
        let mut head = Hash::ZERO;
        for entry in &self.entries {
            let opened = chain::unseal(entry.bytes.clone()).map_err(|error| error.to_string())?;
            if opened.header.parent_hash[..] != head.0 {
                return Err(format!(
                    "the entry at revision {} has another parent",
                    opened.header.first_revision
                ));
            }
            head = opened.hash;
            for (record, revision) in opened.records.iter().zip(opened.header.first_revision..) {
                let stamp = Stamp {
                    revision: Revision(revision),
                    at: Timestamp(opened.header.at),
                    incarnation: opened.header.incarnation,
                };
                view.apply(stamp, &decoded(record)?).map_err(|error| error.to_string())?;
            }
        }
        Ok((view, head))
    }

    /// Every record with its revision.
    pub fn records(&self) -> impl Iterator<Item = (Revision, Record)> + '_ {
        self.entries.iter().flat_map(|entry| {
            let revisions = (entry.header.first_revision..).map(Revision);
            revisions.zip(entry.records.iter().filter_map(|bytes| decoded(bytes).ok()))
        })
    }
}

fn decoded(bytes: &Bytes) -> Result<Record, String> {
    Record::decode(bytes.clone()).map_err(|error| error.to_string())
}
