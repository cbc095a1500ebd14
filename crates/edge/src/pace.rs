//! Pauses between attempts: growing after failures, and spread so that many do not fall together.
//! Tests at the end of the file.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A small random generator for spreading pauses; nothing secret depends on it.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new() -> Self {
        // Never zero, on which xorshift would stay.
        Self(RandomState::new().hash_one(0) | 1)
    }

    /// `pause` give or take a tenth.
    pub(crate) fn spread(&mut self, pause: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let percent = 90 + u32::try_from(self.0 % 21).unwrap_or(0);
        pause * percent / 100
    }
}

/// Pauses after failures: 100 ms, doubled up to 2 s, for ever.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    jitter: Jitter,
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST, jitter: Jitter::new() }
    }

    /// The pause before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.jitter.spread(self.next);
        self.next = (self.next * 2).min(LONGEST);
        pause
    }

    /// An attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_again() {
        let mut backoff = Backoff::new();
        for expected in [100, 200, 400, 800, 1600, 2000, 2000] {
            let pause = backoff.next().as_millis();
            assert!((expected * 9 / 10..=expected * 11 / 10).contains(&pause), "{pause} for {expected}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(110));
    }
}
