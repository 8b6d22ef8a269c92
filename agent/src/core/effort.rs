//! A thing that is being tried: once now, and again later when the runtime could not be reached. PURE.

use super::task::Next;
use skep_proto::{Timestamp, time::SECOND_NS};

/// Wait before the second try.
pub const RETRY_NS_MIN: u64 = SECOND_NS / 2;
/// Wait between tries at most. Trying never ends.
pub const RETRY_NS_MAX: u64 = 30 * SECOND_NS;

/// What is asked of the runtime.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
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
    kind: Option<Kind>,
    /// Of the try whose answer is awaited; 0 for none.
    ticket: u64,
    /// When to try again; never while an answer is awaited.
    until: Timestamp,
    attempts: u32,
}

impl Effort {
    /// Whether this is what is being tried.
    pub(crate) fn is_for(&self, kind: Kind) -> bool {
        self.kind == Some(kind)
    }

    /// Asks for the step, unless it is being tried. Anything else that was being tried is overtaken.
    pub(crate) fn take(&self, kind: Kind) -> Next {
        if self.is_for(kind) && (self.ticket != 0 || self.until != Timestamp::NEVER) {
            Next::Rest
        } else {
            Next::Take(kind)
        }
    }

    /// A try begins.
    pub(crate) fn begin(&mut self, kind: Kind, ticket: u64) {
        let attempts = if self.is_for(kind) { self.attempts + 1 } else { 1 };
        *self = Effort { kind: Some(kind), ticket, until: Timestamp::NEVER, attempts };
    }

    /// Whether this ticket's answer is awaited; after this it no longer is.
    pub(crate) fn answers(&mut self, ticket: u64) -> Option<Kind> {
        let awaited = ticket != 0 && self.ticket == ticket;
        if awaited {
            self.ticket = 0;
        }
        self.kind.filter(|_| awaited)
    }

    /// It could not be done now; says when to try again.
    pub(crate) fn again(&mut self, now: Timestamp) -> Timestamp {
        self.ticket = 0;
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

impl Next {
    /// This, or `other` when there is nothing to do.
    pub(crate) fn or(self, other: Next) -> Next {
        if self == Next::Rest { other } else { self }
    }
}

/// The wait after so many tries: doubled with each.
pub(crate) fn delay_ns(attempts: u32) -> u64 {
    let doublings = attempts.saturating_sub(1).min(16);
    (RETRY_NS_MIN << doublings).min(RETRY_NS_MAX)
}
