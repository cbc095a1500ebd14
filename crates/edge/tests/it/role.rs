//! The life of an edge process, over the real data path: start, lock, damaged state, drain, stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use havre_api::route_table::{RouteTable, UpstreamRole};
use havre_edge::config::EdgeConfig;
use havre_edge::listen::Transport;
use havre_edge::role::{Edge, EdgeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use crate::world::{App, Control, Reply, reply, table, upstream, wait_for};

fn config(dir: &Path) -> EdgeConfig {
    EdgeConfig {
        name: "node-1".to_owned(),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        https: Vec::new(),
        workers: 2,
        control_socket: dir.join("control.sock"),
        state_dir: dir.join("state"),
        sites_dir: dir.join("sites"),
        metrics_socket: Some(dir.join("metrics.sock")),
        ..EdgeConfig::default()
    }
}

fn wire(generation: u64) -> RouteTable {
    table(generation, vec![upstream("t1", "127.0.0.1:9".parse().unwrap(), UpstreamRole::Live)])
}

fn save(dir: &Path, text: &str) {
    std::fs::create_dir_all(dir.join("state")).unwrap();
    std::fs::write(dir.join("state/table.json"), text).unwrap();
}

/// One request on a connection of its own; the whole answer.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Status line and body of an answer.
fn essence(answer: &str) -> (&str, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap(), body)
}

#[tokio::test]
async fn it_serves_from_disk_and_drains_without_losing_what_is_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let app = App::start().await;
    app.set("/health", reply(200, ""));
    app.set("/", reply(200, "hello"));
    let gate = Arc::new(Semaphore::new(0));
    app.set("/slow", Reply::Held(Arc::clone(&gate)));
    let wire =
        |generation: u64, role: UpstreamRole| table(generation, vec![upstream("t1", app.address, role)]);
    save(dir.path(), &serde_json::to_string(&wire(3, UpstreamRole::Live)).unwrap());

    // No control yet: it serves all the same.
    let https = vec!["127.0.0.1:0".parse().unwrap()];
    let edge = Edge::start(EdgeConfig { https, ..config(dir.path()) }).unwrap();
    let (address, secure) = (edge.addresses(Transport::Plain)[0], edge.addresses(Transport::Tls));
    let (stop, stopped) = watch::channel(false);
    let running = tokio::task::spawn_blocking(move || edge.run(stopped));
    assert_eq!(essence(&get(address, "/").await), ("HTTP/1.1 200 X", "hello"));

    let control = Control::start(&dir.path().join("control.sock"));
    let slow = tokio::spawn(async move { get(address, "/slow").await });
    let in_flight = || control.last().map(|report| (report.generation, report.upstreams[0].in_flight));
    wait_for("the slow request in a report", || in_flight() == Some((3, 1))).await;
    let report = control.last().unwrap();
    assert_eq!(
        (report.edge.as_str(), report.instance.len(), report.listeners, report.https),
        ("node-1", 32, vec![address], secure)
    );

    stop.send(true).unwrap();
    control.offer(&wire(4, UpstreamRole::Draining));
    wait_for("tables and reports go on in the drain", || in_flight() == Some((4, 1))).await;
    assert!(!running.is_finished());
    gate.add_permits(1);
    assert_eq!(essence(&slow.await.unwrap()), ("HTTP/1.1 200 X", "late"));
    running.await.unwrap().unwrap();
    // The lock is free again, and what was served last is on disk.
    assert_eq!(Edge::start(config(dir.path())).unwrap().shared().table.load().generation, 4);
}

#[test]
fn a_second_edge_with_the_same_state_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let first = Edge::start(config(dir.path())).unwrap();
    let error = Edge::start(config(dir.path())).unwrap_err();
    let EdgeError::State(error) = error else { panic!("{error}") };
    assert_eq!(
        error.to_string(),
        format!("another edge is running with the state folder {}", dir.path().join("state").display())
    );
    drop(first);
    Edge::start(config(dir.path())).unwrap();
}

#[test]
fn a_damaged_table_is_moved_aside_and_does_not_stop_the_edge() {
    let contradiction = RouteTable { services: Default::default(), ..wire(3) };
    for text in ["{\"version\":1,\"gen", "", &serde_json::to_string(&contradiction).unwrap()] {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), text);
        let edge = Edge::start(config(dir.path())).unwrap();
        assert_eq!(edge.shared().table.load().generation, 0);
        assert!(!dir.path().join("state/table.json").exists());
        assert_eq!(std::fs::read_to_string(dir.path().join("state/table.damaged.json")).unwrap(), text);
    }
}
