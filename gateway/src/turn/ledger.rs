//! How many refusals each author gets into the log.
//!
//! Within a minute an author may have ten refusals recorded and all together a hundred; what goes
//! beyond is counted, and the count stands in the author's next recorded refusal. PURE.

use skep_proto::{
    Timestamp,
    time::SECOND_NS,
    v1::{Author, author::Who},
};
use std::collections::BTreeMap;

/// Recorded refusals of one author in a minute; more are counted.
pub(super) const REFUSALS_PER_AUTHOR_MAX: u32 = 10;
/// Recorded refusals of all authors in a minute; more are counted.
pub(super) const REFUSALS_MAX: u32 = 100;
/// Authors remembered at once; when there are more, all counts begin again.
const AUTHORS_MAX: usize = 1_024;

/// For so long refusals are counted together; then all counts begin again.
const REFUSALS_PERIOD_NS: u64 = 60 * SECOND_NS;

/// What to do with one refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Record it; it stands for so many.
    Record {
        /// This one and those only counted since the last recorded.
        count: u32,
    },
    /// Only count it.
    Count,
}

/// Counts of the current minute.
#[derive(Default)]
pub(super) struct Ledger {
    minute: u64,
    recorded: u32,
    authors: BTreeMap<String, Tally>,
}

#[derive(Default)]
struct Tally {
    recorded: u32,
    counted: u32,
}

impl Ledger {
    /// Notes a refusal.
    pub(super) fn note(&mut self, author: &Author, at: Timestamp) -> Verdict {
        let minute = at.0 / REFUSALS_PERIOD_NS;
        if minute != self.minute {
            self.minute = minute;
            self.recorded = 0;
            self.authors.retain(|_, tally| tally.counted > 0);
            self.authors.values_mut().for_each(|tally| tally.recorded = 0);
        }
        if self.authors.len() >= AUTHORS_MAX {
            self.authors.clear();
        }
        let tally = self.authors.entry(key(author)).or_default();
        if tally.recorded >= REFUSALS_PER_AUTHOR_MAX || self.recorded >= REFUSALS_MAX {
            tally.counted = tally.counted.saturating_add(1);
            return Verdict::Count;
        }
        tally.recorded += 1;
        self.recorded += 1;
        Verdict::Record { count: std::mem::take(&mut tally.counted).saturating_add(1) }
    }
}

/// The person, whichever process they use.
fn key(author: &Author) -> String {
    match &author.who {
        None => String::new(),
        Some(Who::Person(p)) => format!("{}/{:?}", p.uid, p.login_uid),
        Some(Who::NodeId(id) | Who::ManagerId(id)) => format!("{id:?}"),
        Some(Who::Reconciler(name)) => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::{author, v1::Person};

    #[test]
    fn what_goes_beyond_is_counted_and_said_later() {
        let mut ledger = Ledger::default();
        let alice = author::person(Person { uid: 1000, ..Person::default() });
        for _ in 0..REFUSALS_PER_AUTHOR_MAX {
            assert_eq!(ledger.note(&alice, Timestamp(1)), Verdict::Record { count: 1 });
        }
        assert_eq!(ledger.note(&alice, Timestamp(2)), Verdict::Count);
        assert_eq!(ledger.note(&alice, Timestamp(3)), Verdict::Count);
        let bob = author::person(Person { uid: 1001, ..Person::default() });
        assert_eq!(ledger.note(&bob, Timestamp(3)), Verdict::Record { count: 1 });
        assert_eq!(
            ledger.note(&alice, Timestamp(REFUSALS_PERIOD_NS)),
            Verdict::Record { count: 3 }
        );
    }

    #[test]
    fn all_together_are_bounded_too() {
        let mut ledger = Ledger::default();
        let recorded = (0..500)
            .filter(|uid| {
                let who = author::person(Person { uid: *uid, ..Person::default() });
                ledger.note(&who, Timestamp(1)) != Verdict::Count
            })
            .count();
        assert_eq!(recorded, REFUSALS_MAX as usize);
    }

    #[test]
    fn authors_are_forgotten_at_their_bound() {
        let mut ledger = Ledger::default();
        for uid in 0..AUTHORS_MAX {
            let uid = u32::try_from(uid).expect("it is small");
            ledger.note(&author::person(Person { uid, ..Person::default() }), Timestamp(1));
        }
        assert_eq!(ledger.authors.len(), AUTHORS_MAX);
        let next = author::person(Person { uid: 5_000, ..Person::default() });
        ledger.note(&next, Timestamp(1));
        assert_eq!(ledger.authors.len(), 1);
    }
}
