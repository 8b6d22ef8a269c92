//! How far the log's time and the wall clock differ, and what follows from that. PURE.

use super::{ok, warning};
use crate::drive::core::time::CLOCK_JUMP_NS_MIN;
use skep_proto::{counted, time::SECOND_NS, v1::Finding};

/// Whether the log's time and the wall clock agree now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Agreement {
    /// Within what a jump is recorded from.
    Agree,
    /// By more than that.
    Differ,
}

/// `skew_ns` is how far the log's time is ahead; negative where it is behind.
pub(super) fn agreement(skew_ns: i64) -> Agreement {
    if skew_ns.unsigned_abs() <= CLOCK_JUMP_NS_MIN { Agreement::Agree } else { Agreement::Differ }
}

/// `skew_ns` is how far the log's time is ahead; negative where it is behind.
pub(super) fn skew(skew_ns: i64) -> Finding {
    let apart = span(skew_ns.unsigned_abs());
    if agreement(skew_ns) == Agreement::Agree {
        return ok("clock", "the log's time and this machine's clock agree within 10 s");
    }
    let waits = "waits, delays and silence are measured by a stopwatch and stay right";
    if skew_ns > 0 {
        warning(
            "clock",
            format!("the log's time is {apart} ahead of this machine's clock; {waits}"),
            "keep the clock with NTP; until it has caught up, the times of records are too late by this much",
        )
    } else {
        warning(
            "clock",
            format!("the log's time is {apart} behind this machine's clock; {waits}"),
            "keep the clock with NTP; a restart of the daemon sets the log's time right, and no task stops for it",
        )
    }
}

/// A span in its two largest units.
fn span(ns: u64) -> String {
    let s = ns / SECOND_NS;
    match (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{} {h} h", counted(d, "day")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = SECOND_NS as i64;

    #[test]
    fn a_difference_is_told_with_its_direction_its_size_and_what_follows() {
        for (skew_ns, told) in [
            (10 * S, "the log's time and this machine's clock agree within 10 s"),
            (-10 * S, "the log's time and this machine's clock agree within 10 s"),
            (11 * S, "the log's time is 11 s ahead of this machine's clock"),
            (3_661 * S, "the log's time is 1 h 1 min ahead of this machine's clock"),
            (-90 * S, "the log's time is 1 min 30 s behind this machine's clock"),
            (3_650 * 86_400 * S, "the log's time is 3650 days 0 h ahead of this machine's clock"),
        ] {
            let found = skew(skew_ns);
            assert_eq!(found.message.split(';').next(), Some(told), "{skew_ns}");
            assert_eq!(found.hint.is_empty(), skew_ns.abs() <= 10 * S, "{skew_ns}");
        }
    }
}
