//! The manager's disk: entries in order, of which a power cut or a failed write takes those that
//! were not synced.

use super::world::EPOCH;
use bytes::Bytes;
use prost::Message;
use skep_log::{Hash, ModelDisk, SealedEntry};
use skep_projections::apply::Stamp;
use skep_proto::{Position, Revision, Timestamp, event, v1::Record};

/// Longest line about a record, characters; the rest is left out.
const RECORD_CHARS_MAX: usize = 300;

/// An entry and when it was decided, by the true time.
pub struct WrittenEntry {
    /// The entry.
    pub entry: SealedEntry,
    /// When the turn was taken.
    pub decided_at: Timestamp,
}

/// One manager's disk: the real log's, and beside it every entry that was written, which is what
/// should be found there.
#[derive(Default)]
pub struct Disk {
    model: ModelDisk,
    written: Vec<WrittenEntry>,
    synced: usize,
}

impl Disk {
    /// What the real log writes to.
    pub fn model(&self) -> &ModelDisk {
        &self.model
    }

    /// An entry was written, and not yet synced; its number.
    pub fn append(&mut self, entry: SealedEntry, decided_at: Timestamp) -> usize {
        self.written.push(WrittenEntry { entry, decided_at });
        self.written.len()
    }

    /// The hash of the newest entry, safe or not.
    pub fn head(&self) -> Bytes {
        let newest = self.written.last().map_or(Hash::ZERO, |written| written.entry.hash);
        newest.to_bytes()
    }

    /// Everything up to this number is safe.
    pub fn sync(&mut self, number: usize) {
        self.synced = self.synced.max(number.min(self.written.len()));
    }

    /// The log was opened and holds everything up to here: what is missing was lost, and is
    /// returned.
    pub fn found(&mut self, position: Position) -> Result<Vec<WrittenEntry>, String> {
        let last = |written: &WrittenEntry| {
            let header = &written.entry.header;
            header.first_revision + u64::from(header.record_count) - 1
        };
        let kept = self.written.partition_point(|written| last(written) <= position.revision.0);
        let newest = kept.checked_sub(1).and_then(|index| self.written.get(index)).map_or(0, last);
        if kept < self.synced || newest != position.revision.0 {
            let synced = self.synced;
            return Err(format!(
                "LOG-1: {synced} entries were synced; the log is found at {position}"
            ));
        }
        let lost = self.written.split_off(kept);
        self.synced = kept;
        Ok(lost)
    }

    /// Entries written and not yet safe.
    pub fn unsynced(&self) -> usize {
        self.written.len() - self.synced
    }

    /// What is safe, in order.
    pub fn safe(&self) -> &[WrittenEntry] {
        &self.written[..self.synced]
    }

    /// A line about each of the newest records, safe or not.
    pub fn newest_lines(&self, count: usize) -> Vec<String> {
        let line = |written: &WrittenEntry, (stamp, record): (Stamp, Result<Record, String>)| {
            let at_ms = written.decided_at.since(EPOCH) / 1_000_000;
            let record = record.unwrap_or_default();
            let kind = record.event.and_then(|event| event.kind);
            let objects: Vec<String> =
                kind.iter().flat_map(event::objects).map(|id| id.to_string()).collect();
            let (objects, mut text) = (objects.join(" "), format!("{kind:?}"));
            text.retain(|c| c != '\\');
            let text: String = text.chars().take(RECORD_CHARS_MAX).collect();
            let revision = stamp.revision;
            format!("{at_ms:>9} ms {revision:>5} because of {:>5} {objects} {text}", record.cause)
        };
        let mut lines: Vec<String> = Vec::new();
        for written in self.written.iter().rev().take(count) {
            let of_entry: Vec<String> =
                records(&written.entry).map(|record| line(written, record)).collect();
            lines.extend(of_entry.into_iter().rev());
        }
        lines.truncate(count);
        lines.reverse();
        lines
    }

    /// When the turn that wrote a revision was taken.
    pub fn decided_at(&self, revision: Revision) -> Option<Timestamp> {
        let after = self.written.partition_point(|w| w.entry.header.first_revision <= revision.0);
        self.written.get(after.checked_sub(1)?).map(|written| written.decided_at)
    }

    /// The entry that holds a revision.
    pub fn entry_of(&self, revision: Revision) -> Option<&SealedEntry> {
        let after = self.written.partition_point(|w| w.entry.header.first_revision <= revision.0);
        self.written.get(after.checked_sub(1)?).map(|written| &written.entry)
    }
}

/// The records of an entry, each with its stamp.
pub fn records(entry: &SealedEntry) -> impl Iterator<Item = (Stamp, Result<Record, String>)> + '_ {
    let (at, incarnation) = (Timestamp(entry.header.at), entry.header.incarnation);
    let revisions = (entry.header.first_revision..).map(Revision);
    revisions
        .zip(&entry.records)
        .map(move |(revision, bytes)| (Stamp { revision, at, incarnation }, decoded(bytes)))
}

fn decoded(bytes: &Bytes) -> Result<Record, String> {
    Record::decode(bytes.clone()).map_err(|error| error.to_string())
}
