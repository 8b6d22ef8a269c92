//! Stands in for the crate of this name: histograms that openraft fills and that nobody reads here.
//!
//! The original computes lookup tables for all its resolutions when the first histogram is made;
//! they take 20 MB for as long as the process lives, more than all the rest of a small daemon.
//! openraft shows its histograms only with its feature `runtime-stats`, which is off. So this crate
//! has the original's interface, as far as openraft uses it, and keeps nothing. The workspace's
//! `[patch]` puts it in the original's place.

#![forbid(unsafe_code)]

use std::{fmt, marker::PhantomData};

/// Takes values and keeps none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram<T = ()>(PhantomData<T>);

impl<T> Histogram<T> {
    /// An empty one.
    pub fn new() -> Histogram<T> {
        Histogram(PhantomData)
    }

    /// Forgets a value.
    pub fn record(&mut self, _value: u64) {}

    /// Forgets a value that was measured so many times.
    pub fn record_n(&mut self, _value: u64, _count: u64) {}

    /// All zero.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

/// What a histogram would show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named by what they are")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is measured")
    }
}

/// A chart of nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// An empty one.
    pub fn new() -> AsciiChart {
        AsciiChart
    }

    /// Adds nothing.
    #[must_use]
    pub fn add<T>(self, _name: &str, _histogram: Histogram<T>) -> AsciiChart {
        self
    }

    /// The same with figures.
    #[must_use]
    pub fn detailed(self) -> AsciiChart {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is measured")
    }
}
