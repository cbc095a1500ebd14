//! A bare data path for profiling: one worker, one service for every request to host `app.example`.
//! `serve 127.0.0.1:8080 127.0.0.1:9000`, and `h2` behind it for HTTP/2 from the first byte. Not a product; control, probes and the saved table are left out.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use havre_api::route_table::{
    Limits, Probe, ROUTE_TABLE_VERSION, Route, RouteTable, ServiceUpstreams, Target, Upstream, UpstreamRole,
};
use havre_edge::Shared;
use havre_edge::config::EdgeLimits;
use havre_edge::listen::{Door, Transport};
use havre_edge::table::Table;
use havre_edge::worker::spawn_workers;

/// What the daemon uses.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let transport = if std::env::args().nth(3).is_some_and(|protocol| protocol == "h2") {
        Transport::PlainH2
    } else {
        Transport::Plain
    };
    let mut next = || arguments.next().ok_or("usage: serve LISTEN UPSTREAM");
    let (listen, address): (SocketAddr, SocketAddr) = (next()?.parse()?, next()?.parse()?);
    let probe = Probe {
        path: "/".to_owned(),
        host: "app.example".to_owned(),
        timeout_ms: 2000,
        starting_interval_ms: 100,
        steady_interval_ms: 1000,
        unhealthy_after: 3,
    };
    let upstream = Upstream {
        task: "t1".to_owned(),
        release: "r1".to_owned(),
        address,
        protocol: Default::default(),
        role: UpstreamRole::Live,
        probe,
        checks: Vec::new(),
    };
    let service = ServiceUpstreams {
        balance: havre_api::route_table::Balance::default(),
        name: "bench/production/api".to_owned(),
        upstreams: vec![upstream],
        expose_release: false,
        limits: Limits::default(),
        is_paused: false,
        canary: None,
        tls: BTreeMap::new(),
    };
    let table = RouteTable {
        version: ROUTE_TABLE_VERSION,
        generation: 1,
        probe_key: String::new(),
        routes: vec![Route {
            host: "app.example".to_owned(),
            path_prefix: "/".to_owned(),
            target: Target::Service { service: "api".to_owned() },
            policy: None,
            is_counted: false,
        }],
        services: BTreeMap::from([("api".to_owned(), service)]),
        ..RouteTable::default()
    };
    let shared = Shared::new(EdgeLimits::default(), "/nonexistent".into());
    shared.publish(Table::build(&table, None)?);
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    spawn_workers(shared, vec![vec![Door { listener, transport }]], stopped)?.join();
    Ok(())
}
