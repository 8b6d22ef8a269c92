//! From when to when a certificate is valid, and when a node asks for the next one.
//!
//! A node renews long before its certificate ends, so that an outage of the managers of some days
//! costs nobody a certificate. The moment is random: nodes that joined together must not all ask
//! in the same second for ever after. PURE.

use skep_proto::{Timestamp, time::SECOND_NS};

/// Shortest life of a node's certificate, from its issue. A shorter one is raised to this.
pub const EXPIRY_NS_MIN: u64 = 3_600 * SECOND_NS;
/// How far a machine's clock may be behind the issuer's. A certificate is valid from so long before
/// its issue, so that a machine within this bound accepts it at once; one beyond it refuses it.
pub const CLOCK_LAG_NS_MAX: u64 = 3_600 * SECOND_NS;
/// Shortest pause before a failed renewal is tried again. It doubles with each failure.
pub const RENEWAL_DELAY_NS_MIN: u64 = 5 * SECOND_NS;
/// Longest pause before a failed renewal is tried again.
pub const RENEWAL_DELAY_NS_MAX: u64 = 3_600 * SECOND_NS;

/// From when to when a certificate is valid: whole seconds, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// The first second.
    pub not_before: Timestamp,
    /// The last second.
    pub not_after: Timestamp,
}

/// How a moment stands to a certificate's validity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValidAt {
    /// The certificate is valid only later.
    NotYet,
    /// It is valid.
    Valid,
    /// It was valid before.
    Expired,
}

impl Validity {
    /// Of a certificate that is issued now and expires after so many nanoseconds, at least
    /// [`EXPIRY_NS_MIN`]. It begins [`CLOCK_LAG_NS_MAX`] before now. Parts of seconds are dropped,
    /// since certificates do not have them.
    pub fn from(now: Timestamp, expiry_ns: u64) -> Validity {
        let issued = whole_seconds(now);
        Validity {
            not_before: Timestamp(issued.0.saturating_sub(CLOCK_LAG_NS_MAX)),
            not_after: whole_seconds(issued + expiry_ns.max(EXPIRY_NS_MIN)),
        }
    }

    /// How this moment stands to it.
    pub fn at(self, now: Timestamp) -> ValidAt {
        if now < self.not_before {
            ValidAt::NotYet
        } else if whole_seconds(now) <= self.not_after {
            ValidAt::Valid
        } else {
            ValidAt::Expired
        }
    }

    /// When the certificate was issued, for one that [`Validity::from`] dated.
    pub fn issued(self) -> Timestamp {
        self.not_before + CLOCK_LAG_NS_MAX
    }

    /// When its node asks for the next one: at 50 to 80 % of its life, counted from its issue. The
    /// dice are 64 random bits. Where it ended before its issue, which only a foreign one does,
    /// the moment is that of the issue.
    pub fn renewal_at(self, dice: u64) -> Timestamp {
        let life_ns = self.not_after.since(self.issued());
        self.issued() + (life_ns / 2 + share(life_ns / 10 * 3, dice))
    }
}

/// The pauses between failed tries to renew a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RenewalDelay {
    failures: u32,
}

impl RenewalDelay {
    /// Counts a failure and says for how many nanoseconds to wait before the next try. The bound
    /// doubles with each failure up to [`RENEWAL_DELAY_NS_MAX`], and the pause lies between its
    /// half and itself: so the pauses of many nodes differ, and none is under
    /// [`RENEWAL_DELAY_NS_MIN`]. The dice are 64 random bits.
    pub fn after_failure(&mut self, dice: u64) -> u64 {
        let bound_ns = 2u64
            .checked_pow(self.failures)
            .and_then(|factor| factor.checked_mul(2 * RENEWAL_DELAY_NS_MIN))
            .map_or(RENEWAL_DELAY_NS_MAX, |bound_ns| bound_ns.min(RENEWAL_DELAY_NS_MAX));
        self.failures = self.failures.saturating_add(1);
        bound_ns / 2 + share(bound_ns / 2, dice)
    }

    /// Begins again with the shortest pause, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The moment without its part of a second.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp(at.0 / SECOND_NS * SECOND_NS)
}

/// A part of the amount, from nothing up to all of it, as the dice say.
fn share(amount: u64, dice: u64) -> u64 {
    let part = u128::from(amount) * u128::from(dice) / u128::from(u64::MAX);
    // No larger than the amount, which fits.
    u64::try_from(part).unwrap_or(amount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skep_proto::defaults::CERTIFICATE_EXPIRY_NS;

    const HOUR_NS: u64 = 3_600 * SECOND_NS;

    fn hours(hours: u64) -> Timestamp {
        Timestamp(hours * HOUR_NS)
    }

    #[test]
    fn a_certificate_begins_an_hour_early_and_has_whole_seconds() {
        let validity = Validity::from(hours(10) + 999_999_999, 2 * HOUR_NS + 5);
        assert_eq!(validity, Validity { not_before: hours(9), not_after: hours(12) });
        assert_eq!(validity.issued(), hours(10));
        assert_eq!(Validity::from(hours(10), 0).not_after, hours(11), "raised to the least");
        assert_eq!(Validity::from(hours(10), CERTIFICATE_EXPIRY_NS).not_after, hours(10 + 2_160));
        assert_eq!(Validity::from(Timestamp(5), HOUR_NS).not_before, Timestamp(0));
    }

    #[test]
    fn both_ends_belong_to_it() {
        let validity = Validity { not_before: hours(9), not_after: hours(12) };
        let at = |ns| validity.at(Timestamp(ns));
        assert_eq!(at(9 * HOUR_NS - 1), ValidAt::NotYet);
        assert_eq!(at(9 * HOUR_NS), ValidAt::Valid);
        assert_eq!(at(12 * HOUR_NS + SECOND_NS - 1), ValidAt::Valid);
        assert_eq!(at(12 * HOUR_NS + SECOND_NS), ValidAt::Expired);
    }

    #[test]
    fn renewal_is_between_half_and_four_fifths_of_the_life() {
        let validity = Validity::from(hours(100), 10 * HOUR_NS);
        assert_eq!(validity.renewal_at(0), hours(105));
        assert_eq!(validity.renewal_at(u64::MAX), hours(108));
        let ended = Validity { not_before: hours(9), not_after: hours(5) };
        assert_eq!(ended.renewal_at(u64::MAX), hours(10), "never before the issue");
    }

    #[test]
    fn pauses_double_and_stay_within_their_bounds() {
        let mut delay = RenewalDelay::default();
        let seconds: Vec<u64> = (0..12).map(|_| delay.after_failure(0) / SECOND_NS).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 1_800, 1_800, 1_800]);
        assert_eq!(delay.after_failure(u64::MAX), RENEWAL_DELAY_NS_MAX);
        delay.reset();
        assert_eq!(delay.after_failure(u64::MAX), 10 * SECOND_NS);
        let mut worn = RenewalDelay { failures: u32::MAX };
        assert_eq!(worn.after_failure(0), RENEWAL_DELAY_NS_MAX / 2);
        assert_eq!(worn, RenewalDelay { failures: u32::MAX });
    }

    proptest! {
        #[test]
        fn renewal_falls_into_the_life(now: u64, expiry_ns: u64, dice: u64) {
            let validity = Validity::from(Timestamp(now), expiry_ns);
            let renewal = validity.renewal_at(dice);
            prop_assert!(renewal >= validity.issued());
            prop_assert!(renewal <= validity.not_after.max(validity.issued()));
        }

        #[test]
        fn any_pause_is_within_its_bounds(failures: u32, dice: u64) {
            let pause = RenewalDelay { failures }.after_failure(dice);
            prop_assert!((RENEWAL_DELAY_NS_MIN..=RENEWAL_DELAY_NS_MAX).contains(&pause));
        }
    }
}
