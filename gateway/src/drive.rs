//! The way to the leader's turn, and to what it committed.
//!
//! Turns are pipelined: the next one starts before the last one is durable, and all that arrives
//! meanwhile becomes the next entry. No timer batches anything. What is decided when is the
//! business of the pure state machine in [`core`]; this room holds the thread around it and the
//! handle for callers.

mod batch;
pub mod core;
mod fold;
mod link;
mod mailbox;
mod read;
mod shell;
mod trial;
mod unconfirmed;

use batch::AnswerBatch;
pub use core::{
    CommittedAnswers, DriveCore, DriveOutput, ForwardOutcome, ManagerIdentity, NO_LEADER, Published,
};
pub use fold::CommittedView;
pub use link::{LeaderIndex, LeaderLink, NoLeaderLink};
pub use mailbox::{Mail, Mailbox};
pub use read::ReadView;
pub use shell::DriveState;
pub use trial::DiskTrial;
pub use unconfirmed::CONFIRM_READ_NS_MAX;

use crate::{
    admit::{Refusal, Request},
    clock::SystemClock,
    metrics::MetricCounters,
    turn::{Answer, Ask},
};
use skep_log::Log;
use skep_proto::{Timestamp, v1::Author};
use std::{sync::Arc, thread::JoinHandle, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

/// Who hears an answer.
pub enum Reply {
    /// A caller that waits.
    Caller(oneshot::Sender<Answer>),
    /// A caller that waits for several answers, and the index of this one among them.
    Batch(Arc<AnswerBatch>, usize),
    /// The sessions, under their token.
    Session(u64),
}

/// The way to the turn, and to what it committed.
#[derive(Clone)]
pub struct Drive {
    state: Arc<DriveState>,
    log: Arc<Log>,
}

impl Drive {
    /// Starts the turn's thread on an opened log. It ends some time after [`Drive::stop`] is
    /// called. What is asked here while another manager leads goes through the link.
    pub fn start(
        log: Arc<Log>,
        state: Arc<DriveState>,
        link: Arc<dyn LeaderLink>,
    ) -> (Drive, JoinHandle<()>) {
        state.link(&log, link);
        tokio::spawn(shell::watch_status(log.clone(), state.clone()));
        tokio::spawn(shell::watch_space(Arc::downgrade(&log), Arc::downgrade(&state)));
        let thread = shell::spawn(log.clone(), state.clone());
        (Drive { state, log }, thread)
    }

    /// Asks, and waits until the answer is committed.
    pub async fn ask(&self, author: Author, request: Request, bytes: usize) -> Answer {
        let answer = self.submit(author, request, bytes);
        answer.await.unwrap_or_else(|_| Answer::Unknown("the manager is stopping".into()))
    }

    /// Hands a request over in the order of the calls; the answer comes when it is committed.
    pub fn submit(
        &self,
        author: Author,
        request: Request,
        bytes: usize,
    ) -> oneshot::Receiver<Answer> {
        let (send, receive) = oneshot::channel();
        let ask = Ask { caller: Reply::Caller(send), author: author.into(), request, bytes };
        self.state.measure(&self.log);
        self.state.ask_alone(&self.log, ask);
        receive
    }

    /// Hands over requests that came together, in their order, with their sizes; their answers come
    /// together, when the last is committed. Some may be refused already.
    pub fn submit_all(
        &self,
        author: &Arc<Author>,
        requests: impl ExactSizeIterator<Item = Result<(Request, usize), Refusal>>,
    ) -> oneshot::Receiver<Vec<Answer>> {
        let (batch, receive) = AnswerBatch::new(requests.len());
        let asks = requests.enumerate().filter_map(|(index, request)| match request {
            Ok((request, bytes)) => {
                let caller = Reply::Batch(batch.clone(), index);
                Some(Ask { caller, author: author.clone(), request, bytes })
            }
            Err(refusal) => {
                batch.answer(index, Answer::Refused(refusal));
                None
            }
        });
        self.state.measure(&self.log);
        self.state.ask(asks);
        receive
    }

    /// Hands over what another manager has forwarded, in its order, with the sizes. None is the
    /// answer to what was not decided here and will not be.
    pub async fn decide_forwarded(
        &self,
        requests: Vec<(Author, Request, usize)>,
    ) -> Vec<Option<Answer>> {
        let (mut asks, mut answers) = (Vec::new(), Vec::new());
        for (author, request, bytes) in requests {
            let (send, receive) = oneshot::channel();
            let caller = Reply::Caller(send);
            asks.push(Ask { caller, author: author.into(), request, bytes });
            answers.push(receive);
        }
        self.state.measure(&self.log);
        self.state.step(|core, now| core.handle_forwarded_requests(asks, now));
        let answers = futures::future::join_all(answers).await;
        answers.into_iter().map(Result::ok).collect()
    }

    /// Hands over an agent's observation; the answer goes to the sessions under this token.
    pub fn submit_for_session(&self, token: u64, author: Author, request: Request, bytes: usize) {
        let ask = Ask { caller: Reply::Session(token), author: author.into(), request, bytes };
        self.state.ask(std::iter::once(ask));
    }

    /// The newest committed view, without asking whether this manager still leads.
    pub fn newest(&self) -> Arc<Published> {
        self.state.newest()
    }

    /// The newest committed view in which stamps can be given: once this manager has begun what it
    /// must, at its first start or after a history that was cut. If that takes longer than this,
    /// the newest there is.
    pub async fn founded(&self, limit: Duration) -> Arc<Published> {
        let mut published = self.published();
        let is_founded = |newest: &Arc<Published>| {
            !newest.view.lineage().is_none() && self.log.begun_incarnation().is_none()
        };
        drop(timeout(limit, published.wait_for(is_founded)).await);
        self.newest()
    }

    /// Follows what is committed; a slow follower sees the newest and skips what lies between.
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.state.published()
    }

    /// Where the committed changes and answers for the sessions are collected.
    pub fn mailbox(&self) -> &Mailbox {
        self.state.mailbox()
    }

    /// The log itself, for those who read history.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The counters behind `/metrics`.
    pub fn counters(&self) -> &Arc<MetricCounters> {
        self.state.counters()
    }

    /// The machine's clocks, of which this manager has one.
    pub fn clock(&self) -> SystemClock {
        self.state.clock()
    }

    /// The time that a record written now would have. So long ago by a stopwatch is so much before
    /// this, also where the wall clock says something else.
    pub fn log_time(&self) -> Timestamp {
        self.state.step(|core, now| core.log_time(now))
    }

    /// How far the log's time is ahead of the wall clock, in nanoseconds; negative where it is
    /// behind.
    pub fn skew(&self) -> i64 {
        self.state.step(|core, now| core.skew(now))
    }

    /// Why commands are refused, or some of them; nothing when all are accepted.
    pub fn limit(&self) -> Option<String> {
        self.state.step(|core, _| core.limit())
    }

    /// Whether it was started to serve reads alone.
    pub fn is_in_safe_mode(&self) -> bool {
        self.state.step(|core, _| core.is_in_safe_mode())
    }

    /// How long the log has had an entry without confirming it, in nanoseconds; 0 when it has
    /// confirmed all.
    pub fn unconfirmed_ns(&self) -> u64 {
        self.state.step(|core, now| core.unconfirmed_ns(now))
    }

    /// Whether no manager leads, as far as this one knows: commands wait, and reads may be old.
    pub fn is_leaderless(&self) -> bool {
        self.state.step(|core, now| core.is_leaderless(now))
    }

    /// "accepting", or why commands are refused or wait.
    pub fn accepting(&self) -> String {
        let waits = || self.is_leaderless().then(|| format!("waiting: {NO_LEADER}"));
        self.limit().or_else(waits).unwrap_or_else(|| "accepting".into())
    }

    /// Decides nothing more: all that waits is answered within a second, and the turn's thread
    /// ends.
    pub fn stop(&self) {
        self.state.step(|core, now| core.handle_stop(now));
    }
}

#[cfg(test)]
mod tests;
