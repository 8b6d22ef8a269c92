//! The thread that takes turns, and the door to it.
//!
//! Turns are pipelined: the next one starts before the last one is durable, and all that arrives meanwhile
//! becomes the next entry. No timer batches anything. Answers are given by the fold, when the entry they were
//! decided on is committed; refusals and no-ops wait for what stands before them.

mod batch;
mod fold;
mod inbox;
mod leader;

use batch::Batch;
pub use fold::{Committed, Shared};
pub use inbox::{Inbox, Pause, Reply};

use crate::{
    admit::{Refusal, Request},
    metrics::Counters,
    published::Published,
    turn::{Answer, Ask},
};
use skep_log::Log;
use skep_proto::{
    Id,
    v1::{Author, ClusterSpec},
};
use std::{sync::Arc, thread::JoinHandle};
use tokio::sync::{oneshot, watch};

/// What a leader needs to know of itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The manager's node id.
    pub node: Id,
    /// The program's version, kept in each entry.
    pub code_version: String,
    /// Settings of a cluster that begins here.
    pub genesis: ClusterSpec,
    /// Serve reads, accept nothing.
    pub safe_mode: bool,
}

/// The way to the turn, and to what it committed.
#[derive(Clone)]
pub struct Drive {
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
    log: Arc<Log>,
}

impl Drive {
    /// Starts the turn's thread on an opened log. It ends when [`Drive::stop`] is called.
    pub fn start(log: Arc<Log>, shared: Arc<Shared>, identity: Identity) -> (Drive, JoinHandle<()>) {
        let inbox = shared.inbox().clone();
        if identity.safe_mode {
            inbox.pause(Pause::SafeMode);
        }
        tokio::spawn(leader::watch_status(log.clone(), inbox.clone()));
        tokio::spawn(leader::watch_space(log.clone(), inbox.clone()));
        let thread = leader::spawn(log.clone(), shared.clone(), identity);
        (Drive { inbox, shared, log }, thread)
    }

    /// Asks, and waits until the answer is committed.
    pub async fn ask(&self, author: Author, request: Request, bytes: usize) -> Answer {
        match self.submit(author, request, bytes) {
            Ok(answer) => answer.await.unwrap_or_else(|_| Answer::Unknown("the manager is stopping".into())),
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    /// Hands a request over in the order of the calls; the answer comes when it is committed.
    pub fn submit(
        &self,
        author: Author,
        request: Request,
        bytes: usize,
    ) -> Result<oneshot::Receiver<Answer>, Refusal> {
        let (send, receive) = oneshot::channel();
        let ask = Ask { token: 0, author, request, bytes };
        self.inbox.put(ask, Reply::Caller(send)).map(|()| receive)
    }

    /// Hands over requests that came together, in their order; their answers come together, when the last is committed.
    pub fn submit_all(
        &self,
        author: &Author,
        requests: Vec<(Request, usize)>,
    ) -> oneshot::Receiver<Vec<Answer>> {
        let (batch, receive) = Batch::new(requests.len());
        let asks = requests.into_iter().enumerate().map(|(place, (request, bytes))| {
            let ask = Ask { token: 0, author: author.clone(), request, bytes };
            (ask, Reply::Batch(batch.clone(), place))
        });
        for (reply, refusal) in self.inbox.put_all(asks) {
            self.shared.answer_now(reply, Answer::Refused(refusal));
        }
        receive
    }

    /// Hands over an agent's observation; the answer goes to the sessions under this token.
    pub fn submit_for_session(&self, ask: Ask) {
        let token = ask.token;
        if let Err(refusal) = self.inbox.put(ask, Reply::Session(token)) {
            self.shared.mailbox().answered(vec![(token, Answer::Refused(refusal))]);
        }
    }

    /// The newest committed view, without asking whether this manager still leads.
    pub fn newest(&self) -> Arc<Published> {
        self.shared.published().borrow().clone()
    }

    /// The committed view, at least as new as when this was called, confirmed by a quorum.
    pub async fn linearizable(&self) -> Result<Arc<Published>, Refusal> {
        let unavailable =
            |why: String| Refusal::exhausted(why).hint("look at `skep doctor`; stale reads go on");
        let position = self.log.barrier().await.map_err(|error| unavailable(error.to_string()))?;
        let mut published = self.shared.published();
        let seen = published.wait_for(|p| p.view.position() >= position).await;
        seen.map(|p| p.clone()).map_err(|_| unavailable("the manager is stopping".into()))
    }

    /// Follows what is committed; a slow follower sees the newest and skips what lies between.
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.shared.published()
    }

    /// Where the committed changes and answers for the sessions are collected.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The log itself, for those who read history.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Counters for `/metrics`.
    pub fn counters(&self) -> &Arc<Counters> {
        self.shared.counters()
    }

    /// "accepting", or why commands are refused.
    pub fn accepting(&self) -> String {
        self.inbox.paused().map_or_else(|| "accepting".into(), |pause| pause.to_string())
    }

    /// Ends the turn's thread after what it has begun.
    pub fn stop(&self) {
        self.inbox.stop();
    }
}
