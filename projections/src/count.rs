//! How a count changes by one: a word where a bool would leave the reader guessing.

/// One more, or one less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CountChange {
    More,
    Less,
}

impl CountChange {
    /// The count after the change. No count falls below zero.
    pub(crate) fn of(self, count: u32) -> u32 {
        match self {
            CountChange::More => count + 1,
            CountChange::Less => count.saturating_sub(1),
        }
    }
}
