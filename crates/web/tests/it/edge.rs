//! What edges ask and tell.

use std::time::Duration;

use axum::body::Body;
use havre_core::id::{ReleaseId, ServiceId, TaskId};
use havre_core::quantity::Span;
use havre_core::route::settings::RouteSettings;
use havre_core::route::{
    EarlierSite, Policy, Role, Route, ServiceUpstreams, SiteCdn, Table, Target, Upstream, https,
};
use havre_core::service::spec::CheckSpec;
use havre_core::site::settings::{CdnSpec, CleanUrls, TagHeader, TrailingSlash};
use havre_core::time::Timestamp;
use havre_web::Limits;
use serde_json::{Value, json};

use crate::world::{World, read, send, soon};

fn policies() -> std::collections::BTreeMap<String, Policy> {
    let settings = RouteSettings { compress: true, ..RouteSettings::default() };
    [("s12".to_owned(), Policy { settings, maintenance: None })].into()
}

fn routes() -> Vec<Route> {
    vec![
        Route {
            host: "api.example".parse().expect("a host"),
            path: "/".parse().expect("a path"),
            target: Target::Service { service: ServiceId::new(12) },
            policy: Some("s12".to_owned()),
        },
        Route {
            host: "dropit.example".parse().expect("a host"),
            path: "/docs".parse().expect("a path"),
            target: Target::Site {
                digest: format!("sha256:{}", "cd".repeat(32)).parse().expect("a digest"),
                release: ReleaseId::new(3),
                spa: true,
                expose_release: false,
                base: Some("/".parse().expect("a path")),
                clean_urls: CleanUrls::Redirect,
                trailing_slash: TrailingSlash::Never,
                cdn: Some(SiteCdn {
                    spec: CdnSpec { tags: TagHeader::CacheTag, hold: Some(Span::seconds(60)), purge: None },
                    tag: "dropit-production-web".to_owned(),
                }),
                earlier: vec![EarlierSite {
                    digest: format!("sha256:{}", "ef".repeat(32)).parse().expect("a digest"),
                    until: Timestamp::from_millis(1_000),
                }],
            },
            policy: None,
        },
    ]
}

fn table() -> Table {
    let upstream = |task, role| Upstream {
        task: TaskId::new(task),
        release: ReleaseId::new(7),
        address: std::net::SocketAddrV4::new([10, 210, 0, 4].into(), 3000),
        protocol: Default::default(),
        role,
        probe_path: "/health?full=1".parse().expect("a path"),
        probe_host: "api.example".to_owned(),
        probe_timeout: Span::seconds(2),
        probe_interval: Span::seconds(5),
        checks: vec![CheckSpec {
            path: "/ready".parse().expect("a path"),
            status: 204,
            contains: "yes".to_owned(),
        }],
    };
    Table {
        routes: routes(),
        services: [(
            ServiceId::new(12),
            ServiceUpstreams {
                balance: Default::default(),
                name: "dropit/production/api".to_owned(),
                expose_release: true,
                upstreams: vec![
                    upstream(1, Role::Live),
                    upstream(2, Role::Standby),
                    upstream(3, Role::Draining),
                ],
                is_paused: false,
                canary: None,
                tls: Default::default(),
            },
        )]
        .into(),
        policies: policies(),
        certificates: [
            ("ab", https::CertificatePurpose::Serve),
            ("ef", https::CertificatePurpose::TlsAlpn01),
        ]
        .map(|(digest, purpose)| https::Certificate {
            names: vec!["*.api.example".parse().expect("a name"), "api.example".parse().expect("a name")],
            digest: digest.repeat(32).parse().expect("a digest"),
            purpose,
        })
        .into(),
        challenges: vec![https::Challenge {
            host: "new.example".parse().expect("a host"),
            token: "token".to_owned(),
            answer: "token.thumbprint".to_owned(),
        }],
        hosts: [(
            "api.example".parse().expect("a host"),
            https::HostPolicy { redirect_to_https: true, hsts: Some(https::Hsts::Subdomains) },
        )]
        .into(),
    }
}

async fn ask(world: &World, query: &str) -> (u16, Value) {
    read(send(&world.edge, "GET", &format!("/edge/v1/table{query}"), &[], Body::empty()).await).await
}

#[tokio::test]
async fn the_table_on_the_wire() {
    let world = World::new();
    assert_eq!(ask(&world, "").await, (204, Value::Null));
    world.write(|tx| tx.store_route_table(&table(), 0)).await;
    let (status, mut body) = ask(&world, "?after=0&wait_ms=1000").await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("route_table", body);
    let _: havre_api::route_table::RouteTable =
        serde_json::from_value(body.clone()).expect("the edge can read it");

    // People get the same without the key.
    body["probe_key"] = json!("");
    assert_eq!(world.get("/v1/route-table").await, (200, body));
}

#[tokio::test]
async fn an_edge_waits_for_the_next_table() {
    let world = World::new();
    world.write(|tx| tx.store_route_table(&table(), 0)).await;
    assert_eq!(ask(&world, "?after=1&wait_ms=20").await, (204, Value::Null));
    let waiting = tokio::spawn({
        let edge = world.edge.clone();
        async move {
            read(send(&edge, "GET", "/edge/v1/table?after=1&wait_ms=60000", &[], Body::empty()).await).await
        }
    });
    // A change that is none of the table's does not end the wait.
    world.apply(&[crate::world::site("web", "web.example")]).await;
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    world.write(|tx| tx.store_route_table(&Table::default(), 0)).await;
    let (status, body) = soon(waiting).await.expect("no panic");
    assert_eq!((status, &body["generation"], &body["routes"]), (200, &json!(2), &json!([])));
}

#[tokio::test]
async fn what_has_changed_is_told_to_who_has_the_table_before() {
    let world = World::new();
    let changes = async |query: &str| {
        let path = format!("/edge/v1/changes{query}");
        read(send(&world.edge, "GET", &path, &[], Body::empty()).await).await
    };
    world.write(|tx| tx.store_route_table(&table(), 0)).await;
    assert_eq!(changes("?after=1&wait_ms=20").await, (204, Value::Null));
    // Nobody has taken the first table from this process: it does not know what the edge has.
    world.write(|tx| tx.store_route_table(&Table::default(), 0)).await;
    assert_eq!(changes("?after=1&wait_ms=20").await, (410, Value::Null));
    let (_, whole) = ask(&world, "?after=1").await;
    assert_eq!(whole["generation"], json!(2));
    world.write(|tx| tx.store_route_table(&table(), 0)).await;
    let (status, change) = changes("?after=2&wait_ms=20").await;
    assert_eq!((status, &change["from"], &change["generation"]), (200, &json!(2), &json!(3)));
    let mut before = serde_json::from_value(whole).expect("a table");
    let change: havre_api::route_change::RouteChange = serde_json::from_value(change).expect("a change");
    assert!(change.apply(&mut before));
    let (_, whole) = ask(&world, "?after=2").await;
    assert_eq!(serde_json::to_value(before).expect("it is JSON"), whole);
    // An edge from before is told to take it whole.
    assert_eq!(changes("?after=1&wait_ms=20").await, (410, Value::Null));
}

#[tokio::test]
async fn waiting_is_bounded_and_ends_with_the_server() {
    let world = World::with(Limits { table_wait: Duration::from_millis(20), ..Limits::default() });
    assert_eq!(soon(ask(&world, "?wait_ms=99999999")).await.0, 204);
    let world = World::new();
    world.stop.cancel();
    assert_eq!(soon(ask(&world, "?wait_ms=60000")).await.0, 204);
}

#[tokio::test]
async fn traffic_is_what_an_edge_last_said() {
    let world = World::new();
    let (_, empty) = world.get("/v1/traffic").await;
    assert_eq!(empty, json!({ "edges": [] }));
    let row = json!({
        "name": "shop/production/api", "release": "r7", "requests": 10, "errors": 1, "client_errors": 2,
        "received_bytes": 3, "sent_bytes": 4, "p50_us": 5, "p95_us": 6, "p99_us": 7, "in_flight": 8, "waiting": 9,
    });
    let traffic = |rows: Value| {
        json!({
            "window_ms": 2000, "connections": 1, "shed": 2, "retries": 3, "panics": 4, "log_dropped": 5,
            "rows": rows, "left_out": 0,
        })
    };
    for rows in [json!([]), json!([row])] {
        let report = json!({
            "edge": "node-1", "instance": "i1", "generation": 4, "listeners": [], "upstreams": [],
            "traffic": traffic(rows.clone()),
        });
        let sent = send(&world.edge, "POST", "/edge/v1/report", &[], report.to_string().into());
        assert_eq!(read(sent.await).await, (204, Value::Null));
        let (status, list) = world.get("/v1/traffic").await;
        let expected = json!({ "edges": [{
            "edge": "node-1", "reported_at": "2026-11-24T10:00:00.000Z", "traffic": traffic(rows),
        }] });
        assert_eq!((status, list), (200, expected));
    }
}

#[tokio::test]
async fn a_report_is_kept() {
    let world = World::new();
    let report = |task: &str| {
        json!({
            "edge": "node-1", "instance": "i1", "generation": 4, "listeners": ["127.0.0.1:80"],
            "upstreams": [
                { "task": task, "health": { "state": "unhealthy", "reason": "answered 500" },
                    "checks": { "state": "failed", "reason": "GET /ready answered 404" },
                    "in_flight": 1, "requests": 2, "errors": 3 },
                { "task": "t2", "health": { "state": "healthy" }, "checks": { "state": "passed" },
                    "in_flight": 0, "requests": 0, "errors": 0 },
                { "task": "t3", "health": { "state": "unknown" }, "checks": { "state": "pending" },
                    "in_flight": 0, "requests": 0, "errors": 0 },
            ],
        })
    };
    let post = |body: Value| send(&world.edge, "POST", "/edge/v1/report", &[], body.to_string().into());
    assert_eq!(read(post(report("t1")).await).await, (204, Value::Null));
    let kept = world.store.edges();
    insta::assert_json_snapshot!("edge_view", kept);
    let (_, status) = world.get("/v1/status").await;
    assert_eq!(
        status["edges"],
        json!([{
            "edge": "node-1", "generation": 4, "listeners": ["127.0.0.1:80"],
            "reported_at": "2026-11-24T10:00:00.000Z", "is_fresh": true,
        }])
    );
    for (body, code) in [(report("7"), "name_invalid"), (json!({ "edge": "a" }), "body_invalid")] {
        let (status, answer) = read(post(body).await).await;
        assert_eq!((status, &answer["code"]), (400, &json!(code)));
    }
    assert_eq!(world.store.edges(), kept);
}

#[tokio::test]
async fn a_partial_report_needs_a_whole_one_before_it() {
    let world = World::new();
    let post = async |instance: &str, generation: u64, task: &str, is_partial: bool| {
        let report = json!({
            "edge": "node-1", "instance": instance, "generation": generation, "listeners": [],
            "upstreams": [{ "task": task, "health": { "state": "healthy" }, "checks": { "state": "passed" },
                "in_flight": 0, "requests": 0, "errors": 0 }],
            "is_partial": is_partial,
        });
        read(send(&world.edge, "POST", "/edge/v1/report", &[], report.to_string().into()).await).await.0
    };
    let seen = || {
        let edges = world.store.edges();
        let tasks: Vec<String> = edges[0].upstreams.keys().map(ToString::to_string).collect();
        (edges[0].generation, tasks.join(" "))
    };
    assert_eq!(post("one", 1, "t1", true).await, 409);
    assert_eq!(post("one", 1, "t1", false).await, 204);
    assert_eq!(post("one", 2, "t2", true).await, 204);
    assert_eq!(seen(), (2, "t1 t2".to_owned()));
    // Another process of that edge.
    assert_eq!(post("two", 3, "t3", true).await, 409);
    assert_eq!(seen(), (2, "t1 t2".to_owned()));
    assert_eq!(post("two", 3, "t3", false).await, 204);
    assert_eq!(seen(), (3, "t3".to_owned()));
}
