//! The metrics page: whole text, and over its socket.

use std::sync::Arc;

use havre_api::route_table::{Route, Target, UpstreamRole};
use havre_edge::config::EdgeLimits;
use havre_edge::table::{Found, Table};
use havre_edge::{Shared, metrics};
use havre_http::account::series::{Ending, Series};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::rig::{App, Rig, eventually, live};
use crate::strict;
use crate::world::{table, upstream};

fn shared() -> Arc<Shared> {
    let shared = Shared::new(EdgeLimits::default(), "/nowhere".into());
    let address = "127.0.0.1:9".parse().unwrap();
    let mut wire = table(
        7,
        vec![upstream("t1", address, UpstreamRole::Live), upstream("t2", address, UpstreamRole::Draining)],
    );
    wire.routes.push(Route {
        host: "web.example".to_owned(),
        path_prefix: "/docs".to_owned(),
        target: Target::Site {
            digest: "ab".repeat(32),
            release: "r1".to_owned(),
            spa: false,
            expose_release: false,
            base: None,
            clean_urls: Default::default(),
            trailing_slash: Default::default(),
            cdn: None,
            earlier: Vec::new(),
        },
        policy: None,
        is_counted: false,
    });
    shared.publish(Table::build(&wire, Some(&shared.table.load_full())).unwrap());
    shared
}

#[test]
fn the_whole_page() {
    let shared = shared();
    let table = shared.table.load_full();
    let Found::Service(service) = table.find("app.example", "/") else { panic!("the route is there") };
    let Found::Site(site) = table.find("web.example", "/docs/x") else { panic!("the site is there") };
    let guard = service.pick(&[], &mut 0).unwrap();
    let end = |series: &Series, status, micros| {
        series.count(0, Ending { status, micros, received: 10, sent: 200 });
    };
    let r1 = service.counters.of("r1");
    end(&r1, 200, 900);
    end(&r1, 204, 150_000);
    end(&r1, 0, 5);
    end(&service.own, 503, 40);
    end(&site.series, 404, 100);
    shared.metrics.connections.up();
    shared.metrics.accepted.up();
    shared.metrics.accepted.up();
    shared.metrics.shed.up();
    let page = metrics::text(&shared);
    strict::check(&page);
    insta::assert_snapshot!(page);
    drop(guard);
}

#[test]
fn routes_of_one_service_are_told_apart() {
    let app = App::ok();
    let mut wire = live(&[app.address]);
    let whole = Route { is_counted: true, ..wire.routes[0].clone() };
    let below = Route { path_prefix: "/below/".to_owned(), ..whole.clone() };
    wire.routes = vec![whole, below];
    let rig = Rig::start(EdgeLimits::default(), &wire);
    let mut client = rig.connect();
    for path in ["/", "/below", "/below/x"] {
        client.ask(&format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n\r\n"));
    }
    let lines = || {
        let page = metrics::text(&rig.shared);
        strict::check(&page);
        let is_wanted = |line: &&str| {
            line.starts_with("havre_edge_route_re")
                && line.contains("class=\"2xx\"")
                && !line.contains("_bucket")
                && !line.contains("_sum")
        };
        page.lines().filter(is_wanted).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    eventually("all are counted", || lines().iter().any(|line| line.ends_with(" 2")));
    insta::assert_snapshot!(lines().join("\n"));
    // The next release begins at nothing, and the one before is forgotten.
    let service = wire.services.values_mut().next().unwrap();
    (service.upstreams[0].task, service.upstreams[0].release) = ("t9".to_owned(), "r9".to_owned());
    wire.generation += 1;
    rig.shared.publish(Table::build(&wire, Some(&rig.shared.table.load_full())).unwrap());
    assert_eq!(lines(), Vec::<String>::new());
}

#[tokio::test]
async fn the_socket_answers_and_replaces_what_a_dead_edge_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.sock");
    drop(metrics::bind(&path).unwrap());
    let server = tokio::spawn(metrics::serve(metrics::bind(&path).unwrap(), shared()));
    for (request, status, start) in [
        ("GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "# HELP havre_edge_generation "),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "only GET /metrics is here\n"),
    ] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(status) && body.starts_with(start), "{answer}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }
    server.abort();
    let file = dir.path().join("file");
    std::fs::write(&file, "keep me").unwrap();
    assert!(metrics::bind(&file).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "keep me");
}
