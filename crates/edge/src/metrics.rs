//! Numbers of one edge process and the socket that shows all of them as Prometheus text (`metrics/text.rs`).
//! Counting is one relaxed atomic add; nothing here allocates or locks on the data path. What requests came to is
//! counted by `account`. Tests: `tests/it/metrics.rs`.

mod text;

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::shared::Shared;

pub(crate) use text::all_series;
pub use text::text;

/// A number that only grows, or a level that goes up and down.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// More.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
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
    /// Requests that were sent to an upstream again.
    pub retries: Number,
    /// Connections that ended in a panic of ours.
    pub panics: Number,
    /// Workers that had to be started again after a panic of ours.
    pub restarts: Number,
    /// TLS handshakes completed.
    pub handshakes: Number,
    /// Those among them that resumed a session.
    pub handshakes_resumed: Number,
    /// TLS handshakes that failed: unknown names, no common ground, garbage, deadlines.
    pub handshakes_failed: Number,
    /// Connections dropped before their handshake, because their client made too many.
    pub handshakes_shed: Number,
}

/// Most metrics requests answered at once.
const MAX_READERS: usize = 16;
/// Longest exchange with a reader of metrics.
const READER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request head of a reader.
const MAX_HEAD: usize = 8 * 1024;

/// Binds the socket for metrics; a socket that an earlier process left there is replaced. The caller holds the
/// lock of the state folder, so no living edge loses its socket. Readable by the edge's group. Needs a runtime.
///
/// # Errors
/// The folder is missing or cannot be written.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    // Only ever a socket: a wrong path in the configuration must not cost anyone a file.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers `GET /metrics` until dropped; readers beyond the limit wait.
pub async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let slots = Arc::new(Semaphore::new(MAX_READERS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A reader that goes away or dawdles is its own affair.
                    let _ = timeout(READER_TIMEOUT, answer(stream, &shared)).await;
                    drop(slot);
                });
            }
            // Out of descriptors, most likely: try again when some may be free.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let mut head = Vec::with_capacity(512);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = if head.starts_with(b"GET /metrics ") {
        ("200 OK", text(shared))
    } else {
        ("404 Not Found", "only GET /metrics is here\n".to_owned())
    };
    let page = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}
