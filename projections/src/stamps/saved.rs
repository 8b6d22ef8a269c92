//! What is remembered of commands, out of the maps and back: for snapshots.

use super::{DoneCommand, KeptAnswer, StampUse, Stamps};
use skep_proto::Revision;

/// A stamp.
pub(crate) struct SavedUse {
    pub(crate) stamp: u64,
    pub(crate) highest: u64,
    pub(crate) used: Revision,
    pub(crate) given: Revision,
    pub(crate) author: u64,
}

/// A command that was accepted.
pub(crate) struct SavedDone {
    pub(crate) stamp: u64,
    pub(crate) number: u64,
    pub(crate) hash: u64,
    pub(crate) answer: DoneCommand,
}

impl Stamps {
    /// Commands remembered, by stamp and number.
    pub(crate) fn all_done(&self) -> impl Iterator<Item = SavedDone> + '_ {
        self.done.iter().map(|((stamp, number), done)| SavedDone {
            stamp: *stamp,
            number: *number,
            hash: done.hash,
            answer: done.answer(),
        })
    }

    /// Stamps, by number.
    pub(crate) fn uses(&self) -> impl Iterator<Item = SavedUse> + '_ {
        self.stamps.iter().map(|(stamp, kept)| {
            let StampUse { highest, used, given, author } = *kept;
            SavedUse { stamp: *stamp, highest, used, given, author }
        })
    }

    /// When the newest of the stamps was given that are forgotten.
    pub(crate) fn forgotten(&self) -> Revision {
        self.forgotten
    }

    /// As a snapshot holds them.
    pub(crate) fn restore(
        uses: impl Iterator<Item = SavedUse>,
        done: impl Iterator<Item = SavedDone>,
        forgotten: Revision,
    ) -> Stamps {
        let mut stamps = Stamps { forgotten, ..Stamps::default() };
        for SavedUse { stamp, highest, used, given, author } in uses {
            stamps.stamps.insert(stamp, StampUse { highest, used, given, author });
            stamps.by_use.insert((used, stamp));
        }
        stamps.done = done
            .map(|SavedDone { stamp, number, hash, answer }| {
                ((stamp, number), KeptAnswer::of(&answer, hash))
            })
            .collect();
        stamps.warnings_bytes = stamps.done.values().map(KeptAnswer::warnings_bytes).sum();
        stamps
    }
}
