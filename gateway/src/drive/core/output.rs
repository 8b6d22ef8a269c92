//! What the driver of the machine has to do, and what followers are shown. PURE.

use super::{forwarding::ForwardJob, queue::WaitingCaller};
use crate::turn::{Answer, Decided};
use skep_log::SealedEntry;
use skep_projections::{Delta, View};
use std::sync::Arc;

/// The committed state after one entry.
///
/// A slow follower skips to the newest: it compares rows, and never relies on seeing every delta.
#[derive(Clone)]
pub struct Published {
    /// The cluster up to there.
    pub view: View,
    /// What that entry changed.
    pub delta: Arc<Delta>,
}

/// What the driver of the machine has to do.
#[allow(clippy::large_enum_variant, reason = "each is moved once, from the core to its shell")]
pub enum DriveOutput<C> {
    /// Hand this to the log. The order of these is the order in the log.
    Propose(Box<SealedEntry>),
    /// Show this to everybody who follows the committed state.
    Publish(Arc<Published>),
    /// Give a caller its answer.
    Answer(C, Answer),
    /// Give all that were decided together their answers.
    AnswerAll(CommittedAnswers<C>),
    /// Have the manager that leads decide these, and hand the outcome to
    /// [`DriveCore::handle_forwarded`](super::DriveCore::handle_forwarded).
    Forward(ForwardJob<C>),
    /// Ask a majority whether this manager leads now, and tell
    /// [`DriveCore::handle_proof`](super::DriveCore::handle_proof), also when nobody answers.
    ProveLead,
    /// Tell a manager that has forwarded a request that nothing was decided, and nothing will be.
    Return(C),
}

/// What was decided with an entry that everybody can see now. The requests go with the answers, so
/// that their memory is given back by whoever gives those, and not while the state is locked.
pub struct CommittedAnswers<C>(pub(super) Decided<WaitingCaller<C>>);

impl<C> CommittedAnswers<C> {
    /// Who waits, with the answer.
    pub fn into_answers(self) -> impl Iterator<Item = (C, Answer)> {
        self.0.into_answers().filter_map(|(held, answer)| Some((held.caller?, answer)))
    }
}
