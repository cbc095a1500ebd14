//! Worker threads: limits on connections, the soft stop, acknowledging a table.

use std::sync::{Mutex, mpsc};

use havre_core::quantity::Span;
use havre_edge::config::EdgeLimits;

use crate::rig::{App, Rig, eventually, live, short_limits};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

#[test]
fn connections_over_a_limit_get_503_and_those_below_are_served() {
    for limits in [
        EdgeLimits { connections_per_client: 2, ..EdgeLimits::default() },
        EdgeLimits { connections_per_worker: 2, ..EdgeLimits::default() },
    ] {
        let app = App::ok();
        let rig = Rig::start(limits, &live(&[app.address]));
        let mut first = rig.connect();
        assert_eq!(first.ask(GET).1, "ok");
        let mut second = rig.connect();
        assert_eq!(second.ask(GET).1, "ok");
        let mut third = rig.connect();
        let answer = third.rest();
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.contains("\r\nHavre-Error: busy\r\n"), "{answer}");
        let metrics = &rig.shared.metrics;
        assert_eq!((metrics.shed.get(), metrics.accepted.get(), metrics.connections.get()), (1, 3, 2));
        drop(first);
        eventually("a seat is free", || metrics.connections.get() == 1);
        assert_eq!(rig.connect().ask(GET).1, "ok");
        assert_eq!(second.ask(GET).1, "ok");
    }
}

/// An application that answers when told.
fn held() -> (App, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let app = App::start(move |_, conversation| {
        conversation.request();
        if wait.lock().unwrap().recv().is_ok() {
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    (app, go)
}

#[test]
fn the_soft_stop_finishes_what_is_in_flight_and_ends() {
    let (app, go) = held();
    let limits = EdgeLimits { stop_timeout: Span::seconds(60), ..EdgeLimits::default() };
    let rig = Rig::start(limits, &live(&[app.address]));
    let mut resting = rig.connect();
    let mut busy = rig.connect();
    busy.send(GET.as_bytes());
    eventually("the application has the request", || app.seen().len() == 1);
    rig.tell_to_stop();
    assert_eq!(resting.rest(), "");
    eventually("no new connections are taken", || std::net::TcpStream::connect(rig.address).is_err());
    go.send(()).unwrap();
    let answer = busy.rest();
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    rig.workers.join();
    // Nobody is left who could use an old table.
    rig.publish(&live(&[app.address]));
}

#[test]
fn the_soft_stop_has_a_deadline() {
    let (app, _go) = held();
    let rig = Rig::start(short_limits(), &live(&[app.address]));
    let mut client = rig.connect();
    client.send(GET.as_bytes());
    eventually("the application has the request", || app.seen().len() == 1);
    rig.tell_to_stop();
    rig.workers.join();
    assert_eq!(client.rest(), "");
    assert_eq!(rig.in_flight(), 0);
}
