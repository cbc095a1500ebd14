//! How long requests took, in fixed memory: log-linear buckets from one microsecond to half an hour, four to each
//! doubling, so that a quantile is at most a quarter too high. It knows nothing of requests.
//! Tests at the end of the file.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of buckets; the last one also takes everything above half an hour.
pub const BUCKETS: usize = 120;

/// Neighbouring buckets that get memory together: most series need only a few of all.
const PIECE: usize = 16;

/// Counts by duration. Adding is two relaxed additions.
#[derive(Debug, Default)]
pub struct Histogram {
    pieces: [OnceLock<Box<[AtomicU64; PIECE]>>; BUCKETS.div_ceil(PIECE)],
    sum: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&self, micros: u64) {
        let bucket = bucket(micros);
        self.pieces[bucket / PIECE].get_or_init(Box::default)[bucket % PIECE].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// Adds what has been counted here to `total`.
    pub fn collect(&self, total: &mut Durations) {
        for (sums, piece) in total.counts.chunks_mut(PIECE).zip(&self.pieces) {
            for (sum, count) in sums.iter_mut().zip(piece.get().into_iter().flat_map(|counts| counts.iter()))
            {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        total.sum += self.sum.load(Ordering::Relaxed);
    }
}

/// Numbers taken out of histograms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// Requests by bucket.
    pub counts: [u64; BUCKETS],
    /// All durations together, in microseconds.
    pub sum: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0 }
    }
}

impl Durations {
    /// Number of requests.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What came since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut news = self.clone();
        for (count, before) in news.counts.iter_mut().zip(&earlier.counts) {
            *count = count.saturating_sub(*before);
        }
        news.sum = news.sum.saturating_sub(earlier.sum);
        news
    }

    /// The duration in microseconds that `share` of a thousand requests do not exceed, as the upper bound of its
    /// bucket; 0 without requests.
    pub fn quantile(&self, share: u64) -> u64 {
        let total = self.total();
        let rank = (total * share).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(index);
            }
        }
        0
    }

    /// Requests that took at most `micros`, which should be a bound of a bucket.
    pub fn at_most(&self, micros: u64) -> u64 {
        self.counts
            .iter()
            .enumerate()
            .filter(|(index, _)| upper(*index) <= micros)
            .map(|(_, count)| count)
            .sum()
    }
}

/// The bucket of a duration.
fn bucket(micros: u64) -> usize {
    if micros < 4 {
        return usize::try_from(micros).unwrap_or(0);
    }
    let power = 63 - micros.leading_zeros();
    let quarter = (micros >> (power - 2)) & 3;
    let index = u64::from(power - 1) * 4 + quarter;
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The first duration that is above the bucket.
pub fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < 4 { index + 1 } else { (5 + index % 4) << (index / 4 - 1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        let mut lower = 0;
        for index in 0..BUCKETS {
            assert_eq!((bucket(lower), bucket(upper(index) - 1)), (index, index), "{index}");
            lower = upper(index);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert!(upper(BUCKETS - 1) > 30 * 60 * 1_000_000);
    }

    proptest! {
        #[test]
        fn a_quantile_is_never_too_low_and_at_most_a_quarter_too_high(
            mut values in proptest::collection::vec(0_u64..1_000_000_000, 1..200),
            share in 1_u64..=1000,
        ) {
            let histogram = Histogram::default();
            values.iter().for_each(|value| histogram.add(*value));
            let mut durations = Durations::default();
            histogram.collect(&mut durations);
            values.sort_unstable();
            let rank = usize::try_from((values.len() as u64 * share).div_ceil(1000).max(1)).unwrap();
            let exact = values[rank - 1];
            let found = durations.quantile(share);
            prop_assert!(found > exact, "{found} for {exact}");
            prop_assert!(found <= exact + exact / 4 + 1, "{found} for {exact}");
            prop_assert_eq!(durations.total(), values.len() as u64);
            prop_assert_eq!(durations.sum, values.iter().sum::<u64>());
            prop_assert_eq!(durations.since(&durations), Durations::default());
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Durations::default().quantile(500), 0);
    }
}
