//! New ids without randomness of their own: a stream that follows from the seed of the turn.
//!
//! The same seed gives the same ids, so a turn can be repeated byte for byte. The stream need not
//! be secret, only free of repetitions: ids name things, they do not guard them.

use skep_proto::Id;
use std::cell::Cell;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A deterministic stream of ids. Drawing needs no `&mut`, so that it can be handed to everybody in
/// a turn.
#[derive(Clone, Debug)]
pub struct Entropy {
    key: [u64; 4],
    drawn: Cell<u64>,
}

impl Entropy {
    /// The stream of a seed. Every turn needs a seed of its own, or ids would repeat.
    pub fn new(seed: [u8; 32]) -> Entropy {
        let mut key = [0; 4];
        for (word, bytes) in key.iter_mut().zip(seed.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Entropy { key, drawn: Cell::new(0) }
    }

    /// Another stream of the same seed: what is drawn from one says nothing of what was drawn from
    /// the other.
    pub fn beside(seed: [u8; 32]) -> Entropy {
        Entropy::new(seed.map(|byte| !byte))
    }

    /// The next id; never [`Id::NONE`].
    pub fn id(&self) -> Id {
        loop {
            let count = self.drawn.get().wrapping_add(1);
            self.drawn.set(count);
            let high = self.word(self.key[0], self.key[1], count);
            let low = self.word(self.key[2], self.key[3], count ^ high);
            let id = Id(u128::from(high) << 64 | u128::from(low));
            if !id.is_none() {
                return id;
            }
        }
    }

    fn word(&self, key: u64, tweak: u64, count: u64) -> u64 {
        mix(key ^ mix(tweak.wrapping_add(count.wrapping_mul(STEP))))
    }
}

/// Spreads every bit of the input over the whole output, and back again: no two inputs meet.
fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_gives_the_same_stream_and_another_seed_another() {
        let draw = |seed| {
            let entropy = Entropy::new([seed; 32]);
            (0..1_000).map(|_| entropy.id()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        let (a, b): (BTreeSet<_>, BTreeSet<_>) =
            (draw(7).into_iter().collect(), draw(8).into_iter().collect());
        assert_eq!(a.len(), 1_000, "no id twice");
        assert!(a.is_disjoint(&b));
        let beside = Entropy::beside([7; 32]);
        assert!((0..1_000).all(|_| !a.contains(&beside.id())), "nor do two streams of one seed");
    }

    #[test]
    fn half_of_all_bits_are_set() {
        let entropy = Entropy::new([0; 32]);
        let ones: u32 = (0..10_000).map(|_| entropy.id().0.count_ones()).sum();
        let share = f64::from(ones) / (10_000.0 * 128.0);
        assert!((0.49..0.51).contains(&share), "{share}");
    }
}
