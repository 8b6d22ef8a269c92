//! Every key and value in the store, on one page. PURE.
//!
//! | table | key | value |
//! |---|---|---|
//! | `entries` | raft index, u64 | kind, u8 · term, u64 · body |
//! | `revisions` | first revision, u64 | raft index, u64 · time, u64 |
//! | `objects` | object id, u128 · revision, u64 | further revisions of the same entry, varints |
//! | `sealed` | object id, u128 | (not written yet) |
//! | `meta` | a word, or `snapshot/` · revision, u64 | a protobuf message of [`meta`] |
//!
//! Numbers are big-endian, so that keys sort as numbers do. The kinds of an entry: 0 blank, 1 a
//! membership (protobuf), 2 an entry of the chain as it is, 3 the same as zstd behind its length,
//! u32; 4 any of these sealed ([`super::store::sealed`]). A kind is never reused. Time needs no
//! table of its own: it never goes back, so `revisions` is searched by halves. A row of `objects`
//! holds each further revision as its distance from the one before: an entry that changes one
//! object a hundred times costs few rows. An empty value, as older programs wrote it, is a row of
//! one revision.

use bytes::Bytes;
use prost::encoding;
use skep_proto::{Id, Revision, Timestamp};

pub(crate) mod meta;

const BLANK: u8 = 0;
const MEMBERSHIP: u8 = 1;
const RAW: u8 = 2;
const ZSTD: u8 = 3;
/// A whole value behind a cipher: it is opened before anybody reads its kind.
pub(crate) const SEALED: u8 = 4;

/// Kind and term.
const ENTRY_PREFIX_BYTES: usize = 9;
/// Bodies below this are stored as they are: compressing them costs more than it saves.
const COMPRESS_MIN_BYTES: usize = 4 << 10;
/// A body that claims to be longer than this is damage, and is not allocated. Entries are far
/// shorter: a turn ends one at about 1 MiB, and a command is at most 1.5 MiB.
const BODY_BYTES_MAX: usize = 64 << 20;
/// The fastest level that still halves typical entries.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// Revisions that one row of `objects` holds, at most: a reader of the newest few does not read an
/// entry's thousands.
pub(crate) const ROW_REVISIONS_MAX: usize = 32;

/// The keys of `meta`.
pub(crate) const VOTE: &[u8] = b"vote";
pub(crate) const PURGED: &[u8] = b"purged";
pub(crate) const IDENTITY: &[u8] = b"identity";
pub(crate) const BEGUN: &[u8] = b"begun";
pub(crate) const SNAPSHOT: &[u8] = b"snapshot/";
/// The first key behind all of [`SNAPSHOT`].
pub(crate) const SNAPSHOT_END: &[u8] = b"snapshot0";

/// Bytes that do not have the layout above.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not laid out as this program writes it")]
pub(crate) struct Malformed {
    pub(crate) what: &'static str,
}

/// What lies at one raft index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredEntry {
    pub(crate) term: u64,
    pub(crate) body: StoredBody,
}

/// The three things raft keeps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StoredBody {
    Blank,
    /// A [`meta::StoredMembership`] message.
    Membership(Bytes),
    /// An encoded `Entry`.
    Entry(Bytes),
}

/// A row of `revisions`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RevisionRow {
    pub(crate) first: Revision,
    pub(crate) index: u64,
    pub(crate) at: Timestamp,
}

pub(crate) fn entry_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

pub(crate) fn read_entry_key(key: &[u8]) -> Result<u64, Malformed> {
    number(key, "an entry's key")
}

/// The value's two parts: what stands before the body, and the body if it had to be made again.
pub(crate) fn entry_value(entry: &StoredEntry) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut prefix = Vec::with_capacity(ENTRY_PREFIX_BYTES + 4);
    let (kind, packed) = match &entry.body {
        StoredBody::Blank => (BLANK, None),
        StoredBody::Membership(_) => (MEMBERSHIP, None),
        StoredBody::Entry(bytes) => match compress(bytes) {
            Some(packed) => (ZSTD, Some(packed)),
            None => (RAW, None),
        },
    };
    prefix.push(kind);
    prefix.extend(entry.term.to_be_bytes());
    if let (StoredBody::Entry(bytes), Some(_)) = (&entry.body, &packed) {
        prefix.extend((bytes.len() as u32).to_be_bytes());
    }
    (prefix, packed)
}

pub(crate) fn read_entry(value: &Bytes) -> Result<StoredEntry, Malformed> {
    let malformed = || Malformed { what: "a stored entry" };
    let (prefix, _) = value.split_at_checked(ENTRY_PREFIX_BYTES).ok_or_else(malformed)?;
    let term = number(&prefix[1..], "a stored entry's term")?;
    let body = value.slice(ENTRY_PREFIX_BYTES..);
    let body = match prefix[0] {
        BLANK if body.is_empty() => StoredBody::Blank,
        MEMBERSHIP => StoredBody::Membership(body),
        RAW => StoredBody::Entry(body),
        ZSTD => StoredBody::Entry(decompress(&body).ok_or_else(malformed)?),
        _ => return Err(malformed()),
    };
    Ok(StoredEntry { term, body })
}

pub(crate) fn revision_key(first: Revision) -> [u8; 8] {
    first.0.to_be_bytes()
}

pub(crate) fn revision_value(index: u64, at: Timestamp) -> [u8; 16] {
    (u128::from(index) << 64 | u128::from(at.0)).to_be_bytes()
}

pub(crate) fn read_revision(key: &[u8], value: &[u8]) -> Result<RevisionRow, Malformed> {
    let first = Revision(number(key, "a revision's key")?);
    let (index, at) = value.split_at_checked(8).ok_or(Malformed { what: "a revision's row" })?;
    Ok(RevisionRow {
        first,
        index: number(index, "a revision's row")?,
        at: Timestamp(number(at, "a revision's row")?),
    })
}

pub(crate) fn object_key(object: Id, revision: Revision) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&object.0.to_be_bytes());
    key[16..].copy_from_slice(&revision.0.to_be_bytes());
    key
}

/// What stands behind the key of the first of these revisions, which ascend.
pub(crate) fn object_value(revisions: &[Revision]) -> Vec<u8> {
    let mut value = Vec::new();
    for pair in revisions.windows(2) {
        encoding::encode_varint(pair[1].0 - pair[0].0, &mut value);
    }
    value
}

/// The revisions of a row of `objects`, ascending.
pub(crate) fn read_object(key: &[u8], mut value: &[u8]) -> Result<Vec<Revision>, Malformed> {
    let malformed = || Malformed { what: "an object's row" };
    let (_, mut newest) = read_object_key(key)?;
    let mut revisions = vec![newest];
    while !value.is_empty() {
        let more = encoding::decode_varint(&mut value).map_err(|_| malformed())?;
        let next = newest.0.checked_add(more).filter(|_| more > 0).ok_or_else(malformed)?;
        newest = Revision(next);
        revisions.push(newest);
    }
    Ok(revisions)
}

fn read_object_key(key: &[u8]) -> Result<(Id, Revision), Malformed> {
    let what = "an object's key";
    let (object, revision) = key.split_at_checked(16).ok_or(Malformed { what })?;
    let object = <[u8; 16]>::try_from(object).map_err(|_| Malformed { what })?;
    Ok((Id(u128::from_be_bytes(object)), Revision(number(revision, what)?)))
}

pub(crate) fn snapshot_key(revision: Revision) -> Vec<u8> {
    [SNAPSHOT, &revision.0.to_be_bytes()].concat()
}

fn number(bytes: &[u8], what: &'static str) -> Result<u64, Malformed> {
    <[u8; 8]>::try_from(bytes).map(u64::from_be_bytes).map_err(|_| Malformed { what })
}

/// The body packed, where that saves at least an eighth.
fn compress(bytes: &Bytes) -> Option<Vec<u8>> {
    if bytes.len() < COMPRESS_MIN_BYTES {
        return None;
    }
    zstd::bulk::compress(bytes, ZSTD_LEVEL).ok().filter(|packed| packed.len() < bytes.len() / 8 * 7)
}

fn decompress(body: &[u8]) -> Option<Bytes> {
    let (len, packed) = body.split_at_checked(4)?;
    let len = u32::from_be_bytes(len.try_into().ok()?) as usize;
    if len > BODY_BYTES_MAX {
        return None;
    }
    let bytes = zstd::bulk::decompress(packed, len).ok()?;
    (bytes.len() == len).then(|| bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(entry: &StoredEntry) -> Bytes {
        let (prefix, packed) = entry_value(entry);
        let body: Bytes = match (&entry.body, packed) {
            (_, Some(packed)) => packed.into(),
            (StoredBody::Blank, None) => Bytes::new(),
            (StoredBody::Membership(bytes) | StoredBody::Entry(bytes), None) => bytes.clone(),
        };
        [&prefix[..], &body].concat().into()
    }

    fn bodies() -> impl Strategy<Value = StoredBody> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..9000).prop_map(Bytes::from);
        let dull = (0usize..20_000).prop_map(|len| Bytes::from(vec![7; len]));
        prop_oneof![
            Just(StoredBody::Blank),
            bytes().prop_map(StoredBody::Membership),
            bytes().prop_map(StoredBody::Entry),
            dull.prop_map(StoredBody::Entry),
        ]
    }

    proptest! {
        #[test]
        fn entries_round_trip(index: u64, term: u64, body in bodies()) {
            let entry = StoredEntry { term, body };
            prop_assert_eq!(read_entry(&value(&entry)).unwrap(), entry);
            prop_assert_eq!(read_entry_key(&entry_key(index)).unwrap(), index);
        }

        #[test]
        fn revisions_round_trip(first: u64, index: u64, at: u64) {
            let row = RevisionRow { first: Revision(first), index, at: Timestamp(at) };
            prop_assert_eq!(read_revision(&revision_key(row.first), &revision_value(index, row.at)).unwrap(), row);
        }

        #[test]
        fn objects_round_trip_and_sort_by_object_then_revision(a: u128, b: u128, r: u64, s: u64) {
            let (one, other) = ((Id(a), Revision(r)), (Id(b), Revision(s)));
            prop_assert_eq!(read_object_key(&object_key(one.0, one.1)).unwrap(), one);
            prop_assert_eq!(object_key(one.0, one.1).cmp(&object_key(other.0, other.1)), one.cmp(&other));
        }

        #[test]
        fn an_objects_row_keeps_all_its_revisions(
            a: u128, first in 0..u64::MAX / 2, more in prop::collection::vec(1..70_000u64, 0..40)
        ) {
            let mut revisions = vec![Revision(first)];
            revisions.extend(more.iter().scan(first, |at, more| { *at += more; Some(Revision(*at)) }));
            let (key, value) = (object_key(Id(a), Revision(first)), object_value(&revisions));
            prop_assert_eq!(value.is_empty(), more.is_empty());
            prop_assert_eq!(read_object(&key, &value).unwrap(), revisions);
        }

        #[test]
        fn snapshots_sort_by_revision_within_their_span(r: u64, s: u64) {
            let (a, b) = (snapshot_key(Revision(r)), snapshot_key(Revision(s)));
            prop_assert!(a.as_slice() >= SNAPSHOT && a.as_slice() < SNAPSHOT_END);
            prop_assert_eq!(a.cmp(&b), r.cmp(&s));
        }

        #[test]
        fn noise_is_refused_or_read_but_never_panics(bytes: Vec<u8>) {
            let _ = read_entry(&Bytes::from(bytes.clone()));
            let _ = read_revision(&bytes, &bytes);
            let _ = read_object_key(&bytes);
            let _ = read_object(&object_key(Id(1), Revision(u64::MAX - 9)), &bytes);
        }
    }

    #[test]
    fn an_objects_row_that_does_not_ascend_is_malformed() {
        let key = object_key(Id(1), Revision(u64::MAX - 1));
        assert_eq!(read_object(&key, &[1]).unwrap(), [Revision(u64::MAX - 1), Revision(u64::MAX)]);
        for value in [&[0][..], &[1, 0], &[2], &[0x80]] {
            assert!(read_object(&key, value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_body_is_compressed_from_the_length_on_from_which_that_pays() {
        let stored = |len: usize| {
            let body = StoredBody::Entry(Bytes::from(vec![7; len]));
            value(&StoredEntry { term: 1, body }).len()
        };
        let short = COMPRESS_MIN_BYTES - 1;
        assert_eq!(stored(short), ENTRY_PREFIX_BYTES + short);
        assert!(stored(COMPRESS_MIN_BYTES) < 100);
    }

    #[test]
    fn a_long_dull_entry_is_stored_smaller() {
        let entry = StoredEntry { term: 1, body: StoredBody::Entry(Bytes::from(vec![1; 100_000])) };
        assert!(value(&entry).len() < 1000);
    }
}
