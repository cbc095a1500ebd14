//! Bootstrap configuration of an edge: addresses, paths and limits. Everything else comes with the route table.
//! Tests at the end of the file.

use std::net::SocketAddr;
use std::path::PathBuf;

use havre_core::quantity::{ByteSize, Span};
use serde::{Deserialize, Serialize};

/// Configuration of one edge process; the `[edge]` section of the bootstrap file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeConfig {
    /// Name of this edge in reports, stable over restarts: the node's name. Default `edge`.
    pub name: String,
    /// Addresses for users, such as `0.0.0.0:80`. Ignored when systemd hands over sockets whose
    /// `FileDescriptorName` starts with `edge`. Default: `0.0.0.0:80` and `[::]:80`.
    pub listen: Vec<SocketAddr>,
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
    /// Limits of the data path.
    pub limits: EdgeLimits,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            name: "edge".to_owned(),
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 80)), SocketAddr::from(([0_u16; 8], 80))],
            workers: 0,
            control_socket: PathBuf::from("/run/havre/edge.sock"),
            state_dir: PathBuf::from("/var/lib/havre-edge"),
            sites_dir: PathBuf::from("/var/lib/havre/sites"),
            metrics_socket: None,
            limits: EdgeLimits::default(),
        }
    }
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
    /// Longest wait for the next request on a connection. Default 60 s.
    pub idle_timeout: Span,
    /// A body must bring `body_progress` in each such period. Default 30 s.
    pub body_period: Span,
    /// Least bytes of a body in one `body_period`. Default 30 KB, which is 1 KB a second.
    pub body_progress: ByteSize,
    /// Longest silence of an upgraded connection in both directions. Default 1 h.
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
    /// Longest wait for requests in flight when the edge is told to stop. Default 30 s.
    pub stop_timeout: Span,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            head_size: ByteSize::bytes(32 * 1024),
            head_lines: 100,
            head_timeout: Span::seconds(30),
            idle_timeout: Span::seconds(60),
            body_period: Span::seconds(30),
            body_progress: ByteSize::bytes(30 * 1024),
            tunnel_idle_timeout: Span::seconds(3600),
            connections_per_worker: 20_000,
            connections_per_client: 1_000,
            idle_upstreams_per_worker: 256,
            upstream_idle_timeout: Span::seconds(4),
            stop_timeout: Span::seconds(30),
        }
    }
}
