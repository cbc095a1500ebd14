//! Laws of the table: which route, which upstream, what is counted. Health is set directly; probes have tests of
//! their own.

use std::collections::BTreeMap;

use super::*;
use crate::balance::Choice;
use crate::upstream::Standing;
use havre_api::edge_report::{Checks, Health};
use havre_api::route_table::{
    Certificate as WireCertificate, CertificatePurpose, Challenge, HostPolicy as WireHostPolicy, Route,
    ServiceUpstreams, Upstream as WireUpstream,
};
use havre_http::account::series::Ending;
use proptest::prelude::*;

fn probe() -> Probe {
    Probe {
        path: "/".to_owned(),
        host: "app".to_owned(),
        timeout_ms: 1000,
        starting_interval_ms: 100,
        steady_interval_ms: 1000,
        unhealthy_after: 3,
    }
}

fn wire_upstream(task: &str, port: u16, role: UpstreamRole) -> WireUpstream {
    WireUpstream {
        task: task.to_owned(),
        release: "r1".to_owned(),
        address: ([127, 0, 0, 1], port).into(),
        protocol: Default::default(),
        role,
        probe: probe(),
        checks: Vec::new(),
    }
}

fn wire_service(upstreams: Vec<WireUpstream>) -> ServiceUpstreams {
    ServiceUpstreams {
        balance: havre_api::route_table::Balance::default(),
        name: "shop/production/api".to_owned(),
        upstreams,
        expose_release: false,
        limits: Limits::default(),
        is_paused: false,
        canary: None,
        tls: BTreeMap::new(),
    }
}

fn wire(generation: u64, routes: &[(&str, &str, &str)], upstreams: Vec<WireUpstream>) -> RouteTable {
    RouteTable {
        version: ROUTE_TABLE_VERSION,
        generation,
        probe_key: "key".to_owned(),
        routes: routes
            .iter()
            .map(|(host, path, service)| Route {
                host: (*host).to_owned(),
                path_prefix: (*path).to_owned(),
                target: Target::Service { service: (*service).to_owned() },
                policy: None,
                is_counted: false,
            })
            .collect(),
        services: BTreeMap::from([("api".to_owned(), wire_service(upstreams))]),
        ..RouteTable::default()
    }
}

/// A table whose services are named after their routes, to see which one was found.
fn routed(routes: &[(&str, &str)]) -> Table {
    let mut table = wire(1, &[], Vec::new());
    for (host, path) in routes {
        let name = format!("{host}{path}");
        let mut service = wire_service(Vec::new());
        service.name.clone_from(&name);
        table.services.insert(name.clone(), service);
        table.routes.push(Route {
            host: (*host).to_owned(),
            path_prefix: (*path).to_owned(),
            target: Target::Service { service: name },
            policy: None,
            is_counted: false,
        });
    }
    Table::build(&table, None).unwrap()
}

fn found<'t>(table: &'t Table, host: &str, path: &str) -> &'t str {
    match table.find(host, path) {
        Found::Service(service) => &service.name,
        Found::Site(site) => &site.name,
        Found::UnknownHost => "unknown host",
        Found::UnknownPath => "unknown path",
    }
}

#[test]
fn the_longest_prefix_on_a_segment_boundary_wins() {
    let table = routed(&[("a", "/"), ("a", "/api"), ("a", "/api/v2/"), ("b", "/only")]);
    let rows = [
        ("a", "/", "a/"),
        ("a", "/apix", "a/"),
        ("a", "*", "a/"),
        ("a", "/api", "a/api"),
        ("a", "/api/", "a/api"),
        ("a", "/api/v22", "a/api"),
        ("a", "/api/v2", "a/api/v2/"),
        ("a", "/api/v2/x", "a/api/v2/"),
        ("b", "/only/x", "b/only"),
        ("b", "/", "unknown path"),
        ("b", "/onlyx", "unknown path"),
        ("c", "/", "unknown host"),
        ("", "/", "unknown host"),
    ];
    for (host, path, expected) in rows {
        assert_eq!(found(&table, host, path), expected, "{host}{path}");
    }
}

#[test]
fn ten_thousand_hosts_are_each_found() {
    let names: Vec<String> = (0..10_000).map(|index| format!("host-{index}.example")).collect();
    let routes: Vec<_> = names.iter().map(|name| (name.as_str(), "/")).collect();
    let table = routed(&routes);
    for name in &names {
        assert_eq!(found(&table, name, "/x"), format!("{name}/"));
    }
}

#[test]
fn documents_that_could_do_harm_are_refused() {
    let good = || wire(1, &[("a", "/", "api")], vec![wire_upstream("t1", 1, UpstreamRole::Live)]);
    Table::build(&good(), None).unwrap();
    let refused = |change: &dyn Fn(&mut RouteTable)| {
        let mut table = good();
        change(&mut table);
        Table::build(&table, None).unwrap_err().to_string()
    };
    let route = |host: &str, path: &str| Route {
        policy: None,
        host: host.to_owned(),
        path_prefix: path.to_owned(),
        target: Target::Service { service: "api".to_owned() },
        is_counted: false,
    };
    let upstream = |table: &mut RouteTable, change: &dyn Fn(&mut WireUpstream)| {
        change(&mut table.services.get_mut("api").unwrap().upstreams[0]);
    };
    let site = |digest: &str| Target::Site {
        digest: digest.to_owned(),
        release: "r1".to_owned(),
        spa: false,
        expose_release: false,
        base: None,
        clean_urls: Default::default(),
        trailing_slash: Default::default(),
        cdn: None,
        earlier: Vec::new(),
    };
    let rows: Vec<(String, &str)> = vec![
        (refused(&|t| t.version = 3), "route table has version 3, this edge knows 1 to 2"),
        (refused(&|t| t.version = 0), "route table has version 0, this edge knows 1 to 2"),
        (refused(&|t| t.routes.push(route("a", "//"))), "two routes for a"),
        (refused(&|t| t.services.clear()), "route a leads to unknown service api"),
        (
            refused(&|t| {
                t.services
                    .insert("b".to_owned(), wire_service(vec![wire_upstream("t1", 2, UpstreamRole::Live)]));
            }),
            "task t1 is named twice",
        ),
        (refused(&|t| t.routes.push(route("A", "/"))), "host \"A\" is not valid"),
        (refused(&|t| t.routes.push(route("a.", "/"))), "host \"a.\" is not valid"),
        (refused(&|t| t.routes.push(route("a", "x"))), "path prefix \"x\" is not valid"),
        (refused(&|t| t.routes.push(route("a", "/x y"))), "path prefix \"/x y\" is not valid"),
        (refused(&|t| t.routes[0].target = site("../../etc")), "site digest \"../../etc\" is not valid"),
        (
            refused(&|t| upstream(t, &|u| u.release = "r1\r\nX: y".to_owned())),
            "release \"r1\\r\\nX: y\" is not valid",
        ),
        (
            refused(&|t| upstream(t, &|u| u.probe.path = "/ HTTP/1.1".to_owned())),
            "probe path \"/ HTTP/1.1\" is not valid",
        ),
        (refused(&|t| upstream(t, &|u| u.probe.path = "x".to_owned())), "probe path \"x\" is not valid"),
        (
            refused(&|t| upstream(t, &|u| u.probe.host = "a\nb".to_owned())),
            "probe host \"a\\nb\" is not valid",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(text, expected);
    }
}

#[test]
fn upstreams_outlive_a_swap_exactly_when_task_and_address_stay() {
    let live = UpstreamRole::Live;
    let first = Table::build(
        &wire(
            1,
            &[],
            vec![wire_upstream("t1", 1, live), wire_upstream("t2", 2, live), wire_upstream("t3", 3, live)],
        ),
        None,
    )
    .unwrap();
    for member in first.members() {
        member.upstream.set_health(Health::Healthy);
    }
    let service = Arc::clone(first.services().next().unwrap());
    let others = [0, 2].map(|index: usize| Arc::clone(&service.upstreams[index].upstream));
    let guard = service.pick(&others, &mut 0).unwrap();
    assert_eq!(guard.upstream().task, "t2");
    service.own.count(0, Ending { status: 200, ..Ending::default() });
    let second = Table::build(
        &wire(
            2,
            &[],
            vec![
                wire_upstream("t2", 2, UpstreamRole::Draining),
                wire_upstream("t1", 9, live),
                wire_upstream("t4", 4, live),
            ],
        ),
        Some(&first),
    )
    .unwrap();
    let seen: Vec<_> = second
        .members()
        .map(|member| {
            let upstream = &member.upstream;
            (upstream.task.as_str(), upstream.standing(), upstream.in_flight(), upstream.requests())
        })
        .collect();
    assert_eq!(
        seen,
        [("t2", Standing::Healthy, 1, 1), ("t1", Standing::Unknown, 0, 0), ("t4", Standing::Unknown, 0, 0)]
    );
    assert_eq!(second.services().next().unwrap().own.totals().classes[2], 1);
}

#[test]
fn results_of_checks_belong_to_those_checks() {
    let table =
        Table::build(&wire(1, &[], vec![wire_upstream("t1", 1, UpstreamRole::Standby)]), None).unwrap();
    let upstream = &table.members().next().unwrap().upstream;
    let check = |path: &str| vec![Check { path: path.to_owned(), status: 200, contains: String::new() }];
    assert_eq!(upstream.checks(&[]), Checks::Passed);
    assert_eq!(upstream.checks(&check("/a")), Checks::Pending);
    upstream.set_checks(&check("/a"), Checks::Passed);
    assert_eq!(upstream.checks(&check("/a")), Checks::Passed);
    assert_eq!(upstream.checks(&check("/b")), Checks::Pending);
}

/// The rule of `find` in its plainest form: of all prefixes that end on a segment of the path, the longest.
fn expected_route<'r>(routes: &'r [String], path: &str) -> Option<&'r String> {
    let segments: Vec<&str> = path.split('/').collect();
    routes
        .iter()
        .filter(|prefix| {
            let prefix: Vec<&str> = prefix.trim_end_matches('/').split('/').collect();
            segments.len() >= prefix.len() && segments[..prefix.len()] == prefix[..]
        })
        .max_by_key(|prefix| prefix.trim_end_matches('/').len())
}

fn standing() -> impl Strategy<Value = (UpstreamRole, Standing)> {
    let role =
        prop_oneof![Just(UpstreamRole::Live), Just(UpstreamRole::Standby), Just(UpstreamRole::Draining)];
    let standing = prop_oneof![Just(Standing::Unknown), Just(Standing::Healthy), Just(Standing::Unhealthy)];
    (role, standing)
}

proptest! {
    #[test]
    fn find_agrees_with_the_plain_rule(
        prefixes in proptest::collection::btree_set("(/[ab]{1,2}){0,3}", 0..8),
        path in "(/[ab]{0,2}){1,4}",
    ) {
        let prefixes: Vec<String> =
            prefixes.into_iter().map(|prefix| if prefix.is_empty() { "/".to_owned() } else { prefix }).collect();
        let routes: Vec<_> = prefixes.iter().map(|prefix| ("h", prefix.as_str())).collect();
        let table = routed(&routes);
        let expected = match expected_route(&prefixes, &path) {
            Some(prefix) => format!("h{prefix}"),
            None if prefixes.is_empty() => "unknown host".to_owned(),
            None => "unknown path".to_owned(),
        };
        prop_assert_eq!(found(&table, "h", &path), expected);
    }

    #[test]
    fn a_pick_is_live_and_healthy_or_as_good_as_there_is(
        members in proptest::collection::vec(standing(), 0..7),
        avoided in proptest::collection::vec(any::<bool>(), 7),
        mut turn in any::<u32>(),
    ) {
        let upstreams = members
            .iter()
            .enumerate()
            .map(|(index, (role, _))| wire_upstream(&format!("t{index}"), 1, *role))
            .collect();
        let table = Table::build(&wire(1, &[], upstreams), None).unwrap();
        let service = table.services().next().unwrap();
        let mut avoid = Vec::new();
        let mut best = None;
        for (index, (member, (role, standing))) in service.upstreams.iter().zip(&members).enumerate() {
            match standing {
                Standing::Unknown => {}
                Standing::Healthy => member.upstream.set_health(Health::Healthy),
                Standing::Unhealthy => {
                    member.upstream.set_health(Health::Unhealthy { reason: "down".to_owned() });
                }
            }
            if avoided[index] {
                avoid.push(Arc::clone(&member.upstream));
            } else if *role == UpstreamRole::Live && *standing != Standing::Unhealthy {
                let is_better = best != Some(Standing::Healthy);
                if is_better {
                    best = Some(*standing);
                }
            }
        }
        let picked = service.pick(&avoid, &mut turn);
        let seen = picked.as_ref().map(|guard| {
            let member = service
                .upstreams
                .iter()
                .find(|member| member.upstream.task == guard.upstream().task)
                .unwrap();
            (member.role, member.upstream.standing(), avoid.iter().any(|a| a.task == guard.upstream().task))
        });
        prop_assert_eq!(seen, best.map(|standing| (UpstreamRole::Live, standing, false)));
        let total = |service: &Service| service.upstreams.iter().map(|m| m.upstream.in_flight()).sum::<u64>();
        prop_assert_eq!(total(service), u64::from(picked.is_some()));
        drop(picked);
        prop_assert_eq!(total(service), 0);
    }
}

#[test]
fn picks_held_at_the_same_time_spread_evenly() {
    let upstreams = (0..4).map(|index| wire_upstream(&format!("t{index}"), 1, UpstreamRole::Live)).collect();
    let table = Table::build(&wire(1, &[], upstreams), None).unwrap();
    let service = table.services().next().unwrap();
    let mut turn = 0;
    let guards: Vec<_> = (0..400).map(|_| service.pick(&[], &mut turn).unwrap()).collect();
    let counts: Vec<_> = service.upstreams.iter().map(|member| member.upstream.in_flight()).collect();
    assert!(counts.iter().all(|count| (95..=105).contains(count)), "{counts:?}");
    drop(guards);
}

#[test]
fn counts_are_exact_over_threads_and_swaps() {
    let upstreams = |generation: u64| {
        let roles = [UpstreamRole::Live, UpstreamRole::Live, UpstreamRole::Draining];
        (0..3).map(|i| wire_upstream(&format!("t{i}"), 1, roles[(i + generation as usize) % 3])).collect()
    };
    let shared = crate::Shared::new(crate::config::EdgeLimits::default(), "/nowhere".into());
    let build = |generation: u64| {
        let current = shared.table.load_full();
        shared.publish(
            Table::build(&wire(generation, &[("h", "/", "api")], upstreams(generation)), Some(&current))
                .unwrap(),
        )
    };
    let first = build(1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut turn = 0;
                for _ in 0..5000 {
                    let table = shared.table.load();
                    let Found::Service(service) = table.find("h", "/") else {
                        panic!("the route is in every table")
                    };
                    let guard = service.pick(&[], &mut turn).unwrap();
                    drop(table);
                    guard.record_error();
                    drop(guard);
                }
            });
        }
        for generation in 2..200 {
            build(generation);
        }
    });
    let sum =
        |count: fn(&Upstream) -> u64| first.members().map(|member| count(&member.upstream)).sum::<u64>();
    assert_eq!(
        (sum(Upstream::in_flight), sum(Upstream::requests), sum(Upstream::errors)),
        (0, 20_000, 20_000)
    );
}

#[test]
fn the_last_request_of_a_draining_upstream_asks_for_a_report() {
    let shared = crate::Shared::new(crate::config::EdgeLimits::default(), "/nowhere".into());
    let publish = |generation: u64, role: UpstreamRole| {
        let table = wire(generation, &[], vec![wire_upstream("t1", 1, role)]);
        shared.publish(Table::build(&table, Some(&shared.table.load_full())).unwrap())
    };
    let asked = |table: &Table| {
        let mut notified = std::pin::pin!(table.signals.report.notified());
        notified.as_mut().enable()
    };
    let live = publish(1, UpstreamRole::Live);
    let service = Arc::clone(live.services().next().unwrap());
    drop(service.pick(&[], &mut 0));
    assert!(!asked(&live), "counters alone are no news");
    let guards = [service.pick(&[], &mut 0), service.pick(&[], &mut 0)].map(Option::unwrap);
    let draining = publish(2, UpstreamRole::Draining);
    let [first, last] = guards;
    drop(first);
    assert!(!asked(&draining), "one is still in flight");
    drop(last);
    assert!(asked(&draining));
}

fn certificate(digest: &str, names: &[&str], purpose: CertificatePurpose) -> WireCertificate {
    WireCertificate {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        digest: digest.repeat(32),
        purpose,
    }
}

#[test]
fn a_certificate_is_found_by_its_name_then_by_a_wildcard_one_label_above() {
    let mut table = wire(1, &[], Vec::new());
    table.certificates = vec![
        certificate("aa", &["*.example.org", "example.org"], CertificatePurpose::Serve),
        certificate("bb", &["api.example.org"], CertificatePurpose::Serve),
        certificate("cc", &["new.example.org"], CertificatePurpose::TlsAlpn01),
    ];
    let table = Table::build(&table, None).unwrap();
    let found = |host: &str| {
        table.https.find(host).map(|certificate| {
            assert!(certificate.covers(host), "{host}");
            certificate.digest.to_string()[..2].to_owned()
        })
    };
    let rows = [
        ("api.example.org", Some("bb")),
        ("www.example.org", Some("aa")),
        ("example.org", Some("aa")),
        ("new.example.org", Some("aa")),
        ("a.b.example.org", None),
        ("org", None),
        ("", None),
        ("*.example.org", Some("aa")),
    ];
    for (host, expected) in rows {
        assert_eq!(found(host).as_deref(), expected, "{host}");
    }
    assert!(!table.https.find("example.org").unwrap().covers("a.b.example.org"));
    let challenge = |host: &str| table.https.find_challenge(host).map(|digest| digest.to_string());
    assert_eq!((challenge("new.example.org"), challenge("api.example.org")), (Some("cc".repeat(32)), None));
}

#[test]
fn a_renewed_certificate_remembers_what_it_replaces() {
    let mut before: Option<Table> = None;
    for (digest, older) in
        [("aa", ""), ("bb", "aa"), ("bb", "aa"), ("cc", "bb aa"), ("dd", "cc bb"), ("cc", "dd bb")]
    {
        let mut table = wire(1, &[], Vec::new());
        table.certificates =
            vec![certificate(digest, &["*.example.org", "b.example"], CertificatePurpose::Serve)];
        let table = Table::build(&table, before.as_ref()).unwrap();
        let found = table.https.find("b.example").unwrap();
        let known: Vec<String> =
            found.older.iter().map(|digest| digest.to_string()[..2].to_owned()).collect();
        assert_eq!(known.join(" "), older, "{digest}");
        before = Some(table);
    }
}

#[test]
fn challenges_and_policies_belong_to_their_host() {
    let mut table = wire(1, &[("a", "/", "api")], Vec::new());
    table.challenges =
        vec![Challenge { host: "b".to_owned(), token: "t".to_owned(), answer: "t.k".to_owned() }];
    let policy = WireHostPolicy { redirect_to_https: true, hsts: Some("max-age=300; preload".to_owned()) };
    table.hosts = [("a".to_owned(), policy.clone()), ("nobody".to_owned(), policy)].into();
    let table = Table::build(&table, None).unwrap();
    assert_eq!(table.https.answer("b", "t"), Some("t.k"));
    assert_eq!((table.https.answer("b", "u"), table.https.answer("a", "t")), (None, None));
    let policy = &table.host("a").unwrap().https;
    let mut hsts = Vec::new();
    policy.hsts.unwrap().write(&mut hsts);
    assert_eq!((policy.redirect_to_https, hsts.as_slice()), (true, &b"max-age=300; preload"[..]));
    assert!(table.host("nobody").is_none());
}

#[test]
fn https_that_could_do_harm_is_refused() {
    let refused = |change: &dyn Fn(&mut RouteTable)| {
        let mut table = wire(1, &[("a", "/", "api")], Vec::new());
        change(&mut table);
        Table::build(&table, None).unwrap_err().to_string()
    };
    let no_digest = format!("certificate digest {:?} is not valid", "zz".repeat(32));
    let rows: Vec<(String, &str)> = vec![
        (refused(&|t| t.certificates.push(certificate("zz", &["a"], CertificatePurpose::Serve))), &no_digest),
        (
            refused(&|t| t.certificates.push(certificate("aa", &["*.a b"], CertificatePurpose::Serve))),
            "host \"a b\" is not valid",
        ),
        (
            refused(&|t| {
                let challenge = Challenge { host: "a".into(), token: "../t".into(), answer: "t".into() };
                t.challenges.push(challenge);
            }),
            "challenge token \"../t\" is not valid",
        ),
        (
            refused(&|t| {
                let policy = WireHostPolicy { redirect_to_https: false, hsts: Some("a\r\nb: c".into()) };
                t.hosts.insert("a".into(), policy);
            }),
            "Strict-Transport-Security \"a\\r\\nb: c\" is not valid",
        ),
    ];
    for (error, expected) in rows {
        assert_eq!(error, expected);
    }
}

#[test]
fn a_client_keeps_its_task_and_a_canary_gets_its_share() {
    let mut upstreams = vec![
        wire_upstream("t1", 1, UpstreamRole::Live),
        wire_upstream("t2", 2, UpstreamRole::Live),
        wire_upstream("t3", 3, UpstreamRole::Standby),
    ];
    upstreams[2].release = "r2".to_owned();
    let mut wire = wire(1, &[("h", "/", "api")], upstreams);
    wire.services.get_mut("api").unwrap().canary = Some(Canary { release: "r2".to_owned(), percent: 25 });
    let table = Table::build(&wire, None).unwrap();
    let service = table.service("api").unwrap();
    let pick = |task: Option<&'static str>, draw| {
        let picked = service.pick_for(Choice { task, draw }, &[], &mut 0).unwrap();
        picked.upstream().task.clone()
    };
    // Before it is known to be healthy, nobody gets the canary.
    assert_eq!(pick(Some("t2"), 0), "t2");
    assert_ne!(pick(None, 0), "t3");
    table.members().for_each(|member| member.upstream.set_health(Health::Healthy));
    let share = (0..1000).filter(|draw| pick(None, *draw) == "t3").count();
    assert_eq!(share, 250);
    // A cookie is stronger than the draw, on both sides.
    assert_eq!((pick(Some("t1"), 0), pick(Some("t3"), 99)), ("t1".to_owned(), "t3".to_owned()));
    let tried = table.members().next().map(|member| Arc::clone(&member.upstream)).unwrap();
    let other = service.pick_for(Choice { task: Some("t1"), draw: 99 }, &[tried], &mut 0).unwrap();
    assert_eq!(other.upstream().task, "t2");
    drop(other);
    table.members().next().unwrap().upstream.set_health(Health::Unhealthy { reason: "down".to_owned() });
    assert_eq!(pick(Some("t1"), 99), "t2");
}
