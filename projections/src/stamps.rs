//! Which commands have been done already: the same id twice takes effect once, also over a
//! fail-over.
//!
//! For each of the newest 65,536 stamps a window over its last 1,024 numbers; what lies before is
//! expired. A stamp that was given before the newest forgotten one, and is not remembered, is
//! expired too: it may have been forgotten. Only accepted commands are remembered: one that was
//! refused, or that changed nothing, may be asked again. A stamp counts as used when a record marks
//! it, so every manager forgets the same ones.
//!
//! From feature level 3 on a stamp belongs to its author and its lineage, and an id to what its
//! command asks. Records from before do not say that: there the fields are 0, and nothing is
//! compared.

mod binding;
mod saved;

pub(crate) use binding::author_mark;
pub(crate) use saved::{SavedDone, SavedUse};

use crate::{
    digest::{Digest, parts},
    ids::PackedId,
};
use skep_proto::{Id, Lineage, Revision, v1::CommandId};
use std::sync::Arc;

/// Stamps remembered; the one used longest ago is forgotten first.
pub const STAMPS_MAX: usize = 65_536;
/// Bytes of warnings remembered in all; at it a command that is sent again is answered without its
/// own.
pub const REMEMBERED_WARNINGS_BYTES_MAX: usize = 16 << 20;
/// Numbers remembered for each stamp; one further back is refused as expired.
pub const NUMBERS_MAX: u64 = 1_024;

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandStatus {
    /// Never accepted: it may be decided.
    New,
    /// Accepted before: what was answered then.
    Done(DoneCommand),
    /// Too far back to tell: refused.
    Expired,
    /// The stamp was given in another lineage than this: whether the command was done in a part of
    /// that history which this one does not have, nobody can tell.
    OtherHistory,
    /// The stamp belongs to somebody else.
    OtherAuthor,
    /// Another command was done under this id, by this record.
    OtherCommand(Revision),
}

/// An accepted command, as far as its answer must be given again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DoneCommand {
    /// The intent's revision.
    pub revision: Revision,
    /// The object; none where the intent names none.
    pub object: Id,
    /// What the answer warned of.
    pub warnings: Vec<String>,
}

/// Against what an id is looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AskedOf {
    /// Whose command it is: [`author_mark`].
    pub(crate) author: u64,
    /// The history in which it is asked; none before feature level 3.
    pub(crate) lineage: Lineage,
    /// The newest record: no stamp was given later.
    pub(crate) newest: Revision,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct StampUse {
    /// The highest number marked.
    highest: u64,
    /// The record that marked last.
    used: Revision,
    /// When the stamp was given.
    given: Revision,
    /// To whom; 0 is not known.
    author: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct KeptAnswer {
    revision: Revision,
    object: PackedId,
    /// Of what the command asked; 0 is not known.
    hash: u64,
    /// Most answers warn of nothing.
    warnings: Option<Arc<Vec<String>>>,
}

/// Recent command ids and what became of them.
#[derive(Clone, Default)]
pub struct Stamps {
    stamps: imbl::OrdMap<u64, StampUse>,
    /// (last record, stamp): the first was used longest ago.
    by_use: imbl::OrdSet<(Revision, u64)>,
    /// (stamp, number) → what it became. One map for all windows: most connections send one
    /// command.
    done: imbl::OrdMap<(u64, u64), KeptAnswer>,
    /// When the newest of the stamps was given that are forgotten.
    forgotten: Revision,
    /// Of all that is remembered.
    warnings_bytes: usize,
}

impl Stamps {
    /// What became of a command; a stamp of 0 is none, and is always new.
    pub(crate) fn lookup(&self, id: CommandId, asked: AskedOf) -> CommandStatus {
        if id.stamp == 0 {
            return CommandStatus::New;
        }
        let known = self.stamps.get(&id.stamp);
        if known.is_some_and(|stamp| stamp.author != 0 && stamp.author != asked.author) {
            return CommandStatus::OtherAuthor;
        }
        if let Some(done) = self.done.get(&(id.stamp, id.number)) {
            return if done.hash != 0 && done.hash != id.command_hash {
                CommandStatus::OtherCommand(done.revision)
            } else {
                CommandStatus::Done(done.answer())
            };
        }
        if known.is_some_and(|stamp| is_behind(stamp, id.number)) {
            return CommandStatus::Expired;
        }
        if asked.lineage.is_none() {
            return CommandStatus::New;
        }
        if id.lineage != asked.lineage.0 {
            return CommandStatus::OtherHistory;
        }
        let given = Revision(id.given_revision);
        let some_are_forgotten = self.forgotten > Revision::ZERO;
        let may_be_one = known.is_none() && some_are_forgotten && given <= self.forgotten;
        if may_be_one || given > asked.newest { CommandStatus::Expired } else { CommandStatus::New }
    }

    /// How many stamps are remembered.
    pub fn len(&self) -> usize {
        self.stamps.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.stamps.is_empty()
    }

    /// Remembers an accepted command of this author. One that is known, or expired, stays as it
    /// was.
    pub(crate) fn mark(
        &mut self,
        id: CommandId,
        author: u64,
        answer: &DoneCommand,
        digest: &mut Digest,
    ) {
        let before = self.stamps.get(&id.stamp).copied();
        let key = (id.stamp, id.number);
        let is_behind = before.is_some_and(|stamp| is_behind(&stamp, id.number));
        if id.stamp == 0 || is_behind || self.done.contains_key(&key) {
            return;
        }
        let revision = answer.revision;
        let stamp = match before {
            Some(stamp) => {
                self.by_use.remove(&(stamp.used, id.stamp));
                StampUse { highest: stamp.highest.max(id.number), used: revision, ..stamp }
            }
            None => {
                let given = Revision(id.given_revision);
                // A record from before does not bind its stamp.
                let author = if id.command_hash == 0 { 0 } else { author };
                let stamp = StampUse { highest: id.number, used: revision, given, author };
                digest.put(stamp.digest_part(id.stamp));
                stamp
            }
        };
        self.stamps.insert(id.stamp, stamp);
        self.by_use.insert((revision, id.stamp));
        let mut done = KeptAnswer::of(answer, id.command_hash);
        if self.warnings_bytes + done.warnings_bytes() > REMEMBERED_WARNINGS_BYTES_MAX {
            done.warnings = None;
        }
        self.warnings_bytes += done.warnings_bytes();
        digest.put(done.digest_part(key));
        self.done.insert(key, done);
        if let Some(expired) = stamp.highest.checked_sub(NUMBERS_MAX) {
            self.forget(id.stamp, expired, digest);
        }
        if self.stamps.len() > STAMPS_MAX {
            self.forget_oldest(digest);
        }
    }

    fn forget_oldest(&mut self, digest: &mut Digest) {
        let Some((used, number)) = self.by_use.get_min().copied() else { return };
        self.by_use.remove(&(used, number));
        if let Some(stamp) = self.stamps.remove(&number) {
            digest.take(stamp.digest_part(number));
            digest.take(parts::forgotten_stamps(self.forgotten));
            self.forgotten = self.forgotten.max(stamp.given);
            digest.put(parts::forgotten_stamps(self.forgotten));
        }
        self.forget(number, u64::MAX, digest);
    }

    /// Forgets a stamp's numbers up to this one.
    fn forget(&mut self, stamp: u64, through: u64, digest: &mut Digest) {
        while let Some(key) = self.done.get_next(&(stamp, 0)).map(|(key, _)| *key) {
            if key.0 != stamp || key.1 > through {
                return;
            }
            if let Some(done) = self.done.remove(&key) {
                digest.take(done.digest_part(key));
                self.warnings_bytes -= done.warnings_bytes();
            }
        }
    }

    pub(crate) fn hash_of_all(&self) -> u128 {
        let stamps = self.stamps.iter().map(|(number, stamp)| stamp.digest_part(*number));
        let done = self.done.iter().map(|(key, done)| done.digest_part(*key));
        let forgotten = parts::forgotten_stamps(self.forgotten);
        stamps.chain(done).fold(forgotten, u128::wrapping_add)
    }
}

/// Whether the window of the stamp has passed this number.
fn is_behind(stamp: &StampUse, number: u64) -> bool {
    number.saturating_add(NUMBERS_MAX) <= stamp.highest
}

impl StampUse {
    /// Highest number and last use follow from the commands; the rest is of feature level 3.
    fn digest_part(&self, number: u64) -> u128 {
        parts::stamp(number, self.given, self.author)
    }
}

impl KeptAnswer {
    fn of(answer: &DoneCommand, hash: u64) -> KeptAnswer {
        let DoneCommand { revision, object, warnings } = answer;
        let warnings = (!warnings.is_empty()).then(|| Arc::new(warnings.clone()));
        KeptAnswer { revision: *revision, object: (*object).into(), hash, warnings }
    }

    fn answer(&self) -> DoneCommand {
        DoneCommand {
            revision: self.revision,
            object: self.object.into(),
            warnings: self.warnings.as_deref().cloned().unwrap_or_default(),
        }
    }

    fn warnings_bytes(&self) -> usize {
        self.warnings.iter().flat_map(|warnings| warnings.iter()).map(String::len).sum()
    }

    fn digest_part(&self, (stamp, number): (u64, u64)) -> u128 {
        let warnings = self.warnings.as_deref().map_or(&[][..], Vec::as_slice);
        let object = self.object.into();
        parts::command((stamp, number), self.revision, object, (self.hash, warnings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHOR: u64 = 0xa1;
    const HERE: Lineage = Lineage(7);

    fn command(stamp: u64, number: u64) -> CommandId {
        CommandId { stamp, number, ..CommandId::default() }
    }

    /// An id of feature level 3, given at this revision.
    fn bound(stamp: u64, number: u64, given_revision: u64) -> CommandId {
        CommandId { stamp, number, given_revision, lineage: HERE.0, command_hash: 99 }
    }

    fn done(revision: u64, object: u128) -> CommandStatus {
        let (revision, object) = (Revision(revision), Id(object));
        CommandStatus::Done(DoneCommand { revision, object, warnings: Vec::new() })
    }

    struct Marked {
        stamps: Stamps,
        digest: Digest,
        revision: u64,
        lineage: Lineage,
    }

    impl Marked {
        fn new() -> Marked {
            let (stamps, digest) = (Stamps::default(), Digest::default());
            Marked { stamps, digest, revision: 0, lineage: Lineage::NONE }
        }

        fn at_level_3() -> Marked {
            Marked { lineage: HERE, ..Marked::new() }
        }

        fn mark(&mut self, id: CommandId) {
            self.mark_warning(id, &[]);
        }

        fn mark_warning(&mut self, id: CommandId, warnings: &[&str]) {
            self.revision += 1;
            let answer = DoneCommand {
                revision: Revision(self.revision),
                object: Id(u128::from(id.number) + 1),
                warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
            };
            self.stamps.mark(id, AUTHOR, &answer, &mut self.digest);
            assert_eq!(self.digest.0, self.stamps.hash_of_all(), "after {id:?}");
        }

        /// The same where the digest would take too long to recompute each time.
        fn mark_many(&mut self, ids: impl Iterator<Item = CommandId>) {
            for id in ids {
                self.revision += 1;
                let (revision, object) = (Revision(self.revision), Id(u128::from(id.number) + 1));
                let answer = DoneCommand { revision, object, warnings: Vec::new() };
                self.stamps.mark(id, AUTHOR, &answer, &mut self.digest);
            }
            assert_eq!(self.digest.0, self.stamps.hash_of_all());
        }

        fn lookup(&self, id: CommandId) -> CommandStatus {
            self.lookup_by(AUTHOR, id)
        }

        fn lookup_by(&self, author: u64, id: CommandId) -> CommandStatus {
            let newest = Revision(self.revision);
            self.stamps.lookup(id, AskedOf { author, lineage: self.lineage, newest })
        }
    }

    #[test]
    fn a_command_is_done_once() {
        let mut marked = Marked::new();
        assert_eq!(marked.lookup(command(1, 1)), CommandStatus::New);
        marked.mark(command(1, 1));
        assert_eq!(marked.lookup(command(1, 1)), done(1, 2));
        marked.mark(command(1, 1));
        assert_eq!(marked.lookup(command(1, 1)), done(1, 2), "the first time counts");
        assert_eq!(marked.lookup(command(1, 2)), CommandStatus::New);
        assert_eq!(marked.lookup(command(2, 1)), CommandStatus::New);
    }

    #[test]
    fn a_command_that_is_asked_again_is_warned_of_the_same() {
        let mut marked = Marked::at_level_3();
        marked.mark_warning(bound(1, 1, 0), &["no node has that volume driver"]);
        let CommandStatus::Done(again) = marked.lookup(bound(1, 1, 0)) else {
            panic!("it is done")
        };
        assert_eq!(again.warnings, ["no node has that volume driver"]);
    }

    #[test]
    fn warnings_are_remembered_up_to_a_bound_and_again_when_others_are_forgotten() {
        let mut marked = Marked::at_level_3();
        let half = "x".repeat(REMEMBERED_WARNINGS_BYTES_MAX / 2);
        let told = |marked: &Marked, id| {
            let CommandStatus::Done(done) = marked.lookup(id) else { panic!("it is done") };
            done.warnings.len()
        };
        for number in 1..=3 {
            marked.mark_warning(bound(1, number, 0), &[&half]);
        }
        let kept: Vec<usize> = (1..=3).map(|number| told(&marked, bound(1, number, 0))).collect();
        assert_eq!(kept, [1, 1, 0]);
        marked.mark_warning(bound(1, NUMBERS_MAX + 1, 0), &[]);
        marked.mark_warning(bound(1, NUMBERS_MAX + 2, 0), &[&half]);
        assert_eq!(told(&marked, bound(1, NUMBERS_MAX + 2, 0)), 1, "the first one is forgotten");
    }

    #[test]
    fn numbers_may_come_out_of_order_within_the_window() {
        let mut marked = Marked::new();
        marked.mark(command(1, NUMBERS_MAX + 10));
        assert_eq!(marked.lookup(command(1, 10)), CommandStatus::Expired);
        assert_eq!(marked.lookup(command(1, 11)), CommandStatus::New);
        marked.mark(command(1, 11));
        marked.mark(command(1, 10));
        assert_eq!(marked.stamps.done.len(), 2, "an expired one is not remembered");
        marked.mark(command(1, NUMBERS_MAX + 11));
        assert_eq!(marked.lookup(command(1, 11)), CommandStatus::Expired);
        assert_eq!(marked.stamps.done.len(), 2);
    }

    #[test]
    fn the_window_never_grows_beyond_its_bound() {
        let mut marked = Marked::new();
        marked.mark_many((1..=3 * NUMBERS_MAX).map(|number| command(7, number)));
        assert_eq!(marked.stamps.done.len() as u64, NUMBERS_MAX);
        assert_eq!(marked.lookup(command(7, 2 * NUMBERS_MAX)), CommandStatus::Expired);
        assert!(matches!(marked.lookup(command(7, 2 * NUMBERS_MAX + 1)), CommandStatus::Done(_)));
    }

    #[test]
    fn the_stamp_used_longest_ago_is_forgotten_first() {
        let mut marked = Marked::new();
        marked.mark_many((1..=STAMPS_MAX as u64).map(|stamp| command(stamp, 1)));
        marked.mark_many([command(1, 2), command(u64::MAX, 1)].into_iter());
        assert_eq!(marked.stamps.len(), STAMPS_MAX);
        assert_eq!(marked.lookup(command(2, 1)), CommandStatus::New, "forgotten");
        let used_again = marked.lookup(command(1, 1));
        assert!(matches!(used_again, CommandStatus::Done(_)), "used again in time");
    }

    #[test]
    fn a_stamp_that_may_have_been_forgotten_is_expired_not_new() {
        let mut marked = Marked::at_level_3();
        // Each was given just before it was used; the very first is used once more at the end.
        let ids = (1..=STAMPS_MAX as u64).map(|stamp| bound(stamp, 1, stamp - 1));
        marked.mark_many(ids);
        marked.mark_many([bound(1, 2, 0), bound(u64::MAX, 1, 9)].into_iter());
        assert_eq!(marked.lookup(bound(2, 1, 1)), CommandStatus::Expired, "it was done");
        assert_eq!(marked.lookup(bound(u64::MAX - 1, 1, 1)), CommandStatus::Expired, "as old");
        assert_eq!(marked.lookup(bound(u64::MAX - 1, 1, 2)), CommandStatus::New, "given later");
        assert_eq!(marked.lookup(bound(1, 3, 0)), CommandStatus::New, "older, and remembered");
    }

    #[test]
    fn a_stamp_from_the_future_belongs_to_a_history_that_went_back() {
        let mut marked = Marked::at_level_3();
        marked.mark(bound(1, 1, 0));
        assert_eq!(marked.lookup(bound(2, 1, 1)), CommandStatus::New);
        assert_eq!(marked.lookup(bound(2, 1, 2)), CommandStatus::Expired);
    }

    #[test]
    fn a_stamp_belongs_to_its_author() {
        let mut marked = Marked::at_level_3();
        marked.mark(bound(1, 1, 0));
        assert_eq!(marked.lookup_by(AUTHOR + 1, bound(1, 1, 0)), CommandStatus::OtherAuthor);
        assert_eq!(marked.lookup_by(AUTHOR + 1, bound(1, 2, 0)), CommandStatus::OtherAuthor);
        assert_eq!(marked.lookup_by(AUTHOR + 1, bound(2, 1, 0)), CommandStatus::New);
    }

    #[test]
    fn an_id_belongs_to_what_its_command_asks() {
        let mut marked = Marked::at_level_3();
        marked.mark(bound(1, 1, 0));
        let other = CommandId { command_hash: 98, ..bound(1, 1, 0) };
        assert_eq!(marked.lookup(other), CommandStatus::OtherCommand(Revision(1)));
        assert_eq!(marked.lookup(bound(1, 1, 0)), done(1, 2));
    }

    #[test]
    fn what_another_history_may_have_done_is_not_new_here() {
        let mut marked = Marked::at_level_3();
        marked.mark(bound(1, 1, 0));
        marked.lineage = Lineage(8);
        assert_eq!(marked.lookup(bound(1, 1, 0)), done(1, 2), "it was done before they parted");
        assert_eq!(marked.lookup(bound(1, 2, 0)), CommandStatus::OtherHistory);
        assert_eq!(marked.lookup(bound(2, 1, 0)), CommandStatus::OtherHistory);
    }

    #[test]
    fn records_from_before_bind_nothing() {
        let mut marked = Marked::new();
        marked.mark(command(1, 1));
        marked.lineage = HERE;
        assert_eq!(marked.lookup_by(AUTHOR + 1, bound(1, 1, 0)), done(1, 2));
        assert_eq!(marked.lookup(command(2, 1)), CommandStatus::OtherHistory, "it names none");
    }

    #[test]
    fn no_stamp_is_never_remembered() {
        let mut marked = Marked::at_level_3();
        marked.mark(command(0, 5));
        assert!(marked.stamps.is_empty());
        assert_eq!(marked.lookup(command(0, 5)), CommandStatus::New);
    }
}
