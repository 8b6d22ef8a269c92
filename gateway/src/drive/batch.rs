//! Answers to requests that came in one message, gathered until the last of them is known.

use crate::turn::Answer;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// One message's answers. When it is dropped before all are there, who waits hears that the manager
/// stops.
pub struct AnswerBatch(Mutex<PartialAnswers>);

struct PartialAnswers {
    answers: Vec<Option<Answer>>,
    missing: usize,
    whole: Option<oneshot::Sender<Vec<Answer>>>,
}

impl AnswerBatch {
    /// Room for so many answers; none at all are there at once.
    pub(super) fn new(len: usize) -> (Arc<AnswerBatch>, oneshot::Receiver<Vec<Answer>>) {
        let (send, receive) = oneshot::channel();
        let mut gathered =
            PartialAnswers { answers: vec![None; len], missing: len, whole: Some(send) };
        gathered.send_if_whole();
        (Arc::new(AnswerBatch(Mutex::new(gathered))), receive)
    }

    /// The answer to the request at this place of the message.
    pub(super) fn answer(&self, index: usize, answer: Answer) {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(free) = gathered.answers.get_mut(index).filter(|known| known.is_none()) else {
            return;
        };
        *free = Some(answer);
        gathered.missing -= 1;
        gathered.send_if_whole();
    }
}

impl PartialAnswers {
    fn send_if_whole(&mut self) {
        if self.missing > 0 {
            return;
        }
        if let Some(whole) = self.whole.take() {
            // A caller that has gone does not need its answers.
            drop(whole.send(self.answers.drain(..).flatten().collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(message: &str) -> Answer {
        Answer::Unknown(message.into())
    }

    #[test]
    fn answers_come_together_in_the_order_of_the_requests() {
        let (batch, mut whole) = AnswerBatch::new(2);
        batch.answer(1, unknown("second"));
        assert!(whole.try_recv().is_err(), "the first is still missing");
        batch.answer(1, unknown("again"));
        batch.answer(0, unknown("first"));
        assert_eq!(whole.try_recv(), Ok(vec![unknown("first"), unknown("second")]));
    }

    #[test]
    fn nothing_asked_is_answered_at_once() {
        assert_eq!(AnswerBatch::new(0).1.try_recv(), Ok(Vec::new()));
    }
}
