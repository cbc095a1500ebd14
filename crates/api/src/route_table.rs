//! The complete configuration of an edge, derived from rows by control and never edited by hand.
//! It decides nothing: control derives it (`havre_core::route`), the edge obeys it.
//! Golden JSON: `tests/it/main.rs`.

use std::collections::BTreeMap;

use havre_core::route::settings::RouteSettings;
use havre_core::route::settings::auth::SecretDigest;
use havre_core::service::tls::TlsSpec;
use havre_core::site::settings::{CleanUrls, TagHeader, TrailingSlash};
use serde::{Deserialize, Serialize};

/// Version of this document; an edge refuses a version it does not know and keeps its last good table.
pub const ROUTE_TABLE_VERSION: u32 = 2;
/// Oldest version an edge still reads: what its predecessor saved, or an older control sends. What came after it is
/// therefore optional when read.
pub const OLDEST_ROUTE_TABLE_VERSION: u32 = 1;

/// Everything an edge needs to serve. Swapped whole; a lower generation than the one in use is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// Format of this document, see [`ROUTE_TABLE_VERSION`].
    pub version: u32,
    /// Ever-growing number of this content.
    pub generation: u64,
    /// A request that carries `Havre-Probe: <this>` is answered with `Havre-Release` even where the
    /// service has switched that header off. Known to control and the edges only.
    pub probe_key: String,
    /// Host + path prefix -> where the request goes. The longest prefix of a host wins.
    pub routes: Vec<Route>,
    /// Services by the key that [`Target::Service`] names.
    pub services: BTreeMap<String, ServiceUpstreams>,
    /// Certificates by the names they answer for. Their material is fetched by digest and never stands here.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// Answers of the plain listener below `/.well-known/acme-challenge/`.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
    /// How hosts treat plain HTTP; a host that is not named serves it like HTTPS.
    #[serde(default)]
    pub hosts: BTreeMap<String, HostPolicy>,
    /// What routes do beyond bringing requests to their targets, by the key that [`Route::policy`] names. The edge
    /// keeps counters (rate limits) by this key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, Policy>,
}

/// A certificate and the names it answers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Lower-case host names; `*.example.org` covers every host one label below.
    pub names: Vec<String>,
    /// Lower-case hex SHA-256 of the material: the chain in PEM, then the key in PKCS#8 PEM.
    pub digest: String,
    /// When it is presented.
    pub purpose: CertificatePurpose,
}

/// When a certificate is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificatePurpose {
    /// To users.
    Serve,
    /// To a client that offers the protocol `acme-tls/1` and nothing else (RFC 8737).
    TlsAlpn01,
}

/// An HTTP-01 challenge (RFC 8555, 8.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// Lower-case host name.
    pub host: String,
    /// Last segment of the path.
    pub token: String,
    /// Body of the answer.
    pub answer: String,
}

/// How a host treats plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPolicy {
    /// Plain requests are sent to HTTPS with 308, challenges aside.
    pub redirect_to_https: bool,
    /// Value of `Strict-Transport-Security` in every answer over HTTPS.
    pub hsts: Option<String>,
}

/// What a route does with requests and answers. Its settings are core's own type: closed from `havre.toml` to the
/// edge, so that nothing in between can hold what would break a head (`docs/decisions/0021-route-settings.md`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// As the release says.
    pub settings: RouteSettings,
    /// SHA-256 of the secret that passes maintenance; maintenance is on when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<SecretDigest>,
}

/// One host and path prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Lower-case ASCII host name without port or trailing dot.
    pub host: String,
    /// Starts with `/`; matches whole path segments (`/api` matches `/api` and `/api/x`, not `/apix`).
    pub path_prefix: String,
    /// Where matching requests go.
    pub target: Target,
    /// Key into [`RouteTable::policies`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Its requests are counted by themselves as well, because its service has other routes too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_counted: bool,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Target {
    /// To the live upstreams of the service with this key.
    Service {
        /// Key into [`RouteTable::services`].
        service: String,
    },
    /// To files of one published site, served by the edge itself.
    Site {
        /// Lower-case hex SHA-256 that names the folder below the edge's sites directory.
        digest: String,
        /// Name of the release, for `Havre-Release`.
        release: String,
        /// Answer unknown paths without a file extension with `/index.html`.
        spa: bool,
        /// Add `Havre-Release` to answers for everybody.
        expose_release: bool,
        /// What of the path is not part of the names of files; the path prefix of the route when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<String>,
        /// Addresses of pages with or without `.html`.
        #[serde(default)]
        clean_urls: CleanUrls,
        /// Addresses of pages with or without a slash at the end.
        #[serde(default)]
        trailing_slash: TrailingSlash,
        /// What a CDN in front is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cdn: Option<SiteCdn>,
        /// Files that pages opened before the last switch may still ask for, the newest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        earlier: Vec<EarlierSite>,
    },
}

/// What a CDN in front of a site is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteCdn {
    /// Which header names what can be purged together.
    pub tags: TagHeader,
    /// The name of the site there; pages also have `<tag>-pages`.
    pub tag: String,
    /// How long pages may be held, in seconds; nothing is said without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u64>,
}

/// A release of a site that was live a short while ago: its files, pages aside, are served where the live release has
/// none of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierSite {
    /// As in [`Target::Site`].
    pub digest: String,
    /// Until then, in milliseconds since 1970, by the clock of the edge.
    pub until_ms: u64,
}

/// The upstreams of one service and how to treat them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceUpstreams {
    /// `project/environment/service`, for people, logs and metrics.
    pub name: String,
    /// Every task the edge should know, in a stable order.
    pub upstreams: Vec<Upstream>,
    /// Add `Havre-Release` to answers for everybody.
    pub expose_release: bool,
    /// Limits for requests to this service.
    pub limits: Limits,
    /// It has no live task because a stop-first update is under way: its requests are held for a while.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_paused: bool,
    /// Part of its clients goes to standby tasks of another release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// How requests are spread over the upstreams.
    #[serde(default)]
    pub balance: Balance,
    /// How upstreams that speak TLS prove who they are, by the name of their release; what speaks TLS and is not named
    /// here is never connected to. Core's own type, for the reasons of [`Policy`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tls: BTreeMap<String, TlsSpec>,
}

/// A release that gets part of the requests while its tasks are still standby. A client stays on its side: by its
/// cookie where sessions are sticky, else by its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Name of the release (`r8`).
    pub release: String,
    /// Its share of the clients, in percent.
    pub percent: u8,
}

/// One task address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Name of the task (`t123`); never reused, so health and counters belong to exactly one task.
    pub task: String,
    /// Name of the release (`r7`), for `Havre-Release`.
    pub release: String,
    /// Where to connect: `ip:port`.
    pub address: std::net::SocketAddr,
    /// What it speaks.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    pub protocol: Protocol,
    /// What the edge may do with it.
    pub role: UpstreamRole,
    /// How to judge its health.
    pub probe: Probe,
    /// Further checks run once the probe is healthy and repeated until they pass; only for standby.
    pub checks: Vec<Check>,
}

/// What an upstream speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 from the first byte, without TLS.
    H2c,
    /// HTTP/2 over TLS.
    H2,
}

impl Protocol {
    /// The usual one, which is left out on the wire.
    pub fn is_http1(&self) -> bool {
        *self == Self::Http1
    }

    /// Whether it is one over TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::H2)
    }

    /// Whether it is HTTP/2.
    pub fn is_h2(self) -> bool {
        matches!(self, Self::H2c | Self::H2)
    }
}

/// What the edge may do with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamRole {
    /// Probed and gets requests.
    Live,
    /// Probed, gets no requests.
    Standby,
    /// Gets no new requests; those in flight go on.
    Draining,
}

/// How the edge decides that a task is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Path of a `GET` request; 2xx and 3xx are healthy, everything else is not.
    pub path: String,
    /// `Host` header to send.
    pub host: String,
    /// Longest wait for one answer.
    pub timeout_ms: u64,
    /// Pause between probes while the upstream is standby or not healthy.
    pub starting_interval_ms: u64,
    /// Pause between probes of a healthy live upstream.
    pub steady_interval_ms: u64,
    /// Failed probes in a row that turn a healthy upstream unhealthy.
    pub unhealthy_after: u32,
}

/// A user's own check of a standby task (design section 4, `verifying`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Path of a `GET` request.
    pub path: String,
    /// Exact status asked for.
    pub status: u16,
    /// Text the first 64 KiB of the body must contain; empty means any body.
    pub contains: String,
}

/// Limits for the requests of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Longest wait for a connection to a task.
    pub connect_timeout_ms: u64,
    /// Longest wait from the end of the request to the first byte of the answer.
    pub first_byte_timeout_ms: u64,
    /// Largest request body; 0 means no limit.
    pub max_body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect_timeout_ms: 5_000, first_byte_timeout_ms: 60_000, max_body_bytes: 0 }
    }
}

/// How the requests of one service are spread over its upstreams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// Most requests in flight for one upstream; 0 means no limit.
    pub max_in_flight: u32,
    /// Most requests that wait while every upstream is at that limit.
    pub queue: u32,
    /// Longest such wait.
    pub queue_wait_ms: u64,
    /// Time over which a fresh upstream comes to its full share beside others.
    pub slow_start_ms: u64,
    /// Failures in a row after which an upstream gets no requests for a while; 0 means never.
    pub eject_after: u32,
    /// Requests of a hundred that may be sent to a second upstream after a first one has had them; 0 means none.
    pub retry_percent: u32,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            max_in_flight: 0,
            queue: 100,
            queue_wait_ms: 2_000,
            slow_start_ms: 10_000,
            eject_after: 5,
            retry_percent: 10,
        }
    }
}
