//! Connections to applications: kept, picked, tried again and closed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use havre_api::route_table::UpstreamRole;
use havre_core::quantity::Span;
use havre_edge::config::EdgeLimits;

use crate::rig::{App, Rig, eventually, live};
use crate::world::{table, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\n\r\nhi";

/// An address nobody listens on.
fn nobody() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn one_connection_serves_many_requests_of_many_clients() {
    let app = App::ok();
    let rig = Rig::before(&app);
    for _ in 0..5 {
        let mut client = rig.connect();
        for request in [GET, POST, GET] {
            assert_eq!(client.ask(request).1, "ok");
        }
    }
    assert_eq!((app.accepted(), app.seen().len()), (1, 15));
}

/// Answers one request on the first connection and closes it on the second; answers everything on the others.
fn fickle() -> App {
    App::start(|number, conversation| {
        while conversation.request().is_some() {
            if number == 0 && conversation.has_answered {
                return;
            }
            conversation.send(OK);
            conversation.has_answered = true;
        }
    })
}

#[test]
fn a_repeatable_request_is_sent_again_when_a_kept_connection_closes() {
    let app = fickle();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    assert_eq!(client.ask(GET).1, "ok");
    assert_eq!(client.ask(GET).1, "ok");
    assert_eq!((app.accepted(), app.seen().len()), (2, 3));
}

#[test]
fn a_request_that_may_have_been_done_is_never_sent_again() {
    for request in [POST, &POST.replace("POST", "PUT"), "POST / HTTP/1.1\r\nHost: app.example\r\n\r\n"] {
        let app = fickle();
        let rig = Rig::before(&app);
        let mut client = rig.connect();
        assert_eq!(client.ask(GET).1, "ok");
        let (head, _) = client.ask(request);
        assert!(head.starts_with("HTTP/1.1 502 "), "{request:?}: {head}");
        assert!(head.contains("\r\nHavre-Error: no-answer\r\n"), "{head}");
        assert_eq!((app.accepted(), app.seen().len()), (1, 2), "{request:?}");
    }
}

/// The application closes each connection after its answer without saying so; a POST must never meet such a one.
#[test]
fn a_connection_that_was_closed_meanwhile_is_never_picked() {
    let closed = Arc::new(AtomicUsize::new(0));
    let app = App::start({
        let closed = Arc::clone(&closed);
        move |_, conversation| {
            conversation.request();
            conversation.send(OK);
            conversation.client.stream.shutdown(std::net::Shutdown::Both).unwrap();
            closed.fetch_add(1, Ordering::SeqCst);
        }
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    for number in 1..=50 {
        assert_eq!(client.ask(POST).1, "ok");
        eventually("the application has closed", || closed.load(Ordering::SeqCst) == number);
    }
}

#[test]
fn another_upstream_is_tried_when_one_refuses_connections() {
    let app = App::ok();
    let rig = Rig::start(EdgeLimits::default(), &live(&[nobody(), app.address, nobody()]));
    let mut client = rig.connect();
    for _ in 0..20 {
        assert_eq!(client.ask(POST).1, "ok");
    }
    assert_eq!(app.seen().len(), 20);
    eventually("nothing is in flight", || rig.in_flight() == 0);
}

#[test]
fn nobody_there_is_502_and_no_task_is_503() {
    let rig = Rig::start(EdgeLimits::default(), &live(&[nobody(), nobody()]));
    let mut client = rig.connect();
    let (head, body) = client.ask(GET);
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
    assert!(head.contains("\r\nHavre-Error: unreachable\r\n"), "{head}");
    assert!(body.contains("could not be reached"), "{body}");
    rig.publish(&table(2, vec![upstream("t9", nobody(), UpstreamRole::Standby)]));
    let (head, _) = client.ask(GET);
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
    assert!(head.contains("\r\nRetry-After: 2\r\n"), "{head}");
    assert!(head.contains("\r\nHavre-Error: no-healthy-task\r\n"), "{head}");
}

/// A listener whose queue is full while the second value lives: connections get no answer from the kernel.
pub(crate) fn deaf() -> (std::net::SocketAddr, impl Sized) {
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    rustix::net::bind(&socket, &any).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let address = std::net::TcpListener::from(socket.try_clone().unwrap()).local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) =
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200))
    {
        fillers.push(filler);
        assert!(fillers.len() < 10, "the queue never fills");
    }
    (address, (socket, fillers))
}

#[test]
fn a_connection_that_takes_too_long_is_504() {
    let (address, _deaf) = deaf();
    let mut table = live(&[address]);
    table.services.get_mut("api").unwrap().limits.connect_timeout_ms = 50;
    let rig = Rig::start(EdgeLimits::default(), &table);
    let (head, _) = rig.connect().ask(GET);
    assert!(head.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{head}");
    assert!(head.contains("\r\nHavre-Error: connect-timeout\r\n"), "{head}");
}

#[test]
fn an_answer_that_takes_too_long_is_504_and_its_connection_is_closed() {
    let app = App::start(|_, conversation| {
        conversation.request();
        assert!(conversation.request().is_none());
        conversation.record("closed");
    });
    let mut table = live(&[app.address]);
    table.services.get_mut("api").unwrap().limits.first_byte_timeout_ms = 50;
    let rig = Rig::start(EdgeLimits::default(), &table);
    let (head, _) = rig.connect().ask(GET);
    assert!(head.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{head}");
    assert!(head.contains("\r\nHavre-Error: answer-timeout\r\n"), "{head}");
    eventually("the application sees the end", || app.seen().last().is_some_and(|last| last == "closed"));
}

/// An application that notes when the edge closes a connection.
fn noting() -> App {
    App::start(|_, conversation| {
        while conversation.request().is_some() {
            conversation.send(OK);
        }
        conversation.record("closed");
    })
}

fn closed(app: &App) -> usize {
    app.seen().iter().filter(|line| *line == "closed").count()
}

#[test]
fn idle_connections_close_when_their_upstream_leaves_the_table() {
    for role in [Some(UpstreamRole::Draining), Some(UpstreamRole::Standby), None] {
        let app = noting();
        let rig = Rig::before(&app);
        assert_eq!(rig.connect().ask(GET).1, "ok");
        assert_eq!(closed(&app), 0);
        rig.publish(&table(2, role.map(|role| upstream("t1", app.address, role)).into_iter().collect()));
        eventually("the connection is closed", || closed(&app) == 1);
    }
}

#[test]
fn a_request_in_flight_survives_draining_and_its_connection_does_not() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let app = App::start(move |_, conversation| {
        conversation.request();
        wait.lock().unwrap().recv().unwrap();
        conversation.send(OK);
        assert!(conversation.request().is_none());
        conversation.record("closed");
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(GET.as_bytes());
    eventually("the application has the request", || app.seen().len() == 1);
    assert_eq!(rig.in_flight(), 1);
    rig.publish(&table(2, vec![upstream("t1", app.address, UpstreamRole::Draining)]));
    assert_eq!(rig.in_flight(), 1);
    let (head, _) = rig.connect().ask(GET);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    go.send(()).unwrap();
    assert_eq!(client.message().unwrap().1, "ok");
    eventually("nothing is in flight", || rig.in_flight() == 0);
    eventually("the connection is closed", || closed(&app) == 1);
}

#[test]
fn at_most_so_many_connections_rest_and_none_for_long() {
    let limits = EdgeLimits {
        idle_upstreams_per_worker: 2,
        upstream_idle_timeout: Span::seconds(600),
        ..EdgeLimits::default()
    };
    let barrier = Arc::new(std::sync::Barrier::new(3));
    let app = App::start(move |_, conversation| {
        conversation.request();
        barrier.wait();
        conversation.send(OK);
        assert!(conversation.request().is_none());
        conversation.record("closed");
    });
    let rig = Rig::start(limits, &live(&[app.address]));
    let mut clients = [rig.connect(), rig.connect(), rig.connect()];
    clients.iter_mut().for_each(|client| client.send(GET.as_bytes()));
    for client in &mut clients {
        assert_eq!(client.message().unwrap().1, "ok");
    }
    eventually("the oldest is closed", || closed(&app) == 1);

    let app = noting();
    let limits = EdgeLimits { upstream_idle_timeout: Span::millis(50), ..EdgeLimits::default() };
    let rig = Rig::start(limits, &live(&[app.address]));
    assert_eq!(rig.connect().ask(GET).1, "ok");
    eventually("it has rested long enough", || closed(&app) == 1);
}

#[test]
fn a_client_that_leaves_ends_its_request() {
    let app = App::start(|_, conversation| {
        conversation.request();
        assert!(conversation.request().is_none());
        conversation.record("closed");
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(GET.as_bytes());
    eventually("the application has the request", || app.seen().len() == 1);
    drop(client);
    eventually("the application sees the end", || closed(&app) == 1);
    eventually("nothing is in flight", || rig.in_flight() == 0);
}
