//! What a manager does with requests while another one leads: it has the leader decide them. PURE.
//!
//! One message is on its way at a time, so that the order of requests is kept; all that arrives
//! meanwhile is the next one. An answer is given when this manager has applied what it rests on:
//! who reads here afterwards sees it. A request that another manager has forwarded here goes no
//! further: where this manager leads no more, it is returned.

use super::{
    DriveCore, DriveOutput,
    forwarding::{
        AwaitedAnswer, FORWARD_BYTES_MAX, FORWARD_REQUESTS_MAX, ForwardJob, ForwardOutcome,
    },
    obstacle::Obstacle,
    queue::{Asker, RequestArrival, WaitingCaller},
};
use crate::{
    clock::{Now, Uptime},
    forwarded,
    turn::{Answer, Ask},
};
use skep_proto::{Revision, time::SECOND_NS, v1::ForwardedRequests};

/// Between two tries to reach a leader.
const FORWARD_RETRY_DELAY_NS: u64 = SECOND_NS / 20;
/// How long an answer waits at most for this manager to apply what it rests on.
const CATCH_UP_NS_MAX: u64 = 5 * SECOND_NS;

impl<C> DriveCore<C> {
    /// Another manager leads: what is asked here is for it to decide.
    pub fn handle_following(&mut self, now: Now) {
        self.obstruct(Obstacle::OtherLeads, now);
        self.obstructed_since = None;
        self.forwarding.has_leader = true;
        self.forward(now.uptime);
    }

    /// Another manager has forwarded these.
    pub fn handle_forwarded_requests(&mut self, asks: Vec<Ask<C>>, now: Now) {
        self.look(now);
        for ask in asks {
            match self.leads {
                Some(_) => self.queue_up(ask, RequestArrival::Forwarded, now),
                None => self.outputs.push_back(DriveOutput::Return(ask.caller)),
            }
        }
        self.close_tenure(now.uptime);
    }

    /// What became of a message to the leader.
    pub fn handle_forwarded(&mut self, job: ForwardJob<C>, outcome: ForwardOutcome, now: Now) {
        (self.forwarding.is_under_way, self.forwarding.untaken) = (false, None);
        match outcome {
            ForwardOutcome::Answered(answers) => self.take_answers(job.asks, answers, now.uptime),
            ForwardOutcome::NotTaken(why) => {
                self.forwarding.untaken = Some(why);
                self.wait_again(job.asks, now.uptime);
            }
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
        self.forwarding.retry_at = now + FORWARD_RETRY_DELAY_NS;
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
