//! How an entry that this manager did not write becomes part of its committed view. PURE.

use skep_log::{Entry, Halt};
use skep_projections::{Delta, View, apply::Stamp};
use skep_proto::{
    Revision, Timestamp,
    v1::{Record, event::Kind},
};

/// Folds an entry that this manager did not write, or no longer has the view of. The view stays as
/// it was when the entry cannot be taken.
pub(super) fn replay(view: &View, entry: &Entry) -> Result<(View, Delta), Halt> {
    let (mut view, mut delta) = (view.clone(), Delta::default());
    let header = &entry.header;
    let records = entry.decode().map_err(|error| Halt { message: error.to_string() })?;
    for (revision, record) in records {
        compare(&view, revision, &record)?;
        let stamp = Stamp { revision, at: Timestamp(header.at), incarnation: header.incarnation };
        let folded = view.apply_into(stamp, &record, &mut delta);
        folded.map_err(|error| Halt { message: error.to_string() })?;
    }
    Ok((view, delta))
}

/// A checkpoint says what every manager's digest must be here. With another digest the view must
/// not be used.
fn compare(view: &View, revision: Revision, record: &Record) -> Result<(), Halt> {
    let Some(Kind::Checkpoint(checkpoint)) = record.event.as_ref().and_then(|e| e.kind.as_ref())
    else {
        return Ok(());
    };
    if checkpoint.digest[..] == view.digest().0.to_be_bytes() {
        return Ok(());
    }
    let message = format!(
        "the view folded up to revision {revision} differs from what the log says it must be; \
         run `skep verify --state-dir …` and report the difference"
    );
    Err(Halt { message })
}
