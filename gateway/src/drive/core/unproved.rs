//! Answers that recorded nothing, where there are several managers. PURE.
//!
//! Such an answer rests on the view of a manager that believes to lead. Another one may have been
//! elected meanwhile without its knowing: a machine that was suspended does not notice that its
//! lease has ended. So these answers wait until a majority has confirmed, after they were decided,
//! that this manager still leads. An answer that rests on an entry in flight waits for both: the
//! entry may have been committed before the answer was decided, and heard of afterwards.

use super::queue::WaitingCaller;
use crate::turn::Decided;

/// Whether a majority has confirmed that this manager leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeadProof {
    /// It led when it was asked, or later.
    Confirmed,
    /// Nobody knows, or it does not lead.
    Missing,
}

/// What waits for a proof.
pub(super) struct UnprovedAnswers<C> {
    /// Decided before the question that is under way.
    asked: Option<Decided<WaitingCaller<C>>>,
    /// Decided since.
    later: Decided<WaitingCaller<C>>,
}

impl<C> Default for UnprovedAnswers<C> {
    fn default() -> UnprovedAnswers<C> {
        UnprovedAnswers { asked: None, later: Decided::default() }
    }
}

impl<C> UnprovedAnswers<C> {
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_none() && self.later.answers().is_empty()
    }

    /// One more.
    pub(super) fn push(&mut self, decided: Decided<WaitingCaller<C>>) {
        self.later.extend(decided);
    }

    /// Whether a question is to be asked now: one is under way at a time.
    pub(super) fn begin(&mut self) -> bool {
        let begins = self.asked.is_none() && !self.later.answers().is_empty();
        if begins {
            self.asked = Some(std::mem::take(&mut self.later));
        }
        begins
    }

    /// The lead was lost: nothing of this was decided by a leader that can still be proved to have
    /// led. The answer to a question that is under way says nothing of what is decided later.
    pub(super) fn give_up(&mut self) -> Decided<WaitingCaller<C>> {
        let mut all = std::mem::take(&mut self.later);
        if let Some(asked) = &mut self.asked {
            all.extend(std::mem::take(asked));
        }
        all
    }

    /// The question was answered: who waited for it.
    pub(super) fn take(&mut self) -> Decided<WaitingCaller<C>> {
        self.asked.take().unwrap_or_default()
    }
}
