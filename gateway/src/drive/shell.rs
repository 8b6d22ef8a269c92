//! The thread that takes turns, and what it shares with callers and with the log.
//!
//! Nothing is decided here. Whoever has news for the state machine locks it, tells it, carries out
//! what it says, and wakes the thread if there is a turn to take. Views are published under the
//! lock, so that no answer can leave before the view that it rests on; answers are given after it.

use super::{
    Reply,
    core::{DriveCore, DriveOutput, FreeShare, ManagerIdentity},
    mailbox::Mailbox,
};
use crate::{
    clock::{Now, SystemClock},
    drive::Published,
    metrics::MetricCounters,
    turn::{Answer, Ask},
};
use skep_log::{Health, Log, Proposal, SealedEntry, chain::Hash};
use skep_projections::{Delta, View};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// How often the free share of the disk is measured; commands that wait too long are looked for as
/// often.
const SPACE_PERIOD: Duration = Duration::from_secs(1);
/// The thread sleeps at least so long, even when a deadline has passed.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// What the turn's thread, the fold and the callers share.
pub struct DriveState {
    locked: Mutex<Locked>,
    changed: Condvar,
    published: watch::Sender<Arc<Published>>,
    mailbox: Mailbox,
    counters: Arc<MetricCounters>,
    clock: SystemClock,
}

struct Locked {
    core: DriveCore<Reply>,
    /// The turn's thread waits and nobody has woken it yet.
    asleep: bool,
}

/// What is left to do when the lock is released.
#[derive(Default)]
struct Effects {
    proposals: Vec<SealedEntry>,
    answers: Vec<(Reply, Answer)>,
}

impl DriveState {
    /// Nothing committed yet.
    pub fn new(identity: ManagerIdentity, counters: Arc<MetricCounters>) -> Arc<DriveState> {
        let empty =
            Arc::new(Published { view: View::default(), delta: Arc::new(Delta::default()) });
        Arc::new(DriveState {
            locked: Mutex::new(Locked { core: DriveCore::new(identity), asleep: false }),
            changed: Condvar::new(),
            published: watch::Sender::new(empty),
            mailbox: Mailbox::default(),
            counters,
            clock: SystemClock::start(),
        })
    }

    /// What the sessions have to hear.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    pub(super) fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    pub(super) fn newest(&self) -> Arc<Published> {
        self.published.borrow().clone()
    }

    pub(super) fn counters(&self) -> &Arc<MetricCounters> {
        &self.counters
    }

    pub(super) fn clock(&self) -> SystemClock {
        self.clock
    }

    /// Hands requests over, in their order.
    pub(super) fn ask(&self, asks: impl Iterator<Item = Ask<Reply>>) {
        self.step(|core, now| asks.for_each(|ask| core.handle_request(ask, now)));
    }

    /// Tells the state machine something, and carries out what it says. A proposal comes only of a
    /// turn.
    pub(super) fn step<R>(&self, news: impl FnOnce(&mut DriveCore<Reply>, Now) -> R) -> R {
        let (result, effects) = self.locked_step(news);
        debug_assert!(effects.proposals.is_empty(), "only a turn proposes");
        self.give(effects.answers);
        result
    }

    fn locked_step<R>(&self, news: impl FnOnce(&mut DriveCore<Reply>, Now) -> R) -> (R, Effects) {
        let mut locked = self.lock();
        let now = self.clock.now();
        let result = news(&mut locked.core, now);
        let effects = self.collect(&mut locked.core);
        let idle = !locked.core.wants_turn(now) && !locked.core.is_stopped();
        // Each waking is a system call, and a thousand requests need one.
        if !idle && std::mem::take(&mut locked.asleep) {
            drop(locked);
            self.changed.notify_one();
        }
        (result, effects)
    }

    fn collect(&self, core: &mut DriveCore<Reply>) -> Effects {
        let mut effects = Effects::default();
        while let Some(output) = core.poll_output() {
            match output {
                DriveOutput::Propose(entry) => effects.proposals.push(entry),
                DriveOutput::Answer(reply, answer) => effects.answers.push((reply, answer)),
                DriveOutput::Publish(published) => {
                    self.mailbox.published(&published);
                    self.published.send_replace(Arc::new(published));
                }
            }
        }
        effects
    }

    fn give(&self, answers: Vec<(Reply, Answer)>) {
        let mut sessions = Vec::new();
        for (reply, answer) in answers {
            match reply {
                // A caller that has gone does not need its answer.
                Reply::Caller(caller) => drop(caller.send(answer)),
                Reply::Batch(batch, index) => batch.answer(index, answer),
                Reply::Session(token) => sessions.push((token, answer)),
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
    let mut status = log.status();
    loop {
        let now = status.borrow_and_update().clone();
        match now.health {
            Health::Ok if now.leader => {
                let begun = log.begun_incarnation();
                state.step(|core, _| core.handle_elected(now.term, begun));
            }
            Health::Ok => {
                state.step(|core, at| core.handle_deposed("this manager does not lead", at))
            }
            Health::Failed(why) | Health::Stopped(why) => {
                state.step(|core, at| core.handle_deposed(&why, at));
            }
        }
        if status.changed().await.is_err() {
            return state.step(|core, at| core.handle_deposed("the log is closed", at));
        }
    }
}

/// Tells the state machine how much of the disk is free.
pub(super) async fn watch_space(log: Arc<Log>, state: Arc<DriveState>) {
    loop {
        let free = FreeShare(log.space().free_share());
        state.step(|core, now| {
            core.handle_space(free, now);
            core.handle_timeout(now);
        });
        tokio::time::sleep(SPACE_PERIOD).await;
    }
}

/// Starts the thread. It ends when the state machine has stopped.
pub(super) fn spawn(log: Arc<Log>, state: Arc<DriveState>) -> JoinHandle<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(conclude(receiver, state.clone()));
    thread::Builder::new()
        .name("turn".into())
        .spawn(move || {
            while let Some(effects) = next_effects(&state) {
                for entry in effects.proposals {
                    let hash = entry.hash;
                    // The receiver lives as long as this thread's runtime.
                    drop(sender.send((hash, log.propose(entry))));
                }
                state.give(effects.answers);
            }
        })
        .expect("the system has room for the turn's thread")
}

/// Awaits proposals in their order; at most the in-flight bound are here at once.
async fn conclude(
    mut proposals: mpsc::UnboundedReceiver<(Hash, Proposal)>,
    state: Arc<DriveState>,
) {
    while let Some((hash, proposal)) = proposals.recv().await {
        if let Err(error) = proposal.await {
            tracing::warn!(%error, "an entry was not committed");
            state.counters.proposal_failed();
            state.step(|core, now| core.handle_proposal_failed(hash, &error.to_string(), now));
        }
    }
}

/// Waits until there is a turn to take or something to carry out. None when the state machine has
/// stopped.
fn next_effects(state: &DriveState) -> Option<Effects> {
    let mut locked = state.lock();
    loop {
        let now = state.clock.now();
        locked.core.handle_timeout(now);
        if locked.core.wants_turn(now)
            && let Some(job) = locked.core.begin_turn(now, entropy())
        {
            // What is to be carried out from here belongs before the turn's own outputs.
            let before = state.collect(&mut locked.core);
            drop(locked);
            state.give(before.answers);
            return Some(turn(state, job));
        }
        let effects = state.collect(&mut locked.core);
        if !effects.answers.is_empty() {
            return Some(effects);
        }
        if locked.core.is_stopped() {
            return None;
        }
        let until = locked.core.poll_timeout();
        locked.asleep = true;
        locked = match until {
            None => state.changed.wait(locked).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let wait = state.clock.until(until).max(SLEEP_MIN);
                state.changed.wait_timeout(locked, wait).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        locked.asleep = false;
    }
}

fn turn(state: &DriveState, job: super::core::TurnJob<Reply>) -> Effects {
    let requests = job.requests();
    let span = tracing::debug_span!("turn", requests, records = tracing::field::Empty).entered();
    let started = state.clock.uptime();
    let done = job.run();
    span.record("records", done.records());
    let took = Duration::from_nanos(state.clock.uptime().since(started));
    state.counters.turn(done.records(), took);
    state.counters.answered(done.answers());
    state.locked_step(|core, now| core.handle_turned(done, now)).1
}

/// The system's entropy; without it nothing can be decided.
fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives entropy");
    bytes
}
