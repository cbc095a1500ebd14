//! The link to control: tables accepted, refused, saved and served again after a restart; reports at the right
//! moment; control away.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use havre_api::edge_report::{Checks, EdgeReport, Health, UpstreamReport};
use havre_api::route_change::RouteChange;
use havre_api::route_table::{Challenge, RouteTable, UpstreamRole};
use havre_edge::Shared;
use havre_edge::config::EdgeLimits;
use havre_edge::control::Link;
use havre_edge::control::report::Identity;
use havre_edge::control::saved::StateDir;
use havre_edge::table::{Found, Table};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::world::{App, Control, reply, table, upstream, wait_for};

/// An edge without workers: the link, and acknowledgements that the test may hold back.
struct Edge {
    shared: Arc<Shared>,
    /// One permit for each acknowledgement; plenty unless a test takes them.
    acknowledgements: Arc<Semaphore>,
    acknowledged: Arc<AtomicU64>,
    state: Arc<StateDir>,
    task: JoinHandle<()>,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Place {
    dir: TempDir,
    socket: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        Self { dir, socket }
    }

    fn saved(&self) -> Option<RouteTable> {
        let text = std::fs::read(self.dir.path().join("state/table.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    fn edge(&self) -> Edge {
        let state = Arc::new(StateDir::lock(&self.dir.path().join("state")).unwrap());
        let shared = Shared::new(EdgeLimits::default(), "/nowhere".into());
        if let Some(saved) = state.load().unwrap() {
            shared.publish(Table::build(&saved, Some(&shared.table.load_full())).unwrap());
        }
        let acknowledgements = Arc::new(Semaphore::new(1000));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let link = Link {
            shared: Arc::clone(&shared),
            socket: self.socket.clone(),
            state: Arc::clone(&state),
            identity: Identity {
                edge: "node-1".to_owned(),
                instance: "abc".to_owned(),
                listeners: vec!["127.0.0.1:8080".parse().unwrap()],
                https: vec!["127.0.0.1:8443".parse().unwrap()],
                is_retired: Arc::default(),
            },
            acknowledge: Box::new({
                let (permits, acknowledged) = (Arc::clone(&acknowledgements), Arc::clone(&acknowledged));
                move |generation| {
                    let (permits, acknowledged) = (Arc::clone(&permits), Arc::clone(&acknowledged));
                    Box::pin(async move {
                        permits.acquire().await.unwrap().forget();
                        acknowledged.store(generation, Ordering::SeqCst);
                    })
                }
            }),
        };
        let task = tokio::spawn(link.run());
        Edge { shared, acknowledgements, acknowledged, state, task }
    }
}

fn generation(edge: &Edge) -> u64 {
    edge.shared.table.load().generation
}

fn wire(generation: u64) -> RouteTable {
    table(generation, vec![upstream("t1", "127.0.0.1:9".parse().unwrap(), UpstreamRole::Live)])
}

#[tokio::test]
async fn a_table_is_swapped_saved_acknowledged_and_then_reported() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    let edge = place.edge();
    wait_for("the first report", || control.last().is_some()).await;
    let report = |generation: u64, upstreams: Vec<UpstreamReport>| EdgeReport {
        edge: "node-1".to_owned(),
        instance: "abc".to_owned(),
        generation,
        listeners: vec!["127.0.0.1:8080".parse().unwrap()],
        https: vec!["127.0.0.1:8443".parse().unwrap()],
        upstreams,
        is_partial: false,
        traffic: None,
    };
    let t1 = UpstreamReport {
        task: "t1".to_owned(),
        health: Health::Unknown,
        checks: Checks::Passed,
        in_flight: 0,
        requests: 0,
        errors: 0,
    };
    assert_eq!(control.last(), Some(report(0, vec![])));

    edge.acknowledgements.forget_permits(1000);
    control.offer(&wire(5));
    wait_for("the swap", || generation(&edge) == 5).await;
    wait_for("the table on disk", || place.saved() == Some(wire(5))).await;
    let count = control.state.lock().unwrap().reports.len();
    // The next periodic report comes while a worker has not acknowledged yet.
    wait_for("another report", || control.state.lock().unwrap().reports.len() > count).await;
    assert_eq!(control.last(), Some(report(0, vec![])));
    edge.acknowledgements.add_permits(1000);
    wait_for("the report of generation 5", || control.last() == Some(report(5, vec![t1.clone()]))).await;
    assert_eq!(edge.acknowledged.load(Ordering::SeqCst), 5);
    wait_for("a question for more", || control.state.lock().unwrap().asked_after == [0, 5]).await;
}

#[tokio::test]
async fn what_must_not_be_served_changes_nothing() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    let edge = place.edge();
    let bad: [fn(u64) -> String; 6] = [
        |current| serde_json::to_string(&wire(current - 1)).unwrap(),
        |current| serde_json::to_string(&wire(current)).unwrap(),
        |current| serde_json::to_string(&RouteTable { version: 3, ..wire(current + 1) }).unwrap(),
        |current| {
            serde_json::to_string(&RouteTable { services: BTreeMap::new(), ..wire(current + 1) }).unwrap()
        },
        |_| "{\"version\":1".to_owned(),
        |current| serde_json::to_string(&wire(current + 1)).unwrap().replacen('{', "{\"news\":1,", 1),
    ];
    for (current, text) in (5..).zip(bad) {
        control.state.lock().unwrap().insists = false;
        control.offer(&wire(current));
        wait_for("a good table", || generation(&edge) == current).await;
        let asked = {
            let mut state = control.state.lock().unwrap();
            state.insists = true;
            state.offer = Some((current + 1, text(current)));
            state.asked_after.len()
        };
        // Whoever asks again has judged what it got before.
        wait_for("the next two questions", || control.state.lock().unwrap().asked_after.len() > asked + 1)
            .await;
        assert_eq!((generation(&edge), place.saved()), (current, Some(wire(current))));
    }
}

/// What makes `wire(from)` the next table, with another task.
fn change(from: u64, task: &str) -> (RouteChange, RouteTable) {
    let after = table(from + 1, vec![upstream(task, "127.0.0.1:9".parse().unwrap(), UpstreamRole::Live)]);
    (RouteChange::between(&wire(from), &after).unwrap(), after)
}

fn tasks(report: &EdgeReport) -> Vec<&str> {
    report.upstreams.iter().map(|upstream| upstream.task.as_str()).collect()
}

#[tokio::test]
async fn a_change_is_taken_saved_and_reported_alone() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    control.state.lock().unwrap().changes = Some(BTreeMap::new());
    let edge = place.edge();
    control.offer(&wire(5));
    wait_for("the whole table", || generation(&edge) == 5).await;
    let (sixth, after) = change(5, "t2");
    let give = |from, change: &RouteChange| {
        let text = serde_json::to_string(change).unwrap();
        control.state.lock().unwrap().changes.as_mut().unwrap().insert(from, text);
    };
    give(5, &sixth);
    wait_for("the change", || generation(&edge) == 6).await;
    assert_eq!(edge.shared.table.load().members().next().unwrap().upstream.task, "t2");
    let saved = || edge.state.load().unwrap();
    wait_for("both on disk", || saved().as_ref() == Some(&after)).await;
    assert_eq!(place.saved(), Some(wire(5)), "the whole table was not written again");
    // What is reported of it, or of those after it, is what they touched: nothing. A whole report may be due in between,
    // and one may speak for two.
    let is_seen = |wanted: fn(&EdgeReport) -> bool| control.state.lock().unwrap().reports.iter().any(wanted);
    wait_for("the report", || is_seen(|report| report.generation == 6 && tasks(report) == ["t2"])).await;
    let mut newest = 6;
    while !is_seen(|report| report.is_partial && report.generation > 6) {
        let nothing = RouteChange::between(&wire(newest), &wire(newest + 1)).unwrap();
        give(newest, &nothing);
        newest += 1;
        wait_for("a report", || control.last().is_some_and(|report| report.generation == newest)).await;
    }
    assert!(!is_seen(|report| report.is_partial && report.generation > 6 && !report.upstreams.is_empty()));
    let is_whole = |report: EdgeReport| !report.is_partial && tasks(&report) == ["t2"];
    wait_for("a whole report", || control.last().is_some_and(is_whole)).await;
    assert_eq!(control.state.lock().unwrap().asked_after, [0], "the whole table was asked for once");

    // After a restart it goes on from there.
    let state = Arc::downgrade(&edge.state);
    drop(edge);
    wait_for("the first edge to let go", || state.strong_count() == 0).await;
    let edge = place.edge();
    assert_eq!(generation(&edge), newest);
    assert_eq!(edge.shared.table.load().members().next().unwrap().upstream.task, "t2");
}

#[tokio::test]
async fn what_is_no_change_of_the_table_in_use_leads_to_the_whole_one() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    let edge = place.edge();
    control.offer(&wire(5));
    wait_for("the whole table", || generation(&edge) == 5).await;
    let (good, _) = change(5, "t2");
    let bad = [
        "{}".to_owned(),
        serde_json::to_string(&RouteChange { from: 4, ..good.clone() }).unwrap(),
        serde_json::to_string(&RouteChange { generation: 5, ..good.clone() }).unwrap(),
        serde_json::to_string(&RouteChange { version: 1, ..good }).unwrap(),
    ];
    for (current, text) in (5..).zip(bad) {
        control.state.lock().unwrap().changes = Some([(current, text)].into());
        // It asks for the whole one after that, and goes on with changes.
        control.offer(&wire(current + 1));
        wait_for("the whole table", || generation(&edge) == current + 1).await;
        let text = serde_json::to_string(&wire(current + 1)).unwrap();
        wait_for("it on disk", || edge.state.load().unwrap() == serde_json::from_str(&text).ok()).await;
    }
}

#[tokio::test]
async fn many_changes_become_one_table_on_disk() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    control.state.lock().unwrap().changes = Some(BTreeMap::new());
    let edge = place.edge();
    control.offer(&wire(1));
    wait_for("the whole table", || generation(&edge) == 1).await;
    // Long ones, so that few are many.
    let answer = "x".repeat(1500);
    let challenge = |number: u32| Challenge {
        host: format!("h{number}.example"),
        token: "t".to_owned(),
        answer: answer.clone(),
    };
    for from in 1..4 {
        let mut change = RouteChange::between(&wire(from), &wire(from + 1)).unwrap();
        change.challenges = Some((0..300).map(challenge).collect());
        let text = serde_json::to_string(&change).unwrap();
        control.state.lock().unwrap().changes.as_mut().unwrap().insert(from, text);
        wait_for("the change", || generation(&edge) == from + 1).await;
    }
    wait_for("all of it in one file", || place.saved().is_some_and(|saved| saved.generation == 4)).await;
    assert_eq!(edge.state.load().unwrap(), place.saved());
    assert!(!place.dir.path().join("state/changes.jsonl").exists());
}

#[tokio::test]
async fn control_may_come_go_and_return() {
    let place = Place::new();
    let edge = place.edge();
    let control = Control::start(&place.socket);
    control.offer(&wire(1));
    wait_for("generation 1", || generation(&edge) == 1).await;
    drop(control);
    std::fs::remove_file(&place.socket).unwrap();
    assert!(matches!(edge.shared.table.load().find("app.example", "/"), Found::Service(_)));
    let control = Control::start(&place.socket);
    control.offer(&wire(2));
    wait_for("generation 2", || generation(&edge) == 2).await;
    wait_for("a report", || control.last().is_some_and(|report| report.generation == 2)).await;
}

#[tokio::test]
async fn a_restarted_edge_serves_from_disk_before_control_answers() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    let edge = place.edge();
    control.offer(&wire(3));
    wait_for("generation 3", || generation(&edge) == 3).await;
    wait_for("its acknowledgement", || edge.acknowledged.load(Ordering::SeqCst) == 3).await;
    drop(control);
    let state = Arc::downgrade(&edge.state);
    drop(edge);
    wait_for("the first edge to let go", || state.strong_count() == 0).await;

    let edge = place.edge();
    assert_eq!(generation(&edge), 3);
    assert!(matches!(edge.shared.table.load().find("app.example", "/"), Found::Service(_)));
    let control = Control::start(&place.socket);
    wait_for("it asks for what is newer", || control.state.lock().unwrap().asked_after == [3]).await;
    wait_for("and reports what it serves", || control.last().is_some_and(|report| report.generation == 3))
        .await;
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_does_not_stop_a_deployment() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    let edge = place.edge();
    control.offer(&wire(1));
    wait_for("generation 1", || generation(&edge) == 1).await;
    // Root may write anywhere, so the name of the new file is taken by a folder instead.
    std::fs::create_dir(place.dir.path().join("state/table.json.new")).unwrap();
    control.offer(&wire(2));
    wait_for("generation 2", || generation(&edge) == 2).await;
    assert_eq!(place.saved(), Some(wire(1)));
    wait_for("its report", || control.last().is_some_and(|report| report.generation == 2)).await;
}

#[tokio::test]
async fn after_a_change_that_was_not_saved_the_next_table_comes_whole() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    control.state.lock().unwrap().changes = Some(BTreeMap::new());
    let edge = place.edge();
    let reported = |wanted: u64| control.last().is_some_and(|report| report.generation == wanted);
    control.offer(&wire(1));
    wait_for("generation 1 saved and reported", || reported(1)).await;
    let taken = place.dir.path().join("state/changes.jsonl");
    std::fs::create_dir(&taken).unwrap();
    let change = RouteChange::between(&wire(1), &wire(2)).unwrap();
    let text = serde_json::to_string(&change).unwrap();
    control.state.lock().unwrap().changes.as_mut().unwrap().insert(1, text);
    wait_for("generation 2 in use and reported", || reported(2)).await;
    std::fs::remove_dir(&taken).unwrap();
    assert_eq!(place.saved(), Some(wire(1)));
    control.offer(&wire(3));
    wait_for("the whole table on disk", || place.saved() == Some(wire(3))).await;
    assert_eq!(generation(&edge), 3);
    assert_eq!(control.state.lock().unwrap().asked_after, [0, 2]);
}

#[tokio::test]
async fn health_and_the_end_of_a_drain_are_reported() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    let edge = place.edge();
    let probing = tokio::spawn(havre_edge::probe::run(Arc::clone(&edge.shared)));
    let app = App::start().await;
    app.set("/health", reply(200, ""));
    control.offer(&table(1, vec![upstream("t1", app.address, UpstreamRole::Live)]));
    let seen = || control.last().and_then(|report| report.upstreams.into_iter().next());
    wait_for("healthy", || seen().is_some_and(|upstream| upstream.health == Health::Healthy)).await;

    let guard = {
        let table = edge.shared.table.load();
        let Found::Service(service) = table.find("app.example", "/") else { panic!("the route is there") };
        service.pick(&[], &mut 0).unwrap()
    };
    control.offer(&table(2, vec![upstream("t1", app.address, UpstreamRole::Draining)]));
    let at =
        |report: EdgeReport| (report.generation, report.upstreams[0].in_flight, report.upstreams[0].requests);
    wait_for("the drain with one in flight", || control.last().map(at) == Some((2, 1, 1))).await;
    drop(guard);
    wait_for("the end of the drain", || control.last().map(at) == Some((2, 0, 1))).await;
    probing.abort();
}
