//! What one HTTP/2 connection costs against what it brings. A client can send frames for ever that carry nothing
//! (pings, settings, window updates, resets); this is where that is noticed. It ends nothing itself.
//! Tests at the end of the file, `tests/it/h2_abuse.rs`.

use std::cell::Cell;

/// Streams a client may cancel within [`RESET_PERIOD`] milliseconds after they have begun.
const MOST_RESETS: u32 = 200;
const RESET_PERIOD: u64 = 30_000;

/// Bytes a connection may receive beyond eight times what it carries for streams, both ways.
const FREE_BYTES: u64 = 1024 * 1024;

/// Counts of one connection.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The name the client asked for in its handshake; the same for all its streams.
    pub(super) name: Option<Box<str>>,
    received: Cell<u64>,
    carried: Cell<u64>,
    live: Cell<u32>,
    /// When the last stream ended or the connection began.
    rests_since: Cell<u64>,
    resets: Cell<u32>,
    period_end: Cell<u64>,
}

impl Ledger {
    pub(super) fn new(name: Option<&str>, now: u64) -> Self {
        Self { name: name.map(Into::into), rests_since: Cell::new(now), ..Self::default() }
    }

    /// Bytes from the client, whatever they are; tells how many came before.
    pub(super) fn receive(&self, count: usize) -> u64 {
        self.received.replace(self.received.get() + count as u64)
    }

    /// Bytes of heads and bodies, in either direction.
    pub(super) fn carry(&self, count: usize) {
        self.carried.set(self.carried.get() + count as u64);
    }

    pub(super) fn begin_stream(&self) {
        self.live.set(self.live.get() + 1);
    }

    pub(super) fn end_stream(&self, now: u64, was_cancelled: bool) {
        self.live.set(self.live.get() - 1);
        self.rests_since.set(now);
        if was_cancelled {
            if now >= self.period_end.get() {
                self.period_end.set(now.saturating_add(RESET_PERIOD));
                self.resets.set(0);
            }
            self.resets.set(self.resets.get() + 1);
        }
    }

    /// Since when no stream is being served; none while there are some.
    pub(super) fn rests_since(&self) -> Option<u64> {
        (self.live.get() == 0).then(|| self.rests_since.get())
    }

    /// The client has used more than it may.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.resets.get() > MOST_RESETS || self.received.get() / 8 > self.carried.get() + FREE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelling_is_counted_by_period() {
        let ledger = Ledger::new(None, 1);
        for now in [1, 40_000] {
            for _ in 0..MOST_RESETS {
                ledger.begin_stream();
                ledger.end_stream(now, true);
            }
            assert!(!ledger.is_overdrawn());
        }
        ledger.begin_stream();
        assert_eq!(ledger.rests_since(), None);
        ledger.end_stream(41_000, true);
        assert!(ledger.is_overdrawn());
        assert_eq!(ledger.rests_since(), Some(41_000));
    }

    #[test]
    fn frames_without_content_run_out_and_content_pays_for_frames() {
        let ledger = Ledger::new(None, 1);
        ledger.receive(8 * 1024 * 1024);
        assert!(!ledger.is_overdrawn());
        ledger.receive(16);
        assert!(ledger.is_overdrawn());
        ledger.carry(1024);
        assert!(!ledger.is_overdrawn());
    }
}
