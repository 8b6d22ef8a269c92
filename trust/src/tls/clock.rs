//! The moments of the TLS library, which are whole seconds, and ours.

use crate::validity::Validity;
use rustls::pki_types::UnixTime;
use skep_proto::{Timestamp, time::SECOND_NS};
use std::time::Duration;

/// The moment within the validity that is nearest to now.
pub(super) fn within(validity: Validity, now: UnixTime) -> UnixTime {
    let seconds = |at: Timestamp| at.0 / SECOND_NS;
    let nearest = now.as_secs().max(seconds(validity.not_before)).min(seconds(validity.not_after));
    UnixTime::since_unix_epoch(Duration::from_secs(nearest))
}

/// The moment as we count it.
pub(super) fn timestamp(now: UnixTime) -> Timestamp {
    Timestamp(now.as_secs().saturating_mul(SECOND_NS))
}
