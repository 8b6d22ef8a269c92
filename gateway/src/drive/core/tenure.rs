//! One tenure of this manager as leader: the tip it decides on, its time, and its next deadline.

use super::{
    identity::ManagerIdentity,
    queue::{Asker, RequestArrival, WaitingCaller},
    time::{LogClock, WallStep},
};
use crate::{
    admit::{MachineRequest, Request},
    clock::{Now, Uptime},
    turn::{Ask, Seeds, Tip, TurnOutput},
};
use skep_log::chain::Hash;
use skep_projections::View;
use skep_proto::{Timestamp, author, time::SECOND_NS, v1, v1::event::Kind};
use skep_reconcilers::Brain;
use std::sync::Arc;

/// A deadline that lies in the past after a turn counts as so far away: one that no reconciler acts
/// on must not spin.
const PAST_WAKE_DELAY_NS: u64 = SECOND_NS / 10;

/// What a manager needs while it leads in one term.
pub(super) struct LeaderTenure {
    pub(super) term: u64,
    /// None while a turn runs.
    tip: Option<Tip>,
    pub(super) clock: LogClock,
    /// Recorded in the next turn, before all requests.
    facts: Vec<Kind>,
    /// The last turn left work.
    more: bool,
    /// When the reconcilers want to be asked again.
    wake_at: Option<Timestamp>,
    /// No deadline counts before this.
    wake_floor: Uptime,
    /// Why the tip must be thrown away.
    pub(super) failed: Option<String>,
}

/// A turn that was handed out: running it decides, and touches nothing else.
pub struct TurnJob<C> {
    term: u64,
    tip: Tip,
    asks: Vec<Ask<WaitingCaller<C>>>,
    at: Timestamp,
    seeds: Seeds,
}

/// A turn that was run.
pub struct TurnDone<C> {
    pub(super) term: u64,
    pub(super) tip: Tip,
    pub(super) output: TurnOutput<WaitingCaller<C>>,
}

impl<C> TurnJob<C> {
    /// How many requests it decides.
    pub fn requests(&self) -> usize {
        self.asks.len()
    }

    /// Decides. May take as long as it likes: requests and commits come in meanwhile.
    pub fn run(self) -> TurnDone<C> {
        let TurnJob { term, mut tip, asks, at, seeds } = self;
        let output = tip.turn(asks, at, seeds);
        TurnDone { term, tip, output }
    }
}

impl<C> TurnDone<C> {
    /// How many records it made.
    pub fn records(&self) -> usize {
        self.output.records
    }

    /// The view with everything proposed so far.
    pub fn tip(&self) -> &View {
        self.tip.view()
    }

    /// Whether it left work for the next turn.
    pub fn has_more(&self) -> bool {
        self.output.more
    }

    /// The answers that will be given once they rest on what is committed.
    pub fn answers(&self) -> impl Iterator<Item = &crate::turn::Answer> {
        self.output.decided.answers().iter()
    }
}

impl LeaderTenure {
    /// Begins on the committed view, with what only a leader can say. `begun` is the incarnation
    /// that a recovered log must begin, `before` the clock of this process's tenure before.
    pub(super) fn begin(
        term: u64,
        (view, head): (&View, Hash),
        identity: &ManagerIdentity,
        begun: Option<u64>,
        before: Option<LogClock>,
        now: Now,
        seeds: Seeds,
    ) -> LeaderTenure {
        let (clock, jump) = match before {
            Some(clock) => clock.resume(view.at(), now),
            None => LogClock::begin(view.at(), now),
        };
        let mut facts = super::beginning::facts(view, identity, begun, seeds);
        let code_version = identity.code_version.clone();
        facts.push(Kind::TenureBegun(v1::TenureBegun { term, code_version }));
        facts.extend(jump.map(jumped));
        let tip = Tip::new(view.clone(), head, Brain::new(), &identity.code_version);
        LeaderTenure {
            term,
            tip: Some(tip),
            clock,
            facts,
            more: false,
            wake_at: None,
            wake_floor: now.uptime,
            failed: None,
        }
    }

    /// The same with entries of at most so many records.
    pub(super) fn with_entry_records(mut self, records: usize) -> LeaderTenure {
        self.tip = self.tip.map(|tip| tip.with_entry_records(records));
        self
    }

    /// Whether a turn is being run.
    pub(super) fn is_in_turn(&self) -> bool {
        self.tip.is_none()
    }

    /// The log's time; a large step of the wall clock becomes a fact.
    pub(super) fn advance(&mut self, now: Now) -> Timestamp {
        let (at, step) = self.clock.advance(now);
        self.facts.extend(step.map(jumped));
        at
    }

    /// Whether there is something to do even if nobody asks.
    pub(super) fn has_work(&self, uptime: Uptime) -> bool {
        self.more || !self.facts.is_empty() || self.deadline().is_some_and(|at| at <= uptime)
    }

    /// When there will be.
    pub(super) fn deadline(&self) -> Option<Uptime> {
        self.wake_at.map(|at| self.clock.uptime_of(at).max(self.wake_floor))
    }

    /// Hands the tip out for a turn with these requests, after the leader's own facts.
    pub(super) fn hand_out<C>(
        &mut self,
        asks: Vec<Ask<WaitingCaller<C>>>,
        identity: &ManagerIdentity,
        now: Now,
        seeds: Seeds,
    ) -> Option<TurnJob<C>> {
        let at = self.advance(now);
        let tip = self.tip.take()?;
        let own = Arc::new(author::manager(identity.node));
        let facts = std::mem::take(&mut self.facts).into_iter().map(|kind| Ask {
            caller: WaitingCaller {
                caller: None,
                asker: Asker::Machine,
                arrival: RequestArrival::Here,
                since: now.uptime,
            },
            author: own.clone(),
            request: Request::Machine(MachineRequest::Fact(kind)),
            bytes: 0,
        });
        let asks = if facts.len() == 0 { asks } else { facts.chain(asks).collect() };
        Some(TurnJob { term: self.term, tip, asks, at, seeds })
    }

    /// Takes the tip back after a turn.
    pub(super) fn take_back<C>(&mut self, tip: Tip, output: &TurnOutput<C>, uptime: Uptime) {
        self.tip = Some(tip);
        self.more = output.more;
        self.wake(output.wake_at, uptime);
    }

    /// Sets the next deadline.
    pub(super) fn wake(&mut self, wake_at: Option<Timestamp>, uptime: Uptime) {
        self.wake_at = wake_at;
        let in_the_past = self.wake_at.is_some_and(|wake_at| wake_at <= self.clock.at());
        self.wake_floor = if in_the_past { uptime + PAST_WAKE_DELAY_NS } else { uptime };
    }
}

fn jumped(step: WallStep) -> Kind {
    Kind::ClockJumped(v1::ClockJumped { by_ns: step.0 })
}
