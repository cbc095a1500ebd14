//! A table made by changes is the table built whole, and shares with the one before it what did not change.

use std::collections::BTreeMap;

use havre_api::route_change::{HostChange, RouteChange};
use havre_api::route_table::{
    Certificate, CertificatePurpose, Challenge, HostPolicy, Policy, Route, ServiceUpstreams, Upstream,
};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const HOSTS: [&str; 4] = ["a.example", "b.example", "c.example", "d.example"];
const SERVICES: [&str; 3] = ["s1", "s2", "s3"];

fn upstream(service: &str, number: u16, role: UpstreamRole, release: &str) -> Upstream {
    Upstream {
        task: format!("{service}-{number}"),
        release: release.to_owned(),
        address: ([127, 0, 0, 1], 1000 + number).into(),
        protocol: Default::default(),
        role,
        probe: Probe {
            path: "/".to_owned(),
            host: "app".to_owned(),
            timeout_ms: 1000,
            starting_interval_ms: 100,
            steady_interval_ms: 1000,
            unhealthy_after: 3,
        },
        checks: Vec::new(),
    }
}

fn service(key: &str, first_byte_timeout_ms: u64, upstreams: Vec<Upstream>) -> ServiceUpstreams {
    ServiceUpstreams {
        name: format!("shop/production/{key}"),
        upstreams,
        expose_release: false,
        limits: Limits { first_byte_timeout_ms, ..Limits::default() },
        is_paused: false,
        canary: None,
        balance: Balancing::default(),
        tls: BTreeMap::new(),
    }
}

fn site(digest: char) -> Target {
    Target::Site {
        digest: digest.to_string().repeat(64),
        release: format!("r{digest}"),
        spa: false,
        expose_release: false,
        base: None,
        clean_urls: Default::default(),
        trailing_slash: Default::default(),
        cdn: None,
        earlier: Vec::new(),
    }
}

/// Services that exist, each with its limit and the roles of its tasks; routes by host; a redirecting host; a challenge.
fn tables() -> impl Strategy<Value = RouteTable> {
    let role = prop::sample::select(vec![UpstreamRole::Live, UpstreamRole::Standby, UpstreamRole::Draining]);
    let services =
        prop::collection::vec(prop::option::of((1..3_u64, prop::collection::vec((role, 0..2_u8), 0..3))), 3);
    let routes = prop::collection::vec((any::<Index>(), any::<Index>(), any::<bool>(), any::<bool>()), 0..6);
    (services, routes, prop::option::of(any::<Index>()), prop::collection::vec(any::<Index>(), 0..2))
        .prop_map(|(services, routes, redirecting, named)| {
            let mut table = RouteTable {
                version: ROUTE_TABLE_VERSION,
                probe_key: "key".to_owned(),
                ..RouteTable::default()
            };
            for (key, found) in SERVICES.iter().zip(services) {
                let Some((limit, tasks)) = found else { continue };
                let upstreams = (1..).zip(tasks).map(|(number, (role, release))| {
                    upstream(key, number, role, if release == 0 { "r1" } else { "r2" })
                });
                table.services.insert((*key).to_owned(), service(key, limit, upstreams.collect()));
                table.policies.insert(format!("p-{key}"), Policy::default());
            }
            for (host, target, is_below, has_policy) in routes {
                let host = *host.get(&HOSTS);
                let path_prefix = if is_below { "/below" } else { "/" };
                let keys: Vec<&String> = table.services.keys().collect();
                let is_there = |route: &Route| route.host == host && route.path_prefix == path_prefix;
                if table.routes.iter().any(is_there) {
                    continue;
                }
                let number = target.index(keys.len() + 2);
                let target = match keys.get(number) {
                    Some(key) => Target::Service { service: (*key).clone() },
                    None => site(if number == keys.len() { 'a' } else { 'b' }),
                };
                let policy = match &target {
                    Target::Service { service } if has_policy => Some(format!("p-{service}")),
                    _ => None,
                };
                let (host, path_prefix) = (host.to_owned(), path_prefix.to_owned());
                table.routes.push(Route { host, path_prefix, target, policy, is_counted: is_below });
            }
            table.routes.sort_by(|a, b| (&a.host, &a.path_prefix).cmp(&(&b.host, &b.path_prefix)));
            if let Some(host) = redirecting {
                let policy = HostPolicy { redirect_to_https: true, hsts: None };
                table.hosts.insert((*host.get(&HOSTS)).to_owned(), policy);
            }
            for host in named {
                let host = *host.get(&HOSTS);
                let purpose = CertificatePurpose::Serve;
                let digest = format!("{:x}", host.len() + usize::from(host.as_bytes()[0])).repeat(32);
                table.certificates.push(Certificate { names: vec![host.to_owned()], digest, purpose });
                let (token, answer) = ("token".to_owned(), format!("answer-for-{host}"));
                table.challenges.push(Challenge { host: host.to_owned(), token, answer });
            }
            table
        })
}

/// Everything a request can find.
fn described(table: &Table) -> Vec<String> {
    let mut lines = Vec::new();
    for host in HOSTS {
        for path in ["/", "/below/x"] {
            let Hit { found, policy, counters } = table.route(host, path);
            let found = match found {
                Found::Service(service) => {
                    assert!(table.service(&service.key).is_some_and(|known| Arc::ptr_eq(known, service)));
                    format!("{} {:?}", service.key, service.limits)
                }
                Found::Site(site) => format!("{} {} {}", site.name, site.digest, site.release),
                Found::UnknownHost => "no host".to_owned(),
                Found::UnknownPath => "no path".to_owned(),
            };
            lines.push(format!(
                "{host}{path}: {found}, {:?} {}",
                policy.map(|policy| policy.limits.clone()),
                counters.is_some()
            ));
        }
        let https = table.https.find(host).map(|certificate| certificate.digest);
        let policy = table.host(host).map(|host| host.https.clone());
        lines.push(format!("{host}: {https:?} {:?} {policy:?}", table.https.answer(host, "token")));
    }
    for service in table.services() {
        let members = service.upstreams.iter();
        let members: Vec<_> = members
            .map(|Member { upstream, role, .. }| (&upstream.task, &upstream.release, upstream.address, *role))
            .collect();
        lines.push(format!("{} {}: {members:?}, {} live", service.key, service.name, service.live.len()));
    }
    let (keys, sites) = (table.policies.keys().collect::<Vec<_>>(), table.sites().count());
    lines.push(format!("{} {keys:?} {sites}", table.generation));
    lines
}

proptest! {
    #[test]
    fn by_changes_or_whole_it_is_the_same_table(tables in prop::collection::vec(tables(), 1..6)) {
        let mut before = RouteTable { version: ROUTE_TABLE_VERSION, probe_key: "key".to_owned(), ..RouteTable::default() };
        let mut changed = Table::build(&before, None).unwrap();
        for (generation, table) in (1..).zip(tables) {
            let after = RouteTable { generation, ..table };
            let change = RouteChange::between(&before, &after).expect("one follows the other");
            let next = changed.change(&change).unwrap();
            let mut whole = described(&Table::build(&after, Some(&changed)).unwrap());
            // Policies that no route names are dropped by who sees the whole, and harm nobody.
            let mut by_change = described(&next);
            whole.pop();
            by_change.pop();
            prop_assert_eq!(&by_change, &whole);
            for service in next.services() {
                let key = &*service.key;
                let is_shared = changed.service(key).is_some_and(|known| Arc::ptr_eq(known, service));
                prop_assert_eq!(is_shared, !change.services.contains_key(key));
                for Member { upstream, .. } in &service.upstreams {
                    // Health and counters go on where task, release and address stay.
                    let known = changed.service(key).into_iter().flat_map(|known| &known.upstreams)
                        .find(|known| known.upstream.task == upstream.task);
                    if let Some(known) = known {
                        let stays = known.upstream.release == upstream.release;
                        prop_assert_eq!(Arc::ptr_eq(&known.upstream, upstream), stays);
                    }
                }
            }
            let told: Vec<&str> = next.changes_since(&changed)
                .map(|(before, now)| &*now.or(before).expect("one of them").key).collect();
            prop_assert_eq!(told, change.services.keys().map(String::as_str).collect::<Vec<_>>());
            (before, changed) = (after, next);
        }
    }
}

fn built() -> (RouteTable, Table) {
    let live = |key: &str| service(key, 1, vec![upstream(key, 1, UpstreamRole::Live, "r1")]);
    let route = |host: &str, key: &str| Route {
        host: host.to_owned(),
        path_prefix: "/".to_owned(),
        target: Target::Service { service: key.to_owned() },
        policy: None,
        is_counted: false,
    };
    let wire = RouteTable {
        version: ROUTE_TABLE_VERSION,
        generation: 1,
        probe_key: "key".to_owned(),
        routes: vec![route("a.example", "s1"), route("b.example", "s2")],
        services: ["s1", "s2"].map(|key| (key.to_owned(), live(key))).into(),
        ..RouteTable::default()
    };
    let table = Table::build(&wire, None).unwrap();
    (wire, table)
}

#[test]
fn changes_that_could_do_harm_are_refused() {
    let (wire, table) = built();
    let nothing =
        || RouteChange { version: ROUTE_TABLE_VERSION, from: 1, generation: 2, ..Default::default() };
    table.change(&nothing()).unwrap();
    let refused = |change: RouteChange| table.change(&change).unwrap_err().to_string();
    let route = |host: &str, service: &str, policy: Option<&str>| Route {
        host: host.to_owned(),
        path_prefix: "/".to_owned(),
        target: Target::Service { service: service.to_owned() },
        policy: policy.map(ToOwned::to_owned),
        is_counted: false,
    };
    let host = |key: &str, routes: Vec<Route>| RouteChange {
        hosts: [(key.to_owned(), HostChange { routes, policy: None })].into(),
        ..nothing()
    };
    let serve = |key: &str, tasks: Vec<Upstream>| RouteChange {
        services: [(key.to_owned(), Some(service(key, 1, tasks)))].into(),
        ..nothing()
    };
    let lines = [
        refused(RouteChange { version: 1, ..nothing() }),
        refused(host("c.example", vec![route("c.example", "s9", None)])),
        refused(host("c.example", vec![route("c.example", "s1", Some("p9"))])),
        refused(host("c.example", vec![route("a.example", "s1", None)])),
        refused(host("C.example", vec![route("C.example", "s1", None)])),
        refused(host("c.example", vec![route("c.example", "s1", None), route("c.example", "s2", None)])),
        // Of a service that the change does not name, and twice within it.
        refused(serve("s1", vec![upstream("s2", 1, UpstreamRole::Live, "r1")])),
        refused(serve("s1", [1, 1].map(|number| upstream("s1", number, UpstreamRole::Live, "r1")).into())),
        refused(serve("s1", vec![upstream("s1", 1, UpstreamRole::Live, "r\n1")])),
    ];
    insta::assert_snapshot!(lines.join("\n"));
    assert_eq!(described(&table), described(&Table::build(&wire, None).unwrap()));
}

#[test]
fn tasks_stay_what_they_are_under_another_name_or_key() {
    let (_, table) = built();
    let live = |key: &str| service(key, 1, vec![upstream("s1", 1, UpstreamRole::Live, "r1")]);
    let serve = |services: [(&str, Option<ServiceUpstreams>); 2]| RouteChange {
        version: ROUTE_TABLE_VERSION,
        from: 1,
        generation: 2,
        services: services.map(|(key, service)| (key.to_owned(), service)).into(),
        hosts: [("a.example".to_owned(), HostChange::default())].into(),
        ..Default::default()
    };
    let known = |table: &Table, key: &str| Arc::clone(&table.service(key).unwrap().upstreams[0].upstream);
    let before = known(&table, "s1");
    let s2 = || ("s2", Some(service("s2", 1, Vec::new())));
    let renamed = table.change(&serve([("s1", Some(live("other"))), s2()])).unwrap();
    assert!(Arc::ptr_eq(&known(&renamed, "s1"), &before), "requests in flight are still counted");
    let moved = table.change(&serve([("s1", None), ("s9", Some(live("s1")))])).unwrap();
    assert!(Arc::ptr_eq(&known(&moved, "s9"), &before));
    // Both cannot have it.
    let twice = table.change(&serve([("s9", Some(live("s1"))), s2()])).unwrap_err();
    assert_eq!(twice.to_string(), "task s1-1 is named twice");
}

/// So many that they lie in many nodes of the map, some shared and some not.
#[test]
fn what_differs_among_hundreds_of_services_is_told_and_nothing_else() {
    let change = |from: u64, services: BTreeMap<String, Option<ServiceUpstreams>>| RouteChange {
        version: ROUTE_TABLE_VERSION,
        from,
        generation: from + 1,
        services,
        ..Default::default()
    };
    let some = |key: &str| Some(service(key, 1, Vec::new()));
    let name = |number: u64| format!("s{number:04}");
    let all = (0..700).map(|number| (name(number), some(&name(number)))).collect();
    let mut tables = vec![Table::empty().change(&change(0, all)).unwrap()];
    let mut random = 7_u64;
    for from in 1..60 {
        let mut services = BTreeMap::new();
        for _ in 0..=from % 5 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = name((random >> 33) % 900);
            let is_gone = (random >> 20).is_multiple_of(3);
            services.insert(key.clone(), if is_gone { None } else { some(&key) });
        }
        let next = tables.last().unwrap().change(&change(from, services)).unwrap();
        tables.push(next);
    }
    for (place, table) in tables.iter().enumerate() {
        for before in [place.saturating_sub(1), place / 2, 0, tables.len() - 1].map(|at| &tables[at]) {
            let told: Vec<_> = table
                .changes_since(before)
                .map(|(before, now)| (before.map(Arc::as_ptr), now.map(Arc::as_ptr)))
                .collect();
            let keys: std::collections::BTreeSet<_> =
                before.services().chain(table.services()).map(|service| &service.key).collect();
            let both = keys.into_iter().map(|key| (before.service(key), table.service(key)));
            let expected: Vec<_> = both
                .map(|(before, now)| (before.map(Arc::as_ptr), now.map(Arc::as_ptr)))
                .filter(|(before, now)| before != now)
                .collect();
            assert_eq!(told, expected, "from {} to {}", before.generation, table.generation);
        }
    }
}

#[test]
fn what_was_built_of_a_table_in_between_is_told_over_two() {
    let (_, first) = built();
    let serve = |from: u64, key: &str| RouteChange {
        version: ROUTE_TABLE_VERSION,
        from,
        generation: from + 1,
        services: [(key.to_owned(), Some(service(key, 9, Vec::new())))].into(),
        ..Default::default()
    };
    let second = first.change(&serve(1, "s1")).unwrap();
    let third = second.change(&serve(2, "s3")).unwrap();
    let told = |table: &Table, before: &Table| -> Vec<(String, bool, bool)> {
        let changes = table.changes_since(before);
        changes
            .map(|(before, now)| (now.or(before).unwrap().key.to_string(), before.is_some(), now.is_some()))
            .collect()
    };
    let expected = [("s1".to_owned(), true, true), ("s3".to_owned(), false, true)];
    assert_eq!(told(&third, &first), expected);
    assert_eq!(told(&first, &third), [("s1".to_owned(), true, true), ("s3".to_owned(), true, false)]);
    assert_eq!(told(&third, &third), []);
    assert_eq!(told(&third, &Table::empty()).len(), 3);
}
