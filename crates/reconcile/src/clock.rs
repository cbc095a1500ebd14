//! The clock seam: the system's for production, one driven by hand for tests.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use havre_core::time::Timestamp;

/// Tells the time and waits.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// Returns after `length`.
    async fn sleep(&self, length: Duration);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Starts at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves forward.
    pub fn advance(&self, length: Duration) {
        let mut now = self.0.lock().expect("no holder of the clock panics");
        *now = now.after(length);
    }

    /// Jumps, backwards too.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock().expect("no holder of the clock panics") = now;
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no holder of the clock panics")
    }

    async fn sleep(&self, length: Duration) {
        self.advance(length);
        tokio::task::yield_now().await;
    }
}
