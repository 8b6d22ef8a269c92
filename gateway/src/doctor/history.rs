//! Questions that the log's own records answer.

use super::{ok, problem, warning};
use crate::{
    history::{Found, Past, PastError, summary::to_the_second},
    turn::CHECKPOINT_RECORDS,
};
use skep_projections::View;
use skep_proto::{
    Revision,
    time::SECOND_NS,
    v1::{Finding, Record, event::Kind},
};

/// Records looked at for what happened lately.
const RECENT_RECORDS: u64 = 2_000;
/// Snapshots are taken when the log since the last has outgrown the view, and never closer than
/// this.
const SNAPSHOT_RECORDS_MIN: u64 = 10_000;
/// So many records without one are too many: a restart replays them all.
const SNAPSHOT_RECORDS_MAX: u64 = 2_000_000;

/// Jumps of the clock that were recorded lately.
pub(super) fn clock(past: &Past, view: &View) -> Result<Vec<Finding>, PastError> {
    let mut findings = Vec::new();
    let newest = view.position().revision.0;
    let from = Revision(newest.saturating_sub(RECENT_RECORDS).max(1));
    for entry in past.history().entries(from) {
        let entry = entry?;
        let records =
            entry.decode().map_err(|error| skep_log::ReadError::Damaged(error.to_string()))?;
        for (revision, record) in records {
            if let Some(Kind::ClockJumped(e)) = kind(&record) {
                let seconds = e.by_ns / SECOND_NS as i64;
                let when = to_the_second(entry.at());
                findings.push(warning(
                    "clock",
                    format!("the wall clock jumped by {seconds} s before {when} (revision {revision})"),
                    "keep the clock with NTP; times in the log never jump back, and waits stayed right",
                ));
            }
        }
    }
    Ok(findings)
}

/// Whether a restart and a look back find a snapshot near.
pub(super) fn snapshots(past: &Past, view: &View) -> Result<Vec<Finding>, PastError> {
    let newest = view.position().revision;
    if newest.0 < SNAPSHOT_RECORDS_MIN {
        return Ok(Vec::new());
    }
    let taken = past.history().snapshot_at(newest)?.map_or(0, |(position, ..)| position.revision.0);
    let since = newest.0.saturating_sub(taken);
    let message = format!("the newest stands at revision {taken}, {since} records ago");
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
fn newest_checkpoint(past: &Past, view: &View) -> Result<Option<Found>, PastError> {
    let passed = view.position().revision.0 / CHECKPOINT_RECORDS * CHECKPOINT_RECORDS;
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
