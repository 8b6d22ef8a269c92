//! A thing that is being tried: once now, and again later when the runtime could not be reached.
//! PURE.

use skep_proto::{Timestamp, time::SECOND_NS};

/// Wait before the second try.
pub const STEP_RETRY_DELAY_NS_MIN: u64 = SECOND_NS / 2;
/// Wait between tries at most. Trying never ends.
pub const STEP_RETRY_DELAY_NS_MAX: u64 = 30 * SECOND_NS;

/// What is asked of the runtime.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum StepKind {
    Prepare,
    Start,
    AwaitReady,
    AwaitEnd,
    Stop,
    Remove,
}

/// One try after another at one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Effort {
    kind: Option<StepKind>,
    /// Of the try whose answer is awaited; 0 for none.
    ticket: u64,
    /// When to try again; never while an answer is awaited.
    until: Timestamp,
    attempts: u32,
    began: Timestamp,
}

impl Effort {
    /// Whether this is what is being tried.
    pub(crate) fn is_for(&self, kind: StepKind) -> bool {
        self.kind == Some(kind)
    }

    /// The step to ask for, unless it is being tried already. Anything else that was being tried is
    /// overtaken.
    pub(crate) fn take(&self, kind: StepKind) -> Option<StepKind> {
        let is_tried = self.is_for(kind) && (self.ticket != 0 || self.until != Timestamp::NEVER);
        (!is_tried).then_some(kind)
    }

    /// A try begins.
    pub(crate) fn begin(&mut self, kind: StepKind, ticket: u64, now: Timestamp) {
        let attempts = if self.is_for(kind) { self.attempts + 1 } else { 1 };
        *self = Effort { kind: Some(kind), ticket, until: Timestamp::NEVER, attempts, began: now };
    }

    /// Whether this ticket's answer is awaited.
    pub(crate) fn awaits(&self, ticket: u64) -> bool {
        ticket != 0 && self.ticket == ticket
    }

    /// Whether this ticket's answer is awaited; after this it no longer is.
    pub(crate) fn answers(&mut self, ticket: u64) -> Option<StepKind> {
        let awaited = self.awaits(ticket);
        if awaited {
            self.ticket = 0;
        }
        self.kind.filter(|_| awaited)
    }

    /// It could not be done now; says when to try again. After a try that lasted, the waits begin
    /// again.
    pub(crate) fn again(&mut self, now: Timestamp) -> Timestamp {
        self.ticket = 0;
        if now.since(self.began) > STEP_RETRY_DELAY_NS_MAX {
            self.attempts = 1;
        }
        self.until = now + delay_ns(self.attempts);
        self.until
    }

    /// The wait is over, if it is.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        if self.until <= now {
            self.until = Timestamp::NEVER;
        }
    }
}

/// The wait after so many tries: doubled with each.
pub(crate) fn delay_ns(attempts: u32) -> u64 {
    let doublings = attempts.saturating_sub(1).min(16);
    (STEP_RETRY_DELAY_NS_MIN << doublings).min(STEP_RETRY_DELAY_NS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_try_is_answered_and_only_once() {
        let mut effort = Effort::default();
        effort.begin(StepKind::Start, 4, Timestamp(1));
        effort.begin(StepKind::Start, 7, Timestamp(1));
        assert_eq!(effort.take(StepKind::Start), None, "it is being tried");
        assert_eq!(effort.take(StepKind::Stop), Some(StepKind::Stop), "which overtakes it");
        assert_eq!(effort.answers(4), None);
        assert_eq!(effort.answers(7), Some(StepKind::Start));
        assert_eq!(effort.answers(7), None);
        assert_eq!(effort.answers(0), None);
    }

    #[test]
    fn waits_double_and_never_grow_beyond_their_limit() {
        let mut effort = Effort::default();
        let mut waits = Vec::new();
        for ticket in 1..100 {
            effort.begin(StepKind::Prepare, ticket, Timestamp(1));
            waits.push(effort.again(Timestamp(1)).since(Timestamp(1)));
        }
        assert_eq!(
            waits[..3],
            [STEP_RETRY_DELAY_NS_MIN, 2 * STEP_RETRY_DELAY_NS_MIN, 4 * STEP_RETRY_DELAY_NS_MIN]
        );
        assert_eq!(waits.last(), Some(&STEP_RETRY_DELAY_NS_MAX));
        effort.begin(StepKind::Prepare, 100, Timestamp(1));
        let later = Timestamp(1) + 2 * STEP_RETRY_DELAY_NS_MAX;
        assert_eq!(
            effort.again(later).since(later),
            STEP_RETRY_DELAY_NS_MIN,
            "that one had lasted"
        );
    }

    #[test]
    fn a_try_comes_at_its_time_and_a_short_one_does_not_begin_the_waits_anew() {
        let mut effort = Effort::default();
        effort.begin(StepKind::Prepare, 1, Timestamp(1));
        let again = effort.again(Timestamp(1));
        effort.wake(Timestamp(again.0 - 1));
        assert_eq!(effort.take(StepKind::Prepare), None);
        effort.wake(again);
        assert_eq!(effort.take(StepKind::Prepare), Some(StepKind::Prepare));
        effort.begin(StepKind::Prepare, 2, again);
        let later = again + STEP_RETRY_DELAY_NS_MAX;
        assert_eq!(effort.again(later).since(later), 2 * STEP_RETRY_DELAY_NS_MIN);
        assert_eq!(effort.answers(2), None, "it was taken up");
    }
}
