//! The answer to a proposal, once it is known.

use super::types::Types;
use crate::history::applier::ApplyOutcome;
use openraft::{errors::ClientWriteError, raft::ClientWriteResult};
use skep_proto::Position;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// Why a proposal did not become history, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It did not follow on the head: it did nothing and never will.
    #[error("the entry does not follow on the head of history")]
    Fenced,
    /// This manager does not lead: it was not taken.
    #[error("this manager does not lead")]
    NotLeader,
    /// It was taken, and whether it is or becomes history is not known. It applies once in its
    /// place or never.
    #[error("whether the entry became history is not known")]
    Unknown,
    /// There is no room: it was not taken.
    #[error("{0}")]
    Full(String),
    /// The log does not work now, and goes on by itself when the disk does: it was not taken.
    #[error("the log can't be written: {0}; it goes on by itself when the disk does")]
    Failed(String),
    /// The log does not work before a person helps: it was not taken.
    #[error("the log has stopped: {0}")]
    Stopped(String),
}

/// A proposed entry on its way. Dropping it changes nothing about the entry.
#[must_use = "whether the entry became history is only known by awaiting this"]
pub struct Proposal(oneshot::Receiver<Result<Position, ProposeError>>);

/// Bytes in flight, given back when the proposal is answered or dropped.
pub(crate) struct InFlightBytes {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl InFlightBytes {
    /// Takes the bytes on, and says how many there are then.
    pub(crate) fn take(bytes: usize, total: &Arc<AtomicUsize>) -> (InFlightBytes, usize) {
        let sum = total.fetch_add(bytes, Relaxed) + bytes;
        (InFlightBytes { bytes, total: total.clone() }, sum)
    }
}

impl Drop for InFlightBytes {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Relaxed);
    }
}

impl Proposal {
    /// One that waits, and what its answer is given to.
    pub(crate) fn new() -> (Proposal, impl FnOnce(Result<Position, ProposeError>) + Send) {
        let (send, receive) = oneshot::channel();
        // Who no longer waits needs no answer.
        (Proposal(receive), move |answer| drop(send.send(answer)))
    }
}

impl Future for Proposal {
    type Output = Result<Position, ProposeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(context);
        answer.map(|answer| answer.unwrap_or(Err(ProposeError::Unknown)))
    }
}

/// What raft's answer says of the entry.
pub(crate) fn read_answer(
    answer: Option<ClientWriteResult<Types>>,
) -> Result<Position, ProposeError> {
    match answer {
        Some(Ok(written)) => read(written.data),
        Some(Err(error)) => Err(read_error(error)),
        // Raft stopped without an answer.
        None => Err(ProposeError::Unknown),
    }
}

fn read(outcome: ApplyOutcome) -> Result<Position, ProposeError> {
    match outcome {
        ApplyOutcome::Extended(position) => Ok(position),
        ApplyOutcome::Fenced | ApplyOutcome::Outside => Err(ProposeError::Fenced),
    }
}

fn read_error(error: ClientWriteError<Types>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(_) => ProposeError::NotLeader,
        ClientWriteError::LogEntryDiscarded(_) => ProposeError::Unknown,
        ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
            ProposeError::Failed(error.to_string())
        }
    }
}
