//! How often a key may ask: GCRA, one time for each key, shared by all workers of one edge process. Memory is bounded:
//! a key lives in a set of eight places found by a keyed hash; where a ninth comes, the one that has rested longest is
//! forgotten, and with it only what it had used up. Each edge counts for itself. Tests at the end of the file.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Sets of places; 8,192 keys of 16 bytes at most, 128 KiB.
const SETS: usize = 1024;

/// Places in a set.
const WAYS: usize = 8;

/// Counts the requests of many keys.
#[derive(Debug)]
pub(super) struct Limiter {
    /// Nanoseconds for which one request counts.
    interval: u64,
    /// Most that may be used up: `burst` intervals.
    most: u64,
    random: RandomState,
    sets: Box<[Mutex<Vec<Place>>]>,
}

/// A key and the time when all its requests will have been counted for.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: u64,
    until: u64,
}

impl Limiter {
    /// A bucket of `burst`, refilled with `requests` in each `per`, for each key.
    pub(super) fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let interval = (per / u64::from(requests.max(1))).max(1);
        Self {
            interval,
            most: interval.saturating_mul(u64::from(burst.max(1))),
            random: RandomState::new(),
            sets: std::iter::repeat_with(Mutex::default).take(SETS).collect(),
        }
    }

    /// Takes one request of `key` at `now`, or tells how long to wait until one would be taken.
    pub(super) fn take(&self, key: impl Hash, now: Duration) -> Result<(), Duration> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let key = self.random.hash_one(key);
        let set = &self.sets[usize::try_from(key % SETS as u64).unwrap_or(0)];
        // A set is valid after every step, so a panic elsewhere changes nothing about it.
        let mut places = set.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match places.iter().position(|place| place.key == key) {
            Some(index) => index,
            None if places.len() < WAYS => {
                places.push(Place { key, until: 0 });
                places.len() - 1
            }
            None => {
                let oldest = (0..WAYS).min_by_key(|index| places[*index].until).unwrap_or(0);
                places[oldest] = Place { key, until: 0 };
                oldest
            }
        };
        let until = places[index].until.max(now).saturating_add(self.interval);
        let used = until - now;
        if used > self.most {
            return Err(Duration::from_nanos(used - self.most));
        }
        places[index].until = until;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let limiter = Limiter::new(10, Duration::from_secs(1), 3);
        let at = |millis: u64| limiter.take("key", Duration::from_millis(1000 + millis));
        assert_eq!([at(0), at(0), at(0)], [Ok(()); 3]);
        assert_eq!(at(0), Err(Duration::from_millis(100)));
        assert_eq!(at(99), Err(Duration::from_millis(1)));
        assert_eq!(at(100), Ok(()));
        assert_eq!(at(100), Err(Duration::from_millis(100)));
        assert_eq!(limiter.take("other", Duration::from_millis(1100)), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = Limiter::new(1, Duration::from_secs(3600), 1);
        for key in 0..100_000 {
            let _ = limiter.take(key, Duration::from_secs(1));
        }
        let held: usize = limiter.sets.iter().map(|set| set.lock().unwrap().len()).sum();
        assert_eq!(held, SETS * WAYS);
    }

    proptest! {
        /// In no window of time more than the rate of it and one burst.
        #[test]
        fn never_more_than_rate_and_burst(
            requests in 1..50_u32,
            burst in 1..50_u32,
            steps in prop::collection::vec(0..400_u64, 1..300),
        ) {
            let limiter = Limiter::new(requests, Duration::from_secs(1), burst);
            let mut now = 1_000;
            let mut taken = Vec::new();
            for step in steps {
                now += step;
                if limiter.take(0, Duration::from_millis(now)).is_ok() {
                    taken.push(now);
                }
            }
            for (index, from) in taken.iter().enumerate() {
                for (count, to) in taken[index..].iter().enumerate() {
                    let refilled = (to - from) * u64::from(requests) / 1000;
                    prop_assert!(count as u64 <= refilled + u64::from(burst), "{count} in {} ms", to - from);
                }
            }
        }

        /// Whoever waits as long as told is served.
        #[test]
        fn the_wait_told_is_enough(requests in 1..1000_u32, burst in 1..20_u32, extra in 0..40_usize) {
            let limiter = Limiter::new(requests, Duration::from_secs(60), burst);
            let now = Duration::from_secs(5);
            let mut wait = None;
            for _ in 0..burst as usize + extra + 1 {
                wait = limiter.take("a", now).err();
            }
            prop_assert_eq!(limiter.take("a", now + wait.unwrap()), Ok(()));
        }
    }
}
