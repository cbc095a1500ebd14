//! The order of a deployment as control drives it, over the real data path: standby until healthy, swap, drain to
//! zero, and only then the old task goes. No request fails, and after the report no answer comes from the old one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use havre_api::edge_report::{EdgeReport, Health};
use havre_api::route_table::UpstreamRole;
use havre_edge::config::EdgeConfig;
use havre_edge::listen::Transport;
use havre_edge::role::Edge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::world::{App, Control, Reply, table, upstream, wait_for};

const DEPLOYS: u64 = 20;

async fn app(release: u64) -> App {
    let app = App::start().await;
    let answer = |body: &str| {
        let length = body.len();
        Reply::Bytes(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ))
    };
    app.set("/health", answer(""));
    app.set("/", answer(&format!("release {release}.")));
    app
}

/// Asks again and again on one connection and counts; the release of each answer goes to `newest`.
async fn ask(address: SocketAddr, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>, newest: Arc<AtomicUsize>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    while !stop.load(Ordering::SeqCst) {
        let wanted = newest.load(Ordering::SeqCst);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b".") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the edge closed a connection in use");
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let release = answer.rsplit("release ").next().unwrap().trim_end_matches('.');
        assert!(release.parse::<usize>().unwrap() >= wanted, "release {release} after {wanted} was reported");
        count.fetch_add(1, Ordering::SeqCst);
        // The law needs requests at every moment, not many of them: each costs a connection that the kernel
        // remembers for a minute, and a machine has room for a limited number.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn deployments_under_traffic_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::start(&dir.path().join("control.sock"));
    let edge = Edge::start(EdgeConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        https: Vec::new(),
        workers: 2,
        control_socket: dir.path().join("control.sock"),
        state_dir: dir.path().join("state"),
        sites_dir: dir.path().join("sites"),
        ..EdgeConfig::default()
    })
    .unwrap();
    let address = edge.addresses(Transport::Plain)[0];
    let (stop_edge, stopped) = watch::channel(false);
    let running = tokio::task::spawn_blocking(move || edge.run(stopped));
    let mut generation = 0;
    let mut offer = |upstreams: Vec<_>| {
        generation += 1;
        control.offer(&table(generation, upstreams));
        generation
    };
    let reported = |generation: u64, is_true: fn(&EdgeReport) -> bool| {
        control.last().is_some_and(|report| report.generation == generation && is_true(&report))
    };
    let at = |release: u64, app: &App, role| upstream(&format!("t{release}"), app.address, role);

    let mut live = app(0).await;
    let first = offer(vec![at(0, &live, UpstreamRole::Live)]);
    wait_for("the first release", || reported(first, |report| report.upstreams[0].health == Health::Healthy))
        .await;
    let (stop, count, newest) =
        (Arc::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let clients: Vec<_> = (0..4)
        .map(|_| tokio::spawn(ask(address, Arc::clone(&stop), Arc::clone(&count), Arc::clone(&newest))))
        .collect();
    for release in 1..=DEPLOYS {
        let next = app(release).await;
        let old = release - 1;
        let standby =
            offer(vec![at(old, &live, UpstreamRole::Live), at(release, &next, UpstreamRole::Standby)]);
        wait_for("the standby to be healthy", || {
            reported(standby, |report| report.upstreams[1].health == Health::Healthy)
        })
        .await;
        assert_eq!(next.asked("/"), 0, "a standby gets no requests");
        let switch =
            offer(vec![at(old, &live, UpstreamRole::Draining), at(release, &next, UpstreamRole::Live)]);
        wait_for("the switch and the drain", || {
            reported(switch, |report| report.upstreams[0].in_flight == 0)
        })
        .await;
        let asked = live.asked("/");
        newest.store(usize::try_from(release).unwrap(), Ordering::SeqCst);
        let before = count.load(Ordering::SeqCst);
        wait_for("some answers of the new one", || count.load(Ordering::SeqCst) >= before + 20).await;
        assert_eq!(live.asked("/"), asked, "a drained task gets nothing");
        // Dies at once; it is not in use any more.
        live = next;
        offer(vec![at(release, &live, UpstreamRole::Live)]);
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    stop_edge.send(true).unwrap();
    running.await.unwrap().unwrap();
}
