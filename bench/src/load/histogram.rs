//! Latencies in a fixed amount of memory, each to within one percent. Tests at the end of the file.

use serde::Serialize;

/// Values below this are counted exactly; above it each doubling has half as many buckets.
const EXACT: u64 = 256;
const HALF: u64 = EXACT / 2;
/// Enough for 2^40 microseconds.
const BUCKETS: usize = (EXACT + 32 * HALF) as usize;

/// Counts of microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

/// What a report shows, in milliseconds; all zero when nothing was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one value.
    pub(crate) fn record(&mut self, micros: u64) {
        self.buckets[bucket(micros)] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    /// The smallest value that at least `share` (above 0, up to 1) of all values do not exceed, rounded up to the end
    /// of its bucket.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return bucket_end(index).min(self.max);
            }
        }
        0
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let millis = |share| self.quantile(share) as f64 / 1000.0;
        Percentiles {
            p50: millis(0.5),
            p90: millis(0.9),
            p99: millis(0.99),
            p999: millis(0.999),
            max: self.max as f64 / 1000.0,
        }
    }
}

fn bucket(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let value = value.min((1 << 40) - 1);
    let shift = u64::from(64 - value.leading_zeros()) - 8;
    (EXACT + (shift - 1) * HALF + ((value >> shift) - HALF)) as usize
}

fn bucket_end(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let shift = (index - EXACT) / HALF + 1;
    let top = (index - EXACT) % HALF + HALF;
    ((top + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_ends_within_a_percent_of_it() {
        let mut value = 0_u64;
        let mut last = 0;
        while value < 1 << 40 {
            let index = bucket(value);
            assert!(index >= last && index < BUCKETS, "{value}");
            let end = bucket_end(index);
            assert!(end >= value && (end - value) as f64 <= value as f64 * 0.01, "{value} ends at {end}");
            last = index;
            value += 1 + value / 300;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_of_a_known_set() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentiles(), Percentiles::default());
        for micros in (1..=200).rev() {
            histogram.record(micros);
        }
        assert_eq!(
            histogram.percentiles(),
            Percentiles { p50: 0.1, p90: 0.18, p99: 0.198, p999: 0.2, max: 0.2 }
        );
        histogram.record(5_000_000);
        assert_eq!(histogram.quantile(1.0), 5_000_000);
    }
}
