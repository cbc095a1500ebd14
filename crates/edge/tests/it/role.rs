//! The life of an edge process, with workers that only acknowledge: start, lock, damaged state, drain, stop.

use std::net::TcpListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};

use havre_api::route_table::{RouteTable, UpstreamRole};
use havre_edge::config::EdgeConfig;
use havre_edge::role::{Edge, EdgeError, Workers};
use tokio::sync::watch;

use crate::world::{Control, table, upstream, wait_for};

/// Workers that serve nothing; they end when the test says so.
#[derive(Clone, Default)]
struct Idle {
    ended: Arc<(Mutex<bool>, Condvar)>,
}

impl Idle {
    fn end(&self) {
        *self.ended.0.lock().unwrap() = true;
        self.ended.1.notify_all();
    }
}

impl Workers for Idle {
    fn acknowledge(&self, _generation: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    fn join(&self) {
        drop(self.ended.1.wait_while(self.ended.0.lock().unwrap(), |ended| !*ended).unwrap());
    }
}

fn config(dir: &Path) -> EdgeConfig {
    EdgeConfig {
        name: "node-1".to_owned(),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
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

fn spawn(
    edge: Edge,
    workers: Idle,
    stop: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<Result<(), EdgeError>> {
    tokio::task::spawn_blocking(move || {
        edge.run_with(stop, |_, listeners: Vec<Vec<TcpListener>>, _| {
            assert_eq!(listeners.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
            Ok(workers)
        })
    })
}

#[tokio::test]
async fn it_serves_from_disk_reports_while_draining_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), &serde_json::to_string(&wire(3)).unwrap());
    let control = Control::start(&dir.path().join("control.sock"));
    let edge = Edge::start(config(dir.path())).unwrap();
    assert_eq!(edge.shared().table.load().generation, 3);
    let addresses = edge.addresses().to_vec();
    let shared = Arc::clone(edge.shared());
    let workers = Idle::default();
    let (stop, stopped) = watch::channel(false);
    let running = spawn(edge, workers.clone(), stopped);
    wait_for("a report", || control.last().is_some_and(|report| report.generation == 3)).await;
    let report = control.last().unwrap();
    assert_eq!((report.edge.as_str(), report.instance.len(), report.listeners), ("node-1", 32, addresses));
    assert!(dir.path().join("metrics.sock").exists());

    stop.send(true).unwrap();
    control.offer(&wire(4));
    wait_for("tables and reports go on in the drain", || {
        control.last().is_some_and(|report| report.generation == 4)
    })
    .await;
    assert!(!running.is_finished());
    workers.end();
    running.await.unwrap().unwrap();
    assert_eq!(shared.table.load().generation, 4);
    // The lock is free again, and what was served last is on disk.
    assert_eq!(Edge::start(config(dir.path())).unwrap().shared().table.load().generation, 4);
}

#[tokio::test]
async fn workers_that_end_by_themselves_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let edge = Edge::start(config(dir.path())).unwrap();
    let workers = Idle::default();
    workers.end();
    let (_stop, stopped) = watch::channel(false);
    let error = spawn(edge, workers, stopped).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "ended by itself: workers");
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
