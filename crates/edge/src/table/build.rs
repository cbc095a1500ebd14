//! From the wire form of a table to the workers' form, with every check that protects request lines, headers and
//! paths on disk from a bad document. It swaps nothing. Tests: `table/tests.rs`.

use super::{
    Arc, Counters, HashMap, Host, Member, OrdMap, PathRoute, RoutePolicy, RouteTable, RouteTarget, Service,
    Signals, Site, Table, TableError, Target, Upstream, check_text, https,
};
use crate::balance::{self, Balance};
use crate::site::{Addresses, Cdn, Earlier};
use crate::tls::upstream::{Trust, is_same};
use havre_api::route_table::{
    EarlierSite, HostPolicy, Limits, Policy, Route, ServiceUpstreams, SiteCdn, Upstream as WireUpstream,
    UpstreamRole,
};
use havre_site::document::is_sha256;
use std::collections::{BTreeMap, HashMap as StdMap, HashSet};

use havre_http::policy::Around;

/// Parts of the table by the keys that routes name.
pub(super) type ByKey<T> = OrdMap<Arc<str>, Arc<T>>;

pub(super) fn services(
    wire: &RouteTable,
    previous: Option<&Table>,
    signals: &Arc<Signals>,
) -> Result<ByKey<Service>, TableError> {
    let known: StdMap<&str, &Arc<Upstream>> = previous
        .into_iter()
        .flat_map(Table::members)
        .map(|member| (member.upstream.task.as_str(), &member.upstream))
        .collect();
    let earlier: StdMap<&str, &Arc<Service>> = previous
        .into_iter()
        .flat_map(Table::services)
        .map(|service| (service.name.as_str(), service))
        .collect();
    let mut named = HashSet::new();
    let mut services = OrdMap::new();
    for (key, wire) in &wire.services {
        let earlier = earlier.get(wire.name.as_str()).copied();
        let service = service((key, wire), earlier, |task| known.get(task).copied(), (&mut named, signals))?;
        services.insert(Arc::clone(&service.key), Arc::new(service));
    }
    Ok(services)
}

/// One service. It goes on with what `earlier`, the service of this name in the table before, and `known`, upstreams by
/// their tasks, remember. `named` are the tasks that other services have.
pub(super) fn service<'w, 't>(
    (key, wire): (&str, &'w ServiceUpstreams),
    earlier: Option<&'t Arc<Service>>,
    known: impl Fn(&str) -> Option<&'t Arc<Upstream>>,
    (named, signals): (&mut HashSet<&'w str>, &Arc<Signals>),
) -> Result<Service, TableError> {
    let counters = earlier.map(|earlier| Arc::clone(&earlier.counters));
    let counters = counters.unwrap_or_else(|| Arc::new(Counters::new("service", &wire.name)));
    let mut upstreams: Vec<Member> = Vec::with_capacity(wire.upstreams.len());
    for upstream in &wire.upstreams {
        if !named.insert(upstream.task.as_str()) {
            return Err(TableError::TaskTwice { task: upstream.task.clone() });
        }
        let members = earlier.into_iter().flat_map(|earlier| &earlier.upstreams).chain(&upstreams);
        let trust = trust(upstream, wire, members)?;
        upstreams.push(member(upstream, known(&upstream.task), trust, (signals, &counters))?);
    }
    let balance = earlier.map(|earlier| Arc::clone(&earlier.balance)).unwrap_or_default();
    assemble(key, wire, upstreams, (counters, balance))
}

fn assemble(
    key: &str,
    wire: &ServiceUpstreams,
    upstreams: Vec<Member>,
    (counters, balance): (Arc<Counters>, Arc<Balance>),
) -> Result<Service, TableError> {
    check_text("service name", &wire.name, |byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')?;
    Ok(Service {
        key: key.into(),
        name: wire.name.clone(),
        expose_release: wire.expose_release,
        limits: wire.limits.clone(),
        balancing: balance::bounded(&wire.balance),
        live: upstreams
            .iter()
            .filter(|member| member.role == UpstreamRole::Live)
            .map(|member| Arc::clone(&member.upstream))
            .collect(),
        balance,
        upstreams,
        own: counters.of(""),
        counters,
        is_paused: wire.is_paused,
        canary: wire.canary.clone(),
    })
}

/// How an upstream proves who it is: one value for all of a release, and the one there was if it says the same, so that
/// connections and sessions are kept.
fn trust<'m>(
    wire: &WireUpstream,
    service: &ServiceUpstreams,
    members: impl Iterator<Item = &'m Member>,
) -> Result<Option<Arc<Trust>>, TableError> {
    if !wire.protocol.is_tls() {
        return Ok(None);
    }
    let no_trust = || TableError::NoTrust { task: wire.task.clone() };
    let spec = service.tls.get(&wire.release).ok_or_else(no_trust)?;
    let mut trusts = members.filter_map(|member| member.upstream.trust.as_ref());
    let trust = match trusts.find(|trust| trust.is_of(spec, wire.protocol)) {
        Some(trust) => Arc::clone(trust),
        None => Arc::new(Trust::new(spec, wire.protocol).ok_or_else(no_trust)?),
    };
    Ok(Some(trust))
}

fn member(
    wire: &WireUpstream,
    known: Option<&Arc<Upstream>>,
    trust: Option<Arc<Trust>>,
    (signals, counters): (&Arc<Signals>, &Counters),
) -> Result<Member, TableError> {
    check_text("release", &wire.release, |byte| byte.is_ascii_graphic())?;
    check_text("probe host", &wire.probe.host, |byte| byte.is_ascii_graphic())?;
    for path in std::iter::once(&wire.probe.path).chain(wire.checks.iter().map(|check| &check.path)) {
        check_text("probe path", path, |byte| byte.is_ascii_graphic())?;
        if !path.starts_with('/') {
            return Err(TableError::Text { what: "probe path", text: path.chars().take(64).collect() });
        }
    }
    let upstream = match known {
        Some(known)
            if known.address == wire.address
                && known.release == wire.release
                && known.protocol == wire.protocol
                && is_same(known.trust.as_ref(), trust.as_ref()) =>
        {
            Arc::clone(known)
        }
        _ => Arc::new(Upstream::new(wire, trust, Arc::clone(signals), counters.of(&wire.release))),
    };
    Ok(Member { upstream, role: wire.role, probe: wire.probe.clone(), checks: wire.checks.clone() })
}

pub(super) fn hosts(
    wire: &RouteTable,
    previous: Option<&Table>,
    parts: (&ByKey<Service>, &ByKey<RoutePolicy>),
) -> Result<HashMap<Arc<str>, Arc<Host>>, TableError> {
    let mut routes: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in &wire.routes {
        routes.entry(&route.host).or_default().push(route);
    }
    for (host, policy) in &wire.hosts {
        check_host(host)?;
        // A host without routes answers 421 whatever its policy.
        https::policy(policy)?;
    }
    let mut hosts = HashMap::new();
    for (name, routes) in routes {
        let host = host(name, &routes, (wire.hosts.get(name), previous), parts)?;
        hosts.insert(name.into(), Arc::new(host));
    }
    Ok(hosts)
}

/// One host with its routes. Sites go on counting where `previous` has them.
pub(super) fn host(
    name: &str,
    routes: &[&Route],
    (policy, previous): (Option<&HostPolicy>, Option<&Table>),
    (services, policies): (&ByKey<Service>, &ByKey<RoutePolicy>),
) -> Result<Host, TableError> {
    check_host(name)?;
    let before = previous.and_then(|previous| previous.host(name));
    let mut built = Vec::with_capacity(routes.len());
    for route in routes {
        let prefix = prefix(route)?;
        let target = target(route, prefix, services, before)?;
        let policy = route.policy.as_deref().and_then(|key| policies.get(key)).cloned();
        let counters = route.is_counted.then(|| counters(name, prefix, before));
        built.push(PathRoute { prefix: prefix.into(), target, policy, counters });
    }
    built.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then_with(|| a.prefix.cmp(&b.prefix)));
    if let Some(pair) = built.windows(2).find(|pair| pair[0].prefix == pair[1].prefix) {
        return Err(TableError::RouteTwice { host: name.to_owned(), prefix: pair[0].prefix.to_string() });
    }
    Ok(Host { https: policy.map(https::policy).transpose()?.unwrap_or_default(), routes: built })
}

/// Those of the same route before, or fresh ones.
fn counters(host: &str, prefix: &str, before: Option<&Host>) -> Arc<Counters> {
    let mut routes = before.into_iter().flat_map(|host| &host.routes);
    let known = routes.find(|route| *route.prefix == *prefix).and_then(|route| route.counters.clone());
    known.unwrap_or_else(|| Arc::new(Counters::new("route", &format!("{host}{prefix}/"))))
}

pub(super) fn check_host(host: &str) -> Result<(), TableError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._[]:".contains(&byte);
    if host.is_empty() || host.len() > 253 || host.ends_with('.') {
        return Err(TableError::Text { what: "host", text: host.chars().take(64).collect() });
    }
    check_text("host", host, allowed)
}

fn prefix(route: &Route) -> Result<&str, TableError> {
    check_text("path prefix", &route.path_prefix, |byte| byte.is_ascii_graphic())?;
    if !route.path_prefix.starts_with('/') {
        let text = route.path_prefix.chars().take(64).collect();
        return Err(TableError::Text { what: "path prefix", text });
    }
    Ok(route.path_prefix.trim_end_matches('/'))
}

/// Policies by key; what they count goes on where the key is the same.
pub(super) fn policies(
    wire: &RouteTable,
    previous: Option<&Table>,
    services: &ByKey<Service>,
) -> Result<ByKey<RoutePolicy>, TableError> {
    let mut policies = OrdMap::new();
    for route in &wire.routes {
        let Some(key) = route.policy.as_deref().filter(|key| !policies.contains_key(*key)) else { continue };
        let policy = wire.policies.get(key).ok_or_else(|| unknown_policy(route, key))?;
        let known = previous.and_then(|previous| previous.policies.get(key));
        policies.insert(
            key.into(),
            Arc::new(policy_of(route, (key, policy), (&wire.probe_key, services), known)),
        );
    }
    Ok(policies)
}

pub(super) fn unknown_policy(route: &Route, key: &str) -> TableError {
    TableError::UnknownPolicy {
        host: route.host.clone(),
        prefix: route.path_prefix.clone(),
        policy: key.to_owned(),
    }
}

/// The policy of a route, within the limits of the service it leads to.
pub(super) fn policy_of(
    route: &Route,
    (key, wire): (&str, &Policy),
    (secret, services): (&str, &ByKey<Service>),
    known: Option<&Arc<RoutePolicy>>,
) -> RoutePolicy {
    let site = Limits::default();
    let limits = match &route.target {
        Target::Service { service } => {
            services.get(service.as_str()).map_or(&site, |service| &service.limits)
        }
        Target::Site { .. } => &site,
    };
    RoutePolicy::new(wire, Around { key, secret, limits }, known.map(|known| &**known))
}

fn target(
    route: &Route,
    prefix: &str,
    services: &ByKey<Service>,
    before: Option<&Host>,
) -> Result<RouteTarget, TableError> {
    match &route.target {
        Target::Service { service } => match services.get(service.as_str()) {
            Some(service) => Ok(RouteTarget::Service(Arc::clone(service))),
            None => Err(TableError::UnknownService {
                host: route.host.clone(),
                prefix: prefix.to_owned(),
                service: service.clone(),
            }),
        },
        Target::Site {
            digest,
            release,
            spa,
            expose_release,
            base,
            clean_urls,
            trailing_slash,
            cdn,
            earlier,
        } => {
            for digest in std::iter::once(digest).chain(earlier.iter().map(|earlier| &earlier.digest)) {
                if !is_sha256(digest) {
                    let text = digest.chars().take(64).collect();
                    return Err(TableError::Text { what: "site digest", text });
                }
            }
            check_text("release", release, |byte| byte.is_ascii_graphic())?;
            if let Some(cdn) = cdn {
                check_text("CDN tag", &cdn.tag, |byte| byte.is_ascii_alphanumeric() || byte == b'-')?;
            }
            let name = format!("{}{prefix}/", route.host);
            let counters = before
                .and_then(|host| host.sites().find(|site| site.name == name))
                .map_or_else(|| Arc::new(Counters::new("site", &name)), |site| Arc::clone(&site.counters));
            Ok(RouteTarget::Site(Arc::new(Site {
                name,
                prefix: base_of(base.as_deref(), prefix)?.to_owned(),
                digest: digest.clone(),
                release: release.clone(),
                spa: *spa,
                expose_release: *expose_release,
                addresses: Addresses { clean_urls: *clean_urls, trailing_slash: *trailing_slash },
                cdn: cdn.as_ref().map(map_cdn),
                earlier: earlier.iter().map(map_earlier).collect(),
                series: counters.of(release),
                counters,
                complained: std::sync::atomic::AtomicBool::new(false),
            })))
        }
    }
}

fn map_cdn(wire: &SiteCdn) -> Cdn {
    Cdn { header: wire.tags, tag: wire.tag.clone(), hold_seconds: wire.hold_seconds }
}

fn map_earlier(wire: &EarlierSite) -> Earlier {
    Earlier { digest: wire.digest.clone(), until: wire.until_ms }
}

/// What of a path is not part of the names of files: a prefix of the route's own.
fn base_of<'r>(base: Option<&'r str>, prefix: &'r str) -> Result<&'r str, TableError> {
    let Some(base) = base.map(|base| base.trim_end_matches('/')) else { return Ok(prefix) };
    match prefix.strip_prefix(base) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Ok(base),
        _ => Err(TableError::Text { what: "base of a site", text: base.chars().take(64).collect() }),
    }
}
