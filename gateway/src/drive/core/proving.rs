//! Gives the answers that recorded nothing, once it is certain that this manager led when it
//! decided them. PURE.

use super::{DriveCore, DriveOutput, queue::WaitingCaller, unproved::LeadProof};
use crate::{clock::Now, turn::Decided};

impl<C> DriveCore<C> {
    /// Answers that recorded nothing, and that wait for no entry in flight.
    pub(super) fn answer_unrecorded(&mut self, decided: Decided<WaitingCaller<C>>) {
        if decided.answers().is_empty() {
            return;
        }
        // Nobody else could be elected where there is nobody else.
        if self.committed.managers().count() <= 1 {
            decided.into_answers().for_each(|(held, answer)| self.answer_held(held, answer));
            return;
        }
        self.unproved.push(decided);
        self.ask_for_proof();
    }

    /// Whether a majority has confirmed that this manager leads, after [`DriveOutput::ProveLead`].
    pub fn handle_proof(&mut self, proof: LeadProof, now: Now) {
        let decided = self.unproved.take();
        match proof {
            LeadProof::Confirmed => {
                decided.into_answers().for_each(|(held, answer)| self.answer_held(held, answer));
            }
            // Nothing was recorded, so whoever leads decides it.
            LeadProof::Missing => self.put_back(decided.into_asks()),
        }
        self.ask_for_proof();
        self.forward(now.uptime);
    }

    /// This manager leads no more, or in another term: whoever leads decides what waits here.
    pub(super) fn give_up_proofs(&mut self) {
        let undecided = self.unproved.give_up().into_asks();
        if !undecided.is_empty() {
            self.put_back(undecided);
        }
    }

    fn ask_for_proof(&mut self) {
        if self.unproved.begin() {
            self.outputs.push_back(DriveOutput::ProveLead);
        }
    }
}
