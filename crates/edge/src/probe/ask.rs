//! One probe and one round of checks against one address, each with its reason for people.
//! It keeps no state. Tests: `tests/it/probe.rs`.

use std::io;
use std::time::Duration;

use havre_api::edge_report::Checks;
use havre_api::route_table::{Check, Probe};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::{bounded, streamed};
use crate::client::{self, Answer, Body, ClientError};
use crate::stream::Tls;
use crate::upstream::Upstream;

/// Most of a body that is read: of a probe to end the connection politely, of a check to look for its text.
const MAX_BODY: usize = 64 * 1024;
/// How long a probe reads a body it does not need; an endless one must not hold the verdict back.
const DISCARD: Duration = Duration::from_millis(100);

/// Asks `probe.path` once. Healthy is an answer 2xx or 3xx; that something accepts connections proves nothing.
/// The error says why not.
pub(super) async fn probe(upstream: &Upstream, probe: &Probe) -> Result<(), String> {
    let limit = bounded(probe.timeout_ms);
    let answer = timeout(limit, get(upstream, &probe.path, &probe.host))
        .await
        .unwrap_or_else(|_| Err(no_answer(limit)))?;
    let status = answer.status();
    // An application that is cut in the middle of an answer may log an error each time.
    let _ = timeout(DISCARD.min(limit), answer.body(Body::Start(MAX_BODY))).await;
    match status {
        200..400 => Ok(()),
        status => Err(format!("GET {} answered {status}", probe.path)),
    }
}

/// Runs `checks` in order and stops at the first that fails.
pub(super) async fn run_checks(upstream: &Upstream, probe: &Probe, checks: &[Check]) -> Checks {
    for check in checks {
        if let Err(reason) = run_check(upstream, probe, check).await {
            return Checks::Failed { reason };
        }
    }
    Checks::Passed
}

async fn run_check(upstream: &Upstream, probe: &Probe, check: &Check) -> Result<(), String> {
    let limit = bounded(probe.timeout_ms);
    let deadline = Instant::now() + limit;
    let path = &check.path;
    let about = |reason: String| format!("GET {path}: {reason}");
    let answer = timeout_at(deadline, get(upstream, path, &probe.host))
        .await
        .unwrap_or_else(|_| Err(no_answer(limit)))
        .map_err(about)?;
    if answer.status() != check.status {
        return Err(format!("GET {path} answered {}, wanted {}", answer.status(), check.status));
    }
    if check.contains.is_empty() {
        let _ = timeout_at(deadline.min(Instant::now() + DISCARD), answer.body(Body::Start(MAX_BODY))).await;
        return Ok(());
    }
    let body = timeout_at(deadline, answer.body(Body::Start(MAX_BODY)))
        .await
        .map_err(|_| about(format!("the answer did not end within {}", in_words(limit))))?
        .map_err(|error| about(reason(&error)))?;
    let wanted = check.contains.as_bytes();
    if body.windows(wanted.len()).any(|window| window == wanted) {
        return Ok(());
    }
    Err(format!("GET {path} does not contain {:?}", check.contains))
}

/// An answer in the protocol of the upstream.
enum Reply {
    Plain(Answer<TcpStream>),
    Tls(Answer<Box<Tls>>),
    Streamed(streamed::Answer),
}

impl Reply {
    fn status(&self) -> u16 {
        match self {
            Self::Plain(answer) => answer.status,
            Self::Tls(answer) => answer.status,
            Self::Streamed(answer) => answer.status,
        }
    }

    async fn body(self, most: Body) -> Result<Vec<u8>, ClientError> {
        match (self, most) {
            (Self::Plain(answer), most) => answer.body(most).await,
            (Self::Tls(answer), most) => answer.body(most).await,
            (Self::Streamed(answer), Body::Start(most) | Body::Whole(most)) => answer.body(most).await,
        }
    }
}

/// Sends one request on a connection of its own. The caller sets the deadline.
async fn get(upstream: &Upstream, path: &str, host: &str) -> Result<Reply, String> {
    let stream = TcpStream::connect(upstream.address).await.map_err(|error| io_reason(&error))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: havre-edge\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let is_h2 = upstream.protocol.is_h2();
    let Some(trust) = &upstream.trust else {
        if is_h2 {
            return streamed::get(stream, format!("http://{host}{path}")).await.map(Reply::Streamed);
        }
        let answer = client::send(stream, request.as_bytes()).await;
        return answer.map(Reply::Plain).map_err(|error| reason(&error));
    };
    let stream = trust.shake_hands(stream).await.map_err(|error| io_reason(&error))?;
    if is_h2 {
        return streamed::get(stream, format!("https://{host}{path}")).await.map(Reply::Streamed);
    }
    let answer = client::send(stream, request.as_bytes()).await;
    answer.map(Reply::Tls).map_err(|error| reason(&error))
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {}", in_words(limit))
}

fn in_words(limit: Duration) -> String {
    match limit.as_millis() {
        millis if millis % 1000 == 0 => format!("{} s", millis / 1000),
        millis => format!("{millis} ms"),
    }
}

fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Io(error) => io_reason(error),
        error => error.to_string(),
    }
}

/// Without the numbers of the operating system, which help nobody.
fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        io::ErrorKind::BrokenPipe => "closed the connection without an answer".to_owned(),
        _ => error.to_string(),
    }
}
