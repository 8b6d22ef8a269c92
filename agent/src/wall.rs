//! The wall clock: the time of day, for people and for comparing with the times that an engine or a
//! shim wrote down. Somebody may set it, so no wait and no order of events depends on it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
