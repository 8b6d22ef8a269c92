//! Requests on their way to the manager that leads, and answers that wait until this one has caught
//! up. PURE.

use super::queue::WaitingCaller;
use crate::{
    clock::Uptime,
    turn::{Answer, Ask},
};
use skep_proto::{Revision, v1::ForwardedRequests};

/// Requests in one message to the leader at most; the others are in the next one.
pub const FORWARD_REQUESTS_MAX: usize = 1_024;
/// Bytes of the requests in one message to the leader, nearly; at it the others are in the next
/// one.
pub const FORWARD_BYTES_MAX: usize = 4 << 20;

/// Requests on their way to the manager that leads.
pub struct ForwardJob<C> {
    pub(super) asks: Vec<Ask<WaitingCaller<C>>>,
    pub(super) message: ForwardedRequests,
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
    /// None of them has reached a manager that leads, and why.
    NotTaken(String),
    /// They may have been decided, and nobody can tell.
    Lost(String),
}

/// An answer that waits until this manager has applied what it rests on.
pub(super) struct AwaitedAnswer<C> {
    pub(super) held: WaitingCaller<C>,
    pub(super) answer: Answer,
    pub(super) decided_on: Revision,
    pub(super) until: Uptime,
}

/// How this manager stands with the one that leads.
pub(super) struct Forwarding<C> {
    /// Whether another manager leads, as far as this one knows.
    pub(super) has_leader: bool,
    /// Whether a message is on its way.
    pub(super) is_under_way: bool,
    pub(super) retry_at: Uptime,
    /// Why the leader took nothing the last time.
    pub(super) untaken: Option<String>,
    pub(super) awaited: Vec<AwaitedAnswer<C>>,
}

impl<C> Default for Forwarding<C> {
    fn default() -> Forwarding<C> {
        Forwarding {
            has_leader: false,
            is_under_way: false,
            retry_at: Uptime(0),
            untaken: None,
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
