//! Which commands have been done already: the same id twice takes effect once, also over a
//! fail-over.
//!
//! For each of the newest 65,536 stamps a window over its last 1,024 numbers; what lies before is
//! expired. Only accepted commands are remembered: one that was refused, or that changed nothing,
//! may be asked again. A stamp counts as used when a record marks it, so every manager forgets the
//! same ones. A stamp that was forgotten altogether looks like one never seen: by then 65,536
//! others have been used.

use crate::{
    digest::{Digest, command_part},
    ids::PackedId,
};
use skep_proto::{Id, Revision, v1::CommandId};

/// Stamps remembered; the one used longest ago is forgotten first.
pub const STAMPS_MAX: usize = 65_536;
/// Numbers remembered for each stamp; one further back is refused as expired.
pub const NUMBERS_MAX: u64 = 1_024;

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandStatus {
    /// Never accepted: it may be decided.
    New,
    /// Accepted before: the record that says so, and the object it is about.
    Done {
        /// The intent's revision.
        revision: Revision,
        /// The object; none where the intent names none.
        object: Id,
    },
    /// Too far back to tell: refused.
    Expired,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct StampUse {
    /// The highest number marked.
    highest: u64,
    /// The record that marked last.
    used: Revision,
}

/// Recent command ids and what became of them.
#[derive(Clone, Default)]
pub struct Stamps {
    stamps: imbl::OrdMap<u64, StampUse>,
    /// (last record, stamp): the first was used longest ago.
    by_use: imbl::OrdSet<(Revision, u64)>,
    /// (stamp, number) → what it became. One map for all windows: most connections send one
    /// command.
    done: imbl::OrdMap<(u64, u64), (Revision, PackedId)>,
}

impl Stamps {
    /// What became of a command; a stamp of 0 is none, and is always new.
    pub fn lookup(&self, id: CommandId) -> CommandStatus {
        if let Some((revision, object)) = self.done.get(&(id.stamp, id.number)) {
            return CommandStatus::Done { revision: *revision, object: (*object).into() };
        }
        match self.stamps.get(&id.stamp) {
            Some(stamp) if id.number.saturating_add(NUMBERS_MAX) <= stamp.highest => {
                CommandStatus::Expired
            }
            Some(_) | None => CommandStatus::New,
        }
    }

    /// How many stamps are remembered.
    pub fn len(&self) -> usize {
        self.stamps.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.stamps.is_empty()
    }

    /// Remembers an accepted command. One that is known, or expired, stays as it was.
    pub(crate) fn mark(
        &mut self,
        id: CommandId,
        revision: Revision,
        object: Id,
        digest: &mut Digest,
    ) {
        if id.stamp == 0 || self.lookup(id) != CommandStatus::New {
            return;
        }
        let before = self.stamps.get(&id.stamp).copied();
        let highest = before.map_or(id.number, |stamp| stamp.highest.max(id.number));
        if let Some(before) = before {
            self.by_use.remove(&(before.used, id.stamp));
        }
        self.stamps.insert(id.stamp, StampUse { highest, used: revision });
        self.by_use.insert((revision, id.stamp));
        self.done.insert((id.stamp, id.number), (revision, object.into()));
        digest.put(command_part(id.stamp, id.number, revision, object));
        if let Some(expired) = highest.checked_sub(NUMBERS_MAX) {
            self.forget(id.stamp, expired, digest);
        }
        if self.stamps.len() > STAMPS_MAX {
            self.forget_oldest(digest);
        }
    }

    fn forget_oldest(&mut self, digest: &mut Digest) {
        let Some((used, stamp)) = self.by_use.get_min().copied() else { return };
        self.by_use.remove(&(used, stamp));
        self.stamps.remove(&stamp);
        self.forget(stamp, u64::MAX, digest);
    }

    /// Forgets a stamp's numbers up to this one.
    fn forget(&mut self, stamp: u64, through: u64, digest: &mut Digest) {
        while let Some((key, (revision, object))) =
            self.done.get_next(&(stamp, 0)).map(|(k, v)| (*k, *v))
        {
            if key.0 != stamp || key.1 > through {
                return;
            }
            digest.take(command_part(key.0, key.1, revision, object.into()));
            self.done.remove(&key);
        }
    }

    /// Commands remembered, by stamp and number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64, Revision, Id)> + '_ {
        self.done.iter().map(|((stamp, number), (revision, object))| {
            (*stamp, *number, *revision, (*object).into())
        })
    }

    /// Stamps with their highest number and the record that used them last.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (u64, u64, Revision)> + '_ {
        self.stamps.iter().map(|(stamp, use_)| (*stamp, use_.highest, use_.used))
    }

    /// As a snapshot holds them.
    pub(crate) fn restore(
        uses: impl Iterator<Item = (u64, u64, Revision)>,
        done: impl Iterator<Item = (u64, u64, Revision, Id)>,
    ) -> Stamps {
        let mut stamps = Stamps::default();
        for (stamp, highest, used) in uses {
            stamps.stamps.insert(stamp, StampUse { highest, used });
            stamps.by_use.insert((used, stamp));
        }
        stamps.done = done
            .map(|(stamp, number, at, object)| ((stamp, number), (at, object.into())))
            .collect();
        stamps
    }

    pub(crate) fn hash_of_all(&self) -> u128 {
        self.iter().fold(0u128, |sum, (stamp, number, revision, object)| {
            sum.wrapping_add(command_part(stamp, number, revision, object))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(stamp: u64, number: u64) -> CommandId {
        CommandId { stamp, number }
    }

    struct Marked {
        stamps: Stamps,
        digest: Digest,
        revision: u64,
    }

    impl Marked {
        fn new() -> Marked {
            Marked { stamps: Stamps::default(), digest: Digest::default(), revision: 0 }
        }

        fn mark(&mut self, stamp: u64, number: u64) {
            self.revision += 1;
            let (revision, object) = (Revision(self.revision), Id(u128::from(number) + 1));
            self.stamps.mark(command(stamp, number), revision, object, &mut self.digest);
        }
    }

    #[test]
    fn a_command_is_done_once() {
        let mut marked = Marked::new();
        assert_eq!(marked.stamps.lookup(command(1, 1)), CommandStatus::New);
        marked.mark(1, 1);
        let done = CommandStatus::Done { revision: Revision(1), object: Id(2) };
        assert_eq!(marked.stamps.lookup(command(1, 1)), done);
        marked.mark(1, 1);
        assert_eq!(marked.stamps.lookup(command(1, 1)), done, "the first time counts");
        assert_eq!(marked.stamps.lookup(command(1, 2)), CommandStatus::New);
        assert_eq!(marked.stamps.lookup(command(2, 1)), CommandStatus::New);
        assert_eq!(marked.digest.0, marked.stamps.hash_of_all());
    }

    #[test]
    fn numbers_may_come_out_of_order_within_the_window() {
        let mut marked = Marked::new();
        marked.mark(1, NUMBERS_MAX + 10);
        assert_eq!(marked.stamps.lookup(command(1, 10)), CommandStatus::Expired);
        assert_eq!(marked.stamps.lookup(command(1, 11)), CommandStatus::New);
        marked.mark(1, 11);
        marked.mark(1, 10);
        assert_eq!(marked.stamps.done.len(), 2, "an expired one is not remembered");
        marked.mark(1, NUMBERS_MAX + 11);
        assert_eq!(marked.stamps.lookup(command(1, 11)), CommandStatus::Expired);
        assert_eq!(marked.stamps.done.len(), 2);
        assert_eq!(marked.digest.0, marked.stamps.hash_of_all());
    }

    #[test]
    fn the_window_never_grows_beyond_its_bound() {
        let mut marked = Marked::new();
        (1..=3 * NUMBERS_MAX).for_each(|number| marked.mark(7, number));
        assert_eq!(marked.stamps.done.len() as u64, NUMBERS_MAX);
        assert_eq!(marked.stamps.lookup(command(7, 2 * NUMBERS_MAX)), CommandStatus::Expired);
        assert!(matches!(
            marked.stamps.lookup(command(7, 2 * NUMBERS_MAX + 1)),
            CommandStatus::Done { .. }
        ));
        assert_eq!(marked.digest.0, marked.stamps.hash_of_all());
    }

    #[test]
    fn the_stamp_used_longest_ago_is_forgotten_first() {
        let mut marked = Marked::new();
        (1..=STAMPS_MAX as u64).for_each(|stamp| marked.mark(stamp, 1));
        marked.mark(1, 2);
        marked.mark(u64::MAX, 1);
        assert_eq!(marked.stamps.len(), STAMPS_MAX);
        assert_eq!(marked.stamps.lookup(command(2, 1)), CommandStatus::New, "forgotten");
        assert!(
            matches!(marked.stamps.lookup(command(1, 1)), CommandStatus::Done { .. }),
            "used again in time"
        );
        assert_eq!(marked.digest.0, marked.stamps.hash_of_all());
    }

    #[test]
    fn no_stamp_is_never_remembered() {
        let mut marked = Marked::new();
        marked.mark(0, 5);
        assert!(marked.stamps.is_empty());
        assert_eq!(marked.stamps.lookup(command(0, 5)), CommandStatus::New);
    }
}
