//! What a manager does between its log and its turn, as a state machine. PURE.
//!
//! In come requests, commits, elections, failures, the free share of the disk and the time; out
//! come entries to propose, answers, committed views, and the time at which it wants to be called
//! again. It decides what may wait and how long, when a tenure begins and ends, when the tip is
//! thrown away, and which answers may be given. Whoever drives it (a thread with a real log, or the
//! simulator) only carries what it says:
//!
//! - after each `handle_…`, take everything from [`DriveCore::poll_output`], in its order;
//! - while [`DriveCore::begin_turn`] gives a turn, run it and hand it to
//!   [`DriveCore::handle_turned`];
//! - call [`DriveCore::handle_timeout`] when [`DriveCore::poll_timeout`] has come.

mod additions;
mod beginning;
mod disk;
mod flight;
mod followed_clock;
mod forward;
mod forwarding;
mod identity;
mod leading;
mod obstacle;
mod output;
mod presence;
mod proving;
mod queries;
mod queue;
mod refusals;
mod replay;
mod tenure;
pub mod time;
mod unproved;

#[cfg(test)]
mod stories;
#[cfg(test)]
mod world;

pub use disk::{ADDITIONS_FREE_SHARE_MIN, DiskRoom, FreeShare};
pub use flight::IN_FLIGHT_MAX;
pub use forwarding::{FORWARD_BYTES_MAX, FORWARD_REQUESTS_MAX, ForwardJob, ForwardOutcome};
pub use identity::ManagerIdentity;
pub use obstacle::NO_LEADER;
pub use output::{CommittedAnswers, DriveOutput, Published};
pub use tenure::{TurnDone, TurnJob};
pub use unproved::LeadProof;

use crate::{
    admit::{Refusal, Request},
    clock::{Now, Uptime},
    turn::{Answer, Ask, ENTRY_RECORDS_MAX, Seeds},
};
use flight::Flight;
use forwarding::Forwarding;
use presence::Presence;
use queue::{Asker, RequestArrival, RequestQueue, WaitingCaller};
use replay::replay;
use skep_log::{Entry, Frozen, Halt, RestoreError, chain::Hash};
use skep_projections::{Delta, View, snapshot};
use skep_proto::{Position, time::SECOND_NS};
use std::{collections::VecDeque, sync::Arc};
use tenure::LeaderTenure;

/// How long a tenure is not begun after a proposal failed: one that fails at once must not spin.
const TENURE_DELAY_NS: u64 = SECOND_NS / 4;
/// How long a manager that is stopping waits for the entries in flight.
const STOP_NS_MAX: u64 = SECOND_NS;

/// The state machine between log and turn. `C` identifies a caller.
pub struct DriveCore<C> {
    identity: ManagerIdentity,
    committed: View,
    head: Hash,
    /// What is committed and not yet announced: nobody may see it.
    unannounced: Vec<Arc<Published>>,
    /// The newest position that followers have seen.
    shown: Position,
    queue: RequestQueue<C>,
    flight: Flight<C>,
    forwarding: Forwarding<C>,
    unproved: unproved::UnprovedAnswers<C>,
    tenure: Option<LeaderTenure>,
    presence: Presence,
    /// The term in which it may lead, and the incarnation that a recovered log must begin.
    leads: Option<(u64, Option<u64>)>,
    /// Why it does not lead, and since when.
    obstacle: obstacle::Obstacle,
    obstructed_since: Option<Uptime>,
    /// The log's time while it does not lead.
    followed: followed_clock::FollowedClock,
    /// No tenure begins before.
    retry_at: Uptime,
    free: FreeShare,
    stops_at: Option<Uptime>,
    /// The time in this process's newest tenure that is over.
    clock: Option<time::LogClock>,
    /// Records at which an entry is full.
    entry_records: usize,
    outputs: VecDeque<DriveOutput<C>>,
}

impl<C> DriveCore<C> {
    /// Nothing is committed, and nobody leads.
    pub fn new(identity: ManagerIdentity) -> DriveCore<C> {
        DriveCore {
            identity,
            committed: View::default(),
            head: Hash::ZERO,
            unannounced: Vec::new(),
            shown: Position::default(),
            queue: RequestQueue::default(),
            flight: Flight::default(),
            forwarding: Forwarding::default(),
            unproved: unproved::UnprovedAnswers::default(),
            tenure: None,
            presence: Presence::default(),
            leads: None,
            obstacle: obstacle::Obstacle::NotElected,
            obstructed_since: None,
            followed: followed_clock::FollowedClock::default(),
            retry_at: Uptime(0),
            free: FreeShare::default(),
            stops_at: None,
            clock: None,
            entry_records: ENTRY_RECORDS_MAX,
            outputs: VecDeque::new(),
        }
    }

    /// The same with smaller entries: the simulator cuts small turns as production cuts large ones.
    #[must_use]
    pub fn with_entry_records(mut self, records: usize) -> DriveCore<C> {
        self.entry_records = records;
        self
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<DriveOutput<C>> {
        self.outputs.pop_front()
    }

    /// Somebody asks. `bytes` of the request are its encoded size.
    pub fn handle_request(&mut self, ask: Ask<C>, now: Now) {
        self.handle_requests([ask], now);
    }

    /// Several ask at the same moment.
    pub fn handle_requests(&mut self, asks: impl IntoIterator<Item = Ask<C>>, now: Now) {
        self.look(now);
        asks.into_iter().for_each(|ask| self.queue_up(ask, RequestArrival::Here, now));
        // A tenure that has just failed ends here: no turn is wanted in it, nor any timer.
        self.close_tenure(now.uptime);
        self.forward(now.uptime);
    }

    fn queue_up(&mut self, ask: Ask<C>, arrival: RequestArrival, now: Now) {
        if let Some(refusal) = self.refusal(&ask.request, ask.bytes) {
            return self.answer(ask.caller, Answer::Refused(refusal));
        }
        let Ask { caller, author, request, bytes } = ask;
        let asker = match request {
            Request::Command(_) => Asker::Person,
            Request::Machine(_) => Asker::Machine,
        };
        let caller = WaitingCaller { caller: Some(caller), asker, arrival, since: now.uptime };
        self.queue.push(Ask { caller, author, request, bytes });
    }

    fn refusal(&self, request: &Request, bytes: usize) -> Option<Refusal> {
        if self.stops_at.is_some() {
            return Some(refusals::stopping());
        }
        if self.identity.safe_mode {
            return Some(refusals::safe_mode());
        }
        let forbidden = match (self.free.room(), request) {
            // Whoever leads says what its disk takes.
            (_, _) if self.forwarding.has_leader => false,
            (DiskRoom::Enough, _) => false,
            (DiskRoom::Reserve, _) => additions::adds(&self.committed, request),
            // What machines say waits until there is room: an agent that was sent away would only
            // come again.
            (DiskRoom::None, Request::Command(_)) => true,
            (DiskRoom::None, Request::Machine(_)) => false,
        };
        if forbidden {
            return self.free.refusal(&self.of_this_manager());
        }
        self.queue.refusal(request, bytes)
    }

    /// The next entry of the chain is history. Nobody sees it before
    /// [`DriveCore::handle_announced`]. A halt leaves everything as it was before the entry.
    pub fn handle_committed(&mut self, entry: &Arc<Entry>) -> Result<(), Halt> {
        let delta = match self.flight.commit(entry.hash) {
            Some((view, delta)) => {
                self.committed = view;
                delta
            }
            None => {
                let (view, delta) = replay(&self.committed, entry)?;
                self.committed = view;
                if let Some(tenure) = &mut self.tenure {
                    tenure.failed.get_or_insert_with(|| "history went on without the tip".into());
                }
                Arc::new(delta)
            }
        };
        self.head = entry.hash;
        self.unannounced.push(Arc::new(Published { view: self.committed.clone(), delta }));
        Ok(())
    }

    /// Readers of the log see what was committed: now followers may see it too, and then it may be
    /// answered.
    pub fn handle_announced(&mut self, now: Now) {
        self.followed.note(self.committed.at(), now.uptime);
        for published in std::mem::take(&mut self.unannounced) {
            self.publish(published);
        }
        while let Some(announced) = self.flight.announced() {
            self.outputs.push_back(DriveOutput::AnswerAll(CommittedAnswers(announced.recorded)));
            self.answer_unrecorded(announced.unrecorded);
        }
        self.give_awaited();
        self.look(now);
        self.close_tenure(now.uptime);
    }

    /// The committed state becomes what a snapshot holds.
    pub fn handle_restored(&mut self, head: Hash, bytes: &[u8]) -> Result<(), RestoreError> {
        let view = snapshot::decode(bytes).map_err(|error| match error.cause() {
            snapshot::SnapshotCause::OtherVersion => RestoreError::OtherVersion(error.to_string()),
            snapshot::SnapshotCause::Damage => RestoreError::damaged(error.to_string()),
        })?;
        // Sessions and watchers hear of what came between, though nobody recorded it here.
        let delta = Arc::new(Delta::between(&self.committed, &view));
        (self.committed, self.head) = (view.clone(), head);
        self.unannounced = vec![Arc::new(Published { view, delta })];
        Ok(())
    }

    /// The committed view, to be encoded later, on another thread.
    pub fn freeze(&self) -> Frozen {
        let view = self.committed.clone();
        Box::new(move || snapshot::encode(&view))
    }

    /// The log lets this manager lead in this term. `begun` is the incarnation that a recovered log
    /// must begin.
    pub fn handle_elected(&mut self, term: u64, begun: Option<u64>) {
        if self.leads.is_none_or(|(before, _)| before != term) {
            self.give_up_proofs();
        }
        self.leads = Some((term, begun));
        self.forwarding.has_leader = false;
        self.obstructed_since = None;
    }

    /// The log gave up an entry: it may still become history, in its place or never.
    pub fn handle_proposal_failed(&mut self, hash: Hash, why: &str, now: Now) {
        self.flight.fail(hash);
        if let Some(tenure) = &mut self.tenure {
            tenure.failed.get_or_insert_with(|| why.to_owned());
        }
        self.close_tenure(now.uptime);
    }

    /// How much of the log's disk is free. Called now and then, it also notices when somebody sets
    /// the wall clock.
    pub fn handle_space(&mut self, free: FreeShare, now: Now) {
        self.free = free;
        if let Some(tenure) = &mut self.tenure {
            tenure.advance(now);
        }
    }

    /// Decides nothing more. What waits is answered now, what is in flight when it is committed,
    /// within a second.
    pub fn handle_stop(&mut self, now: Now) {
        self.stops_at.get_or_insert(now.uptime + STOP_NS_MAX);
        for ask in self.queue.take() {
            self.answer_held(ask.caller, Answer::Refused(refusals::stopping()));
        }
    }

    /// Everything was answered, and nothing more will be proposed.
    pub fn is_stopped(&self) -> bool {
        self.stops_at.is_some() && self.flight.is_empty() && !self.is_in_turn()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        let uptime = now.uptime;
        self.look(now);
        for ask in self.queue.expired(uptime) {
            let why = self.why_waiting();
            let answer = refusals::waited_too_long(&self.committed, &ask, why);
            self.answer_held(ask.caller, answer);
        }
        self.give_late(uptime);
        self.forward(uptime);
        for held in self.flight.expired(uptime) {
            self.answer_held(held, Answer::Unknown("the log has not confirmed it yet".into()));
        }
        self.give_up_people(uptime);
        if self.stops_at.is_some_and(|at| at <= uptime) {
            self.give_up("the manager stopped before the log had confirmed it");
        }
        self.close_tenure(uptime);
    }

    /// Whether [`DriveCore::begin_turn`] would give a turn now.
    pub fn wants_turn(&self, now: Now) -> bool {
        match &self.tenure {
            Some(tenure) => {
                self.may_turn(tenure) && (!self.queue.is_empty() || tenure.has_work(now.uptime))
            }
            None => self.may_lead() && self.retry_at <= now.uptime && !self.flight.awaits_log(),
        }
    }

    /// The next turn, if there is something to decide and nothing speaks against it. It must be run
    /// and handed to [`DriveCore::handle_turned`]. The seeds must never have been used before.
    pub fn begin_turn(&mut self, now: Now, seeds: Seeds) -> Option<TurnJob<C>> {
        self.look(now);
        self.close_tenure(now.uptime);
        if !self.wants_turn(now) {
            return None;
        }
        if self.tenure.is_none() {
            let (term, begun) = self.leads?;
            let state = (&self.committed, self.head);
            let tenure =
                LeaderTenure::begin(term, state, &self.identity, begun, self.clock, now, seeds);
            self.tenure = Some(tenure.with_entry_records(self.entry_records));
        }
        let asks = self.queue.take();
        self.tenure.as_mut()?.hand_out(asks, &self.identity, now, seeds)
    }

    /// A turn was run.
    pub fn handle_turned(&mut self, done: TurnDone<C>, now: Now) {
        let TurnDone { term, tip, output } = done;
        let Some(tenure) = self.tenure.as_mut().filter(|tenure| tenure.term == term) else {
            return;
        };
        tenure.take_back(tip, &output, now.uptime);
        let is_void = tenure.failed.is_some() || self.leads.is_none_or(|(leads, _)| leads != term);
        self.put_back(output.rest);
        if is_void {
            let why = self.why_void();
            for (held, _) in output.decided.into_answers() {
                self.answer_held(held, Answer::Unknown(why.clone()));
            }
            return self.close_tenure(now.uptime);
        }
        match output.entry {
            Some(entry) => {
                let state = (output.view, output.delta);
                self.flight.push(entry.hash, state, output.decided, now.uptime);
                self.outputs.push_back(DriveOutput::Propose(Box::new(entry)));
                self.look(now);
            }
            None => {
                let decided = self.flight.attach(output.decided);
                self.answer_unrecorded(decided);
            }
        }
    }

    /// A manager that stood still led nobody meanwhile. It begins a new tenure, in which every node
    /// has its time to come back again.
    fn look(&mut self, now: Now) {
        // A session whose end is in flight counts: its node is away already.
        let view = self.flight.newest_view().unwrap_or(&self.committed);
        let Some(ns) = self.presence.look(view, now.uptime) else { return };
        if let Some(tenure) = &mut self.tenure {
            let seconds = ns / SECOND_NS;
            tenure.failed.get_or_insert_with(|| format!("the manager stood still for {seconds} s"));
        }
    }

    fn may_lead(&self) -> bool {
        self.leads.is_some() && self.may_record() && !self.identity.safe_mode
    }

    fn may_turn(&self, tenure: &LeaderTenure) -> bool {
        !self.is_closing(tenure)
            && !tenure.is_in_turn()
            && !self.flight.is_full()
            && self.may_record()
    }

    fn may_record(&self) -> bool {
        self.stops_at.is_none() && self.free.room() != DiskRoom::None
    }

    fn is_closing(&self, tenure: &LeaderTenure) -> bool {
        tenure.failed.is_some() || self.leads.is_none_or(|(term, _)| term != tenure.term)
    }

    fn is_in_turn(&self) -> bool {
        self.tenure.as_ref().is_some_and(LeaderTenure::is_in_turn)
    }

    /// Throws the tip away when the tenure is over and the log has said what became of everything
    /// in flight.
    fn close_tenure(&mut self, uptime: Uptime) {
        let Some(tenure) = &self.tenure else { return };
        if !self.is_closing(tenure) || tenure.is_in_turn() || self.flight.awaits_log() {
            return;
        }
        if tenure.failed.is_some() {
            self.retry_at = uptime + TENURE_DELAY_NS;
        }
        let why = self.why_void();
        self.clock = Some(tenure.clock);
        self.tenure = None;
        self.give_up(&why);
    }

    /// Nobody knows what becomes of what is in flight: it applies in its place or never.
    fn give_up(&mut self, why: &str) {
        for held in self.flight.give_up() {
            self.answer_held(held, Answer::Unknown(why.to_owned()));
        }
    }

    fn why_void(&self) -> String {
        let failed = self.tenure.as_ref().and_then(|tenure| tenure.failed.as_ref());
        failed.cloned().unwrap_or_else(|| self.obstacle.to_string())
    }

    fn why_waiting(&self) -> String {
        if self.free.room() == DiskRoom::None {
            self.free.limit(&self.of_this_manager()).unwrap_or_default()
        } else if self.leads.is_none() {
            self.why_not_led()
        } else {
            "the log is too slow: the command waited 5 s for its turn".into()
        }
    }

    fn put_back(&mut self, rest: Vec<Ask<WaitingCaller<C>>>) {
        if self.stops_at.is_none() {
            self.queue.put_back(rest);
            if self.leads.is_none() {
                self.return_forwarded();
            }
            return;
        }
        for ask in rest {
            self.answer_held(ask.caller, Answer::Refused(refusals::stopping()));
        }
    }

    /// Shows a committed view, unless followers have seen a newer one: a log that is opened again
    /// may replay.
    fn publish(&mut self, published: Arc<Published>) {
        let position = published.view.position();
        if position >= self.shown {
            self.shown = position;
            self.outputs.push_back(DriveOutput::Publish(published));
        }
    }

    /// This manager can't have them decided: whoever forwarded them finds another one.
    fn return_forwarded(&mut self) {
        for held in self.queue.take_forwarded() {
            self.outputs.extend(held.caller.map(DriveOutput::Return));
        }
    }

    fn answer(&mut self, caller: C, answer: Answer) {
        self.outputs.push_back(DriveOutput::Answer(caller, answer));
    }

    fn answer_held(&mut self, held: WaitingCaller<C>, answer: Answer) {
        if let Some(caller) = held.caller {
            self.answer(caller, answer);
        }
    }
}
