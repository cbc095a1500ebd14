//! Bootstrap configuration of an edge: addresses, paths and limits. Everything else comes with the route table.
//! Tests at the end of the file.

use std::net::SocketAddr;
use std::path::PathBuf;

use havre_core::quantity::{ByteSize, Span};
use serde::{Deserialize, Serialize};

use crate::account::settings::AccessLogConfig;
use havre_http::trust::Networks;

/// Configuration of one edge process; the `[edge]` section of the bootstrap file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeConfig {
    /// Name of this edge in reports, stable over restarts: the node's name. Default `edge`.
    pub name: String,
    /// Addresses for users, such as `0.0.0.0:80`. Ignored when systemd hands over sockets whose
    /// `FileDescriptorName` starts with `edge`. Default: `0.0.0.0:80` and `[::]:80`.
    pub listen: Vec<SocketAddr>,
    /// Addresses for users of HTTPS. Ignored when systemd hands over sockets, of which those whose
    /// `FileDescriptorName` starts with `edge-tls` are for HTTPS. Default: `0.0.0.0:443` and `[::]:443`.
    pub https: Vec<SocketAddr>,
    /// Worker threads, 1 to 256; 0 means one per core. Default 0.
    pub workers: usize,
    /// Unix socket of control. Default `/run/havre/edge.sock`.
    pub control_socket: PathBuf,
    /// Folder of this edge alone: its last route table and its lock. Default `/var/lib/havre-edge`.
    pub state_dir: PathBuf,
    /// Folder of published sites, one folder per digest. Default `/var/lib/havre/sites`.
    pub sites_dir: PathBuf,
    /// Unix socket that answers `GET /metrics`; left out, there is none.
    pub metrics_socket: Option<PathBuf>,
    /// The access log.
    pub access_log: AccessLogConfig,
    /// Give requests that come without a `traceparent` header one, with the request id as the number of the trace.
    /// Default true.
    pub start_traces: bool,
    /// Load balancers that open every connection with the PROXY protocol (1 or 2). They must; nobody else may.
    /// Default: none.
    pub proxy_protocol: Networks,
    /// Proxies, such as a CDN, whose `X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded` are believed. Default: none.
    pub trusted_proxies: Networks,
    /// Limits of the data path.
    pub limits: EdgeLimits,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            name: "edge".to_owned(),
            listen: everywhere(80),
            https: everywhere(443),
            workers: 0,
            control_socket: PathBuf::from("/run/havre/edge.sock"),
            state_dir: PathBuf::from("/var/lib/havre-edge"),
            sites_dir: PathBuf::from("/var/lib/havre/sites"),
            metrics_socket: None,
            access_log: AccessLogConfig::default(),
            start_traces: true,
            proxy_protocol: Networks::default(),
            trusted_proxies: Networks::default(),
            limits: EdgeLimits::default(),
        }
    }
}

fn everywhere(port: u16) -> Vec<SocketAddr> {
    vec![SocketAddr::from(([0, 0, 0, 0], port)), SocketAddr::from(([0_u16; 8], port))]
}

/// Limits of the data path. Each has a default that suits a small server; tests shrink them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeLimits {
    /// Longest request or answer head. Default 32 KB.
    pub head_size: ByteSize,
    /// Most header lines of one head. Default 100.
    pub head_lines: usize,
    /// Longest time from the first byte of a head to its end. Default 30 s.
    pub head_timeout: Span,
    /// Longest time for a whole TLS handshake. Default 10 s.
    pub handshake_timeout: Span,
    /// Most TLS handshakes of one address in one second on one worker; each costs a fraction of a millisecond of
    /// work. More are dropped. Default 1,000.
    pub handshakes_per_client: u32,
    /// Longest wait for the next request on a connection. Default 60 s.
    pub idle_timeout: Span,
    /// A body must bring `body_progress` in each such period. Default 30 s.
    pub body_period: Span,
    /// Least bytes of a body in one `body_period`. Default 30 KB, which is 1 KB a second.
    pub body_progress: ByteSize,
    /// Longest silence of an upgraded connection in both directions, and within an answer. Default 1 h.
    pub tunnel_idle_timeout: Span,
    /// Most client connections of one worker; more are answered 503 and closed. Default 20,000.
    pub connections_per_worker: usize,
    /// Most client connections of one address on one worker. Default 1,000.
    pub connections_per_client: usize,
    /// Most idle upstream connections of one worker; the oldest is closed first. Default 256.
    pub idle_upstreams_per_worker: usize,
    /// Longest rest of an idle upstream connection. Below the 5 s keep-alive that many runtimes use, so that
    /// the edge closes first. Default 4 s.
    pub upstream_idle_timeout: Span,
    /// Most memory of all workers for bytes on their way; more requests are answered 503 until some are through.
    /// Default 256 MB.
    pub buffer_memory: ByteSize,
    /// Longest wait for requests in flight when the edge is told to stop. Default 30 s.
    pub stop_timeout: Span,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            head_size: ByteSize::bytes(32 * 1024),
            head_lines: 100,
            head_timeout: Span::seconds(30),
            handshake_timeout: Span::seconds(10),
            handshakes_per_client: 1_000,
            idle_timeout: Span::seconds(60),
            body_period: Span::seconds(30),
            body_progress: ByteSize::bytes(30 * 1024),
            tunnel_idle_timeout: Span::seconds(3600),
            connections_per_worker: 20_000,
            connections_per_client: 1_000,
            idle_upstreams_per_worker: 256,
            upstream_idle_timeout: Span::seconds(4),
            buffer_memory: ByteSize::mebibytes(256),
            stop_timeout: Span::seconds(30),
        }
    }
}

/// A value the edge cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} must be {expected}, it is {found}")]
pub struct ConfigError {
    key: &'static str,
    expected: &'static str,
    found: String,
}

impl EdgeConfig {
    /// Looks for values that would make an edge useless.
    ///
    /// # Errors
    /// The first such value.
    pub fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let log = &self.access_log;
        let fits = |bytes: ByteSize, least: u64, most: u64| (least..=most).contains(&bytes.as_bytes());
        let positive = |span: Span| span.as_millis() > 0;
        let count = |number: usize| number > 0;
        let rules = [
            ("access_log.one_in", ABOVE_ZERO, log.one_in.to_string(), log.one_in > 0),
            (
                "access_log.file_size",
                "64KB to 10GB, and at most keep_size",
                log.file_size.to_string(),
                fits(log.file_size, 64 << 10, 10 << 30) && log.file_size <= log.keep_size,
            ),
            ("name", "1 to 63 visible characters", self.name.clone(), is_name(&self.name)),
            ("workers", "0 to 256", self.workers.to_string(), self.workers <= 256),
            (
                "limits.head_size",
                "1KB to 1MB",
                limits.head_size.to_string(),
                fits(limits.head_size, 1 << 10, 1 << 20),
            ),
            (
                "limits.head_lines",
                "1 to 100",
                limits.head_lines.to_string(),
                (1..=100).contains(&limits.head_lines),
            ),
            (
                "limits.head_timeout",
                ABOVE_ZERO,
                limits.head_timeout.to_string(),
                positive(limits.head_timeout),
            ),
            (
                "limits.idle_timeout",
                ABOVE_ZERO,
                limits.idle_timeout.to_string(),
                positive(limits.idle_timeout),
            ),
            (
                "limits.handshake_timeout",
                ABOVE_ZERO,
                limits.handshake_timeout.to_string(),
                positive(limits.handshake_timeout),
            ),
            ("limits.body_period", ABOVE_ZERO, limits.body_period.to_string(), positive(limits.body_period)),
            (
                "limits.buffer_memory",
                "1MB to 1TB",
                limits.buffer_memory.to_string(),
                fits(limits.buffer_memory, 1 << 20, 1 << 40),
            ),
            (
                "limits.connections_per_worker",
                ABOVE_ZERO,
                limits.connections_per_worker.to_string(),
                count(limits.connections_per_worker),
            ),
            (
                "limits.connections_per_client",
                ABOVE_ZERO,
                limits.connections_per_client.to_string(),
                count(limits.connections_per_client),
            ),
        ];
        match rules.into_iter().find(|(_, _, _, is_met)| !is_met) {
            Some((key, expected, found, _)) => Err(ConfigError { key, expected, found }),
            None => Ok(()),
        }
    }
}

const ABOVE_ZERO: &str = "above zero";

fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_file_is_completed_with_defaults_and_an_unknown_key_is_refused() {
        let config: EdgeConfig = serde_json::from_str(
            "{\"name\":\"n1\",\"listen\":[\"127.0.0.1:80\"],\"limits\":{\"idle_timeout\":\"5s\",\"head_size\":\"16KB\"}}",
        )
        .unwrap();
        let limits = EdgeLimits {
            idle_timeout: Span::seconds(5),
            head_size: ByteSize::bytes(16 * 1024),
            ..EdgeLimits::default()
        };
        let listen = vec!["127.0.0.1:80".parse().unwrap()];
        assert_eq!(config, EdgeConfig { name: "n1".to_owned(), listen, limits, ..EdgeConfig::default() });
        let error = serde_json::from_str::<EdgeConfig>("{\"lisen\":[]}").unwrap_err();
        assert!(error.to_string().starts_with("unknown field `lisen`"), "{error}");
    }

    #[test]
    fn useless_values_are_named() {
        assert_eq!(EdgeConfig::default().check(), Ok(()));
        let refused = |config: EdgeConfig| config.check().unwrap_err().to_string();
        assert_eq!(
            refused(EdgeConfig { workers: 1000, ..EdgeConfig::default() }),
            "workers must be 0 to 256, it is 1000"
        );
        let limits = EdgeLimits { idle_timeout: Span::seconds(0), ..EdgeLimits::default() };
        assert_eq!(
            refused(EdgeConfig { limits, ..EdgeConfig::default() }),
            "limits.idle_timeout must be above zero, it is 0s"
        );
    }
}
