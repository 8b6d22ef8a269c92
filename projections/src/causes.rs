//! The chain behind a record: what it answers, what that answers, back to an origin.
//!
//! Every record names the revision it answers, or none when it comes from a person or from the
//! world outside. So the chain is walked by number alone, from whatever holds records: the log, an
//! archive, a test's vector.

use skep_proto::{Revision, Timestamp, v1::Record};

/// Links that are followed. Chains are short, since each turn of events begins outside; one that is
/// longer ends as [`End::TooLong`].
pub const LINKS_MAX: usize = 256;

/// Something that yields records by their number.
pub trait Records {
    /// The record of this revision with its entry's time; none where it is not held (any more, or
    /// yet).
    fn record(&self, revision: Revision) -> Option<(Timestamp, Record)>;
}

/// One link of the chain.
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// Its number.
    pub revision: Revision,
    /// When it was written.
    pub at: Timestamp,
    /// Its event.
    pub record: Record,
}

/// How a chain ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With a record that answers none: a person, or the world outside.
    Origin,
    /// The next one is not held: trimmed, or not yet here.
    NotHeld(Revision),
    /// The last one claims to answer itself or something later, which no honest manager writes.
    Backwards(Revision),
    /// There are more than [`LINKS_MAX`].
    TooLong,
}

/// From a record back to its origin.
#[derive(Clone, PartialEq, Debug)]
pub struct Chain {
    /// The record itself first, each followed by what it answers.
    pub links: Vec<Link>,
    /// How it ends.
    pub end: End,
}

/// The chain of causes behind a record.
pub fn chain(records: &impl Records, from: Revision) -> Chain {
    let mut links: Vec<Link> = Vec::new();
    let mut next = from;
    let end = loop {
        if links.len() == LINKS_MAX {
            break End::TooLong;
        }
        let Some((at, record)) = records.record(next) else { break End::NotHeld(next) };
        let (revision, cause) = (next, Revision(record.cause));
        links.push(Link { revision, at, record });
        if cause == Revision::ZERO {
            break End::Origin;
        }
        if cause >= revision {
            break End::Backwards(cause);
        }
        next = cause;
    };
    Chain { links, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Causes of the records 1, 2, 3 …
    struct Causes(Vec<u64>);

    impl Records for Causes {
        fn record(&self, revision: Revision) -> Option<(Timestamp, Record)> {
            let cause = *self.0.get((revision.0 as usize).checked_sub(1)?)?;
            Some((Timestamp(revision.0), Record { cause, ..Record::default() }))
        }
    }

    fn check(causes: &[u64], from: u64, links: &[u64], end: End) {
        let chain = chain(&Causes(causes.to_vec()), Revision(from));
        assert_eq!(chain.links.iter().map(|link| link.revision.0).collect::<Vec<_>>(), links);
        assert_eq!(chain.end, end);
    }

    #[test]
    fn a_chain_leads_back_to_its_origin() {
        check(&[0, 1, 0, 2, 4], 5, &[5, 4, 2, 1], End::Origin);
        check(&[0, 1, 0, 2, 4], 3, &[3], End::Origin);
    }

    #[test]
    fn what_is_not_held_ends_it() {
        check(&[0, 1], 3, &[], End::NotHeld(Revision(3)));
        check(&[0], 0, &[], End::NotHeld(Revision(0)));
    }

    #[test]
    fn a_cause_that_is_not_earlier_is_not_followed() {
        check(&[2, 2], 2, &[2], End::Backwards(Revision(2)));
        check(&[2, 0], 1, &[1], End::Backwards(Revision(2)));
    }

    #[test]
    fn an_endless_chain_is_cut() {
        let causes: Vec<u64> = (0..300).collect();
        assert_eq!(chain(&Causes(causes), Revision(300)).end, End::TooLong);
    }
}
