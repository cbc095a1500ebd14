//! What makes one route table out of the one before it, so that a change among ten thousand routes costs no more than
//! itself. Tests: at the end of the file; golden JSON: `tests/it/main.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::route_table::{
    Certificate, Challenge, HostPolicy, Policy, ROUTE_TABLE_VERSION, Route, RouteTable, ServiceUpstreams,
    Target,
};

/// From the table of one generation to that of another.
///
/// It is complete for whoever builds on parts of the old table: with a service or a policy come all hosts whose routes
/// lead there, with the limits of a service the policies of its routes, and with a route the policy that none named before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteChange {
    /// Format of this document, see [`ROUTE_TABLE_VERSION`].
    pub version: u32,
    /// Generation it builds on; to any other table it must not be applied.
    pub from: u64,
    /// Generation it leads to.
    pub generation: u64,
    /// Hosts that differ, each with all it has now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, HostChange>,
    /// Services that differ; null: it is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Option<ServiceUpstreams>>,
    /// Policies that differ; null: it is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, Option<Policy>>,
    /// All certificates, if one of them differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Vec<Certificate>>,
    /// All challenges, if one of them differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenges: Option<Vec<Challenge>>,
}

/// One host from now on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostChange {
    /// Its routes; none: it is gone.
    pub routes: Vec<Route>,
    /// How it treats plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<HostPolicy>,
}

impl RouteChange {
    /// What leads from `before` to `after`; `None` where only the whole table tells: the version or the probe key is
    /// another, or `after` is not newer.
    pub fn between(before: &RouteTable, after: &RouteTable) -> Option<Self> {
        let is_change = before.version == after.version
            && after.version == ROUTE_TABLE_VERSION
            && before.probe_key == after.probe_key
            && before.generation < after.generation;
        if !is_change {
            return None;
        }
        let services = differences(&before.services, &after.services);
        let mut policies = differences(&before.policies, &after.policies);
        // A policy is built with the limits of the service behind it.
        let has_other_limits = |route: &Route| match &route.target {
            Target::Service { service } => {
                let limits =
                    |table: &RouteTable| table.services.get(service).map(|found| found.limits.clone());
                services.contains_key(service) && limits(before) != limits(after)
            }
            Target::Site { .. } => false,
        };
        let named: BTreeSet<&String> =
            before.routes.iter().filter_map(|route| route.policy.as_ref()).collect();
        for route in &after.routes {
            let Some(key) = &route.policy else { continue };
            // What no route has named before, nobody has built.
            if !named.contains(key) || has_other_limits(route) {
                policies.entry(key.clone()).or_insert_with(|| after.policies.get(key).cloned());
            }
        }
        let hosts = host_changes(before, after, |route| {
            let is_touched = |key: &String| policies.contains_key(key);
            let leads_there =
                matches!(&route.target, Target::Service { service } if services.contains_key(service));
            leads_there || route.policy.as_ref().is_some_and(is_touched)
        });
        let (old, new) = (before, after);
        Some(Self {
            version: after.version,
            from: before.generation,
            generation: after.generation,
            hosts,
            services,
            policies,
            certificates: (old.certificates != new.certificates).then(|| new.certificates.clone()),
            challenges: (old.challenges != new.challenges).then(|| new.challenges.clone()),
        })
    }

    /// Goes on with `next`, so that both are one change; false, and nothing done, where `next` builds on something else.
    pub fn join(&mut self, next: Self) -> bool {
        if next.from != self.generation || next.version != self.version || next.generation <= next.from {
            return false;
        }
        self.generation = next.generation;
        // Each names all of a host, a service or a policy.
        self.hosts.extend(next.hosts);
        self.services.extend(next.services);
        self.policies.extend(next.policies);
        self.certificates = next.certificates.or_else(|| self.certificates.take());
        self.challenges = next.challenges.or_else(|| self.challenges.take());
        true
    }

    /// Makes `table` the one it leads to, with routes ordered by host; false, and nothing done, where it builds on
    /// another one.
    pub fn apply(self, table: &mut RouteTable) -> bool {
        if table.generation != self.from || table.version != self.version || self.generation <= self.from {
            return false;
        }
        table.generation = self.generation;
        table.routes.retain(|route| !self.hosts.contains_key(&route.host));
        for (host, change) in self.hosts {
            match change.policy {
                Some(policy) => table.hosts.insert(host, policy),
                None => table.hosts.remove(&host),
            };
            table.routes.extend(change.routes);
        }
        // Stable: the routes of one host keep their order.
        table.routes.sort_by(|a, b| a.host.cmp(&b.host));
        replace(&mut table.services, self.services);
        replace(&mut table.policies, self.policies);
        if let Some(certificates) = self.certificates {
            table.certificates = certificates;
        }
        if let Some(challenges) = self.challenges {
            table.challenges = challenges;
        }
        true
    }
}

fn differences<V: Clone + PartialEq>(
    before: &BTreeMap<String, V>,
    after: &BTreeMap<String, V>,
) -> BTreeMap<String, Option<V>> {
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), None));
    let other = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    gone.chain(other.map(|(key, value)| (key.clone(), Some(value.clone())))).collect()
}

fn replace<V>(all: &mut BTreeMap<String, V>, changes: BTreeMap<String, Option<V>>) {
    for (key, value) in changes {
        match value {
            Some(value) => all.insert(key, value),
            None => all.remove(&key),
        };
    }
}

/// Hosts whose routes or policies differ, or with a route that `is_touched`.
fn host_changes(
    before: &RouteTable,
    after: &RouteTable,
    is_touched: impl Fn(&Route) -> bool,
) -> BTreeMap<String, HostChange> {
    let (old, new) = (by_host(before), by_host(after));
    let policies = before.hosts.keys().chain(after.hosts.keys()).map(String::as_str);
    let hosts: BTreeSet<&str> = old.keys().chain(new.keys()).copied().chain(policies).collect();
    let differs = |host: &&str| {
        old.get(host) != new.get(host)
            || before.hosts.get(*host) != after.hosts.get(*host)
            || new.get(host).is_some_and(|routes| routes.iter().any(|route| is_touched(route)))
    };
    let change = |host: &str| HostChange {
        routes: new.get(host).into_iter().flatten().map(|route| (*route).clone()).collect(),
        policy: after.hosts.get(host).cloned(),
    };
    hosts.into_iter().filter(differs).map(|host| (host.to_owned(), change(host))).collect()
}

fn by_host(table: &RouteTable) -> BTreeMap<&str, Vec<&Route>> {
    let mut hosts: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in &table.routes {
        hosts.entry(&route.host).or_default().push(route);
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route_table::{Balance, CertificatePurpose, Limits};

    fn service(name: &str, first_byte_timeout_ms: u64) -> ServiceUpstreams {
        ServiceUpstreams {
            name: name.to_owned(),
            upstreams: Vec::new(),
            expose_release: false,
            limits: Limits { first_byte_timeout_ms, ..Limits::default() },
            is_paused: false,
            canary: None,
            balance: Balance::default(),
            tls: BTreeMap::new(),
        }
    }

    fn route(host: &str, service: &str, policy: Option<&str>) -> Route {
        Route {
            host: host.to_owned(),
            path_prefix: "/".to_owned(),
            target: Target::Service { service: service.to_owned() },
            policy: policy.map(ToOwned::to_owned),
            is_counted: false,
        }
    }

    fn table(generation: u64) -> RouteTable {
        RouteTable {
            version: ROUTE_TABLE_VERSION,
            generation,
            probe_key: "key".to_owned(),
            routes: vec![
                route("a.example", "s1", Some("p1")),
                route("b.example", "s1", None),
                route("c.example", "s2", None),
            ],
            services: [("s1", 1), ("s2", 1)].map(|(key, limit)| (key.to_owned(), service(key, limit))).into(),
            policies: [("p1".to_owned(), Policy::default())].into(),
            ..RouteTable::default()
        }
    }

    /// The change, after it was seen to lead from one to the other.
    fn change(before: &RouteTable, after: &RouteTable) -> RouteChange {
        let change = RouteChange::between(before, after).unwrap();
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<RouteChange>(&text).unwrap(), change);
        let mut table = before.clone();
        assert!(change.clone().apply(&mut table));
        assert_eq!(table, *after);
        // To what it has made it cannot be applied again.
        assert!(!change.clone().apply(&mut table));
        assert_eq!(table, *after);
        change
    }

    fn keys<V>(map: &BTreeMap<String, V>) -> Vec<&str> {
        map.keys().map(String::as_str).collect()
    }

    #[test]
    fn nothing_but_a_number_is_a_change_of_nothing() {
        let seen = change(&table(3), &table(4));
        assert_eq!(
            seen,
            RouteChange { version: ROUTE_TABLE_VERSION, from: 3, generation: 4, ..Default::default() }
        );
    }

    #[test]
    fn with_a_service_come_its_hosts_and_with_its_limits_their_policies() {
        let mut after = table(4);
        after.services.get_mut("s1").unwrap().expose_release = true;
        let seen = change(&table(3), &after);
        assert_eq!((keys(&seen.services), keys(&seen.policies)), (vec!["s1"], vec![]));
        assert_eq!(keys(&seen.hosts), ["a.example", "b.example"]);
        after.services.insert("s1".to_owned(), service("s1", 9));
        assert_eq!(keys(&change(&table(3), &after).policies), ["p1"]);
    }

    #[test]
    fn a_policy_that_is_named_for_the_first_time_comes_with_its_route() {
        let mut before = table(3);
        before.policies.insert("p2".to_owned(), Policy::default());
        let mut after = RouteTable { generation: 4, ..before.clone() };
        after.routes[2].policy = Some("p2".to_owned());
        assert_eq!(keys(&change(&before, &after).policies), ["p2"]);
    }

    #[test]
    fn what_comes_and_goes_is_told() {
        let (before, mut after) = (table(3), table(9));
        after.routes.remove(2);
        after.services.remove("s2");
        after.policies.clear();
        after.routes[0].policy = None;
        after.routes.push(route("d.example", "s3", None));
        after.services.insert("s3".to_owned(), service("s3", 1));
        let redirects = HostPolicy { redirect_to_https: true, hsts: None };
        after.hosts.insert("b.example".to_owned(), redirects);
        after.challenges.push(Challenge { host: "d.example".into(), token: "t".into(), answer: "a".into() });
        let seen = change(&before, &after);
        assert_eq!(keys(&seen.hosts), ["a.example", "b.example", "c.example", "d.example"]);
        assert_eq!(seen.hosts["c.example"], HostChange::default());
        assert_eq!((&seen.services["s2"], &seen.policies["p1"]), (&None, &None));
        assert!(seen.certificates.is_none() && seen.challenges.is_some());
        let back = change(&RouteTable { generation: 10, ..after }, &table(11));
        assert_eq!(back.challenges, Some(Vec::new()));
    }

    #[test]
    fn two_changes_are_one() {
        let (first, mut second) = (table(3), table(4));
        second.routes.remove(2);
        second.services.remove("s2");
        second.policies.insert("p2".to_owned(), Policy::default());
        second.challenges.push(Challenge { host: "a.example".into(), token: "t".into(), answer: "a".into() });
        let mut third = RouteTable { generation: 7, ..second.clone() };
        third.routes[0].policy = None;
        third.routes.push(route("c.example", "s2", None));
        third.services.insert("s2".to_owned(), service("s2", 9));
        third.policies.remove("p1");
        let (one, other) = (change(&first, &second), change(&second, &third));
        let mut both = one.clone();
        assert!(both.join(other.clone()));
        let mut seen = first;
        assert!(both.clone().apply(&mut seen));
        assert_eq!(seen, third);
        for stranger in [one, other.clone(), RouteChange { version: 1, from: 7, generation: 8, ..other }] {
            let before = both.clone();
            assert!(!both.join(stranger));
            assert_eq!(both, before);
        }
    }

    #[test]
    fn certificates_come_whole() {
        let mut after = table(4);
        let digest = "ab".repeat(32);
        let purpose = CertificatePurpose::Serve;
        after.certificates.push(Certificate { names: vec!["a.example".into()], digest, purpose });
        let seen = change(&table(3), &after);
        assert_eq!(seen.certificates.as_deref(), Some(&after.certificates[..]));
        assert!(seen.hosts.is_empty());
    }

    #[test]
    fn what_only_a_whole_table_can_tell_is_no_change() {
        let (before, after) = (table(3), table(4));
        let other_key = RouteTable { probe_key: "other".to_owned(), ..after.clone() };
        let other_version = RouteTable { version: 1, ..after };
        for after in [other_key, other_version, table(3), table(2)] {
            assert_eq!(RouteChange::between(&before, &after), None);
        }
        let mut stranger = table(2);
        assert!(!change(&table(3), &table(4)).apply(&mut stranger));
        assert_eq!(stranger, table(2));
    }
}
