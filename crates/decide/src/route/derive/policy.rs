//! The policies of routes: which settings hold where. Tests: `tests/it/settings.rs`.

use crate::route::derive::ServiceRows;
use havre_core::name::AbsolutePath;
use havre_core::route::settings::RouteSettings;
use havre_core::route::{Policy, Route, Table, Target};
use havre_core::service::spec::RouteSpec;

/// Adds one address of a service, and its policy if there is anything to do.
pub(super) fn add_route(table: &mut Table, row: &ServiceRows, route: &RouteSpec, target: &Target) {
    let (name, settings) = settings(row, route);
    let maintenance = row.service.maintenance.as_ref().map(|maintenance| maintenance.bypass.clone());
    let policy = Policy { settings, maintenance };
    let is_needed = policy != Policy::default();
    if is_needed {
        table.policies.insert(name.clone(), policy);
    }
    table.routes.push(Route {
        host: route.host.clone(),
        path: route.path.clone(),
        target: target.clone(),
        policy: is_needed.then_some(name),
    });
}

/// What holds at one address, under a name that stays the same as long as its meaning does: counters of the edge
/// hang on it. All hosts of a service share one.
fn settings(row: &ServiceRows, route: &RouteSpec) -> (String, RouteSettings) {
    let (id, edge) = (row.service.id, &row.spec_now().edge);
    if let Some(redirect) = edge.redirect_hosts.get(&route.host) {
        let settings = RouteSettings { redirects: vec![redirect.clone()], ..RouteSettings::default() };
        return (format!("{id} {}", route.host), settings);
    }
    let section = edge.section(&route.path);
    let settings = section.map_or(&edge.settings, |(_, settings)| settings).clone();
    (section.map_or_else(|| id.to_string(), |(path, _)| format!("{id} {path}")), settings)
}

/// Whether a section of a service lies below this route of it, and below no longer route of anybody.
pub(super) fn is_section_of(
    section: &AbsolutePath,
    route: &RouteSpec,
    owners: &[(&RouteSpec, &ServiceRows)],
) -> bool {
    let here = |other: &RouteSpec| other.host == route.host && other.path.covers(section);
    let longest = owners
        .iter()
        .map(|(other, _)| *other)
        .filter(|other| here(other))
        .max_by_key(|other| other.path.as_str().len());
    let is_redirected = owners
        .iter()
        .any(|(other, row)| *other == route && row.spec_now().edge.redirect_hosts.contains_key(&route.host));
    longest == Some(route) && *section != route.path && !is_redirected
}
