//! The chain (PURE): how records become an entry, what its hash covers, and how an entry is
//! checked.
//!
//! Every record and the header are encoded here, once, and never again: the hash of an entry is
//! over bytes that are stored and sent as they are. A leaf is SHA-256(0x00 ‖ record bytes), the
//! header carries the root of RFC 9162's tree over the leaves, and the entry's hash is
//! SHA-256("skep entry 1" ‖ header bytes). So bodies can be taken away one day and the headers
//! alone still verify.

use bytes::Bytes;
use prost::{Message, encoding};
use sha2::{Digest, Sha256};
use skep_proto::{Id, Lineage, Revision, Timestamp, event, v1};
use std::{fmt, ops::Range};

pub use skep_proto::v1::EntryHeader;

mod records;
pub mod tree;

pub use records::EncodedRecords;

/// What precedes the header's bytes in an entry's hash: the format's name and version.
const ENTRY_PREFIX: &[u8] = b"skep entry 1";
/// What precedes a name where it is hashed for the audit index.
const NAME_PREFIX: &[u8] = b"skep name 1";
/// Protobuf tags of `Entry.header` (field 1) and `Entry.records` (field 2), both length-delimited.
const HEADER_TAG: u8 = 0x0a;
const RECORD_TAG: u8 = 0x12;

/// The SHA-256 of an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The parent of the first entry.
    pub const ZERO: Hash = Hash([0; 32]);

    /// Reads 32 bytes; nothing else is a hash.
    pub fn from_bytes(bytes: &[u8]) -> Option<Hash> {
        <[u8; 32]>::try_from(bytes).ok().map(Hash)
    }

    /// The 32 bytes as messages carry them.
    pub fn to_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl fmt::Display for Hash {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What one turn wants to be remembered, before it is rooted and hashed.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The hash of the entry that this one follows; [`Hash::ZERO`] for the first.
    pub parent: Hash,
    /// Counts restores and forced new clusters, from 1.
    pub incarnation: u64,
    /// The revision of the first record; the others follow without gaps.
    pub first_revision: Revision,
    /// The time of the turn.
    pub at: Timestamp,
    /// What the records mean: the feature level at which they were decided.
    pub feature_level: u32,
    /// Of the program that decided.
    pub code_version: String,
    /// Of the incarnation; none before feature level 3.
    pub lineage: Lineage,
    /// What the turn was made from; none before feature level 3.
    pub made_from: Option<MadeFrom>,
    /// At least one; an entry without records would have no revision.
    pub records: EncodedRecords,
}

/// What a turn was made from, beside the view before it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MadeFrom {
    /// What its ids were drawn from.
    pub seed: [u8; 32],
    /// What began it.
    pub origin: v1::TurnOrigin,
}

/// An entry as it is proposed and stored: encoded, rooted and hashed.
#[derive(Clone, Debug)]
pub struct SealedEntry {
    /// What the next entry names as its parent.
    pub hash: Hash,
    /// Decoded from the bytes that the hash covers.
    pub header: EntryHeader,
    /// The encoded `Entry` message.
    pub bytes: Bytes,
    /// The records' bytes, slices of `bytes`.
    pub records: Vec<Bytes>,
    /// Objects that the records are about, with the record's place; known where the records were at
    /// hand.
    pub(crate) touched: Option<Vec<(Id, u32)>>,
}

/// Why bytes are not an entry of the chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Not the message it should be.
    #[error("the entry's bytes do not decode: {0}")]
    Undecodable(#[from] prost::DecodeError),
    /// The header promises another number of records.
    #[error("the entry at revision {first} holds {found} records, its header says {told}")]
    Count {
        /// The entry's first revision.
        first: Revision,
        /// Records that are there.
        found: usize,
        /// Records that the header counts.
        told: u32,
    },
    /// A record was altered, or the header was.
    #[error(
        "the records of the entry at revision {first} do not match the root in its header: they were altered"
    )]
    Root {
        /// The entry's first revision.
        first: Revision,
    },
    /// The header is not whole.
    #[error("the header of the entry at revision {first} lacks its {field}")]
    Incomplete {
        /// The entry's first revision.
        first: Revision,
        /// The field that is missing or malformed.
        field: &'static str,
    },
}

/// Puts the header before the records.
pub fn seal(draft: &Draft) -> SealedEntry {
    let records = &draft.records;
    let header = EntryHeader {
        parent_hash: draft.parent.to_bytes(),
        incarnation: draft.incarnation,
        first_revision: draft.first_revision.0,
        at: draft.at.0,
        feature_level: draft.feature_level,
        code_version: draft.code_version.clone(),
        root_hash: Bytes::copy_from_slice(&records.tree.root()),
        record_count: records.len() as u32,
        lineage: draft.lineage.0,
        seed: draft.made_from.map(|from| Bytes::copy_from_slice(&from.seed)).unwrap_or_default(),
        origin: draft.made_from.map(|from| from.origin),
    };
    let header_len = header.encoded_len();
    let mut buffer = Vec::with_capacity(field_len(header_len) + records.bytes.len());
    buffer.push(HEADER_TAG);
    encoding::encode_varint(header_len as u64, &mut buffer);
    header.encode_raw(&mut buffer);
    let start = buffer.len();
    buffer.extend_from_slice(&records.bytes);
    let bytes = Bytes::from(buffer);
    let moved = |range: &Range<usize>| bytes.slice(start + range.start..start + range.end);
    SealedEntry {
        hash: hash(&bytes[start - header_len..start]),
        records: records.ranges.iter().map(moved).collect(),
        touched: Some(records.touched.clone()),
        header,
        bytes,
    }
}

/// Decodes an entry and checks its count and its root. The parent is the caller's to compare.
pub fn unseal(bytes: Bytes) -> Result<SealedEntry, ChainError> {
    let entry = open(bytes)?;
    let root = entry.records.iter().map(|record| tree::leaf(record)).collect::<tree::Tree>().root();
    if entry.header.root_hash[..] != root {
        return Err(ChainError::Root { first: Revision(entry.header.first_revision) });
    }
    Ok(entry)
}

/// As [`unseal`], without recomputing the root: for bytes that lower layers have already vouched
/// for.
pub(crate) fn open(bytes: Bytes) -> Result<SealedEntry, ChainError> {
    let entry = v1::Entry::decode(bytes.clone())?;
    let header = EntryHeader::decode(entry.header.clone())?;
    let first = Revision(header.first_revision);
    if entry.records.len() != header.record_count as usize {
        return Err(ChainError::Count {
            first,
            found: entry.records.len(),
            told: header.record_count,
        });
    }
    if entry.records.is_empty() {
        return Err(ChainError::Incomplete { first, field: "records" });
    }
    if header.parent_hash.len() != 32 {
        return Err(ChainError::Incomplete { first, field: "parent" });
    }
    if first == Revision::ZERO {
        return Err(ChainError::Incomplete { first, field: "first revision" });
    }
    Ok(SealedEntry {
        hash: hash(&entry.header),
        header,
        bytes,
        records: entry.records,
        touched: None,
    })
}

/// The objects that the records are about, each with the index of its record; and, as one more id,
/// each name that a record gives.
pub(crate) fn touched<'a>(records: impl IntoIterator<Item = &'a v1::Record>) -> Vec<(Id, u32)> {
    let events = records.into_iter().map(|record| record.event.as_ref()).enumerate();
    let known = events.flat_map(|(index, event)| event.map(|event| (index as u32, event)));
    known.flat_map(|(index, event)| touched_by(event).map(move |id| (id, index))).collect()
}

fn touched_by(event: &v1::Event) -> impl Iterator<Item = Id> {
    let kind = event.kind.as_ref();
    let name = kind.and_then(event::given_name).map(id_of_name);
    kind.into_iter().flat_map(event::objects).chain(name)
}

/// Under which id the audit index keeps records that give a name: half of a hash over the name in
/// small letters.
pub(crate) fn id_of_name(name: &str) -> Id {
    let hash = Sha256::new().chain_update(NAME_PREFIX).chain_update(name.to_lowercase()).finalize();
    Id::from_bytes(&hash[..16])
}

fn hash(header: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update(ENTRY_PREFIX).chain_update(header).finalize().into())
}

fn field_len(len: usize) -> usize {
    1 + encoding::encoded_len_varint(len as u64) + len
}

#[cfg(test)]
mod tests;
