//! Accounting: what becomes of every request, by whatever protocol it came, in counters, durations and the access
//! log. One record type, `record::Record`, for all of them. `metrics` makes a page of the numbers.
//! Tests: `tests/it/access_log.rs` and at the end of files.

mod line;
pub(crate) mod rates;
pub(crate) mod record;
pub mod settings;
pub(crate) mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::metrics::Number;
use settings::{AccessLogConfig, Mode};
use writer::{Place, Sink, Writer};

/// What all workers share of the accounting.
#[derive(Debug)]
pub struct Account {
    log: AccessLogConfig,
    sink: Option<Sink>,
    /// Lines of the access log that were not written.
    pub dropped: Arc<Number>,
    /// Give requests without a `traceparent` one.
    pub starts_traces: bool,
}

impl Account {
    /// Counts, writes no log and starts no traces.
    pub fn silent() -> Self {
        let log = AccessLogConfig { mode: Mode::Off, ..AccessLogConfig::default() };
        Self { log, sink: None, dropped: Arc::default(), starts_traces: false }
    }

    /// Opens the log and starts the thread that writes it. Dropping the guard ends that thread, once it has written
    /// what it was given; drop it after the workers have ended.
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub fn open(
        log: AccessLogConfig,
        state_dir: &Path,
        starts_traces: bool,
    ) -> io::Result<(Self, WriterGuard)> {
        let dropped = Arc::default();
        if log.mode == Mode::Off {
            return Ok((Self { log, sink: None, dropped, starts_traces }, WriterGuard(None)));
        }
        let place = Place {
            folder: log.folder.clone().unwrap_or_else(|| state_dir.join("access-log")),
            file_size: log.file_size.as_bytes(),
            keep_size: log.keep_size.as_bytes(),
        };
        let (sink, writer) = writer::start(place, Arc::clone(&dropped))?;
        Ok((Self { log, sink: Some(sink), dropped, starts_traces }, WriterGuard(Some(writer))))
    }
}

/// Keeps the thread of the access log running until it is dropped.
#[derive(Debug)]
pub struct WriterGuard(#[expect(dead_code, reason = "held for its drop")] Option<Writer>);
