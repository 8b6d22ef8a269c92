//! What waits for the next turn, bounded by class: people first, agents' reports may wait in greater number.

use super::batch::Batch;
use crate::{
    admit::{Machine, Refusal, Request},
    turn::{Answer, Ask},
};
use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Requests waiting; above it commands are refused as "busy".
const ASKS_MAX: usize = 8_192;
/// Requests waiting; above it agents' observations are refused too: their sessions start over later.
const ASKS_WITH_REPORTS_MAX: usize = 65_536;
/// Bytes of requests waiting; above it everything is refused as "busy".
const ASKS_BYTES_MAX: usize = 64 << 20;
/// Entries proposed and not yet committed; at it the next turn waits.
const IN_FLIGHT_MAX: usize = 8;

/// Who hears the answer.
pub enum Reply {
    /// A caller that waits.
    Caller(oneshot::Sender<Answer>),
    /// A caller that waits for several answers, and the place of this one among them.
    Batch(Arc<Batch>, usize),
    /// The sessions, under their token.
    Session(u64),
    /// Nobody: the leader's own facts.
    Nobody,
}

/// Why nothing is accepted for now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pause {
    /// The disk is nearly full.
    DiskFull(String),
    /// The operator asked for it.
    SafeMode,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pause::DiskFull(words) => f.write_str(words),
            Pause::SafeMode => {
                f.write_str("the manager runs in safe mode: it serves reads and accepts nothing")
            }
        }
    }
}

/// What the turn's thread does next.
pub(super) enum Step {
    /// Take a turn with these.
    Turn(Vec<(Ask, Reply)>),
    /// A proposal failed or leadership changed: throw the tip away.
    Reset,
    /// Become the leader of this term.
    Lead(u64),
    /// End.
    Stop,
}

#[derive(Default)]
struct State {
    asks: VecDeque<(Ask, Reply)>,
    bytes: usize,
    in_flight: usize,
    failed: Option<String>,
    /// The term in which this manager leads.
    leads: Option<u64>,
    /// The term the tip was made for.
    led: Option<u64>,
    pause: Option<Pause>,
    stop: bool,
    /// The turn's thread waits and nobody has woken it yet.
    asleep: bool,
}

impl State {
    /// Takes a request, or gives it back and says why.
    fn put(&mut self, ask: Ask, reply: Reply) -> Result<(), (Reply, Refusal)> {
        if let Some(refusal) = self.refusal(&ask) {
            return Err((reply, refusal));
        }
        self.bytes += ask.bytes;
        self.asks.push_back((ask, reply));
        Ok(())
    }

    fn refusal(&self, ask: &Ask) -> Option<Refusal> {
        if self.stop {
            return Some(Refusal::exhausted("the manager is stopping").hint("try again in a moment"));
        }
        if let Some(pause) = &self.pause {
            return Some(Refusal::exhausted(pause.to_string()).hint("reads go on; see `skep doctor`"));
        }
        let max = match &ask.request {
            Request::Command(_) => ASKS_MAX,
            Request::Machine(Machine::Report { .. }) => ASKS_MAX / 2 + ASKS_WITH_REPORTS_MAX / 2,
            Request::Machine(_) => ASKS_WITH_REPORTS_MAX,
        };
        let full = self.asks.len() >= max || self.bytes + ask.bytes > ASKS_BYTES_MAX;
        full.then(|| Refusal::exhausted("the manager is busy: too many requests wait").hint("try again"))
    }
}

/// The meeting point of callers, the log's answers and the turn's thread.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

impl Inbox {
    /// Adds a request, or refuses it when too much waits.
    pub(super) fn put(&self, ask: Ask, reply: Reply) -> Result<(), Refusal> {
        let mut state = self.lock();
        state.put(ask, reply).map_err(|(_, refusal)| refusal)?;
        self.wake_for_asks(state);
        Ok(())
    }

    /// Adds requests that came together; says which were refused.
    pub(super) fn put_all(&self, asks: impl Iterator<Item = (Ask, Reply)>) -> Vec<(Reply, Refusal)> {
        let mut state = self.lock();
        let refused = asks.filter_map(|(ask, reply)| state.put(ask, reply).err()).collect();
        self.wake_for_asks(state);
        refused
    }

    /// At its bound of entries in flight the turn goes on when one of them ends, not for one request more.
    fn wake_for_asks(&self, state: MutexGuard<'_, State>) {
        if state.in_flight < IN_FLIGHT_MAX {
            self.wake(state);
        }
    }

    /// Puts requests that did not fit into a turn back in front.
    pub(super) fn put_back(&self, rest: Vec<(Ask, Reply)>) {
        let mut state = self.lock();
        for (ask, reply) in rest.into_iter().rev() {
            state.bytes += ask.bytes;
            state.asks.push_front((ask, reply));
        }
    }

    /// One proposal more is on its way.
    pub(super) fn proposed(&self) {
        self.lock().in_flight += 1;
    }

    /// A proposal ended, well or badly.
    pub(super) fn concluded(&self, failure: Option<String>) {
        let mut state = self.lock();
        // Who waits for an end waits at the bound, or to close a tip; all others need not be woken for it.
        let at_bound = state.in_flight == IN_FLIGHT_MAX;
        state.in_flight = state.in_flight.saturating_sub(1);
        if failure.is_some() {
            state.failed = failure;
        }
        if at_bound || state.failed.is_some() || state.leads != state.led {
            self.wake(state);
        }
    }

    /// Says in which term this manager leads, if it does.
    pub(super) fn leads(&self, term: Option<u64>) {
        let mut state = self.lock();
        if state.leads != term {
            state.leads = term;
            self.wake(state);
        }
    }

    /// Stops accepting. What the operator asked for is not replaced: only that outlasts a full disk.
    pub(super) fn pause(&self, pause: Pause) {
        let mut state = self.lock();
        if state.pause != Some(Pause::SafeMode) {
            state.pause = Some(pause);
        }
    }

    /// Accepts again, unless the operator asked for safe mode.
    pub(super) fn resume(&self) {
        let mut state = self.lock();
        if matches!(state.pause, Some(Pause::DiskFull(_))) {
            state.pause = None;
        }
        self.wake(state);
    }

    /// Why nothing is accepted, if so.
    pub(super) fn paused(&self) -> Option<Pause> {
        self.lock().pause.clone()
    }

    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stop = true;
        self.wake(state);
    }

    /// Wakes the turn's thread once: each waking is a system call, and a thousand requests need one.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if mem::take(&mut state.asleep) {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Waits for something to do. `more`: the last turn left work. `wake_in`: until the reconcilers' deadline.
    pub(super) fn wait(&self, more: bool, wake_in: Option<Duration>) -> Step {
        let until = wake_in.map(|wait| Instant::now() + wait);
        let mut state = self.lock();
        loop {
            if state.stop {
                return Step::Stop;
            }
            if state.led.is_some() && (state.failed.is_some() || state.leads != state.led) {
                if state.in_flight == 0 {
                    state.failed = None;
                    state.led = None;
                    return Step::Reset;
                }
            } else if state.led.is_none() {
                if let (Some(term), None) = (state.leads, &state.pause) {
                    state.led = Some(term);
                    return Step::Lead(term);
                }
            } else if state.pause.is_none() && state.in_flight < IN_FLIGHT_MAX {
                let due = until.is_some_and(|until| Instant::now() >= until);
                if !state.asks.is_empty() || more || due {
                    state.bytes = 0;
                    return Step::Turn(mem::take(&mut state.asks).into());
                }
            }
            state = self.sleep(state, until);
        }
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, State>, until: Option<Instant>) -> MutexGuard<'a, State> {
        state.asleep = true;
        match until {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                // A deadline that has passed is waited for again only because something else holds the turn up.
                let wait = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_mode_outlasts_a_full_disk() {
        let inbox = Inbox::default();
        inbox.pause(Pause::SafeMode);
        inbox.pause(Pause::DiskFull("full".into()));
        inbox.resume();
        assert_eq!(inbox.paused(), Some(Pause::SafeMode));
    }

    #[test]
    fn with_room_on_the_disk_work_goes_on() {
        let inbox = Inbox::default();
        inbox.pause(Pause::DiskFull("full".into()));
        assert!(inbox.paused().is_some());
        inbox.resume();
        assert_eq!(inbox.paused(), None);
    }
}
