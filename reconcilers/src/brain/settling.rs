//! One settling: which reconciler has seen which changes, and how many records may still be
//! written.
//!
//! Changes are kept as batches, one for each answer that was written; each reconciler has a
//! position in that list. So batches are merged only where a reconciler has missed more than one.

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

/// What came of a settling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// The decisions, already applied to the tip: the first has the revision after the tip's
    /// position before.
    pub records: Vec<Record>,
    /// Everything that they changed.
    pub changed: Delta,
    /// Changes that no reconciler has reacted to yet because the entry is full; belongs into the
    /// next turn's delta.
    pub left: Delta,
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
    wake_at: Vec<Option<Timestamp>>,
    cut: bool,
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
            wake_at: vec![None; reconcilers.len()],
            batches: vec![Rc::new(delta)],
            cut: false,
            settled: Settled::default(),
            reconcilers,
            tip,
            turn,
            room,
        }
    }

    /// Rounds until no reconciler decides anything more.
    pub(super) fn run(&mut self) {
        let mut round = Round::First;
        let mut rounds = 0;
        while !self.cut {
            let said = self.settled.records.len();
            for who in 0..self.reconcilers.len() {
                let delta = self.delta_for(who, round);
                if round == Round::First || !delta.is_empty() {
                    self.answer(who, &delta);
                }
                if self.cut {
                    return;
                }
            }
            round = Round::Later;
            if self.settled.records.len() == said {
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
        if self.cut {
            let unseen = self.seen.iter().copied().min().unwrap_or(0);
            for batch in &self.batches[unseen..] {
                self.settled.left.merge(batch);
            }
            // What has left the view needs no reaction; it has been passed on as changed already.
            self.settled.left.gone.clear();
            self.settled.wake_at = Some(self.turn.now);
        }
        self.settled
    }

    /// What changed since this one was last asked, less what is parked. Deadlines count in the
    /// first round of a turn.
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
        if self.tip.all_parked().next().is_some() {
            culprit::drop_parked(self.tip, Rc::make_mut(&mut delta));
        }
        delta
    }

    /// One reconciler's answer to one change, written.
    fn answer(&mut self, who: usize, delta: &Delta) {
        let before = self.seen[who];
        self.seen[who] = self.batches.len();
        loop {
            let said = self.batches.len();
            let (room, more) = match self.ask(who, delta) {
                Ok(plan) => {
                    self.wake_at[who] = plan.wake_at;
                    (self.write(who, plan.decisions), plan.more)
                }
                Err(_) => (self.answer_one_by_one(who, delta), false),
            };
            if room == Room::UsedUp {
                self.seen[who] = before;
                self.cut = true;
                return;
            }
            // What changes nothing would be said for ever.
            let moved = self.batches[said..].iter().any(|batch| !batch.is_empty());
            if !more || !moved {
                return;
            }
        }
    }

    fn ask(&self, who: usize, delta: &Delta) -> Result<Plan, String> {
        let reconciler = &self.reconcilers[who];
        catch_unwind(AssertUnwindSafe(|| reconciler.reconcile(self.tip, delta, self.turn)))
            .map_err(|payload| culprit::message(payload.as_ref()))
    }

    /// After a panic: each object alone, so that only the one it fails on is parked.
    fn answer_one_by_one(&mut self, who: usize, delta: &Delta) -> Room {
        for object in culprit::objects(delta) {
            let mut alone = object.delta();
            culprit::drop_parked(self.tip, &mut alone);
            if alone.is_empty() {
                continue;
            }
            let room = match self.ask(who, &alone) {
                Ok(plan) => self.write(who, plan.decisions),
                Err(message) => {
                    let (id, cause) = culprit::identity(self.tip, object);
                    self.park(who, id, cause, format!("panicked: {message}"))
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
                let message = format!("did not fall silent in {ROUNDS_MAX} rounds");
                if self.park(who, id, cause, message) == Room::UsedUp {
                    self.cut = true;
                    return parked;
                }
                parked += 1;
            }
        }
        parked
    }

    fn park(&mut self, who: usize, id: Id, cause: Revision, message: String) -> Room {
        if id.is_none() {
            return Room::Enough;
        }
        let reconciler = self.reconcilers[who].name();
        let parked =
            v1::ObjectParked { object_id: id.to_bytes(), reconciler: reconciler as i32, message };
        let room = self.write(
            who,
            vec![Decision { cause, kind: v1::event::Kind::ObjectParked(parked), joined: false }],
        );
        if room == Room::Enough {
            self.settled.parked.push(id);
        }
        room
    }

    /// Applies decisions to the tip as long as there is room, as one batch.
    fn write(&mut self, who: usize, decisions: Vec<Decision>) -> Room {
        if decisions.is_empty() {
            return Room::Enough;
        }
        let author = author::reconciler(self.reconcilers[who].name());
        let mut changed = Delta::default();
        let mut room = Room::Enough;
        for Decision { cause, kind, joined } in decisions {
            if self.settled.records.len() >= self.room && !joined {
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
