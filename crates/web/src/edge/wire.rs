//! Route tables and edge reports between core's types and the wire. Total and one to one; no decisions but defaults
//! that rows do not hold. Golden JSON: `tests/it/edge.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use havre_api::edge_report as report;
use havre_api::route_table as wire;
use havre_core::id::{IdError, ServiceId, TaskId};
use havre_core::route::{self, EdgeView, UpstreamView, https};
use havre_core::service::balance::BalanceSpec;
use havre_core::service::spec::{CheckSpec, Protocol, defaults};
use havre_core::time::Timestamp;

/// The table edges get.
pub fn table(generation: u64, probe_key: String, table: &route::Table) -> wire::RouteTable {
    let mut routes: BTreeMap<ServiceId, usize> = BTreeMap::new();
    for service in table.routes.iter().filter_map(service_of) {
        *routes.entry(service).or_default() += 1;
    }
    let is_counted = |route: &route::Route| service_of(route).is_some_and(|service| routes[&service] > 1);
    wire::RouteTable {
        version: wire::ROUTE_TABLE_VERSION,
        generation,
        probe_key,
        routes: table.routes.iter().map(|route| map_route(route, is_counted(route))).collect(),
        services: table.services.iter().map(|(id, service)| (id.to_string(), map_service(service))).collect(),
        certificates: table.certificates.iter().map(map_certificate).collect(),
        challenges: table.challenges.iter().map(map_challenge).collect(),
        policies: table.policies.iter().map(|(key, policy)| (key.clone(), map_policy(policy))).collect(),
        hosts: table.hosts.iter().map(|(host, policy)| (host.to_string(), map_host(policy))).collect(),
    }
}

fn map_certificate(certificate: &https::Certificate) -> wire::Certificate {
    wire::Certificate {
        names: certificate.names.iter().map(ToString::to_string).collect(),
        digest: certificate.digest.hex().to_owned(),
        purpose: match certificate.purpose {
            https::CertificatePurpose::Serve => wire::CertificatePurpose::Serve,
            https::CertificatePurpose::TlsAlpn01 => wire::CertificatePurpose::TlsAlpn01,
        },
    }
}

fn map_challenge(challenge: &https::Challenge) -> wire::Challenge {
    wire::Challenge {
        host: challenge.host.to_string(),
        token: challenge.token.clone(),
        answer: challenge.answer.clone(),
    }
}

fn map_host(policy: &https::HostPolicy) -> wire::HostPolicy {
    wire::HostPolicy {
        redirect_to_https: policy.redirect_to_https,
        hsts: policy.hsts.map(|hsts| hsts.header().to_owned()),
    }
}

fn service_of(route: &route::Route) -> Option<ServiceId> {
    match route.target {
        route::Target::Service { service } => Some(service),
        route::Target::Site { .. } => None,
    }
}

fn map_route(route: &route::Route, is_counted: bool) -> wire::Route {
    let target = match &route.target {
        route::Target::Service { service } => wire::Target::Service { service: service.to_string() },
        route::Target::Site {
            digest,
            release,
            spa,
            expose_release,
            base,
            clean_urls,
            trailing_slash,
            cdn,
            earlier,
        } => wire::Target::Site {
            digest: digest.hex().to_owned(),
            release: release.to_string(),
            spa: *spa,
            expose_release: *expose_release,
            base: base.as_ref().map(ToString::to_string),
            clean_urls: *clean_urls,
            trailing_slash: *trailing_slash,
            cdn: cdn.as_ref().map(map_cdn),
            earlier: earlier.iter().map(map_earlier).collect(),
        },
    };
    wire::Route {
        host: route.host.to_string(),
        path_prefix: route.path.to_string(),
        target,
        policy: route.policy.clone(),
        is_counted,
    }
}

fn map_policy(policy: &route::Policy) -> wire::Policy {
    wire::Policy { settings: policy.settings.clone(), maintenance: policy.maintenance.clone() }
}

fn map_cdn(cdn: &route::SiteCdn) -> wire::SiteCdn {
    wire::SiteCdn {
        tags: cdn.spec.tags,
        tag: cdn.tag.clone(),
        hold_seconds: cdn.spec.hold.map(|hold| hold.as_millis() / 1000),
    }
}

fn map_earlier(earlier: &route::EarlierSite) -> wire::EarlierSite {
    let until_ms = u64::try_from(earlier.until.as_millis()).unwrap_or(0);
    wire::EarlierSite { digest: earlier.digest.hex().to_owned(), until_ms }
}

fn map_service(service: &route::ServiceUpstreams) -> wire::ServiceUpstreams {
    wire::ServiceUpstreams {
        name: service.name.clone(),
        upstreams: service.upstreams.iter().map(map_upstream).collect(),
        expose_release: service.expose_release,
        limits: wire::Limits::default(),
        is_paused: service.is_paused,
        canary: service
            .canary
            .as_ref()
            .map(|canary| wire::Canary { release: canary.release.to_string(), percent: canary.percent }),
        balance: map_balance(&service.balance),
        tls: service.tls.iter().map(|(release, tls)| (release.to_string(), tls.clone())).collect(),
    }
}

fn map_balance(balance: &BalanceSpec) -> wire::Balance {
    wire::Balance {
        max_in_flight: balance.max_in_flight,
        queue: balance.queue,
        queue_wait_ms: balance.queue_wait.as_millis(),
        slow_start_ms: balance.slow_start.as_millis(),
        eject_after: balance.eject_after,
        retry_percent: balance.retry_percent,
    }
}

fn map_upstream(upstream: &route::Upstream) -> wire::Upstream {
    wire::Upstream {
        task: upstream.task.to_string(),
        release: upstream.release.to_string(),
        address: SocketAddr::V4(upstream.address),
        protocol: match upstream.protocol {
            Protocol::Http1 => wire::Protocol::Http1,
            Protocol::Https => wire::Protocol::Https,
            Protocol::H2c => wire::Protocol::H2c,
            Protocol::H2 => wire::Protocol::H2,
        },
        role: match upstream.role {
            route::Role::Live => wire::UpstreamRole::Live,
            route::Role::Standby => wire::UpstreamRole::Standby,
            route::Role::Draining => wire::UpstreamRole::Draining,
        },
        probe: wire::Probe {
            path: upstream.probe_path.to_string(),
            host: upstream.probe_host.clone(),
            timeout_ms: upstream.probe_timeout.as_millis(),
            starting_interval_ms: defaults::STARTING_INTERVAL.as_millis(),
            steady_interval_ms: upstream.probe_interval.as_millis(),
            unhealthy_after: defaults::UNHEALTHY_AFTER,
        },
        checks: upstream.checks.iter().map(map_check).collect(),
    }
}

fn map_check(check: &CheckSpec) -> wire::Check {
    wire::Check { path: check.path.to_string(), status: check.status, contains: check.contains.clone() }
}

/// What an edge told, as control keeps it.
///
/// # Errors
/// When an upstream is not named by a task id.
pub fn view(report: report::EdgeReport, at: Timestamp) -> Result<EdgeView, IdError> {
    let upstreams = report
        .upstreams
        .into_iter()
        .map(|upstream| Ok((upstream.task.parse::<TaskId>()?, map_report(upstream))))
        .collect::<Result<_, IdError>>()?;
    Ok(EdgeView {
        edge: report.edge,
        instance: report.instance,
        generation: report.generation,
        listeners: report.listeners,
        https: report.https,
        at,
        upstreams,
    })
}

fn map_report(upstream: report::UpstreamReport) -> UpstreamView {
    UpstreamView {
        health: match upstream.health {
            report::Health::Unknown => route::Health::Unknown,
            report::Health::Healthy => route::Health::Healthy,
            report::Health::Unhealthy { reason } => route::Health::Unhealthy { reason },
        },
        checks: match upstream.checks {
            report::Checks::Pending => route::Checks::Pending,
            report::Checks::Passed => route::Checks::Passed,
            report::Checks::Failed { reason } => route::Checks::Failed { reason },
        },
        in_flight: upstream.in_flight,
        requests: upstream.requests,
        errors: upstream.errors,
    }
}
