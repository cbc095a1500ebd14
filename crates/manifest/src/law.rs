//! What only several tables together can break, for the file itself and for each environment.
//! Tests: `tests/it/manifest.rs`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::Found;
use crate::environment::Overrides;
use crate::problem::Code;
use crate::read::Reader;
use crate::route::RouteAt;
use havre_core::name::{EnvironmentName, ServiceName};
use havre_core::service::spec::{RouteSpec, Work};

/// Reports every broken law.
pub(super) fn check(
    reader: &mut Reader<'_>,
    services: &[Found],
    environments: &BTreeMap<EnvironmentName, Overrides>,
) {
    let own: Vec<(&Found, &[RouteAt])> =
        services.iter().map(|found| (found, found.routes.as_slice())).collect();
    check_routes(reader, &own);
    for found in services {
        if let Some(replicas) = found.spec.tasks().map(|work| work.replicas) {
            check_volume(reader, found, replicas, found.replicas_at.clone());
        }
        let names_hosts = |overrides: &Overrides| overrides.hosts.contains_key(&found.spec.name);
        let has_hosts_somewhere = !found.routes.is_empty() || environments.values().any(names_hosts);
        if matches!(found.spec.work, Work::Site(_)) && !has_hosts_somewhere {
            let message = format!("the site `{}` has no hosts, so nobody can see it", found.spec.name);
            reader.report(Code::MissingKey, found.at.clone(), message, "add hosts = [\"www.example.org\"]");
        }
    }
    for overrides in environments.values() {
        check_environment(reader, services, overrides);
    }
}

fn check_environment(reader: &mut Reader<'_>, services: &[Found], overrides: &Overrides) {
    for found in services {
        let name = &found.spec.name;
        if let (Some(replicas), Some(at)) = (overrides.replicas.get(name), overrides.replicas_at.get(name)) {
            check_volume(reader, found, *replicas, at.clone());
        }
        let Some(routes) = overrides.hosts.get(name) else { continue };
        let has_port = found.spec.tasks().is_none_or(|work| work.port.is_some());
        if let (false, Some(first)) = (has_port, routes.first()) {
            let message = format!("`{}.hosts.{name}` needs `port` of services.{name}", overrides.path);
            reader.report(Code::MissingKey, first.at.clone(), message, "add `port`, such as port = 3000");
        }
    }
    if overrides.hosts.is_empty() {
        return;
    }
    let effective: Vec<(&Found, &[RouteAt])> = services
        .iter()
        .map(|found| {
            let routes = overrides.hosts.get(&found.spec.name).unwrap_or(&found.routes);
            (found, routes.as_slice())
        })
        .collect();
    check_routes(reader, &effective);
}

/// Each host and path leads to one place.
fn check_routes(reader: &mut Reader<'_>, services: &[(&Found, &[RouteAt])]) {
    let mut seen: BTreeMap<&RouteSpec, (&ServiceName, &Range<usize>)> = BTreeMap::new();
    let mut routes: Vec<(&ServiceName, &RouteAt)> = services
        .iter()
        .flat_map(|(found, routes)| routes.iter().map(|route| (&found.spec.name, route)))
        .collect();
    routes.sort_by_key(|(_, route)| route.at.start);
    for (name, route) in routes {
        let Some((owner, at)) = seen.insert(&route.spec, (name, &route.at)) else { continue };
        let line = reader.line(at);
        let message = if owner == name {
            format!("`{}` is named twice, also on line {line}", route.spec)
        } else {
            format!("`{}` belongs to `{owner}` already (line {line})", route.spec)
        };
        let hint =
            format!("take it away from one of them, or add a path such as \"{}/api\"", route.spec.host);
        reader.report(Code::Conflict, route.at.clone(), message, hint);
    }
}

/// Two writers would damage a volume.
pub(super) fn check_volume(reader: &mut Reader<'_>, found: &Found, replicas: u32, at: Range<usize>) {
    let has_volume = found.spec.tasks().is_some_and(|work| !work.volumes.is_empty());
    if has_volume && replicas > 1 {
        let message = format!(
            "`{}` has a volume and {replicas} replicas: two writers would damage it",
            found.spec.name
        );
        reader.report(Code::Conflict, at, message, "set replicas = 1, or remove `volumes`");
    }
}
