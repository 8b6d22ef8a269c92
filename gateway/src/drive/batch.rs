//! Answers to requests that came in one message, gathered until the last of them is known.

use crate::turn::Answer;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// One message's answers. When it is dropped before all are there, who waits hears that the manager
/// stops.
pub struct Batch(Mutex<Gathered>);

struct Gathered {
    answers: Vec<Option<Answer>>,
    missing: usize,
    whole: Option<oneshot::Sender<Vec<Answer>>>,
}

impl Batch {
    /// Room for so many answers; none at all are there at once.
    pub(super) fn new(len: usize) -> (Arc<Batch>, oneshot::Receiver<Vec<Answer>>) {
        let (send, receive) = oneshot::channel();
        let mut gathered = Gathered { answers: vec![None; len], missing: len, whole: Some(send) };
        gathered.send_if_whole();
        (Arc::new(Batch(Mutex::new(gathered))), receive)
    }

    /// The answer to the request at this place of the message.
    pub(super) fn answer(&self, place: usize, answer: Answer) {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(free) = gathered.answers.get_mut(place).filter(|known| known.is_none()) else {
            return;
        };
        *free = Some(answer);
        gathered.missing -= 1;
        gathered.send_if_whole();
    }
}

impl Gathered {
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

    fn unknown(words: &str) -> Answer {
        Answer::Unknown(words.into())
    }

    #[test]
    fn answers_come_together_in_the_order_of_the_requests() {
        let (batch, mut whole) = Batch::new(2);
        batch.answer(1, unknown("second"));
        assert!(whole.try_recv().is_err(), "the first is still missing");
        batch.answer(1, unknown("again"));
        batch.answer(0, unknown("first"));
        assert_eq!(whole.try_recv(), Ok(vec![unknown("first"), unknown("second")]));
    }

    #[test]
    fn nothing_asked_is_answered_at_once() {
        assert_eq!(Batch::new(0).1.try_recv(), Ok(Vec::new()));
    }
}
