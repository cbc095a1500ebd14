//! Routes: host + path prefix -> upstreams or a site. The table is derived from rows, never edited.
//! `decide` makes it; the wire form for edges is `havre_api::route_table`, mapped one to one by `web`.

pub mod event;
pub mod https;
pub mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

use self::https::{Certificate, Challenge, HostPolicy};
use crate::artifact::Digest;
use crate::id::{ReleaseId, ServiceId, TaskId};
use crate::name::{AbsolutePath, HostName, ProbeTarget};
use crate::quantity::Span;
use crate::route::settings::RouteSettings;
use crate::route::settings::auth::SecretDigest;
use crate::service::balance::BalanceSpec;
use crate::service::spec::{CheckSpec, Protocol};
use crate::service::tls::TlsSpec;
use crate::site::settings::{CdnSpec, CleanUrls, TrailingSlash};
use crate::time::Timestamp;

/// Content of a route table, without its generation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Table {
    /// Sorted by host, then path.
    pub routes: Vec<Route>,
    /// Upstreams of every service that has tasks with an address.
    pub services: BTreeMap<ServiceId, ServiceUpstreams>,
    /// Certificates edges present, sorted by their first name. Where two cover one host exactly, the first wins.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// Open HTTP-01 challenges.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
    /// How hosts treat plain HTTP; a host that is not named serves it like HTTPS.
    #[serde(default)]
    pub hosts: BTreeMap<HostName, HostPolicy>,
    /// What routes do beyond bringing requests to their targets, by the names routes give.
    #[serde(default)]
    pub policies: BTreeMap<String, Policy>,
}

/// One host and path prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Host name.
    pub host: HostName,
    /// Prefix on whole segments.
    pub path: AbsolutePath,
    /// Where it leads.
    pub target: Target,
    /// Name of its policy; none when there is nothing to do.
    #[serde(default)]
    pub policy: Option<String>,
}

/// What a route does with requests and answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// As the release says.
    pub settings: RouteSettings,
    /// The service is in maintenance: who has the secret with this digest is served all the same.
    #[serde(default)]
    pub maintenance: Option<SecretDigest>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Target {
    /// To the upstreams of a service.
    Service {
        /// Which.
        service: ServiceId,
    },
    /// To files.
    Site {
        /// Which folder.
        digest: Digest,
        /// Which release.
        release: ReleaseId,
        /// Unknown paths answer `/index.html`.
        spa: bool,
        /// Name the release in answers.
        expose_release: bool,
        /// What of the path is not part of the names of files, where that is not the path of the route itself.
        #[serde(default)]
        base: Option<AbsolutePath>,
        /// Addresses of pages with or without `.html`.
        #[serde(default)]
        clean_urls: CleanUrls,
        /// Addresses of pages with or without a slash at the end.
        #[serde(default)]
        trailing_slash: TrailingSlash,
        /// What a CDN in front is told.
        #[serde(default)]
        cdn: Option<SiteCdn>,
        /// Releases that were live a short while ago, the newest first.
        #[serde(default)]
        earlier: Vec<EarlierSite>,
    },
}

/// What a CDN in front of a site is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteCdn {
    /// As the release says.
    pub spec: CdnSpec,
    /// What is purged together is named after this.
    pub tag: String,
}

/// Files of a site that open pages may still ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierSite {
    /// Which folder.
    pub digest: Digest,
    /// Until then; edges compare it with their own clock.
    pub until: Timestamp,
}

/// Upstreams of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceUpstreams {
    /// `project/environment/service`.
    pub name: String,
    /// Name the release in answers.
    pub expose_release: bool,
    /// Sorted by task.
    pub upstreams: Vec<Upstream>,
    /// It has no live task because a stop-first update is under way: edges hold its requests for a while.
    #[serde(default)]
    pub is_paused: bool,
    /// Part of its requests goes to another release.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// How requests are spread over them.
    #[serde(default)]
    pub balance: BalanceSpec,
    /// How upstreams that speak TLS prove who they are. By release, like what they speak: while a release is replaced,
    /// both hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tls: BTreeMap<ReleaseId, TlsSpec>,
}

/// A release that gets part of the requests while its tasks are still standby.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Which release.
    pub release: ReleaseId,
    /// Its share of the clients, in percent.
    pub percent: u8,
}

/// One task address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Which task.
    pub task: TaskId,
    /// Which release.
    pub release: ReleaseId,
    /// Where to connect.
    pub address: SocketAddrV4,
    /// What it speaks.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    pub protocol: Protocol,
    /// What the edge may do with it.
    pub role: Role,
    /// Path of the health probe.
    pub probe_path: ProbeTarget,
    /// `Host` header of the probe.
    pub probe_host: String,
    /// Longest wait for one probe.
    pub probe_timeout: Span,
    /// Pause between probes of a healthy task.
    pub probe_interval: Span,
    /// The user's checks, for standby upstreams.
    pub checks: Vec<CheckSpec>,
}

/// What the edge may do with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Probed and gets requests.
    Live,
    /// Probed, gets no requests.
    Standby,
    /// No new requests.
    Draining,
}

/// What one edge last reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeView {
    /// Name of the edge.
    pub edge: String,
    /// Name of its process; counters restart with it.
    pub instance: String,
    /// Generation every worker of it uses.
    pub generation: u64,
    /// Where it listens for users of plain HTTP.
    pub listeners: Vec<std::net::SocketAddr>,
    /// Where it listens for users of HTTPS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub https: Vec<std::net::SocketAddr>,
    /// When the report arrived.
    pub at: Timestamp,
    /// Its view of each upstream.
    pub upstreams: BTreeMap<TaskId, UpstreamView>,
}

/// What an edge knows of one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamView {
    /// Result of the probes.
    pub health: Health,
    /// Result of the user's checks.
    pub checks: Checks,
    /// Requests and streams that use it now.
    pub in_flight: u64,
    /// Requests sent to it since the edge started.
    pub requests: u64,
    /// Failed ones among them.
    pub errors: u64,
}

/// Result of the probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Health {
    /// No probe has ended.
    Unknown,
    /// It answers as asked.
    Healthy,
    /// It does not.
    Unhealthy {
        /// Why, for people.
        reason: String,
    },
}

/// Result of the user's checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Checks {
    /// Not all have passed.
    Pending,
    /// All have, or there are none.
    Passed,
    /// One answered wrongly.
    Failed {
        /// Which and why, for people.
        reason: String,
    },
}

/// An edge that has not reported for this long is not waited for.
pub const EDGE_LEASE: Span = Span::seconds(10);

/// The name under which a process of an edge reports once a successor has its name, as long as it drains.
pub fn retired_name(edge: &str, instance: &str) -> String {
    let (edge, instance) = (edge.chars().take(50), instance.chars().take(8));
    edge.chain(['~']).chain(instance).collect()
}

impl EdgeView {
    /// Whether its last report is fresh enough to count.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.at) <= EDGE_LEASE.duration()
    }
}
