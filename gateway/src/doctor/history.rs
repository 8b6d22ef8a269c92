//! Questions that the log's own records answer.

use super::{clock::Agreement, ok, problem, warning};
use crate::{
    history::{FoundRecord, Past, PastError, summary::to_the_second},
    turn::CHECKPOINT_PERIOD_RECORDS,
};
use skep_projections::View;
use skep_proto::{
    Revision, counted,
    time::SECOND_NS,
    v1::{Finding, Record, event::Kind},
};

/// Records looked at for what happened lately.
const RECENT_RECORDS_MAX: u64 = 2_000;
/// Snapshots are taken when the log since the last has outgrown the view, and never closer than
/// this.
const SNAPSHOT_RECORDS_MIN: u64 = 10_000;
/// So many records without one are too many: a restart replays them all.
const SNAPSHOT_RECORDS_MAX: u64 = 2_000_000;

/// Jumps of the clock that were recorded lately: one finding for all of them. While the clocks
/// agree again they are history, and nobody has to do anything.
pub(super) fn clock(
    past: &Past,
    view: &View,
    now: Agreement,
) -> Result<Option<Finding>, PastError> {
    let mut jumps = 0_u32;
    let mut last = None;
    let newest = view.position().revision.0;
    let from = Revision(newest.saturating_sub(RECENT_RECORDS_MAX).max(1));
    for entry in past.history().entries(from) {
        let entry = entry?;
        let records =
            entry.decode().map_err(|error| skep_log::ReadError::Damaged(error.to_string()))?;
        for (revision, record) in records {
            if let Some(Kind::ClockJumped(e)) = kind(&record) {
                jumps += 1;
                let seconds = e.by_ns / SECOND_NS as i64;
                let when = to_the_second(entry.at());
                last = Some(format!("by {seconds} s before {when} (revision {revision})"));
            }
        }
    }
    let Some(last) = last else { return Ok(None) };
    let message = match jumps {
        1 => format!("the wall clock jumped {last}"),
        jumps => format!("the wall clock jumped {jumps} times lately, most recently {last}"),
    };
    Ok(Some(match now {
        Agreement::Agree => ok("clock", format!("{message}; the clocks agree again")),
        Agreement::Differ => warning(
            "clock",
            message,
            "keep the clock with NTP; times in the log never jump back, and waits stayed right",
        ),
    }))
}

/// Whether a restart and a look back find a snapshot near.
pub(super) fn snapshots(past: &Past, view: &View) -> Result<Vec<Finding>, PastError> {
    let newest = view.position().revision;
    if newest.0 < SNAPSHOT_RECORDS_MIN {
        return Ok(Vec::new());
    }
    let taken = past.history().snapshot_at(newest)?.map_or(0, |(position, ..)| position.revision.0);
    let since = newest.0.saturating_sub(taken);
    let message =
        format!("the newest stands at revision {taken}, {} ago", counted(since, "record"));
    Ok(vec![if since > SNAPSHOT_RECORDS_MAX {
        warning("snapshots", message, "look for errors about snapshots in the daemon's own log")
    } else {
        ok("snapshots", message)
    }])
}

/// Whether the newest checkpoint agrees with a replay of the records before it.
pub(super) fn checkpoints(past: &Past, view: &View) -> Result<Vec<Finding>, PastError> {
    let Some(told) = newest_checkpoint(past, view)? else { return Ok(Vec::new()) };
    let Some(Kind::Checkpoint(checkpoint)) = kind(&told.record) else { return Ok(Vec::new()) };
    let replayed = past.view_at(Revision(told.revision.0 - 1))?.digest().0.to_be_bytes();
    Ok(vec![if checkpoint.digest[..] == replayed {
        ok("checkpoints", format!("a replay agrees with the one at revision {}", told.revision))
    } else {
        problem(
            "checkpoints",
            format!("a replay does not agree with the one at revision {}", told.revision),
            "run `skep verify`, keep the state folder, and please report it",
        )
    }])
}

/// The newest checkpoint: it is written in the turn that passes a multiple of its period.
fn newest_checkpoint(past: &Past, view: &View) -> Result<Option<FoundRecord>, PastError> {
    let passed = view.position().revision.0 / CHECKPOINT_PERIOD_RECORDS * CHECKPOINT_PERIOD_RECORDS;
    if passed == 0 {
        return Ok(None);
    }
    let Some(entry) = past.history().entry_at(Revision(passed))? else { return Ok(None) };
    let Some(told) = past.record_at(entry.last())? else { return Ok(None) };
    Ok(matches!(kind(&told.record), Some(Kind::Checkpoint(_))).then_some(told))
}

fn kind(record: &Record) -> Option<&Kind> {
    record.event.as_ref().and_then(|event| event.kind.as_ref())
}
