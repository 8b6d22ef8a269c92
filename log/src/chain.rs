//! The chain (PURE): how records become an entry, what its hash covers, and how an entry is
//! checked.
//!
//! Every record and the header are encoded here, once, and never again: the hash of an entry is
//! over bytes that are stored and sent as they are. A leaf is SHA-256(0x00 ‖ record bytes), the
//! header carries the root of RFC 9162's tree over the leaves, and the entry's hash is
//! SHA-256("skep entry 1" ‖ header bytes). So bodies can be taken away one day and the headers
//! alone still verify.

use bytes::{BufMut, Bytes};
use prost::{Message, encoding};
use sha2::{Digest, Sha256};
use skep_proto::{Id, Revision, Timestamp, event, v1};
use std::fmt;

pub use skep_proto::v1::EntryHeader;

pub mod tree;

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

/// What one turn wants to be remembered, before it is encoded.
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
    /// At least one; an entry without records would have no revision.
    pub records: Vec<v1::Record>,
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

/// Encodes every record and the header once, into one buffer.
pub fn seal(draft: &Draft) -> SealedEntry {
    let mut header = EntryHeader {
        parent_hash: draft.parent.to_bytes(),
        incarnation: draft.incarnation,
        first_revision: draft.first_revision.0,
        at: draft.at.0,
        feature_level: draft.feature_level,
        code_version: draft.code_version.clone(),
        // Of the final length already, so that the header's place in the buffer is known
        // beforehand.
        root_hash: Hash::ZERO.to_bytes(),
        record_count: draft.records.len() as u32,
    };
    let header_len = header.encoded_len();
    let room = 1 + encoding::encoded_len_varint(header_len as u64) + header_len;
    // Walking a record for its length costs as much as encoding it, so it is done once.
    let lengths: Vec<usize> = draft.records.iter().map(Message::encoded_len).collect();
    let body: usize = lengths.iter().map(|length| field_len(*length)).sum();
    let mut buffer = Vec::with_capacity(room + body);
    buffer.resize(room, 0);
    let mut leaves = Vec::with_capacity(draft.records.len());
    let mut ranges = Vec::with_capacity(draft.records.len());
    for (record, length) in draft.records.iter().zip(lengths) {
        buffer.push(RECORD_TAG);
        encoding::encode_varint(length as u64, &mut buffer);
        let start = buffer.len();
        record.encode_raw(&mut buffer);
        leaves.push(tree::leaf(&buffer[start..]));
        ranges.push(start..buffer.len());
    }
    header.root_hash = Bytes::copy_from_slice(&tree::root(leaves));
    let mut head = &mut buffer[..room];
    head.put_u8(HEADER_TAG);
    encoding::encode_varint(header_len as u64, &mut head);
    header.encode_raw(&mut head);
    let bytes = Bytes::from(buffer);
    SealedEntry {
        hash: hash(&bytes[room - header_len..room]),
        records: ranges.into_iter().map(|range| bytes.slice(range)).collect(),
        touched: Some(touched(&draft.records)),
        header,
        bytes,
    }
}

/// Decodes an entry and checks its count and its root. The parent is the caller's to compare.
pub fn unseal(bytes: Bytes) -> Result<SealedEntry, ChainError> {
    let entry = open(bytes)?;
    let root = tree::root(entry.records.iter().map(|record| tree::leaf(record)).collect());
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
    let mut found = Vec::new();
    for (index, record) in records.into_iter().enumerate() {
        if let Some(kind) = record.event.as_ref().and_then(|event| event.kind.as_ref()) {
            let names = event::given_name(kind).map(id_of_name);
            found
                .extend(event::objects(kind).into_iter().chain(names).map(|id| (id, index as u32)));
        }
    }
    found
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
