//! From the wire form of a table to the workers' form, with every check that protects request lines, headers and
//! paths on disk from a bad document. It swaps nothing. Tests: `table/tests.rs`.

use super::{
    Arc, BTreeMap, Counters, HashMap, Host, Member, PathRoute, RoutePolicy, RouteTable, RouteTarget, Service,
    Signals, Site, Table, TableError, Target, Upstream, check_text, https,
};
use crate::balance::{self, Balance};
use crate::site::{Addresses, Cdn, Earlier};
use crate::tls::upstream::{Trust, is_same};
use havre_api::route_table::{
    EarlierSite, Limits, Route, ServiceUpstreams, SiteCdn, Upstream as WireUpstream, UpstreamRole,
};
use havre_core::site::document::is_sha256;
use std::collections::HashSet;

use havre_http::policy::Around;

/// Parts of the table by the keys that routes name.
type ByKey<T> = BTreeMap<String, Arc<T>>;

pub(super) fn services(
    wire: &RouteTable,
    previous: Option<&Table>,
    signals: &Arc<Signals>,
) -> Result<BTreeMap<String, Arc<Service>>, TableError> {
    let known: HashMap<&str, &Arc<Upstream>> = previous
        .into_iter()
        .flat_map(Table::members)
        .map(|member| (member.upstream.task.as_str(), &member.upstream))
        .collect();
    let earlier: HashMap<&str, &Arc<Service>> = previous
        .into_iter()
        .flat_map(Table::services)
        .map(|service| (service.name.as_str(), service))
        .collect();
    let mut named = HashSet::new();
    let mut services = BTreeMap::new();
    for (key, service) in &wire.services {
        let earlier = earlier.get(service.name.as_str()).copied();
        let counters = earlier.map(|earlier| Arc::clone(&earlier.counters));
        let counters = counters.unwrap_or_else(|| Arc::new(Counters::new("service", &service.name)));
        let mut upstreams: Vec<Member> = Vec::with_capacity(service.upstreams.len());
        for upstream in &service.upstreams {
            if !named.insert(upstream.task.as_str()) {
                return Err(TableError::TaskTwice { task: upstream.task.clone() });
            }
            let known = known.get(upstream.task.as_str()).copied();
            let members = earlier.into_iter().flat_map(|earlier| &earlier.upstreams).chain(&upstreams);
            let trust = trust(upstream, service, members)?;
            upstreams.push(member(upstream, known, trust, (signals, &counters))?);
        }
        let balance = earlier.map(|earlier| Arc::clone(&earlier.balance)).unwrap_or_default();
        services.insert(key.clone(), Arc::new(assemble(key, service, upstreams, (counters, balance))?));
    }
    Ok(services)
}

fn assemble(
    key: &str,
    wire: &ServiceUpstreams,
    upstreams: Vec<Member>,
    (counters, balance): (Arc<Counters>, Arc<Balance>),
) -> Result<Service, TableError> {
    check_text("service name", &wire.name, |byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')?;
    Ok(Service {
        key: key.to_owned(),
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
    (services, policies): (&ByKey<Service>, &ByKey<RoutePolicy>),
) -> Result<HashMap<Box<str>, Host>, TableError> {
    let sites: HashMap<&str, &Arc<Site>> =
        previous.into_iter().flat_map(Table::sites).map(|site| (site.name.as_str(), site)).collect();
    let mut hosts: HashMap<Box<str>, Host> = HashMap::new();
    for route in &wire.routes {
        check_host(&route.host)?;
        let prefix = prefix(route)?;
        let target = target(route, prefix, services, &sites)?;
        let policy = route.policy.as_ref().and_then(|key| policies.get(key)).cloned();
        hosts.entry(route.host.as_str().into()).or_default().routes.push(PathRoute {
            prefix: prefix.into(),
            target,
            policy,
        });
    }
    for (host, policy) in &wire.hosts {
        check_host(host)?;
        let policy = https::policy(policy)?;
        // A host without routes answers 421 whatever its policy.
        if let Some(host) = hosts.get_mut(host.as_str()) {
            host.https = policy;
        }
    }
    for (host, Host { routes, .. }) in &mut hosts {
        // Most hosts have one.
        routes.shrink_to_fit();
        routes.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then_with(|| a.prefix.cmp(&b.prefix)));
        if let Some(pair) = routes.windows(2).find(|pair| pair[0].prefix == pair[1].prefix) {
            return Err(TableError::RouteTwice {
                host: host.to_string(),
                prefix: pair[0].prefix.to_string(),
            });
        }
    }
    Ok(hosts)
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
    services: &BTreeMap<String, Arc<Service>>,
) -> Result<BTreeMap<String, Arc<RoutePolicy>>, TableError> {
    let site = Limits::default();
    let mut policies = BTreeMap::new();
    for route in &wire.routes {
        let Some(key) = &route.policy else { continue };
        let Some(policy) = wire.policies.get(key) else {
            return Err(TableError::UnknownPolicy {
                host: route.host.clone(),
                prefix: route.path_prefix.clone(),
                policy: key.clone(),
            });
        };
        let limits = match &route.target {
            Target::Service { service } => services.get(service).map_or(&site, |service| &service.limits),
            Target::Site { .. } => &site,
        };
        let known = previous.and_then(|previous| previous.policies.get(key)).map(|known| &**known);
        let around = Around { key, secret: &wire.probe_key, limits };
        policies.entry(key.clone()).or_insert_with(|| Arc::new(RoutePolicy::new(policy, around, known)));
    }
    Ok(policies)
}

fn target(
    route: &Route,
    prefix: &str,
    services: &BTreeMap<String, Arc<Service>>,
    sites: &HashMap<&str, &Arc<Site>>,
) -> Result<RouteTarget, TableError> {
    match &route.target {
        Target::Service { service } => match services.get(service) {
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
            let counters = sites
                .get(name.as_str())
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
