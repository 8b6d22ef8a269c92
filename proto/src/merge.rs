//! One stream out of several, in the order of time. PURE.
//!
//! Each source is in order, or nearly; what is said next is the earliest head of all of them. For
//! that, every source must have a head. A finite source is waited for until it has one or is
//! closed. A source that goes on may have nothing to say for days, so it is only waited for as long
//! as [`Patience`] allows; what it says later of an earlier time comes late, and is never dropped.

use crate::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// How long a source without a head holds the others back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Until it has one, or is closed.
    Unlimited,
    /// So long.
    Limited {
        /// A source that has said nothing yet, from its opening.
        first_ns: u64,
        /// Any source, from the arrival of the item that waits for it.
        next_ns: u64,
    },
}

/// Items of several sources. The one who feeds it bounds how many wait: see [`Merge::waiting`].
#[derive(Debug)]
pub struct Merge<K, T> {
    patience: Patience,
    sources: BTreeMap<K, Source<T>>,
}

#[derive(Debug)]
struct Source<T> {
    opened: Timestamp,
    items: VecDeque<Item<T>>,
    /// Its items never go back: one that does stays behind the one before.
    newest: Timestamp,
    said_something: bool,
    closed: bool,
}

#[derive(Debug)]
struct Item<T> {
    at: Timestamp,
    arrived: Timestamp,
    content: T,
}

impl<K: Ord + Copy, T> Merge<K, T> {
    /// Without sources.
    pub fn new(patience: Patience) -> Merge<K, T> {
        Merge { patience, sources: BTreeMap::new() }
    }

    /// Opens a source; one that is open already, or has something left, goes on.
    pub fn open(&mut self, key: K, now: Timestamp) {
        let fresh = || Source {
            opened: now,
            items: VecDeque::new(),
            newest: Timestamp::NEVER,
            said_something: false,
            closed: false,
        };
        self.sources.entry(key).or_insert_with(fresh).closed = false;
    }

    /// Takes the next item of a source that is open; others say nothing.
    pub fn push(&mut self, key: K, at: Timestamp, content: T, now: Timestamp) {
        if let Some(source) = self.sources.get_mut(&key).filter(|source| !source.closed) {
            source.newest = source.newest.max(at);
            source.said_something = true;
            source.items.push_back(Item { at: source.newest, arrived: now, content });
        }
    }

    /// The source has ended.
    pub fn close(&mut self, key: K) {
        if let Some(source) = self.sources.get_mut(&key) {
            source.closed = true;
            if source.items.is_empty() {
                self.sources.remove(&key);
            }
        }
    }

    /// Items of this source that wait to be taken out.
    pub fn waiting(&self, key: K) -> usize {
        self.sources.get(&key).map_or(0, |source| source.items.len())
    }

    /// Nothing waits, and nothing more will come.
    pub fn is_over(&self) -> bool {
        self.sources.is_empty()
    }

    /// The next item, if it is known to be that.
    pub fn poll(&mut self, now: Timestamp) -> Option<(K, T)> {
        let (key, arrived) = self.head()?;
        if self.held_until(arrived).is_some_and(|until| until.is_none_or(|until| now < until)) {
            return None;
        }
        let source = self.sources.get_mut(&key)?;
        let item = source.items.pop_front()?;
        if source.closed && source.items.is_empty() {
            self.sources.remove(&key);
        }
        Some((key, item.content))
    }

    /// When [`Merge::poll`] may have an item although nothing came.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let (_, arrived) = self.head()?;
        self.held_until(arrived).flatten()
    }

    /// The source of the earliest item, and when that item came.
    fn head(&self) -> Option<(K, Timestamp)> {
        let heads =
            self.sources.iter().filter_map(|(key, source)| Some((source.items.front()?, *key)));
        heads.min_by_key(|(item, key)| (item.at, *key)).map(|(item, key)| (key, item.arrived))
    }

    /// Whether an item that came then waits for another source, and until when at the latest.
    #[expect(
        clippy::option_option,
        reason = "not at all, for ever and until then are different answers"
    )]
    fn held_until(&self, arrived: Timestamp) -> Option<Option<Timestamp>> {
        let silent =
            self.sources.values().filter(|source| source.items.is_empty() && !source.closed);
        match self.patience {
            Patience::Unlimited => silent.last().map(|_| None),
            Patience::Limited { first_ns, next_ns } => silent
                .map(|source| {
                    let next = arrived + next_ns;
                    if source.said_something { next } else { next.max(source.opened + first_ns) }
                })
                .max()
                .map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told(Merge<char, u64>, Timestamp);

    impl Told {
        fn new(patience: Patience, sources: &str) -> Told {
            let mut merge = Merge::new(patience);
            sources.chars().for_each(|key| merge.open(key, Timestamp(1000)));
            Told(merge, Timestamp(1000))
        }

        /// `a5` pushes, `a.` closes, `+5` lets time pass; what is said then.
        fn on(&mut self, words: &str) -> String {
            for word in words.split_whitespace() {
                let (first, rest) = word.split_at(1);
                let key = first.chars().next().unwrap();
                match (key, rest) {
                    ('+', ns) => self.1 = self.1 + ns.parse::<u64>().unwrap(),
                    (key, ".") => self.0.close(key),
                    (key, at) => {
                        let at = at.parse().unwrap();
                        self.0.push(key, Timestamp(at), at, self.1);
                    }
                }
            }
            let mut said = Vec::new();
            while let Some((key, at)) = self.0.poll(self.1) {
                said.push(format!("{key}{at}"));
            }
            said.join(" ")
        }
    }

    #[test]
    fn finite_sources_are_merged_exactly_however_they_arrive() {
        let mut told = Told::new(Patience::Unlimited, "abc");
        assert_eq!(told.on("a5 a7 b6"), "", "c may have something earlier");
        assert_eq!(told.on("+1000000000000"), "", "however long it takes");
        assert_eq!(told.on("c1 c9"), "c1 a5 b6");
        assert_eq!(told.on("b."), "a7");
        assert_eq!(told.on("a."), "c9");
        assert!(!told.0.is_over());
        told.on("c.");
        assert!(told.0.is_over());
    }

    #[test]
    fn equal_times_keep_the_order_of_their_source() {
        let mut told = Told::new(Patience::Unlimited, "ab");
        assert_eq!(told.on("b5 b5 a5 a5 a. b."), "a5 a5 b5 b5");
    }

    #[test]
    fn a_source_whose_clock_went_back_keeps_its_own_order() {
        let mut told = Told::new(Patience::Unlimited, "ab");
        assert_eq!(told.on("a5 a3 b4 a. b."), "b4 a5 a3");
    }

    #[test]
    fn a_silent_source_holds_the_others_back_for_a_moment_only() {
        let mut told = Told::new(Patience::Limited { first_ns: 100, next_ns: 10 }, "ab");
        assert_eq!(told.on("a5"), "");
        assert_eq!(told.0.poll_timeout(), Some(Timestamp(1100)), "b has said nothing yet");
        assert_eq!(told.on("+50 b4"), "b4 a5", "a5 has waited long enough");
        assert_eq!(told.0.poll_timeout(), None);
        assert_eq!(told.on("a9 +9"), "");
        assert_eq!(told.on("b8"), "b8");
        assert_eq!(told.on("+1"), "a9");
        assert_eq!(told.on("b7"), "", "it comes late, after a moment");
        assert_eq!(told.on("+10"), "b7", "and is not dropped");
    }

    #[test]
    fn one_source_waits_for_nobody() {
        let mut told = Told::new(Patience::Limited { first_ns: 100, next_ns: 10 }, "a");
        assert_eq!(told.on("a5 a6"), "a5 a6");
        assert_eq!(told.0.poll_timeout(), None);
    }

    #[test]
    fn what_waits_of_a_closed_source_is_said() {
        let mut told = Told::new(Patience::Unlimited, "ab");
        assert_eq!(told.0.waiting('a'), 0);
        assert_eq!(told.on("a5 a6"), "");
        assert_eq!((told.0.waiting('a'), told.0.waiting('b')), (2, 0));
        let mut told = Told::new(Patience::Unlimited, "ab");
        assert_eq!(told.on("a5 a. b4"), "b4");
        assert_eq!(told.on("a6 b."), "a5", "nothing more is taken from it");
        assert!(told.0.is_over());
    }
}
