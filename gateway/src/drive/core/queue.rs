//! The requests that wait for the next turn: first in, first out, with a bound for each class.

use crate::{
    admit::{MachineRequest, Refusal, Request},
    clock::Uptime,
    turn::Ask,
};
use skep_proto::time::SECOND_NS;
use std::{collections::VecDeque, mem};

/// Requests waiting; above it commands are refused as "busy".
const COMMANDS_MAX: usize = 8_192;
/// Requests waiting; above it agents' reports are refused: their sessions start over later.
const REPORTS_MAX: usize = 32_768;
/// Requests waiting; above it all others are refused too: joins, and what is known of sessions.
const REQUESTS_MAX: usize = 65_536;
/// Bytes of requests waiting; above it everything is refused as "busy".
const REQUEST_BYTES_MAX: usize = 64 << 20;
/// Time a command may wait for its turn; then it is refused, because the log does not work or is
/// too slow.
pub(super) const COMMAND_WAIT_NS_MAX: u64 = 5 * SECOND_NS;

/// Who asks: it decides how long and in what number a request may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// Somebody who waits for the answer.
    Person,
    /// A session. It waits as long as the manager is there.
    Machine,
}

/// How a request came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RequestArrival {
    /// To this manager.
    Here,
    /// From another manager, to the one that leads.
    Forwarded,
}

/// A caller while its request is on the way.
pub(super) struct WaitingCaller<C> {
    /// Nobody waits for the answer to one of the leader's own facts.
    pub(super) caller: Option<C>,
    pub(super) asker: Asker,
    pub(super) arrival: RequestArrival,
    pub(super) since: Uptime,
}

/// Requests that wait for a turn.
pub(super) struct RequestQueue<C> {
    asks: VecDeque<Ask<WaitingCaller<C>>>,
    bytes: usize,
    /// When the command that waits longest was put in.
    oldest_command: Option<Uptime>,
}

impl<C> Default for RequestQueue<C> {
    fn default() -> RequestQueue<C> {
        RequestQueue { asks: VecDeque::new(), bytes: 0, oldest_command: None }
    }
}

impl<C> RequestQueue<C> {
    pub(super) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }

    /// Why there is no room for one more.
    pub(super) fn refusal(&self, request: &Request, bytes: usize) -> Option<Refusal> {
        let max = match request {
            Request::Command(_) => COMMANDS_MAX,
            Request::Machine(MachineRequest::Report { .. }) => REPORTS_MAX,
            Request::Machine(
                MachineRequest::Certify(_)
                | MachineRequest::FoundAuthority { .. }
                | MachineRequest::Open { .. }
                | MachineRequest::Conditions { .. }
                | MachineRequest::Close { .. }
                | MachineRequest::Silent { .. }
                | MachineRequest::Leader(_)
                | MachineRequest::Fact(_),
            ) => REQUESTS_MAX,
        };
        let full = self.asks.len() >= max || self.bytes.saturating_add(bytes) > REQUEST_BYTES_MAX;
        full.then(|| {
            Refusal::exhausted("the manager is busy: too many requests wait")
                .hint("try again in a moment")
        })
    }

    pub(super) fn push(&mut self, ask: Ask<WaitingCaller<C>>) {
        self.bytes += ask.bytes;
        if ask.caller.asker == Asker::Person {
            self.oldest_command.get_or_insert(ask.caller.since);
        }
        self.asks.push_back(ask);
    }

    /// Everything that waits.
    pub(super) fn take(&mut self) -> Vec<Ask<WaitingCaller<C>>> {
        self.bytes = 0;
        self.oldest_command = None;
        // As many may come again: room that grows step by step moves what is in it each time.
        let room = VecDeque::with_capacity(self.asks.len());
        mem::replace(&mut self.asks, room).into()
    }

    /// The first ones, up to these bounds; one is given whatever its size.
    pub(super) fn take_some(&mut self, max: usize, bytes_max: usize) -> Vec<Ask<WaitingCaller<C>>> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.asks.front() {
            bytes += next.bytes;
            if taken.len() >= max || (bytes > bytes_max && !taken.is_empty()) {
                break;
            }
            self.bytes -= next.bytes;
            taken.extend(self.asks.pop_front());
        }
        self.look_for_oldest();
        taken
    }

    /// Takes out those who were forwarded by another manager.
    pub(super) fn take_forwarded(&mut self) -> Vec<WaitingCaller<C>> {
        let forwarded =
            |ask: &Ask<WaitingCaller<C>>| ask.caller.arrival == RequestArrival::Forwarded;
        if !self.asks.iter().any(forwarded) {
            return Vec::new();
        }
        let (taken, kept): (VecDeque<_>, VecDeque<_>) =
            mem::take(&mut self.asks).into_iter().partition(forwarded);
        self.bytes -= taken.iter().map(|ask| ask.bytes).sum::<usize>();
        self.asks = kept;
        self.look_for_oldest();
        taken.into_iter().map(|ask| ask.caller).collect()
    }

    /// Puts back what did not fit into a turn, in front of what came meanwhile.
    pub(super) fn put_back(&mut self, rest: Vec<Ask<WaitingCaller<C>>>) {
        for ask in rest.into_iter().rev() {
            self.bytes += ask.bytes;
            self.asks.push_front(ask);
        }
        self.look_for_oldest();
    }

    /// When the command that waits longest has waited too long.
    pub(super) fn deadline(&self) -> Option<Uptime> {
        self.oldest_command.map(|since| since + COMMAND_WAIT_NS_MAX)
    }

    /// Takes out the commands that have waited too long.
    pub(super) fn expired(&mut self, now: Uptime) -> Vec<Ask<WaitingCaller<C>>> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        let (mut expired, mut kept) = (Vec::new(), VecDeque::new());
        for ask in mem::take(&mut self.asks) {
            let held = &ask.caller;
            if held.asker == Asker::Person && held.since + COMMAND_WAIT_NS_MAX <= now {
                self.bytes -= ask.bytes;
                expired.push(ask);
            } else {
                kept.push_back(ask);
            }
        }
        self.asks = kept;
        self.look_for_oldest();
        expired
    }

    fn look_for_oldest(&mut self) {
        let commands =
            self.asks.iter().map(|ask| &ask.caller).filter(|held| held.asker == Asker::Person);
        self.oldest_command = commands.map(|held| held.since).min();
    }
}
