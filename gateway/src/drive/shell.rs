//! The thread that takes turns, and what it shares with callers and with the log.
//!
//! Nothing is decided here. Whoever has news for the state machine locks it, tells it, carries out
//! what it says, and wakes the thread if there is a turn to take. A caller whose request is the
//! only one takes the turn itself. Views are published under the lock, so that no answer can leave
//! before the view that it rests on; answers are given after it.

use super::{
    LeaderLink, Reply, core, mailbox::Mailbox, trial::TrialSince, unconfirmed::UnconfirmedReads,
};
use crate::{clock, drive::Published, metrics::MetricCounters, turn};
use skep_log::{Health, Log, SealedEntry};
use skep_projections::{Delta, View};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak, atomic},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// How often the free share of the disk is measured where nobody asks for anything; commands that
/// wait too long are looked for as often.
const SPACE_PERIOD: Duration = Duration::from_secs(1);
/// A majority that has not answered by then confirms nothing.
const PROOF_LIMIT: Duration = Duration::from_secs(2);
/// The thread sleeps at least so long, even when a deadline has passed.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// What the turn's thread, the fold and the callers share.
pub struct DriveState {
    locked: Mutex<Locked>,
    changed: Condvar,
    /// Held from the moment that a turn's entry is known until it is proposed: entries are proposed
    /// in the order of their turns, whichever threads took them.
    proposing: Mutex<()>,
    published: watch::Sender<Arc<Published>>,
    reads: Mutex<UnconfirmedReads>,
    mailbox: Mailbox,
    counters: Arc<MetricCounters>,
    clock: clock::SystemClock,
    /// The bits of the free share of the disk that the state machine was told last.
    told_free: atomic::AtomicU64,
    trial: Mutex<TrialSince>,
    /// Set once, before anything is asked.
    others: OnceLock<OtherManagers>,
    own: Weak<DriveState>,
}

/// The way to the manager that leads, and the runtime that waits for its answers.
struct OtherManagers {
    link: Arc<dyn LeaderLink>,
    log: Weak<Log>,
    runtime: tokio::runtime::Handle,
}

struct Locked {
    core: core::DriveCore<Reply>,
    sleep: Sleep,
}

/// Whether the turn's thread waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// It works, or was woken.
    Awake,
    /// It waits, at most until then, and nobody has woken it yet.
    Until(Option<clock::Uptime>),
}

/// Which thread writes and applies a turn's entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LogRunsOn {
    /// This one, if the log is idle: nobody waits for what the turn's thread could do meanwhile.
    ThisThread,
    /// The log's, so that the next turn can be taken meanwhile.
    ItsOwnThread,
}

/// What is left to do when the lock is released.
#[derive(Default)]
struct Effects {
    proposals: Vec<SealedEntry>,
    outgoing: LeavingOutputs,
}

/// What leaves the state machine for others than the log.
#[derive(Default)]
struct LeavingOutputs {
    answers: Vec<AnswersToGive>,
    forwards: Vec<core::ForwardJob<Reply>>,
    proves_lead: bool,
}

impl LeavingOutputs {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.forwards.is_empty() && !self.proves_lead
    }
}

/// Answers, in the order in which they are to be given.
enum AnswersToGive {
    One(Reply, turn::Answer),
    All(core::CommittedAnswers<Reply>),
}

impl DriveState {
    /// Nothing committed yet.
    pub fn new(identity: core::ManagerIdentity, counters: Arc<MetricCounters>) -> Arc<DriveState> {
        let empty =
            Arc::new(Published { view: View::default(), delta: Arc::new(Delta::default()) });
        Arc::new_cyclic(|own| DriveState {
            locked: Mutex::new(Locked {
                core: core::DriveCore::new(identity),
                sleep: Sleep::Awake,
            }),
            changed: Condvar::new(),
            proposing: Mutex::new(()),
            published: watch::Sender::new(empty),
            reads: Mutex::default(),
            mailbox: Mailbox::default(),
            counters,
            clock: clock::SystemClock::start(),
            told_free: atomic::AtomicU64::new(0),
            trial: Mutex::default(),
            others: OnceLock::new(),
            own: own.clone(),
        })
    }

    /// Says how the manager that leads is reached. To be called on the runtime, once.
    pub(super) fn link(&self, log: &Arc<Log>, link: Arc<dyn LeaderLink>) {
        let log = Arc::downgrade(log);
        let runtime = tokio::runtime::Handle::current();
        // Nobody else sets it.
        self.others.set(OtherManagers { link, log, runtime }).ok();
    }

    /// The way to the manager that leads.
    pub(super) fn leader_link(&self) -> Option<Arc<dyn LeaderLink>> {
        self.others.get().map(|others| others.link.clone())
    }

    /// What the sessions have to hear.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    pub(super) fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    pub(crate) fn newest(&self) -> Arc<Published> {
        self.published.borrow().clone()
    }

    pub(super) fn reads(&self) -> MutexGuard<'_, UnconfirmedReads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn trial(&self) -> MutexGuard<'_, TrialSince> {
        self.trial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counters(&self) -> &Arc<MetricCounters> {
        &self.counters
    }

    pub(super) fn clock(&self) -> clock::SystemClock {
        self.clock
    }

    /// Tells the state machine how much of the disk is free, where that has changed: before
    /// somebody asks, since a disk fills in less time than passes between two regular measurements.
    pub(super) fn measure(&self, log: &Log) {
        let share = log.free_share();
        if self.told_free.swap(share.to_bits(), atomic::Ordering::Relaxed) != share.to_bits() {
            self.step(|core, now| core.handle_space(core::FreeShare(share), now));
        }
    }

    /// Hands requests over, in their order.
    pub(super) fn ask(&self, asks: impl Iterator<Item = turn::Ask<Reply>>) {
        self.step(|core, now| core.handle_requests(asks, now));
    }

    /// Tells the state machine something, and carries out what it says. A proposal comes only of a
    /// turn.
    pub(super) fn step<R>(
        &self,
        news: impl FnOnce(&mut core::DriveCore<Reply>, clock::Now) -> R,
    ) -> R {
        let (result, effects) = self.locked_step(news);
        debug_assert!(effects.proposals.is_empty(), "only a turn proposes");
        self.let_out(effects.outgoing);
        result
    }

    /// Hands one request over. Where nothing else is under way, its turn is taken here and now, and
    /// its entry is written here too: to wake other threads costs more than most turns and syncs
    /// do.
    pub(super) fn ask_alone(self: &Arc<DriveState>, log: &Log, ask: turn::Ask<Reply>) {
        let mut locked = self.lock();
        let now = self.clock.now();
        locked.core.handle_request(ask, now);
        let job = match locked.sleep {
            Sleep::Until(_) if locked.core.is_lone_request() => {
                locked.core.begin_turn(now, seeds())
            }
            Sleep::Until(_) | Sleep::Awake => None,
        };
        let effects = self.collect(&mut locked.core);
        self.unlock(locked, now);
        self.let_out(effects.outgoing);
        if let Some(job) = job {
            self.take_turn(log, job, LogRunsOn::ThisThread);
        }
    }

    /// Takes a turn, proposes its entry, and gives the answers that need no entry.
    fn take_turn(self: &Arc<DriveState>, log: &Log, job: core::TurnJob<Reply>, on: LogRunsOn) {
        let requests = job.requests();
        let span =
            tracing::debug_span!("turn", requests, records = tracing::field::Empty).entered();
        let started = self.clock.uptime();
        let done = job.run();
        span.record("records", done.records());
        let took = Duration::from_nanos(self.clock.uptime().since(started));
        self.counters.turn(done.records(), took);
        self.counters.answered(done.answers());
        let proposing = self.proposing.lock().unwrap_or_else(PoisonError::into_inner);
        let ((), effects) = self.locked_step(|core, now| core.handle_turned(done, now));
        let tasks = match on {
            LogRunsOn::ThisThread if !effects.proposals.is_empty() => log.take_tasks(),
            LogRunsOn::ThisThread | LogRunsOn::ItsOwnThread => None,
        };
        for entry in effects.proposals {
            self.propose(log, entry);
        }
        drop(proposing);
        self.let_out(effects.outgoing);
        if let Some(tasks) = tasks {
            tasks.run();
        }
    }

    /// Hands an entry to the log. That it is committed is heard from the fold, so only a failure
    /// matters here.
    fn propose(self: &Arc<DriveState>, log: &Log, entry: SealedEntry) {
        let (state, hash) = (self.clone(), entry.hash);
        log.propose_with(entry, move |answer| {
            if let Err(error) = answer {
                tracing::warn!(%error, "an entry was not committed");
                state.counters.proposal_failed();
                state.step(|core, now| core.handle_proposal_failed(hash, &error.to_string(), now));
            }
        });
    }

    fn locked_step<R>(
        &self,
        news: impl FnOnce(&mut core::DriveCore<Reply>, clock::Now) -> R,
    ) -> (R, Effects) {
        let mut locked = self.lock();
        let now = self.clock.now();
        let result = news(&mut locked.core, now);
        let effects = self.collect(&mut locked.core);
        self.unlock(locked, now);
        (result, effects)
    }

    /// Wakes the turn's thread if it has something to do before it would wake by itself. Each
    /// waking is a system call, and a thousand requests need one.
    fn unlock(&self, mut locked: MutexGuard<'_, Locked>, now: clock::Now) {
        let Sleep::Until(until) = locked.sleep else { return };
        let due = locked.core.turn_due();
        let is_late = due.is_some_and(|due| until.is_none_or(|until| due < until));
        if is_late || locked.core.wants_turn(now) || locked.core.is_stopped() {
            locked.sleep = Sleep::Awake;
            drop(locked);
            self.changed.notify_one();
        }
    }

    fn collect(&self, core: &mut core::DriveCore<Reply>) -> Effects {
        let mut effects = Effects::default();
        while let Some(output) = core.poll_output() {
            match output {
                core::DriveOutput::Propose(entry) => effects.proposals.push(*entry),
                core::DriveOutput::Answer(reply, answer) => {
                    effects.outgoing.answers.push(AnswersToGive::One(reply, answer));
                }
                core::DriveOutput::AnswerAll(answers) => {
                    effects.outgoing.answers.push(AnswersToGive::All(answers));
                }
                core::DriveOutput::Forward(job) => effects.outgoing.forwards.push(job),
                core::DriveOutput::ProveLead => effects.outgoing.proves_lead = true,
                // Whoever has forwarded it sees that there is no answer.
                core::DriveOutput::Return(reply) => drop(reply),
                core::DriveOutput::Publish(published) => {
                    self.mailbox.published(&published);
                    self.published.send_replace(published);
                }
            }
        }
        effects
    }

    fn let_out(&self, outgoing: LeavingOutputs) {
        outgoing.forwards.into_iter().for_each(|job| self.forward(job));
        if outgoing.proves_lead {
            self.prove_lead();
        }
        self.give(outgoing.answers);
    }

    /// Has the manager that leads decide, and tells the state machine what came of it.
    fn forward(&self, job: core::ForwardJob<Reply>) {
        let (Some(others), Some(state)) = (self.others.get(), self.own.upgrade()) else { return };
        let outcome = others.link.forward(job.message().clone());
        others.runtime.spawn(async move {
            let outcome = outcome.await;
            state.step(|core, now| core.handle_forwarded(job, outcome, now));
        });
    }

    /// Asks a majority whether this manager leads, and tells the state machine.
    fn prove_lead(&self) {
        let (Some(others), Some(state)) = (self.others.get(), self.own.upgrade()) else { return };
        let log = others.log.clone();
        others.runtime.spawn(async move {
            let asked = async { log.upgrade()?.barrier().await.ok() };
            let proof = match timeout(PROOF_LIMIT, asked).await {
                Ok(Some(_)) => core::LeadProof::Confirmed,
                Ok(None) | Err(_) => core::LeadProof::Missing,
            };
            state.step(|core, now| core.handle_proof(proof, now));
        });
    }

    fn give(&self, answers: Vec<AnswersToGive>) {
        let mut sessions = Vec::new();
        let mut give = |reply, answer| match reply {
            // A caller that has gone does not need its answer.
            Reply::Caller(caller) => drop(caller.send(answer)),
            Reply::Batch(batch, index) => batch.answer(index, answer),
            Reply::Session(token) => sessions.push((token, answer)),
        };
        for some in answers {
            match some {
                AnswersToGive::One(reply, answer) => give(reply, answer),
                AnswersToGive::All(all) => {
                    all.into_answers().for_each(|(reply, answer)| give(reply, answer));
                }
            }
        }
        if !sessions.is_empty() {
            self.mailbox.answered(sessions);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the state machine whether this manager leads.
pub(super) async fn watch_status(log: Arc<Log>, state: Arc<DriveState>) {
    let mut leadership = log.leadership();
    loop {
        let now = leadership.borrow_and_update().clone();
        match now.health {
            Health::Ok if now.leader => {
                let begun = log.begun_incarnation();
                state.step(|core, _| core.handle_elected(now.term, begun));
            }
            Health::Ok if now.known_leader.is_some() => {
                state.step(|core, at| core.handle_following(at));
            }
            Health::Ok => {
                state.step(|core, at| core.handle_leaderless(at));
            }
            Health::Failed(why) | Health::Stopped(why) => {
                state.step(|core, at| core.handle_deposed(&why, at));
            }
        }
        if leadership.changed().await.is_err() {
            return state.step(|core, at| core.handle_deposed("the log is closed", at));
        }
    }
}

/// Tells the state machine how much of the disk is free, for as long as anybody uses it.
pub(super) async fn watch_space(log: Weak<Log>, state: Weak<DriveState>) {
    while let (Some(log), Some(state)) = (log.upgrade(), state.upgrade()) {
        let free = core::FreeShare(log.free_share());
        state.step(|core, now| {
            core.handle_space(free, now);
            core.handle_timeout(now);
        });
        drop((log, state));
        tokio::time::sleep(SPACE_PERIOD).await;
    }
}

/// Starts the thread. It ends when the state machine has stopped.
pub(super) fn spawn(log: Arc<Log>, state: Arc<DriveState>) -> JoinHandle<()> {
    thread::Builder::new()
        .name("turn".into())
        .spawn(move || {
            while let Some(next) = next_work(&state) {
                match next {
                    TurnThreadStep::Turn(job) => {
                        state.take_turn(&log, *job, LogRunsOn::ItsOwnThread);
                    }
                    TurnThreadStep::LetOut(outgoing) => state.let_out(outgoing),
                }
            }
        })
        .expect("the system has room for the turn's thread")
}

/// What the turn's thread does next.
enum TurnThreadStep {
    Turn(Box<core::TurnJob<Reply>>),
    LetOut(LeavingOutputs),
}

/// Waits until there is a turn to take or an answer to give. None when the state machine has
/// stopped.
fn next_work(state: &DriveState) -> Option<TurnThreadStep> {
    let mut locked = state.lock();
    loop {
        let now = state.clock.now();
        locked.core.handle_timeout(now);
        let job =
            if locked.core.wants_turn(now) { locked.core.begin_turn(now, seeds()) } else { None };
        let effects = state.collect(&mut locked.core);
        if let Some(job) = job {
            // What is to be carried out from here belongs before the turn's own outputs.
            drop(locked);
            state.let_out(effects.outgoing);
            return Some(TurnThreadStep::Turn(Box::new(job)));
        }
        if !effects.outgoing.is_empty() {
            return Some(TurnThreadStep::LetOut(effects.outgoing));
        }
        if locked.core.is_stopped() {
            return None;
        }
        let until = locked.core.poll_timeout();
        locked.sleep = Sleep::Until(until);
        locked = match until {
            None => state.changed.wait(locked).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let wait = state.clock.until(until).max(SLEEP_MIN);
                state.changed.wait_timeout(locked, wait).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        locked.sleep = Sleep::Awake;
    }
}

/// The system's entropy; without it nothing can be decided.
fn seeds() -> turn::Seeds {
    let mut bytes = [0; 64];
    getrandom::fill(&mut bytes).expect("the system gives entropy");
    turn::Seeds::from_random(bytes)
}
