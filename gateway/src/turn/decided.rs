//! The requests that a turn decided, with their answers.
//!
//! A request is not needed once it is decided. It is kept until its answer is given all the same:
//! the turn's thread is the one that everybody waits for, and would have to give back memory that
//! other threads took.

use super::{Answer, Ask};

/// Requests, and the answer to each.
pub struct Decided<C> {
    asks: Vec<Ask<C>>,
    answers: Vec<Answer>,
}

impl<C> Default for Decided<C> {
    fn default() -> Decided<C> {
        Decided { asks: Vec::new(), answers: Vec::new() }
    }
}

impl<C> Decided<C> {
    /// Both in the same order.
    pub(crate) fn new(asks: Vec<Ask<C>>, answers: Vec<Answer>) -> Decided<C> {
        debug_assert_eq!(asks.len(), answers.len(), "each request has an answer");
        Decided { asks, answers }
    }

    /// The answers, in the order of the requests.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// Who asked.
    pub fn callers(&self) -> impl Iterator<Item = &C> {
        self.asks.iter().map(|ask| &ask.caller)
    }

    /// Who asked, with the answer.
    pub fn into_answers(self) -> impl Iterator<Item = (C, Answer)> {
        self.asks.into_iter().map(|ask| ask.caller).zip(self.answers)
    }

    /// Who asked, and what, without the answers.
    pub fn into_asks(self) -> Vec<Ask<C>> {
        self.asks
    }

    /// Adds what was decided later.
    pub fn extend(&mut self, later: Decided<C>) {
        self.asks.extend(later.asks);
        self.answers.extend(later.answers);
    }

    /// Takes out the callers that are chosen.
    pub fn take_out(&mut self, is_chosen: impl Fn(&C) -> bool) -> Vec<C> {
        let mut chosen = Vec::new();
        let all = std::mem::take(self);
        for (ask, answer) in all.asks.into_iter().zip(all.answers) {
            if is_chosen(&ask.caller) {
                chosen.push(ask.caller);
            } else {
                self.asks.push(ask);
                self.answers.push(answer);
            }
        }
        chosen
    }
}
