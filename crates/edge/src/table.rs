//! The route table in the form the workers use: host by hash, longest path prefix first, upstreams by `Arc`.
//! It is built off the worker threads, never changed after that, and swapped whole. One that a change makes shares with
//! the one before it whatever the change does not name. It does not fetch tables
//! (`control`) and does not probe (`probe`). Tests: `table/tests.rs`.

use std::sync::Arc;

use havre_api::route_change::RouteChange;
use havre_api::route_table::{
    Balance as Balancing, Canary, Check, Limits, OLDEST_ROUTE_TABLE_VERSION, Probe, ROUTE_TABLE_VERSION,
    RouteTable, Target, UpstreamRole,
};

mod build;
mod change;
#[cfg(test)]
mod change_tests;
mod https;
#[cfg(test)]
mod tests;

pub use self::https::{Certificate, HostPolicy, Hsts, Https};
use crate::balance::Balance;
use crate::site::Site;
use crate::upstream::{Signals, Upstream};
use havre_http::account::series::{Counters, Series};
use havre_http::policy::Policy as RoutePolicy;
use imbl::ordmap::DiffItem;
use imbl::{HashMap, OrdMap};

/// Why a document is no table the edge can serve. The edge keeps the table it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Written by a newer control.
    #[error(
        "route table has version {found}, this edge knows {OLDEST_ROUTE_TABLE_VERSION} to {ROUTE_TABLE_VERSION}"
    )]
    Version {
        /// Version in the document.
        found: u32,
    },
    /// Two routes for one host and prefix.
    #[error("two routes for {host}{prefix}")]
    RouteTwice {
        /// Host of both.
        host: String,
        /// Prefix of both, without a slash at its end.
        prefix: String,
    },
    /// A route leads to a service that the document does not describe.
    #[error("route {host}{prefix} leads to unknown service {service}")]
    UnknownService {
        /// Host of the route.
        host: String,
        /// Prefix of the route.
        prefix: String,
        /// The missing key.
        service: String,
    },
    /// One task twice: its health and counters would belong to two upstreams.
    #[error("task {task} is named twice")]
    TaskTwice {
        /// The task.
        task: String,
    },
    /// An upstream speaks TLS, and how it proves who it is does not stand there or cannot be used.
    #[error("task {task} speaks TLS, and the table does not say whom to trust in a way that can be used")]
    NoTrust {
        /// The task.
        task: String,
    },
    /// A route names a policy that the document does not hold.
    #[error("route {host}{prefix} names unknown policy {policy}")]
    UnknownPolicy {
        /// Host of the route.
        host: String,
        /// Prefix of the route.
        prefix: String,
        /// The missing key.
        policy: String,
    },
    /// A text that must never reach a request line, a header or a path on disk.
    #[error("{what} {text:?} is not valid")]
    Text {
        /// Which text.
        what: &'static str,
        /// The text, shortened.
        text: String,
    },
}

/// Everything needed to route a request, at one generation.
#[derive(Debug)]
pub struct Table {
    /// Number of this content; 0 is the empty table of a new edge.
    pub generation: u64,
    /// Value of the `Havre-Probe` header that asks for `Havre-Release`; empty means nobody may ask.
    pub probe_key: String,
    hosts: HashMap<Arc<str>, Arc<Host>>,
    /// Hosts that the table before it has otherwise; none where it was built whole.
    touched: Option<Vec<Arc<str>>>,
    /// Certificates and challenges.
    pub https: Https,
    services: OrdMap<Arc<str>, Arc<Service>>,
    policies: OrdMap<Arc<str>, Arc<RoutePolicy>>,
    pub(crate) signals: Arc<Signals>,
}

/// A service in two tables: before, and now.
pub(crate) type Change<'t> = (Option<&'t Arc<Service>>, Option<&'t Arc<Service>>);

/// What the table says of one host.
#[derive(Debug, Default)]
pub struct Host {
    /// How it treats plain HTTP.
    pub https: HostPolicy,
    /// Longest prefix first.
    routes: Vec<PathRoute>,
}

#[derive(Debug)]
struct PathRoute {
    /// Without a slash at its end, so the root is empty and `/api` means whole segments below it.
    prefix: Box<str>,
    target: RouteTarget,
    /// None when requests only pass.
    policy: Option<Arc<RoutePolicy>>,
    /// What its own requests ended with, where its service has other routes too; survives a swap.
    counters: Option<Arc<Counters>>,
}

#[derive(Debug)]
enum RouteTarget {
    Service(Arc<Service>),
    Site(Arc<Site>),
}

/// Where a request goes.
#[derive(Debug)]
pub enum Found<'t> {
    /// To a task of this service.
    Service(&'t Arc<Service>),
    /// To the files of this site.
    Site(&'t Arc<Site>),
    /// No route names this host.
    UnknownHost,
    /// Routes name the host, none of them the path.
    UnknownPath,
}

/// Where a request goes, and what the route does besides.
#[derive(Debug)]
pub(crate) struct Hit<'t> {
    pub(crate) found: Found<'t>,
    pub(crate) policy: Option<&'t Arc<RoutePolicy>>,
    /// Who counts it besides its service.
    pub(crate) counters: Option<&'t Arc<Counters>>,
}

impl Hit<'_> {
    /// No route.
    pub(crate) fn none(found: Found<'_>) -> Hit<'_> {
        Hit { found, policy: None, counters: None }
    }
}

/// A route with counters of its own.
#[derive(Debug)]
pub(crate) struct CountedRoute<'t> {
    /// Host and path prefix.
    pub(crate) name: String,
    pub(crate) service: &'t Arc<Service>,
    pub(crate) counters: &'t Arc<Counters>,
}

/// One service at one generation.
#[derive(Debug)]
pub struct Service {
    /// Its key in the table.
    pub key: Arc<str>,
    /// `project/environment/service`.
    pub name: String,
    /// Add `Havre-Release` to answers for everybody.
    pub expose_release: bool,
    /// Limits for its requests.
    pub limits: Limits,
    /// How its requests are spread.
    pub balancing: Balancing,
    /// Every task the edge knows for it, whatever its role.
    pub upstreams: Vec<Member>,
    /// The live ones.
    pub(crate) live: Vec<Arc<Upstream>>,
    /// What balancing remembers; survives a swap.
    pub(crate) balance: Arc<Balance>,
    /// What its requests ended with, by release; survives a swap.
    pub counters: Arc<Counters>,
    /// A stop-first update is under way: requests are held while no upstream is live.
    pub is_paused: bool,
    /// Part of its clients goes to standby upstreams of another release.
    pub canary: Option<Canary>,
    /// Those of them that no task answered.
    pub own: Arc<Series>,
}

impl Service {
    /// Whether one of its tasks is of this release.
    fn has(&self, release: &str) -> bool {
        self.upstreams.iter().any(|member| member.upstream.release == release)
    }
}

/// A service is the same only where one table has it from the other: what differs is what was built anew.
impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// An upstream and what this table wants of it.
#[derive(Debug)]
pub struct Member {
    /// The upstream itself, shared with other tables.
    pub upstream: Arc<Upstream>,
    /// What the edge may do with it.
    pub role: UpstreamRole,
    /// How to judge its health.
    pub probe: Probe,
    /// Further checks while it is standby.
    pub checks: Vec<Check>,
}

impl Table {
    /// The table of an edge that has never heard of control: no routes, generation 0.
    pub fn empty() -> Self {
        Self {
            generation: 0,
            probe_key: String::new(),
            hosts: HashMap::new(),
            touched: None,
            https: Https::default(),
            services: OrdMap::new(),
            policies: OrdMap::new(),
            signals: Arc::default(),
        }
    }

    /// Builds a table, keeping upstreams (health, counters, in flight) that `previous` knows under the same
    /// task and address, TLS towards releases that `previous` has, and counters of services and sites with the same name. Changes nothing in `previous`.
    ///
    /// # Errors
    /// The document has another version, contradicts itself or carries a text that could break out of a
    /// request line. Generations are compared by the caller.
    pub fn build(wire: &RouteTable, previous: Option<&Table>) -> Result<Self, TableError> {
        if !(OLDEST_ROUTE_TABLE_VERSION..=ROUTE_TABLE_VERSION).contains(&wire.version) {
            return Err(TableError::Version { found: wire.version });
        }
        let signals = previous.map_or_else(Arc::default, |table| Arc::clone(&table.signals));
        check_text("probe key", &wire.probe_key, |byte| byte.is_ascii_graphic())?;
        let services = build::services(wire, previous, &signals)?;
        let policies = build::policies(wire, previous, &services)?;
        let hosts = build::hosts(wire, previous, (&services, &policies))?;
        let https = Https::build(wire, previous.map(|table| &table.https))?;
        let (generation, probe_key) = (wire.generation, wire.probe_key.clone());
        Ok(Self { generation, probe_key, hosts, touched: None, https, services, policies, signals })
    }

    /// The table that `change` makes of this one, which stays as it is. As [`Table::build`] of the whole, at the price of
    /// what differs.
    ///
    /// # Errors
    /// As [`Table::build`]. That the change is one of this table is for the caller to see.
    pub fn change(&self, change: &RouteChange) -> Result<Self, TableError> {
        change::apply(self, change)
    }

    /// What the table says of `host` (lower case, no port, no trailing dot): one hash.
    pub fn host(&self, host: &str) -> Option<&Host> {
        self.hosts.get(host).map(|host| &**host)
    }

    /// The route for `host` and `path`; see [`Table::host`] and [`Host::find`].
    pub fn find(&self, host: &str, path: &str) -> Found<'_> {
        self.route(host, path).found
    }

    /// The same with what the route does besides.
    pub(crate) fn route(&self, host: &str, path: &str) -> Hit<'_> {
        self.host(host).map_or_else(|| Hit::none(Found::UnknownHost), |host| host.route(path))
    }

    /// The service with this key.
    pub(crate) fn service(&self, key: &str) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// Every service, ordered by its key.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// Every upstream of every service, in a stable order.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.services.values().flat_map(|service| service.upstreams.iter())
    }

    /// What was built anew since `before`, or has gone since.
    pub(crate) fn changes_since<'t>(&'t self, before: &'t Self) -> impl Iterator<Item = Change<'t>> {
        before.services.diff(&self.services).map(|item| match item {
            DiffItem::Add(_, now) => (None, Some(now)),
            DiffItem::Update { old: (_, before), new: (_, now) } => (Some(before), Some(now)),
            DiffItem::Remove(_, before) => (Some(before), None),
        })
    }

    /// Counters of releases that this table does not name any more are forgotten, as far as it differs from `before`,
    /// the one before it.
    pub(crate) fn forget_releases(&self, before: &Self) {
        for (_, now) in self.changes_since(before) {
            let Some(service) = now else { continue };
            service.counters.retain(|release| service.has(release));
        }
        for site in self.touched_sites() {
            site.counters.retain(|release| site.release == release);
        }
        let touched: Box<dyn Iterator<Item = &Arc<Host>>> = match &self.touched {
            Some(touched) => Box::new(touched.iter().filter_map(|host| self.hosts.get(host))),
            None => Box::new(self.hosts.values()),
        };
        for PathRoute { target, counters, .. } in touched.flat_map(|host| &host.routes) {
            if let (RouteTarget::Service(service), Some(counters)) = (target, counters) {
                counters.retain(|release| service.has(release));
            }
        }
    }

    /// Every route that is counted by itself, in the order of the names.
    pub(crate) fn counted_routes(&self) -> Vec<CountedRoute<'_>> {
        let mut routes = Vec::new();
        for (host, found) in &self.hosts {
            for route in &found.routes {
                if let (RouteTarget::Service(service), Some(counters)) = (&route.target, &route.counters) {
                    let name = format!("{host}{}/", route.prefix);
                    routes.push(CountedRoute { name, service, counters });
                }
            }
        }
        routes.sort_by(|a, b| a.name.cmp(&b.name));
        routes
    }

    /// Every site, in no particular order.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.hosts.values().flat_map(|host| host.sites())
    }

    /// Those of hosts that the table before it has otherwise.
    pub(crate) fn touched_sites(&self) -> Box<dyn Iterator<Item = &Arc<Site>> + '_> {
        match &self.touched {
            Some(touched) => Box::new(self.sites_of(touched)),
            None => Box::new(self.sites()),
        }
    }

    /// Whether it has other sites than `before`, the one before it, may be.
    pub(crate) fn has_other_sites(&self, before: &Self) -> bool {
        self.touched.as_ref().is_none_or(|touched| {
            self.sites_of(touched).next().is_some() || before.sites_of(touched).next().is_some()
        })
    }

    fn sites_of<'t>(&'t self, hosts: &'t [Arc<str>]) -> impl Iterator<Item = &'t Arc<Site>> {
        hosts.iter().filter_map(|host| self.hosts.get(host)).flat_map(|host| host.sites())
    }
}

impl Host {
    fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.routes.iter().filter_map(|route| match &route.target {
            RouteTarget::Site(site) => Some(site),
            RouteTarget::Service(_) => None,
        })
    }

    /// The route for `path` (as sent, without the query). Never allocates; as many comparisons as there are prefixes.
    pub fn find(&self, path: &str) -> Found<'_> {
        self.route(path).found
    }

    /// The same with what the route does besides.
    pub(crate) fn route(&self, path: &str) -> Hit<'_> {
        for route in &self.routes {
            if covers(&route.prefix, path) {
                let found = match &route.target {
                    RouteTarget::Service(service) => Found::Service(service),
                    RouteTarget::Site(site) => Found::Site(site),
                };
                return Hit { found, policy: route.policy.as_ref(), counters: route.counters.as_ref() };
            }
        }
        Hit::none(Found::UnknownPath)
    }
}

/// Whether `prefix` (no slash at its end) covers `path` on a segment boundary. The root covers everything,
/// `*` of `OPTIONS *` included.
fn covers(prefix: &str, path: &str) -> bool {
    prefix.is_empty()
        || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Refuses a text with a byte that `allowed` does not name.
fn check_text(what: &'static str, text: &str, allowed: fn(u8) -> bool) -> Result<(), TableError> {
    if text.len() <= 2048 && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(TableError::Text { what, text: text.chars().take(64).collect() })
}
