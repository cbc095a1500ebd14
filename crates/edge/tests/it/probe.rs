//! Probes against applications: what makes an upstream healthy, what is said when it is not, and who is asked
//! how often.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use havre_api::edge_report::{Checks, Health};
use havre_api::route_table::{Check, RouteTable, UpstreamRole};
use havre_edge::Shared;
use havre_edge::config::EdgeLimits;
use havre_edge::table::Table;
use havre_edge::upstream::Upstream;
use tokio::task::JoinHandle;

use crate::world::{App, Reply, check, reply, table, upstream, wait_for};

struct Probing {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Probing {
    fn start(wire: &RouteTable) -> Self {
        let shared = Shared::new(EdgeLimits::default(), "/nowhere".into());
        publish(&shared, wire);
        let task = tokio::spawn(havre_edge::probe::run(Arc::clone(&shared)));
        Self { shared, task }
    }

    fn upstream(&self, task: &str) -> Arc<Upstream> {
        let table = self.shared.table.load_full();
        table
            .members()
            .map(|member| Arc::clone(&member.upstream))
            .find(|upstream| upstream.task == task)
            .unwrap()
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn publish(shared: &Shared, wire: &RouteTable) {
    let table = Table::build(wire, Some(&shared.table.load_full())).unwrap();
    shared.publish(table);
}

fn unhealthy(reason: &str) -> Health {
    Health::Unhealthy { reason: reason.to_owned() }
}

#[tokio::test]
async fn every_reason_is_said_in_plain_words() {
    let app = App::start().await;
    let mut wire = upstream("t1", app.address, UpstreamRole::Standby);
    wire.probe.timeout_ms = 300;
    let probing = Probing::start(&table(1, vec![wire]));
    let task = probing.upstream("t1");
    let rows = [
        (reply(503, "warming up"), unhealthy("GET /health answered 503")),
        (reply(404, ""), unhealthy("GET /health answered 404")),
        (reply(405, ""), unhealthy("GET /health answered 405")),
        (reply(200, "fine"), Health::Healthy),
        (Reply::Bytes("HTTP/1.1 101 Switching\r\n\r\n".to_owned()), unhealthy("GET /health answered 101")),
        (reply(302, ""), Health::Healthy),
        (Reply::Silence, unhealthy("no answer within 300 ms")),
        (Reply::Bytes(String::new()), unhealthy("closed the connection without an answer")),
        (Reply::Bytes("hello\n".to_owned()), unhealthy("answered something that is not HTTP/1")),
        // A body that never comes does not hold the verdict back.
        (Reply::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_owned()), Health::Healthy),
    ];
    for (answer, expected) in rows {
        app.set("/health", answer.clone());
        wait_for(&format!("{expected:?} after {answer:?}"), || task.health() == expected).await;
    }
    assert_eq!(
        app.heads.lock().unwrap()[0],
        "GET /health HTTP/1.1\r\nHost: app.example\r\nUser-Agent: havre-edge\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(app.most.load(Ordering::SeqCst), 1, "never two probes of one upstream at a time");
    let address = app.address;
    drop(app);
    wait_for("a refused connection", || task.health() == unhealthy("connection refused")).await;
    let app = App::start_at(address).await;
    app.set("/health", reply(200, ""));
    wait_for("it is back", || task.health() == Health::Healthy).await;
}

#[tokio::test]
async fn a_live_upstream_is_given_patience_and_a_draining_one_no_probe() {
    let (live, draining) = (App::start().await, App::start().await);
    for app in [&live, &draining] {
        app.set("/health", reply(200, ""));
    }
    let wire = |generation: u64, role: UpstreamRole| {
        table(
            generation,
            vec![upstream("t1", live.address, UpstreamRole::Live), upstream("t2", draining.address, role)],
        )
    };
    let probing = Probing::start(&wire(1, UpstreamRole::Live));
    let (first, second) = (probing.upstream("t1"), probing.upstream("t2"));
    wait_for("both healthy", || first.health() == Health::Healthy && second.health() == Health::Healthy)
        .await;

    publish(&probing.shared, &wire(2, UpstreamRole::Draining));
    // A probe on its way may still arrive, and by the tenth of the other one it has.
    let asked = live.asked("/health");
    wait_for("ten more probes of the live one", || live.asked("/health") >= asked + 10).await;
    let (rest, asked) = (draining.asked("/health"), live.asked("/health"));
    wait_for("another ten", || live.asked("/health") >= asked + 10).await;
    assert_eq!(draining.asked("/health"), rest, "a draining upstream is not probed");
    assert_eq!(second.health(), Health::Healthy);

    live.set("/health", reply(500, ""));
    let failing = live.asked("/health");
    wait_for("unhealthy", || first.health() == unhealthy("GET /health answered 500")).await;
    let failed = live.asked("/health") - failing;
    assert!(failed >= 3, "unhealthy after {failed} failures");
}

#[tokio::test]
async fn suspicion_brings_the_next_probe_forward() {
    let app = App::start().await;
    app.set("/health", reply(200, ""));
    let mut wire = upstream("t1", app.address, UpstreamRole::Live);
    wire.probe.steady_interval_ms = 3_600_000;
    wire.probe.unhealthy_after = 1;
    let probing = Probing::start(&table(1, vec![wire]));
    let task = probing.upstream("t1");
    wait_for("healthy", || task.health() == Health::Healthy).await;
    app.set("/health", reply(500, ""));
    assert_eq!(app.asked("/health"), 1);
    task.suspect();
    wait_for("unhealthy", || task.health() == unhealthy("GET /health answered 500")).await;
}

#[tokio::test]
async fn checks_run_once_the_probe_is_healthy_and_until_they_pass() {
    let app = App::start().await;
    app.set("/health", reply(500, ""));
    app.set("/version", reply(200, "version 1"));
    let checks = vec![
        check("/version", "version 2"),
        Check { path: "/login".into(), status: 401, contains: String::new() },
    ];
    let mut wire = upstream("t1", app.address, UpstreamRole::Standby);
    wire.checks.clone_from(&checks);
    let probing = Probing::start(&table(1, vec![wire.clone()]));
    let task = probing.upstream("t1");
    let failed = |reason: &str| Checks::Failed { reason: reason.to_owned() };
    wait_for("unhealthy", || task.health() == unhealthy("GET /health answered 500")).await;
    wait_for("some more probes", || app.asked("/health") > 3).await;
    assert_eq!((app.asked("/version"), task.checks(&checks)), (0, Checks::Pending));

    app.set("/health", reply(200, ""));
    let told = failed("GET /version does not contain \"version 2\"");
    wait_for("the text is missed", || task.checks(&checks) == told).await;
    app.set("/version", reply(200, "this is version 2!"));
    wait_for("the status is missed", || {
        task.checks(&checks) == failed("GET /login answered 404, wanted 401")
    })
    .await;
    app.set("/login", Reply::Bytes(String::new()));
    let told = failed("GET /login: closed the connection without an answer");
    wait_for("no answer", || task.checks(&checks) == told).await;
    app.set("/login", reply(401, ""));
    wait_for("passed", || task.checks(&checks) == Checks::Passed).await;
    let (version, health) = (app.asked("/version"), app.asked("/health"));
    wait_for("some more probes", || app.asked("/health") > health + 3).await;
    assert_eq!(app.asked("/version"), version, "passed checks are not repeated");

    wire.checks = vec![check("/version", "version 3")];
    publish(&probing.shared, &table(2, vec![wire.clone()]));
    wait_for("new checks are run", || {
        task.checks(&wire.checks) == failed("GET /version does not contain \"version 3\"")
    })
    .await;
}

#[tokio::test]
async fn more_upstreams_than_probes_at_once_all_get_a_verdict() {
    let app = App::start().await;
    app.set("/health", reply(200, ""));
    let mut upstreams = Vec::new();
    for index in 0..1500 {
        let mut wire = upstream(&format!("t{index}"), app.address, UpstreamRole::Live);
        wire.probe.steady_interval_ms = 3_600_000;
        wire.probe.starting_interval_ms = 100;
        wire.probe.timeout_ms = 10_000;
        upstreams.push(wire);
    }
    let probing = Probing::start(&table(1, upstreams));
    let table = probing.shared.table.load_full();
    wait_for("all healthy", || table.members().all(|member| member.upstream.health() == Health::Healthy))
        .await;
    assert!(app.most.load(Ordering::SeqCst) <= 1024, "at most 512 at once, and as many just closing");
}
