//! One settling: which reconciler has seen which changes, and how many records may still be
//! written.
//!
//! Changes are kept as batches, one for each answer that was written; each reconciler has a
//! position in that list. So batches are merged only where a reconciler has missed more than one.
//!
//! The reconcilers are asked in rounds, about what is new to them, and each may use half of the
//! room that is left. One that has decided more is asked about the same change again when nothing
//! new is left for anybody. Then the last in the order comes first, since it finishes what those
//! before it have begun: what is created in one turn is placed before more is created.

use super::{
    culprit,
    unsettled::{Remainder, Unsettled},
};
use crate::plan::{Decision, Plan, Reconciler, Turn, earlier};
use skep_projections::{Delta, View, apply::Stamp};
use skep_proto::{Id, Revision, Timestamp, author, event, v1, v1::Record};
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

/// Rounds without silence after which whatever is still being spoken about is parked.
pub const ROUNDS_MAX: usize = 64;

/// What came of a settling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// The decisions, already applied to the tip: the first has the revision after the tip's
    /// position before.
    pub records: Vec<Record>,
    /// Everything that they changed.
    pub changed: Delta,
    /// What reconcilers have not reacted to yet because the entry is full; is to be settled in the
    /// next turn.
    pub left: Unsettled,
    /// The earliest deadline at which a turn is wanted even if nothing happens. Replaces the one of
    /// the turn before.
    pub wake_at: Option<Timestamp>,
    /// Objects that were parked in this turn.
    pub parked: Vec<Id>,
}

/// Whether there was room for all that was to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    UsedUp,
}

pub(super) struct Settling<'a> {
    reconcilers: &'a [Box<dyn Reconciler + Send + Sync>],
    tip: &'a mut View,
    turn: &'a Turn,
    room: usize,
    batches: Vec<Rc<Delta>>,
    /// For each reconciler: batches it has seen.
    seen: Vec<usize>,
    /// For each reconciler: what the turns before left, and what found no room in this one.
    remainders: Vec<Remainder>,
    wake_at: Vec<Option<Timestamp>>,
    cut: bool,
    settled: Settled,
}

/// How much of the room that is left a reconciler may use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    Half,
    All,
}

/// Which round of a turn it is: reconcilers are asked in the first one even if nothing changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    Later,
}

impl<'a> Settling<'a> {
    pub(super) fn new(
        reconcilers: &'a [Box<dyn Reconciler + Send + Sync>],
        tip: &'a mut View,
        unsettled: Unsettled,
        turn: &'a Turn,
        room: usize,
    ) -> Settling<'a> {
        let Unsettled { new, mut remainders } = unsettled;
        remainders.resize_with(reconcilers.len(), Remainder::default);
        Settling {
            seen: vec![0; reconcilers.len()],
            remainders,
            wake_at: vec![None; reconcilers.len()],
            batches: vec![Rc::new(new)],
            cut: false,
            settled: Settled::default(),
            reconcilers,
            tip,
            turn,
            room,
        }
    }

    /// Rounds until no reconciler decides anything more. Ends: a round without a reconciler that
    /// used up its share is counted, and any other takes at least half of the room that was left.
    pub(super) fn run(&mut self) {
        let mut round = Round::First;
        let mut rounds = 0;
        while !self.cut {
            let said = self.settled.records.len();
            let room = self.ask_about_news(round);
            round = Round::Later;
            if self.cut {
                return;
            }
            if self.settled.records.len() == said {
                rounds = 0;
                let waiting = self.with_unfinished();
                if waiting.is_empty() {
                    return;
                }
                self.go_on_with(&waiting);
            } else if room == Room::Enough {
                rounds += 1;
            }
            if rounds == ROUNDS_MAX {
                rounds = 0;
                if self.park_the_restless() == 0 {
                    self.seen.fill(self.batches.len());
                }
            }
        }
    }

    /// One round: each reconciler is asked about what it has not seen yet.
    fn ask_about_news(&mut self, round: Round) -> Room {
        let mut result = Room::Enough;
        for who in 0..self.reconcilers.len() {
            if self.must_wait(who) {
                continue;
            }
            let delta = self.news_for(who, round);
            if round == Round::Later && delta.is_empty() {
                continue;
            }
            self.seen[who] = self.batches.len();
            let is_last = who + 1 == self.reconcilers.len();
            let share = if is_last { Share::All } else { Share::Half };
            if self.answer(who, &delta, share) == Room::UsedUp {
                result = Room::UsedUp;
            }
            if self.cut {
                break;
            }
        }
        result
    }

    /// Ended tasks are not removed while another one has still to react to them: it is asked again
    /// about the same change, and would not find them.
    fn must_wait(&self, who: usize) -> bool {
        let needs_tasks = |(other, remainder): (&Box<dyn Reconciler + Send + Sync>, &Remainder)| {
            let names_tasks =
                !remainder.unfinished.tasks.is_empty() || !remainder.unfinished.nodes.is_empty();
            names_tasks && !other.bears_reaping()
        };
        let history = v1::Reconciler::History;
        let others = self.reconcilers.iter().zip(&self.remainders);
        self.reconcilers[who].name() == history
            && others.filter(|(other, _)| other.name() != history).any(needs_tasks)
    }

    /// The reconcilers that have decided more than they could write, the last one first.
    fn with_unfinished(&self) -> Vec<usize> {
        let all = (0..self.reconcilers.len()).rev();
        all.filter(|who| !self.remainders[*who].unfinished.is_empty()).collect()
    }

    /// They are asked again about the change that they have not finished.
    fn go_on_with(&mut self, waiting: &[usize]) {
        for (nth, who) in waiting.iter().copied().enumerate() {
            if self.must_wait(who) {
                continue;
            }
            let mut delta = std::mem::take(&mut self.remainders[who].unfinished);
            culprit::drop_parked(self.tip, &mut delta);
            let share = if nth + 1 == waiting.len() { Share::All } else { Share::Half };
            self.answer(who, &delta, share);
            if self.cut {
                return;
            }
        }
    }

    pub(super) fn finish(mut self) -> Settled {
        for batch in &self.batches[1..] {
            self.settled.changed.merge(batch);
        }
        self.settled.wake_at = self.wake_at.iter().fold(None, |a, b| earlier(a, *b));
        if self.cut {
            for (remainder, seen) in self.remainders.iter_mut().zip(&self.seen) {
                let Remainder { unfinished, unseen } = remainder;
                self.batches[*seen..].iter().for_each(|batch| unseen.merge(batch));
                unseen.subtract(unfinished);
                // What has left the view needs no reaction; it has been passed on as changed
                // already.
                unseen.gone.clear();
                unfinished.gone.clear();
            }
            self.settled.left.remainders = self.remainders;
            self.settled.wake_at = Some(self.turn.now);
        }
        self.settled
    }

    /// What changed since this one was last asked, less what is parked, and less what it is asked
    /// about again anyway. Deadlines count in the first round of a turn.
    fn news_for(&mut self, who: usize, round: Round) -> Rc<Delta> {
        let mut delta = match &self.batches[self.seen[who]..] {
            [] => Rc::default(),
            [only] => Rc::clone(only),
            [oldest, rest @ ..] => {
                let mut merged = Delta::clone(oldest);
                rest.iter().for_each(|batch| merged.merge(batch));
                Rc::new(merged)
            }
        };
        let Remainder { unfinished, unseen } = &mut self.remainders[who];
        if !unseen.is_empty() {
            Rc::make_mut(&mut delta).merge(&std::mem::take(unseen));
        }
        if round == Round::First {
            let reconciler = &self.reconcilers[who];
            let due = catch_unwind(AssertUnwindSafe(|| reconciler.due(self.tip, self.turn.now)));
            let due = due.unwrap_or_default();
            if !due.is_empty() {
                Rc::make_mut(&mut delta).merge(&due);
            }
        }
        if !unfinished.is_empty() {
            Rc::make_mut(&mut delta).subtract(unfinished);
        }
        if self.tip.all_parked().next().is_some() {
            culprit::drop_parked(self.tip, Rc::make_mut(&mut delta));
        }
        delta
    }

    /// One reconciler's answer to one change, written as far as its share of the room goes. What
    /// found no room is asked about again.
    fn answer(&mut self, who: usize, delta: &Delta, share: Share) -> Room {
        let full = self.records_at_most(share);
        let room = self.write_answer(who, delta, full);
        if room == Room::UsedUp {
            self.remainders[who].unfinished.merge(delta);
            self.cut = self.settled.records.len() >= self.room;
        }
        room
    }

    /// How many records there may be when a share of the room is used up.
    fn records_at_most(&self, share: Share) -> usize {
        let said = self.settled.records.len();
        let left = self.room.saturating_sub(said);
        match share {
            Share::Half => said + left.div_ceil(2),
            Share::All => said + left,
        }
    }

    fn write_answer(&mut self, who: usize, delta: &Delta, full: usize) -> Room {
        loop {
            let said = self.batches.len();
            let (room, more) = match self.ask(who, delta) {
                Ok(plan) => {
                    self.wake_at[who] = plan.wake_at;
                    (self.write(who, plan.decisions, full), plan.more)
                }
                Err(_) => (self.answer_one_by_one(who, delta, full), false),
            };
            // What changes nothing would be said for ever.
            let moved = self.batches[said..].iter().any(|batch| !batch.is_empty());
            if room == Room::UsedUp || !more || !moved {
                return room;
            }
            if self.settled.records.len() >= full {
                return Room::UsedUp;
            }
        }
    }

    fn ask(&self, who: usize, delta: &Delta) -> Result<Plan, String> {
        let reconciler = &self.reconcilers[who];
        catch_unwind(AssertUnwindSafe(|| reconciler.reconcile(self.tip, delta, self.turn)))
            .map_err(|payload| culprit::message(payload.as_ref()))
    }

    /// After a panic: each object alone, so that only the one it fails on is parked.
    fn answer_one_by_one(&mut self, who: usize, delta: &Delta, full: usize) -> Room {
        for object in culprit::objects(delta) {
            let mut alone = object.delta();
            culprit::drop_parked(self.tip, &mut alone);
            if alone.is_empty() {
                continue;
            }
            let room = match self.ask(who, &alone) {
                Ok(plan) => self.write(who, plan.decisions, full),
                Err(message) => {
                    let (id, cause) = culprit::identity(self.tip, object);
                    self.park(who, (id, cause), format!("panicked: {message}"), full)
                }
            };
            if room == Room::UsedUp {
                return Room::UsedUp;
            }
        }
        Room::Enough
    }

    /// After too many rounds: what would be spoken about next is parked instead. Answers how many
    /// objects.
    fn park_the_restless(&mut self) -> usize {
        let mut parked = 0;
        for who in 0..self.reconcilers.len() {
            let delta = self.news_for(who, Round::Later);
            if delta.is_empty() {
                continue;
            }
            let decisions = self.ask(who, &delta).map(|plan| plan.decisions).unwrap_or_default();
            let restless: BTreeSet<_> =
                decisions.iter().map(|said| culprit::subject(self.tip, said)).collect();
            for (id, cause) in restless {
                if id.is_none() || self.tip.parked(id).is_some() {
                    continue;
                }
                let message = format!("did not fall silent in {ROUNDS_MAX} rounds");
                if self.park(who, (id, cause), message, self.room) == Room::UsedUp {
                    self.cut = true;
                    return parked;
                }
                parked += 1;
            }
        }
        parked
    }

    fn park(
        &mut self,
        who: usize,
        (id, cause): (Id, Revision),
        message: String,
        full: usize,
    ) -> Room {
        if id.is_none() {
            return Room::Enough;
        }
        let reconciler = self.reconcilers[who].name();
        let parked =
            v1::ObjectParked { object_id: id.to_bytes(), reconciler: reconciler as i32, message };
        let room = self.write(
            who,
            vec![Decision { cause, kind: v1::event::Kind::ObjectParked(parked), joined: false }],
            full,
        );
        if room == Room::Enough {
            self.settled.parked.push(id);
        }
        room
    }

    /// Applies decisions to the tip until there are so many records, as one batch.
    fn write(&mut self, who: usize, decisions: Vec<Decision>, full: usize) -> Room {
        if decisions.is_empty() {
            return Room::Enough;
        }
        let author = author::reconciler(self.reconcilers[who].name());
        let mut changed = Delta::default();
        let mut room = Room::Enough;
        for Decision { cause, kind, joined } in decisions {
            if self.settled.records.len() >= full && !joined {
                room = Room::UsedUp;
                break;
            }
            let record = Record {
                author: Some(author.clone()),
                cause: cause.0,
                event: Some(event::event(kind)),
                ..Record::default()
            };
            let position = self.tip.position();
            let stamp = Stamp {
                revision: position.revision.next(),
                at: self.turn.now,
                incarnation: position.incarnation,
            };
            match self.tip.apply(stamp, &record) {
                Ok(delta) => changed.merge(&delta),
                Err(unknown) => {
                    unreachable!("a reconciler decided what this program does not know: {unknown}")
                }
            }
            self.settled.records.push(record);
        }
        self.batches.push(Rc::new(changed));
        room
    }
}
