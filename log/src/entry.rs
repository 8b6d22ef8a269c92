//! An entry that is history: committed and applied, shared by everybody who reads it.
//!
//! It is handed around behind an `Arc` and decoded only by those who need the records' insides: the
//! leader knows its own entries already and recognises them by their hash.

use crate::chain::{self, EntryHeader, Hash, SealedEntry};
use bytes::Bytes;
use prost::Message;
use skep_proto::{Id, Lineage, Position, Revision, Timestamp, v1};

/// An entry of the chain.
#[derive(Debug)]
pub struct Entry {
    /// What the next entry names as its parent.
    pub hash: Hash,
    /// Who, when, after what.
    pub header: EntryHeader,
    /// Encoded `Record` messages, as first encoded.
    pub records: Vec<Bytes>,
    pub(crate) bytes: Bytes,
    touched: Option<Vec<(Id, u32)>>,
}

impl From<SealedEntry> for Entry {
    fn from(sealed: SealedEntry) -> Entry {
        let SealedEntry { hash, header, bytes, records, touched } = sealed;
        Entry { hash, header, records, bytes, touched }
    }
}

impl Entry {
    /// Where history stands after this entry.
    pub fn position(&self) -> Position {
        Position { incarnation: self.header.incarnation, revision: self.last() }
    }

    /// The mark of its incarnation; none before feature level 3.
    pub fn lineage(&self) -> Lineage {
        Lineage(self.header.lineage)
    }

    /// The revision of the first record.
    pub fn first(&self) -> Revision {
        Revision(self.header.first_revision)
    }

    /// The revision of the last record.
    pub fn last(&self) -> Revision {
        Revision((self.header.first_revision + self.records.len() as u64).saturating_sub(1))
    }

    /// The time of the turn that all its records share.
    pub fn at(&self) -> Timestamp {
        Timestamp(self.header.at)
    }

    /// The hash of the entry before.
    pub fn parent(&self) -> Hash {
        Hash::from_bytes(&self.header.parent_hash).unwrap_or(Hash::ZERO)
    }

    /// The encoded `Entry` message: what is stored, sent and verified.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records with their revisions.
    pub fn decode(&self) -> Result<Vec<(Revision, v1::Record)>, prost::DecodeError> {
        let revisions = (self.header.first_revision..).map(Revision);
        revisions
            .zip(&self.records)
            .map(|(revision, bytes)| Ok((revision, v1::Record::decode(bytes.clone())?)))
            .collect()
    }

    /// The objects that its records are about, with the revision that says so.
    pub fn touched(&self) -> Result<Vec<(Id, Revision)>, prost::DecodeError> {
        let revision = |offset: u32| Revision(self.header.first_revision + u64::from(offset));
        if let Some(known) = &self.touched {
            return Ok(known.iter().map(|(id, offset)| (*id, revision(*offset))).collect());
        }
        let records: Vec<v1::Record> = self
            .records
            .iter()
            .map(|bytes| v1::Record::decode(bytes.clone()))
            .collect::<Result<_, _>>()?;
        Ok(chain::touched(&records)
            .into_iter()
            .map(|(id, offset)| (id, revision(offset)))
            .collect())
    }
}
