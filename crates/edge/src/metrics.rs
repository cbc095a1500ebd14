//! Counters of one edge process and their Prometheus text. Counting is one relaxed atomic add; nothing here
//! allocates or locks on the data path. Tests: `tests/it/metrics.rs`.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use havre_api::route_table::UpstreamRole;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::shared::Shared;
use crate::upstream::Standing;

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
    /// TLS handshakes completed.
    pub handshakes: Number,
    /// Those among them that resumed a session.
    pub handshakes_resumed: Number,
    /// TLS handshakes that failed: unknown names, no common ground, garbage, deadlines.
    pub handshakes_failed: Number,
    /// Connections dropped before their handshake, because their client made too many.
    pub handshakes_shed: Number,
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

/// Most metrics requests answered at once.
const MAX_READERS: usize = 16;
/// Longest exchange with a reader of metrics.
const READER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request head of a reader.
const MAX_HEAD: usize = 8 * 1024;

/// All metrics of the process in Prometheus' text format, in a stable order.
pub fn text(shared: &Shared) -> String {
    let table = shared.table.load_full();
    let metrics = &shared.metrics;
    let mut page = Page(String::with_capacity(4096));
    page.family("generation", "gauge", "Generation of the route table in use.");
    page.sample("generation", &[], table.generation);
    for (name, kind, help, number) in [
        ("connections", "gauge", "Client connections open now.", &metrics.connections),
        ("accepted_total", "counter", "Client connections accepted.", &metrics.accepted),
        ("shed_total", "counter", "Client connections turned away at a limit.", &metrics.shed),
        ("refused_total", "counter", "Requests refused for a wrong head or framing.", &metrics.refused),
        ("unrouted_total", "counter", "Requests for a host or path no route names.", &metrics.unrouted),
        ("tunnels", "gauge", "Upgraded connections open now.", &metrics.tunnels),
        ("handshakes_total", "counter", "TLS handshakes completed.", &metrics.handshakes),
        ("handshakes_resumed_total", "counter", "TLS sessions resumed.", &metrics.handshakes_resumed),
        ("handshakes_failed_total", "counter", "TLS handshakes that failed.", &metrics.handshakes_failed),
        ("handshakes_shed_total", "counter", "TLS handshakes refused at a limit.", &metrics.handshakes_shed),
    ] {
        page.family(name, kind, help);
        page.sample(name, &[], number.get());
    }
    page.family("requests_total", "counter", "Requests by service or site and status class.");
    let mut sites: Vec<_> = table.sites().collect();
    sites.sort_by(|a, b| a.name.cmp(&b.name));
    let services = table.services().map(|service| ("service", service.name.as_str(), &service.counters));
    let sites = sites.into_iter().map(|site| ("site", site.name.as_str(), &site.counters));
    for (kind, name, counters) in services.chain(sites) {
        for (class, label) in ["none", "1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
            page.sample("requests_total", &[(kind, name), ("class", label)], counters.class(class));
        }
    }
    page.family("in_flight", "gauge", "Requests, upgraded connections and streams in flight, by service.");
    for service in table.services() {
        let in_flight = service.upstreams.iter().map(|member| member.upstream.in_flight()).sum();
        page.sample("in_flight", &[("service", &service.name)], in_flight);
    }
    page.family("upstream_healthy", "gauge", "1 for an upstream whose probe succeeds, else 0.");
    for service in table.services() {
        for member in &service.upstreams {
            let role = match member.role {
                UpstreamRole::Live => "live",
                UpstreamRole::Standby => "standby",
                UpstreamRole::Draining => "draining",
            };
            let labels =
                [("service", service.name.as_str()), ("task", &member.upstream.task), ("role", role)];
            page.sample(
                "upstream_healthy",
                &labels,
                u64::from(member.upstream.standing() == Standing::Healthy),
            );
        }
    }
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP havre_edge_{name} {help}\n# TYPE havre_edge_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let _ = write!(self.0, "havre_edge_{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

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
