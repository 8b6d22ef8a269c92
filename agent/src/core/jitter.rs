//! Chance that a seed decides: the same seed gives the same numbers, and a thousand agents do not
//! do the same thing at the same moment. PURE.

/// A series of numbers (splitmix64).
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// Between half of this and all of it.
    pub(crate) fn at_least_half(&mut self, whole: u64) -> u64 {
        whole / 2 + self.roll() % (whole / 2)
    }

    /// Puts these in any order (Fisher-Yates). One alone costs no number of the series.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.roll() % (last as u64 + 1);
            items.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_series_is_that_of_splitmix64() {
        let mut jitter = Jitter::new(1_234_567);
        assert_eq!(jitter.roll(), 6_457_827_717_110_365_317);
        assert_eq!(jitter.roll(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn every_order_comes_up_and_nothing_is_lost() {
        let mut orders = BTreeSet::new();
        for seed in 0..200 {
            let mut items = [1, 2, 3];
            Jitter::new(seed).shuffle(&mut items);
            orders.insert(items);
        }
        assert_eq!(orders.len(), 6, "{orders:?}");
    }

    #[test]
    fn a_wait_is_between_half_and_all_of_its_limit() {
        let mut jitter = Jitter::new(7);
        let waits: BTreeSet<u64> = (0..1_000).map(|_| jitter.at_least_half(20)).collect();
        assert_eq!(waits, (10..20).collect());
    }
}
