//! The disk of the log: whether it takes anything, and how much of it is free. PURE.

use super::{ok, problem, warning};
use crate::drive::{DiskTrial, core::ADDITIONS_FREE_SHARE_MIN};
use skep_log::{FREE_SHARE_MIN, Space};
use skep_proto::{bytes_size, time::SECOND_NS, v1::Finding};

/// Free disk below this share is worth a warning: at a lower one additions are refused.
const FREE_SHARE_WARNING_MIN: f64 = 0.10;

/// What follows from asking it; nothing where it works.
pub(super) fn trial(trial: &DiskTrial) -> Option<Finding> {
    match trial {
        DiskTrial::NotAsked | DiskTrial::Taken => None,
        DiskTrial::Refused(why) => Some(problem(
            "disk",
            format!("refuses a small file: {why}"),
            "make the disk of the state folder take files again; no restart is needed",
        )),
        DiskTrial::Unanswered(ns) => Some(problem(
            "disk",
            format!("has not taken a small file for {}", seconds(*ns)),
            "look whether the disk of the state folder hangs; work goes on by itself when it does not",
        )),
    }
}

/// How much of it is free.
pub(super) fn room(space: &Space) -> Finding {
    let share = space.free_share();
    let free = format!(
        "{} ({:.1} %), the log takes {}",
        space.scarcest(),
        share * 100.0,
        bytes_size(space.log_bytes)
    );
    if share < FREE_SHARE_MIN {
        let hint = "nothing is recorded until there is room; make some, no restart is needed";
        problem("disk", free, hint)
    } else if share < ADDITIONS_FREE_SHARE_MIN {
        let hint =
            "make room, or remove services: until then nothing can be added; no restart is needed";
        problem("disk", free, hint)
    } else if share < FREE_SHARE_WARNING_MIN {
        warning("disk", free, "make room: below 5 % nothing can be added")
    } else {
        ok("disk", free)
    }
}

/// Seconds with their tenths.
pub(super) fn seconds(ns: u64) -> String {
    format!("{}.{} s", ns / SECOND_NS, ns / (SECOND_NS / 10) % 10)
}
