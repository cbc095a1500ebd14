//! Balancing on a running edge with running probes: who gets requests, who gets none for a while, who waits, and what
//! is tried twice. Minutes pass by moving the edge's own clock.

use std::sync::{Arc, Mutex, mpsc};

use havre_api::route_table::{Balance, RouteTable, UpstreamRole};
use havre_edge::config::EdgeLimits;
use havre_edge::probe;
use tokio::sync::oneshot;

use crate::rig::{App, Client, Rig, eventually, live, short_limits};
use crate::world::upstream;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\n\r\nhi";

/// An application that is healthy, and answers everything else with `answer`; with nothing, it closes.
fn app(answer: &'static str) -> App {
    App::start(move |_, conversation| {
        while let Some(request) = conversation.request() {
            if request.starts_with("GET /health ") {
                conversation.send(OK);
            } else if answer.is_empty() {
                return;
            } else {
                conversation.send(answer);
            }
        }
    })
}

/// Requests that are no probes.
fn served(app: &App) -> usize {
    app.seen().iter().filter(|request| !request.starts_with("GET /health ")).count()
}

fn balanced(apps: &[&App], balance: Balance) -> RouteTable {
    let addresses: Vec<_> = apps.iter().map(|app| app.address).collect();
    let mut table = live(&addresses);
    table.services.get_mut("api").unwrap().balance = balance;
    table
}

/// Probes until dropped.
struct Probes(Option<oneshot::Sender<()>>);

impl Probes {
    /// Returns once every upstream is healthy.
    fn start(rig: &Rig) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = Arc::clone(&rig.shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = probe::run(shared) => {}
                    _ = stopped => {}
                }
            });
        });
        let probes = Self(Some(stop));
        probes.all_healthy(rig);
        probes
    }

    fn all_healthy(&self, rig: &Rig) {
        assert!(self.0.is_some());
        eventually("all are healthy", || {
            let table = rig.shared.table.load();
            table
                .members()
                .all(|member| member.upstream.standing() == havre_edge::upstream::Standing::Healthy)
        });
    }
}

fn status(client: &mut Client, request: &str) -> u16 {
    let (head, _) = client.ask(request);
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_task_that_breaks_requests_gets_none_for_a_while_and_longer_each_time() {
    let (good, bad) = (app(OK), app(""));
    let table = balanced(&[&bad, &good], Balance { slow_start_ms: 0, ..Balance::default() });
    let rig = Rig::start(EdgeLimits::default(), &table);
    let _probes = Probes::start(&rig);
    let mut client = rig.connect();
    let mut failures = |count: usize| (0..count).filter(|_| status(&mut client, POST) == 502).count();
    // Five in a row, however the dice fall, and then none.
    assert_eq!(failures(200), 5);
    assert_eq!((served(&bad), failures(200)), (5, 0));
    // Ten seconds later it is tried again; five more, and now it is out for twenty.
    rig.shared.skip_time(10_000);
    assert_eq!(failures(200), 5);
    rig.shared.skip_time(10_000);
    assert_eq!(failures(100), 0);
    rig.shared.skip_time(10_000);
    assert_eq!(failures(200), 5);
}

#[test]
fn the_only_task_is_never_ejected_and_neither_are_all_when_all_fail_alike() {
    let bad = app("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let rig = Rig::start(EdgeLimits::default(), &balanced(&[&bad], Balance::default()));
    let _probes = Probes::start(&rig);
    let mut client = rig.connect();
    for _ in 0..30 {
        assert_eq!(status(&mut client, GET), 500);
    }
    assert_eq!(served(&bad), 30);
    let (one, two) = (
        app("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
        app("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
    );
    let rig = Rig::start(EdgeLimits::default(), &balanced(&[&one, &two], Balance::default()));
    let _probes = Probes::start(&rig);
    let mut client = rig.connect();
    for _ in 0..200 {
        assert_eq!(status(&mut client, GET), 500);
    }
    let (one, two) = (served(&one), served(&two));
    assert!(one > 40 && two > 40, "{one} and {two}");
}

#[test]
fn second_tries_stay_within_their_budget_and_a_post_has_none() {
    let (good, bad) = (app(OK), app(""));
    let balance = Balance { eject_after: 0, retry_percent: 10, ..Balance::default() };
    let rig = Rig::start(EdgeLimits::default(), &balanced(&[&bad, &good], balance));
    let _probes = Probes::start(&rig);
    let mut client = rig.connect();
    for _ in 0..60 {
        status(&mut client, POST);
    }
    assert_eq!(rig.shared.metrics.retries.get(), 0);
    assert_eq!(served(&good) + served(&bad), 60);
    let failed = (0..300).filter(|_| status(&mut client, GET) == 502).count();
    let picks: u64 = rig.shared.table.load().members().map(|member| member.upstream.requests()).sum();
    let retries = rig.shared.metrics.retries.get();
    assert!((10..=10 + picks / 10).contains(&retries), "{retries} of {picks}");
    assert!(failed > 50, "{failed}");
    // Another window has room again.
    rig.shared.skip_time(10_000);
    let failed = (0..20).filter(|_| status(&mut client, GET) == 502).count();
    assert!(failed <= 10 && rig.shared.metrics.retries.get() > retries, "{failed}");
}

/// Two live upstreams, the second of which has just joined: how many of `count` requests it gets.
fn share(client: &mut Client, fresh: &App, count: usize) -> usize {
    let before = served(fresh);
    for _ in 0..count {
        assert_eq!(client.ask(GET).1, "ok");
    }
    served(fresh) - before
}

#[test]
fn a_task_that_joins_others_comes_to_its_share_slowly() {
    let (old, fresh) = (app(OK), app(OK));
    let mut table = balanced(&[&old], Balance { slow_start_ms: 600_000, ..Balance::default() });
    let rig = Rig::start(EdgeLimits::default(), &table);
    let probes = Probes::start(&rig);
    rig.shared.skip_time(600_000);
    table.generation = 2;
    let both = balanced(&[&old, &fresh], table.services["api"].balance.clone());
    rig.publish(&RouteTable { generation: 2, ..both });
    probes.all_healthy(&rig);
    let mut client = rig.connect();
    let at_first = share(&mut client, &fresh, 400);
    assert!((3..60).contains(&at_first), "{at_first}");
    rig.shared.skip_time(300_000);
    let half_way = share(&mut client, &fresh, 400);
    assert!((60..140).contains(&half_way), "{half_way}");
    rig.shared.skip_time(300_000);
    let at_last = share(&mut client, &fresh, 400);
    assert!((140..260).contains(&at_last), "{at_last}");
}

/// An application that answers a request only when told to, in the order of arrival.
fn held() -> (App, mpsc::Sender<()>) {
    let (go, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let app = App::start(move |_, conversation| {
        while conversation.request().is_some() {
            if gate.lock().unwrap().recv().is_err() {
                return;
            }
            conversation.send(OK);
        }
    });
    (app, go)
}

#[test]
fn requests_wait_in_line_in_their_order_and_no_more_than_may() {
    let (app, go) = held();
    let balance = Balance { max_in_flight: 1, queue: 2, queue_wait_ms: 60_000, ..Balance::default() };
    let rig = Rig::start(EdgeLimits::default(), &balanced(&[&app], balance));
    let mut clients: Vec<_> = (0..3).map(|_| rig.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(GET.replace("GET /", &format!("GET /{number}")).as_bytes());
        let waiting = || rig.shared.table.load().services().next().unwrap().waiting();
        eventually("it is in the application or in line", || app.seen().len() == 1 && waiting() == number);
    }
    let (head, _) = rig.connect().ask(GET);
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nHavre-Error: queue-full\r\n"), "{head}");
    assert!(head.contains("\r\nRetry-After: 2\r\n"), "{head}");
    for client in &mut clients {
        go.send(()).unwrap();
        assert_eq!(client.message().unwrap().1, "ok");
    }
    let order: Vec<_> = app.seen().iter().map(|request| request[..6].to_owned()).collect();
    assert_eq!(order, ["GET /0", "GET /1", "GET /2"]);
    eventually("nothing is in flight", || rig.in_flight() == 0);
}

#[test]
fn a_wait_in_line_ends_with_its_deadline_or_its_client() {
    let (app, go) = held();
    let balance = Balance { max_in_flight: 1, queue: 1, queue_wait_ms: 100, ..Balance::default() };
    let rig = Rig::start(short_limits(), &balanced(&[&app], balance));
    let mut first = rig.connect();
    first.send(GET.as_bytes());
    eventually("the application has it", || app.seen().len() == 1);
    let (head, _) = rig.connect().ask(GET);
    assert!(head.contains("\r\nHavre-Error: queue-timeout\r\n"), "{head}");
    // One that leaves makes room for the next.
    let waiting = || rig.shared.table.load().services().next().unwrap().waiting();
    for _ in 0..3 {
        let mut leaver = rig.connect();
        leaver.send(GET.as_bytes());
        eventually("it waits", || waiting() == 1);
        drop(leaver);
        eventually("its place is free", || waiting() == 0);
    }
    go.send(()).unwrap();
    assert_eq!(first.message().unwrap().1, "ok");
    assert_eq!(app.seen().len(), 1, "who had left was never asked for");
}

#[test]
fn a_standby_that_becomes_live_serves_the_line() {
    let (app, go) = held();
    let other = App::ok();
    let balance = Balance { max_in_flight: 1, queue: 1, queue_wait_ms: 60_000, ..Balance::default() };
    let mut table = balanced(&[&app], balance);
    let rig = Rig::start(short_limits(), &table);
    let mut first = rig.connect();
    first.send(GET.as_bytes());
    eventually("the application has it", || app.seen().len() == 1);
    let mut second = rig.connect();
    second.send(GET.as_bytes());
    eventually("it waits", || rig.shared.table.load().services().next().unwrap().waiting() == 1);
    table.generation = 2;
    table.services.get_mut("api").unwrap().upstreams.push(upstream("t2", other.address, UpstreamRole::Live));
    rig.publish(&table);
    assert_eq!(second.message().unwrap().1, "ok");
    assert_eq!(other.seen().len(), 1);
    go.send(()).unwrap();
    assert_eq!(first.message().unwrap().1, "ok");
}
