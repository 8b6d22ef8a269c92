//! What a manager does with requests while another one leads: it has the leader decide them. PURE.
//!
//! One message is on its way at a time, so that the order of requests is kept; all that arrives
//! meanwhile is the next one. An answer is given when this manager has applied what it rests on: who
//! reads here afterwards sees it. A request that another manager has forwarded here goes no further:
//! where this manager leads no more, it is returned.

use super::{
    DriveCore, DriveOutput,
    queue::{Arrival, Asker, WaitingCaller},
};
use crate::{
    clock::{Now, Uptime},
    forwarded,
    turn::{Answer, Ask},
};
use skep_proto::{Revision, time::SECOND_NS, v1::ForwardedRequests};

/// Requests in one message to the leader at most; the others are in the next one.
pub const FORWARD_REQUESTS_MAX: usize = 1_024;
/// Bytes of the requests in one message to the leader, nearly; at it the others are in the next
/// one.
pub const FORWARD_BYTES_MAX: usize = 4 << 20;
/// Between two tries to reach a leader.
const FORWARD_RETRY_NS: u64 = SECOND_NS / 20;
/// How long an answer waits at most for this manager to apply what it rests on.
const CATCH_UP_NS_MAX: u64 = 5 * SECOND_NS;

/// Requests on their way to the manager that leads.
pub struct ForwardJob<C> {
    asks: Vec<Ask<WaitingCaller<C>>>,
    message: ForwardedRequests,
}

impl<C> ForwardJob<C> {
    /// Who waits for the answers.
    #[cfg(test)]
    pub(super) fn callers(&self) -> Vec<C>
    where
        C: Clone,
    {
        self.asks.iter().filter_map(|ask| ask.caller.caller.clone()).collect()
    }

    /// What is to be sent.
    pub fn message(&self) -> &ForwardedRequests {
        &self.message
    }
}

/// What became of requests that were sent to the manager that leads.
#[derive(Clone, Debug)]
pub enum ForwardOutcome {
    /// Its answers in the order of the requests, with what they rest on; none for a request that it
    /// has not decided and will not.
    Answered(Vec<Option<(Answer, Revision)>>),
    /// None of them has reached a manager that leads.
    NotTaken,
    /// They may have been decided, and nobody can tell.
    Lost(String),
}

/// An answer that waits until this manager has applied what it rests on.
pub(super) struct AwaitedAnswer<C> {
    held: WaitingCaller<C>,
    answer: Answer,
    decided_on: Revision,
    until: Uptime,
}

/// How this manager stands with the one that leads.
pub(super) struct Forwarding<C> {
    /// Whether another manager leads, as far as this one knows.
    pub(super) has_leader: bool,
    /// Whether a message is on its way.
    is_under_way: bool,
    retry_at: Uptime,
    awaited: Vec<AwaitedAnswer<C>>,
}

impl<C> Default for Forwarding<C> {
    fn default() -> Forwarding<C> {
        Forwarding {
            has_leader: false,
            is_under_way: false,
            retry_at: Uptime(0),
            awaited: Vec::new(),
        }
    }
}

impl<C> Forwarding<C> {
    /// Whether nothing is on its way, and no answer waits.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_under_way && self.awaited.is_empty()
    }
}

impl<C> DriveCore<C> {
    /// Another manager leads: what is asked here is for it to decide.
    pub fn handle_following(&mut self, now: Now) {
        self.handle_deposed("another manager leads", now);
        self.obstructed_since = None;
        self.forwarding.has_leader = true;
        self.forward(now.uptime);
    }

    /// Another manager has forwarded these.
    pub fn handle_forwarded_requests(&mut self, asks: Vec<Ask<C>>, now: Now) {
        self.look(now);
        for ask in asks {
            match self.leads {
                Some(_) => self.queue_up(ask, Arrival::Forwarded, now),
                None => self.outputs.push_back(DriveOutput::Return(ask.caller)),
            }
        }
        self.close_tenure(now.uptime);
    }

    /// What became of a message to the leader.
    pub fn handle_forwarded(&mut self, job: ForwardJob<C>, outcome: ForwardOutcome, now: Now) {
        self.forwarding.is_under_way = false;
        match outcome {
            ForwardOutcome::Answered(answers) => self.take_answers(job.asks, answers, now.uptime),
            ForwardOutcome::NotTaken => self.wait_again(job.asks, now.uptime),
            ForwardOutcome::Lost(why) => self.lose(job.asks, &why, now.uptime),
        }
        self.forward(now.uptime);
    }

    fn take_answers(
        &mut self,
        asks: Vec<Ask<WaitingCaller<C>>>,
        answers: Vec<Option<(Answer, Revision)>>,
        now: Uptime,
    ) {
        let (mut undecided, until) = (Vec::new(), now + CATCH_UP_NS_MAX);
        for (ask, answer) in
            asks.into_iter().zip(answers.into_iter().chain(std::iter::repeat(None)))
        {
            match answer {
                Some((answer, decided_on)) => {
                    let held = ask.caller;
                    let awaited = AwaitedAnswer { held, answer, decided_on, until };
                    self.forwarding.awaited.push(awaited);
                }
                None => undecided.push(ask),
            }
        }
        self.give_awaited();
        if !undecided.is_empty() {
            self.wait_again(undecided, now);
        }
    }

    /// They may have been decided. What a machine says is true however often it is said, so it is
    /// said again; a person hears that nobody knows.
    fn lose(&mut self, asks: Vec<Ask<WaitingCaller<C>>>, why: &str, now: Uptime) {
        let (machines, people): (Vec<_>, Vec<_>) =
            asks.into_iter().partition(|ask| ask.caller.asker == Asker::Machine);
        for ask in people {
            self.answer_held(ask.caller, Answer::Unknown(why.to_owned()));
        }
        if !machines.is_empty() {
            self.wait_again(machines, now);
        }
    }

    /// They were not decided, so nothing has happened.
    fn wait_again(&mut self, asks: Vec<Ask<WaitingCaller<C>>>, now: Uptime) {
        self.forwarding.retry_at = now + FORWARD_RETRY_NS;
        self.put_back(asks);
    }

    /// Gives the answers that rest on what followers can see.
    pub(super) fn give_awaited(&mut self) {
        let shown = self.shown.revision;
        let awaited = std::mem::take(&mut self.forwarding.awaited);
        let (ready, later) = awaited.into_iter().partition(|waits| waits.decided_on <= shown);
        self.forwarding.awaited = later;
        let ready: Vec<AwaitedAnswer<C>> = ready;
        for AwaitedAnswer { held, answer, .. } in ready {
            self.answer_held(held, answer);
        }
    }

    /// A person's answer is true also where this manager is far behind. A session is told with a
    /// view that has it, so it starts over.
    pub(super) fn give_late(&mut self, now: Uptime) {
        let awaited = std::mem::take(&mut self.forwarding.awaited);
        for waits in awaited {
            if waits.until > now {
                self.forwarding.awaited.push(waits);
                continue;
            }
            let answer = match waits.held.asker {
                Asker::Person => waits.answer,
                Asker::Machine => Answer::Unknown("this manager is behind".into()),
            };
            self.answer_held(waits.held, answer);
        }
    }

    /// When something has to be done about requests for the leader.
    pub(super) fn forwarding_due(&self) -> Option<Uptime> {
        let waits = self.may_forward() && !self.queue.is_empty();
        let retry = waits.then_some(self.forwarding.retry_at);
        retry.into_iter().chain(self.forwarding.awaited.iter().map(|waits| waits.until)).min()
    }

    fn may_forward(&self) -> bool {
        self.forwarding.has_leader && !self.forwarding.is_under_way && self.stops_at.is_none()
    }

    /// Sends what waits, if nothing is on its way.
    pub(super) fn forward(&mut self, now: Uptime) {
        if !self.may_forward() || self.forwarding.retry_at > now {
            return;
        }
        let (mut asks, mut requests) = (Vec::new(), Vec::new());
        for ask in self.queue.take_some(FORWARD_REQUESTS_MAX, FORWARD_BYTES_MAX) {
            match forwarded::encode_request(&ask.author, &ask.request) {
                Some(request) => {
                    asks.push(ask);
                    requests.push(request);
                }
                None => {
                    let alone = "only the manager that leads can say this".to_owned();
                    self.answer_held(ask.caller, Answer::Unknown(alone));
                }
            }
        }
        if asks.is_empty() {
            return;
        }
        self.forwarding.is_under_way = true;
        let message = ForwardedRequests { requests };
        self.outputs.push_back(DriveOutput::Forward(ForwardJob { asks, message }));
    }
}
