//! A snapshot that arrives in parts. PURE.
//!
//! A part follows on what is there, or changes nothing; the answer says how much is there. So a
//! sender whose connection broke goes on where it was, and parts that are lost, late or repeated do
//! no harm. Nothing reaches the disk before all of it has come and is whole.

use super::{
    peers::{NoPeerAnswer, SnapshotBytes},
    types::Vote,
};
use crate::disk::keys::meta;
use bytes::Bytes;

/// A snapshot that claims to have more bytes is refused: what arrives is held in memory.
const ARRIVING_BYTES_MAX: u64 = 4 << 30;

/// The snapshot that is arriving, if one is: one at a time, of the latest leader.
#[derive(Default)]
pub(crate) struct Arrivals(Option<Arriving>);

struct Arriving {
    vote: Vote,
    named: meta::Snapshot,
    bytes: Vec<u8>,
}

/// What a part led to.
#[derive(Debug, PartialEq)]
pub(crate) enum Arrived {
    /// So many bytes are there.
    Some(u64),
    /// All of them.
    Whole(Bytes),
}

impl Arrivals {
    /// Takes up a part.
    pub(crate) fn take(&mut self, part: &SnapshotBytes) -> Result<Arrived, NoPeerAnswer> {
        let wanted = part.named.stored_bytes;
        if wanted > ARRIVING_BYTES_MAX {
            return refused(format!("a snapshot of {wanted} bytes is more than may arrive"));
        }
        let mut arriving = match self.0.take() {
            Some(arriving) if arriving.named == part.named => arriving,
            Some(arriving) if !follows(part, &arriving) => {
                self.0 = Some(arriving);
                return refused("a newer snapshot is arriving".to_owned());
            }
            Some(_) | None => {
                Arriving { vote: part.vote, named: part.named.clone(), bytes: Vec::new() }
            }
        };
        if part.vote > arriving.vote {
            arriving.vote = part.vote;
        }
        if part.offset == arriving.bytes.len() as u64 {
            arriving.bytes.extend_from_slice(&part.bytes);
        }
        let has = arriving.bytes.len() as u64;
        if has < wanted {
            self.0 = Some(arriving);
            return Ok(Arrived::Some(has));
        }
        if has > wanted || crc32c::crc32c(&arriving.bytes) != part.named.checksum {
            return refused("the snapshot that arrived is not what was announced".to_owned());
        }
        Ok(Arrived::Whole(arriving.bytes.into()))
    }
}

/// Whether a part of another snapshot takes the place of the one that is arriving: it is of a later
/// leader, or a later one of the same.
fn follows(part: &SnapshotBytes, arriving: &Arriving) -> bool {
    let index = |named: &meta::Snapshot| named.applied.map_or(0, |applied| applied.index);
    part.vote > arriving.vote
        || part.vote == arriving.vote && index(&part.named) > index(&arriving.named)
}

fn refused<T>(why: String) -> Result<T, NoPeerAnswer> {
    Err(NoPeerAnswer::Refused(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"what was at revision nine";

    fn named(index: u64, body: &[u8]) -> meta::Snapshot {
        meta::Snapshot {
            applied: Some(meta::StoredLogId { term: 1, index }),
            stored_bytes: body.len() as u64,
            checksum: crc32c::crc32c(body),
            ..meta::Snapshot::default()
        }
    }

    fn part(term: u64, index: u64, (from, to): (usize, usize)) -> SnapshotBytes {
        SnapshotBytes {
            vote: Vote::new_committed(term, 1),
            named: named(index, WHOLE),
            offset: from as u64,
            bytes: Bytes::from_static(WHOLE).slice(from..to),
        }
    }

    #[test]
    fn parts_make_the_whole_whatever_is_lost_late_or_repeated() {
        let mut arrivals = Arrivals::default();
        let mut take = |from, to| arrivals.take(&part(1, 9, (from, to))).expect("it is taken");
        assert_eq!(take(0, 0), Arrived::Some(0), "an empty part asks");
        assert_eq!(take(0, 10), Arrived::Some(10));
        assert_eq!(take(0, 10), Arrived::Some(10), "it came once more");
        assert_eq!(take(15, 20), Arrived::Some(10), "what lies between was lost");
        assert_eq!(take(10, 20), Arrived::Some(20));
        assert_eq!(take(0, 0), Arrived::Some(20), "a sender that comes back goes on from there");
        assert_eq!(take(20, WHOLE.len()), Arrived::Whole(Bytes::from_static(WHOLE)));
        assert_eq!(take(20, WHOLE.len()), Arrived::Some(0), "it is taken over already");
    }

    #[test]
    fn the_latest_leaders_newest_snapshot_takes_the_place_of_another_one() {
        let mut arrivals = Arrivals::default();
        let mut take = |term, index, at| arrivals.take(&part(term, index, at));
        assert_eq!(take(2, 9, (0, 10)), Ok(Arrived::Some(10)));
        let refused = Err(NoPeerAnswer::Refused("a newer snapshot is arriving".into()));
        assert_eq!(take(1, 20, (0, 5)), refused, "of an earlier leader");
        assert_eq!(take(2, 8, (0, 5)), refused, "of the same leader, and older");
        assert_eq!(take(2, 9, (0, 0)), Ok(Arrived::Some(10)), "they cost nothing");
        assert_eq!(take(2, 12, (0, 5)), Ok(Arrived::Some(5)));
        assert_eq!(take(3, 9, (0, 7)), Ok(Arrived::Some(7)));
        assert_eq!(take(2, 12, (5, 9)), refused);
        assert_eq!(take(4, 9, (7, 9)), Ok(Arrived::Some(9)), "the same file of another leader");
        assert_eq!(take(3, 20, (0, 5)), refused);
    }

    #[test]
    fn what_is_not_as_announced_is_refused_and_may_come_again() {
        let mut arrivals = Arrivals::default();
        let huge = meta::Snapshot { stored_bytes: u64::MAX, ..named(9, WHOLE) };
        let refused = arrivals.take(&SnapshotBytes { named: huge, ..part(1, 9, (0, 5)) });
        assert!(refused.is_err());
        let altered =
            SnapshotBytes { bytes: Bytes::from(vec![7; WHOLE.len()]), ..part(1, 9, (0, 0)) };
        assert!(arrivals.take(&altered).is_err());
        let longer = SnapshotBytes { bytes: Bytes::from(vec![7; 99]), ..part(1, 9, (0, 0)) };
        assert!(arrivals.take(&longer).is_err());
        let whole = arrivals.take(&part(1, 9, (0, WHOLE.len())));
        assert_eq!(whole, Ok(Arrived::Whole(Bytes::from_static(WHOLE))));
    }
}
