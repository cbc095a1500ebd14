//! From one table to the next by what differs: everything else is shared. It swaps nothing. Tests: `table/tests.rs`.

use std::collections::HashSet;

use havre_api::route_change::{HostChange, RouteChange};
use havre_api::route_table::{ROUTE_TABLE_VERSION, Route};

use super::build::{self, ByKey};
use super::{Arc, RoutePolicy, Service, Table, TableError, check_text};

pub(super) fn apply(table: &Table, change: &RouteChange) -> Result<Table, TableError> {
    if change.version != ROUTE_TABLE_VERSION {
        return Err(TableError::Version { found: change.version });
    }
    let services = services(table, change)?;
    let policies = policies(table, change, &services)?;
    let (mut hosts, mut touched) = (table.hosts.clone(), Vec::with_capacity(change.hosts.len()));
    for (name, HostChange { routes, policy }) in &change.hosts {
        if let Some(stray) = routes.iter().find(|route| route.host != *name) {
            check_text("host", &stray.host, |_| false)?;
        }
        let routes: Vec<&Route> = routes.iter().collect();
        let parts = (&services, &policies);
        let host = build::host(name, &routes, (policy.as_ref(), Some(table)), parts)?;
        let name: Arc<str> = name.as_str().into();
        if routes.is_empty() {
            hosts.remove(&name);
        } else {
            hosts.insert(Arc::clone(&name), Arc::new(host));
        }
        touched.push(name);
    }
    Ok(Table {
        generation: change.generation,
        probe_key: table.probe_key.clone(),
        hosts,
        touched: Some(touched),
        https: table.https.change(change.certificates.as_deref(), change.challenges.as_deref())?,
        services,
        policies,
        signals: Arc::clone(&table.signals),
    })
}

fn services(table: &Table, change: &RouteChange) -> Result<ByKey<Service>, TableError> {
    let mut services = table.services.clone();
    // A task that its service has had before is nobody else's.
    let (mut named, mut fresh) = (HashSet::new(), HashSet::new());
    for (key, wire) in &change.services {
        let Some(wire) = wire else {
            services.remove(key.as_str());
            continue;
        };
        let same_key = table.service(key);
        let same_name = same_key.filter(|service| service.name == wire.name);
        let earlier = same_name.or_else(|| table.services().find(|service| service.name == wire.name));
        let known = |task: &str| {
            // Its tasks stay what they are when a service gets another name.
            let members = same_key.into_iter().chain(earlier).flat_map(|earlier| &earlier.upstreams);
            members.map(|member| &member.upstream).find(|upstream| upstream.task == task)
        };
        let is_own = |task: &str| {
            let mut members = same_key.into_iter().flat_map(|service| &service.upstreams);
            members.any(|member| member.upstream.task == task)
        };
        let tasks = wire.upstreams.iter().map(|upstream| upstream.task.as_str());
        fresh.extend(tasks.filter(|task| !is_own(task)));
        let service = build::service((key, wire), earlier, known, (&mut named, &table.signals))?;
        services.insert(Arc::clone(&service.key), Arc::new(service));
    }
    if !fresh.is_empty() {
        let others = services.values().filter(|service| !change.services.contains_key(&*service.key));
        let mut tasks = others.flat_map(|service| &service.upstreams).map(|member| &member.upstream.task);
        if let Some(task) = tasks.find(|task| fresh.contains(task.as_str())) {
            return Err(TableError::TaskTwice { task: task.clone() });
        }
    }
    Ok(services)
}

fn policies(
    table: &Table,
    change: &RouteChange,
    services: &ByKey<Service>,
) -> Result<ByKey<RoutePolicy>, TableError> {
    let mut policies = table.policies.clone();
    for (key, policy) in &change.policies {
        if policy.is_none() {
            policies.remove(key.as_str());
        }
    }
    let mut built = HashSet::new();
    for route in change.hosts.values().flat_map(|host| &host.routes) {
        let Some(key) = route.policy.as_deref() else { continue };
        match change.policies.get(key) {
            Some(Some(wire)) if built.insert(key) => {
                let known = table.policies.get(key);
                let policy = build::policy_of(route, (key, wire), (&table.probe_key, services), known);
                policies.insert(key.into(), Arc::new(policy));
            }
            Some(Some(_)) => {}
            Some(None) | None if policies.contains_key(key) => {}
            Some(None) | None => return Err(build::unknown_policy(route, key)),
        }
    }
    Ok(policies)
}
