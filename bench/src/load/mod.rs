//! Load on one thread: closed loop (as fast as answers come) or open loop (at a rate, with the latency counted from the
//! moment a request should have begun, so that a stall is not hidden by waiting for it). Nothing is ever tried again.
//! Tests: the self-test.

mod command;
mod connection;
mod engine;
pub(crate) mod histogram;
mod stream;
pub(crate) mod tally;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) use command::{LoadArguments, run_command};
pub(crate) use engine::{check, run};
pub(crate) use stream::Tls;
use tally::Failure;

use crate::http::exchange::get;

/// When a request begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// When another one ends.
    Closed,
    /// So many times a second, evenly.
    Open { per_second: f64 },
}

/// What to send where.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    /// On kept connections; of several, one is chosen at random each time.
    pub(crate) kept_requests: Vec<Vec<u8>>,
    /// On connections for one request.
    pub(crate) fresh_request: Vec<u8>,
    /// Most requests in flight.
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Part of the requests, 0 to 1, that open a connection of their own.
    pub(crate) fresh_share: f64,
    /// Longest time for one request, connecting included.
    pub(crate) timeout: Duration,
    /// Speak TLS.
    pub(crate) tls: Option<Tls>,
    /// Give `Havre-Release` to the sink.
    pub(crate) wants_release: bool,
}

impl Plan {
    /// A plan for `GET path`, closed loop, all connections kept, 10 s for each request.
    pub(crate) fn get(target: SocketAddr, host: &str, path: &str) -> Self {
        Self {
            target,
            kept_requests: vec![get(host, path, "")],
            fresh_request: get(host, path, "Connection: close\r\n"),
            connections: 1,
            pace: Pace::Closed,
            fresh_share: 0.0,
            timeout: Duration::from_secs(10),
            tls: None,
            wants_release: false,
        }
    }
}

/// One request that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    /// Just before its first byte was written, or the connection begun.
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    /// Who answered, if the plan asks for it and the answer said so.
    pub(crate) release: Option<&'a str>,
    pub(crate) failure: Option<Failure>,
}
