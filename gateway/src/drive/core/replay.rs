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

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::World;
    use skep_proto::{event, v1::Checkpoint};

    #[test]
    fn a_view_that_differs_from_a_checkpoint_is_not_used() {
        let view = World::of("node n1 | service web").view;
        let at = |digest: &[u8]| {
            let digest = bytes::Bytes::copy_from_slice(digest);
            let event = event::event(Kind::Checkpoint(Checkpoint { digest }));
            compare(&view, Revision(7), &Record { event: Some(event), ..Record::default() })
        };
        assert!(at(&view.digest().0.to_be_bytes()).is_ok());
        let other = World::of("node n1").view.digest().0.to_be_bytes();
        for digest in [&other[..], &[]] {
            let halt = at(digest).expect_err("it differs");
            assert!(halt.message.contains("up to revision 7 differs"), "{}", halt.message);
        }
        assert!(compare(&view, Revision(7), &Record::default()).is_ok(), "no checkpoint");
    }
}
