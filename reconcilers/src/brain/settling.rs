//! One settling: which reconciler has seen which changes, and how many records may still be
//! written.
//!
//! Changes are kept as batches, one for each answer that was written; each reconciler has a
//! position in that list. So batches are merged only where a reconciler has missed more than one.
//!
//! An answer may use half of the room that is left, so that the others have their turn in the same
//! entry; the last in the order may use all, and so may one that alone spoke in the round before.
//! What a reconciler leaves is added to what it is asked about next, in the next round or, once the
//! entry is full, in the next turn.

use super::culprit;
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
/// The least share of an entry, as a part of the whole: smaller ones would only cost more rounds.
const SHARE_MIN_DIVISOR: usize = 16;

/// What came of a settling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// The decisions, already applied to the tip: the first has the revision after the tip's
    /// position before.
    pub records: Vec<Record>,
    /// Everything that they changed.
    pub changed: Delta,
    /// Changes that some reconciler has not reacted to yet because the entry is full; belongs into
    /// the next turn's delta.
    pub left: Delta,
    /// The earliest deadline at which a turn is wanted even if nothing happens. Replaces the one of
    /// the turn before.
    pub wake_at: Option<Timestamp>,
    /// Objects that were parked in this turn.
    pub parked: Vec<Id>,
}

pub(super) struct Settling<'a> {
    reconcilers: &'a [Box<dyn Reconciler + Send + Sync>],
    tip: &'a mut View,
    turn: &'a Turn,
    room: usize,
    batches: Vec<Rc<Delta>>,
    /// For each reconciler: batches it has seen.
    seen: Vec<usize>,
    /// For each reconciler: what it has seen and left.
    left: Vec<Delta>,
    wake_at: Vec<Option<Timestamp>>,
    /// How many have decided something in the round before; all may in the first.
    speakers: usize,
    /// How many are still to be asked for the first time in this turn.
    unasked: usize,
    settled: Settled,
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
        delta: Delta,
        turn: &'a Turn,
        room: usize,
    ) -> Settling<'a> {
        Settling {
            seen: vec![0; reconcilers.len()],
            left: vec![Delta::default(); reconcilers.len()],
            wake_at: vec![None; reconcilers.len()],
            batches: vec![Rc::new(delta)],
            speakers: reconcilers.len(),
            unasked: reconcilers.len(),
            settled: Settled::default(),
            reconcilers,
            tip,
            turn,
            room,
        }
    }

    /// Rounds until no reconciler decides anything more, or the entry is full.
    pub(super) fn run(&mut self) {
        let mut round = Round::First;
        let mut rounds = 0;
        loop {
            let mut speakers = 0;
            for who in 0..self.reconcilers.len() {
                if self.room() == 0 {
                    return;
                }
                self.unasked = self.unasked.saturating_sub(1);
                let delta = self.delta_for(who, round);
                if round == Round::First || !delta.is_empty() {
                    let said = self.settled.records.len();
                    self.answer(who, &delta);
                    speakers += usize::from(self.settled.records.len() > said);
                }
            }
            round = Round::Later;
            self.speakers = speakers;
            if speakers == 0 {
                return;
            }
            rounds += 1;
            if rounds == ROUNDS_MAX {
                if self.park_the_restless() == 0 {
                    return;
                }
                rounds = 0;
            }
        }
    }

    pub(super) fn finish(mut self) -> Settled {
        for batch in &self.batches[1..] {
            self.settled.changed.merge(batch);
        }
        self.settled.wake_at = self.wake_at.iter().fold(None, |a, b| earlier(a, *b));
        if self.room() == 0 {
            let unseen = self.seen.iter().copied().min().unwrap_or(0);
            for batch in self.left.iter().chain(self.batches[unseen..].iter().map(Rc::as_ref)) {
                self.settled.left.merge(batch);
            }
            // What has left the view needs no reaction; it has been passed on as changed already.
            self.settled.left.gone.clear();
            // Somebody may not even have been asked when it wants to wake.
            self.settled.wake_at = Some(self.turn.now);
        }
        self.settled
    }

    /// How many records may still be written.
    fn room(&self) -> usize {
        self.room.saturating_sub(self.settled.records.len())
    }

    /// How many of them one answer may use: so many that all who are still to be asked for the
    /// first time have the least share.
    fn share(&self, who: usize) -> usize {
        let room = self.room();
        if self.speakers == 1 || who + 1 == self.reconcilers.len() {
            return room;
        }
        let least = (self.room / SHARE_MIN_DIVISOR).max(1);
        let kept = least.saturating_mul(self.unasked);
        room.div_ceil(2).max(least).min(room.saturating_sub(kept)).max(1)
    }

    /// What changed since this one was last asked, and what it left then, less what is parked.
    /// Deadlines count in the first round of a turn.
    fn delta_for(&self, who: usize, round: Round) -> Rc<Delta> {
        let mut delta = match &self.batches[self.seen[who]..] {
            [] => Rc::default(),
            [only] => Rc::clone(only),
            [oldest, rest @ ..] => {
                let mut merged = Delta::clone(oldest);
                rest.iter().for_each(|batch| merged.merge(batch));
                Rc::new(merged)
            }
        };
        if round == Round::First {
            let reconciler = &self.reconcilers[who];
            let due = catch_unwind(AssertUnwindSafe(|| reconciler.due(self.tip, self.turn.now)));
            let due = due.unwrap_or_default();
            if !due.is_empty() {
                Rc::make_mut(&mut delta).merge(&due);
            }
        }
        if !self.left[who].is_empty() {
            Rc::make_mut(&mut delta).merge(&self.left[who]);
        }
        if self.tip.all_parked().next().is_some() {
            culprit::drop_parked(self.tip, Rc::make_mut(&mut delta));
        }
        delta
    }

    /// One reconciler's answer to one change, written.
    fn answer(&mut self, who: usize, delta: &Delta) {
        self.seen[who] = self.batches.len();
        self.left[who] = Delta::default();
        match self.ask(who, delta) {
            Ok(plan) => {
                self.wake_at[who] = plan.wake_at;
                self.left[who] = plan.left;
                let said = self.batches.len();
                self.write(who, plan.decisions);
                // What changes nothing would be said for ever.
                if self.batches[said..].iter().any(|batch| batch.is_empty()) {
                    self.left[who] = Delta::default();
                }
            }
            Err(_) => self.answer_one_by_one(who, delta),
        }
    }

    fn ask(&self, who: usize, delta: &Delta) -> Result<Plan, String> {
        let reconciler = &self.reconcilers[who];
        let share = self.share(who);
        catch_unwind(AssertUnwindSafe(|| reconciler.reconcile(self.tip, delta, self.turn, share)))
            .map_err(|payload| culprit::message(payload.as_ref()))
    }

    /// After a panic: each object alone, so that only the one it fails on is parked.
    fn answer_one_by_one(&mut self, who: usize, delta: &Delta) {
        for object in culprit::objects(delta) {
            let mut alone = object.delta();
            culprit::drop_parked(self.tip, &mut alone);
            if self.room() == 0 {
                self.left[who].merge(&alone);
            } else if !alone.is_empty() {
                match self.ask(who, &alone) {
                    Ok(plan) => {
                        self.left[who].merge(&plan.left);
                        self.write(who, plan.decisions);
                    }
                    Err(message) => {
                        let (id, cause) = culprit::identity(self.tip, object);
                        self.park(who, id, cause, format!("panicked: {message}"));
                    }
                }
            }
        }
    }

    /// After too many rounds: what would be spoken about next is parked instead. Answers how many
    /// objects.
    fn park_the_restless(&mut self) -> usize {
        let mut parked = 0;
        for who in 0..self.reconcilers.len() {
            let delta = self.delta_for(who, Round::Later);
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
                if self.room() == 0 {
                    return parked;
                }
                let message = format!("did not fall silent in {ROUNDS_MAX} rounds");
                self.park(who, id, cause, message);
                parked += 1;
            }
        }
        parked
    }

    fn park(&mut self, who: usize, id: Id, cause: Revision, message: String) {
        if id.is_none() {
            return;
        }
        let reconciler = self.reconcilers[who].name();
        let parked =
            v1::ObjectParked { object_id: id.to_bytes(), reconciler: reconciler as i32, message };
        let kind = v1::event::Kind::ObjectParked(parked);
        self.write(who, vec![Decision { cause, kind }]);
        self.settled.parked.push(id);
    }

    /// Applies decisions to the tip, as one batch.
    fn write(&mut self, who: usize, decisions: Vec<Decision>) {
        if decisions.is_empty() {
            return;
        }
        let author = author::reconciler(self.reconcilers[who].name());
        let mut changed = Delta::default();
        for Decision { cause, kind } in decisions {
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
    }
}
