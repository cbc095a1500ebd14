//! The PROXY protocol in front of HTTP and HTTPS: believed from configured senders, demanded of them, and a broken
//! request from everybody else.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use havre_api::route_table::RouteTable;
use havre_core::quantity::Span;
use havre_edge::Shared;
use havre_edge::config::EdgeLimits;
use havre_edge::listen::{Door, Transport};
use havre_edge::table::Table;
use havre_edge::worker::spawn_workers;
use havre_http::trust::Networks;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tokio::sync::watch;

use crate::policy::with;
use crate::rig::{App, Client, eventually, live};
use crate::tls_relay;

struct Edge {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: watch::Sender<bool>,
}

fn start(app: &App, trusted: &str, address: SocketAddr) -> Edge {
    let limits = EdgeLimits {
        handshake_timeout: Span::millis(200),
        connections_per_client: 2,
        ..EdgeLimits::default()
    };
    let mut shared = unshared(limits);
    shared.proxies.proxy_protocol = Networks::parse(trusted.split_whitespace()).unwrap();
    serve(&live(&[app.address]), shared, (address, Transport::Plain))
}

fn unshared(limits: EdgeLimits) -> Shared {
    Arc::try_unwrap(Shared::new(limits, "/nowhere".into())).expect("nobody else has it yet")
}

/// What believes this proxy about each request.
fn believing(proxy: &str) -> Shared {
    let mut shared = unshared(EdgeLimits::default());
    shared.proxies.trusted = Networks::parse([proxy]).unwrap();
    shared
}

fn serve(table: &RouteTable, shared: Shared, (address, transport): (SocketAddr, Transport)) -> Edge {
    let shared = Arc::new(shared);
    shared.publish(Table::build(table, None).unwrap());
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let door = Door { listener, transport };
    // Workers go on without their handle until the stop.
    drop(spawn_workers(Arc::clone(&shared), vec![vec![door]], stopped).unwrap());
    Edge { address, shared, _stop: stop }
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Version 2 for 192.0.2.7.
fn version_2() -> Vec<u8> {
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 80]].concat()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

#[test]
fn the_client_a_trusted_sender_names_is_the_client() {
    let app = App::ok();
    let edge = start(&app, "127.0.0.0/8", anywhere());
    for (header, expected) in [
        (&b"PROXY TCP4 192.0.2.9 10.0.0.1 4711 80\r\n"[..], "192.0.2.9"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 80\r\n", "2001:db8::9"),
        (&version_2(), "192.0.2.7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ] {
        let mut client = Client::connect(edge.address);
        client.send(header);
        for _ in 0..2 {
            assert_eq!(client.ask(GET).1, "ok");
            let seen = app.seen().pop().unwrap();
            assert!(seen.contains(&format!("\r\nX-Forwarded-For: {expected}\r\n")), "{seen}");
        }
    }
    // In one write with the first request, and in two.
    let mut client = Client::connect(edge.address);
    client.send(b"PROXY TCP4 192.0.2.8 10.0");
    assert_eq!(client.ask(&format!(".0.1 4711 80\r\n{GET}")).1, "ok");
}

/// A connection before its handshake, and the first words of the handshake.
fn hello(config: &Arc<ClientConfig>, address: SocketAddr) -> (ClientConnection, Vec<u8>) {
    let mut session = ClientConnection::new(Arc::clone(config), ServerName::from(address.ip())).unwrap();
    let mut words = Vec::new();
    session.write_tls(&mut words).unwrap();
    (session, words)
}

#[test]
fn it_comes_before_tls_even_in_one_piece_with_the_first_words_of_a_handshake() {
    let app = App::ok();
    let mut shared = unshared(EdgeLimits::default());
    shared.proxies.proxy_protocol = Networks::parse(["127.0.0.1"]).unwrap();
    let edge = serve(&live(&[app.address]), shared, (anywhere(), Transport::Tls));
    let config = Arc::new(tls_relay::client(rustls::ALL_VERSIONS, &["http/1.1"]));
    for (header, expected) in [
        (&b"PROXY TCP4 192.0.2.9 10.0.0.1 4711 443\r\n"[..], "192.0.2.9"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 443\r\n", "2001:db8::9"),
        (&version_2(), "192.0.2.7"),
    ] {
        for is_apart in [false, true] {
            let (session, words) = hello(&config, edge.address);
            let mut client = Client::connect(edge.address);
            if is_apart {
                client.send(header);
                std::thread::sleep(Duration::from_millis(20));
                client.send(&words);
            } else {
                client.send(&[header, &words].concat());
            }
            let mut secure = StreamOwned::new(session, client.stream);
            let request = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
            secure.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            secure.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"), "{answer}");
            let seen = app.seen().pop().unwrap();
            let lines = format!("\r\nX-Forwarded-For: {expected}\r\nX-Forwarded-Proto: https\r\n");
            assert!(seen.contains(&lines), "{seen}");
        }
    }
    // Without it there is no handshake.
    let mut client = Client::connect(edge.address);
    client.send(&hello(&config, edge.address).1);
    assert_eq!(client.rest(), "");
    eventually("one refusal", || edge.shared.metrics.refused.get() == 1);
}

#[test]
fn a_trusted_sender_that_says_nothing_or_nonsense_is_ended() {
    let app = App::ok();
    let edge = start(&app, "127.0.0.1", anywhere());
    for bytes in [GET, "PROXY TCP4 192.0.2.9\r\n", "PROXY ", ""] {
        let mut client = Client::connect(edge.address);
        client.send(bytes.as_bytes());
        assert_eq!(client.rest(), "", "{bytes}");
    }
    assert_eq!(app.accepted(), 0);
    eventually("four refusals", || edge.shared.metrics.refused.get() == 4);
}

#[test]
fn nobody_else_may_name_a_client() {
    let app = App::ok();
    let edge = start(&app, "192.0.2.0/24", anywhere());
    let mut client = Client::connect(edge.address);
    client.send(format!("PROXY TCP4 192.0.2.9 10.0.0.1 4711 80\r\n{GET}").as_bytes());
    assert!(client.rest().starts_with("HTTP/1.1 400 "));
    assert_eq!(app.accepted(), 0);
}

#[test]
fn limits_count_the_clients_behind_a_sender_and_not_the_sender() {
    let app = App::ok();
    let edge = start(&app, "127.0.0.1", anywhere());
    let open = |address: &str| {
        let mut client = Client::connect(edge.address);
        client.send(format!("PROXY TCP4 {address} 10.0.0.1 4711 80\r\n{GET}").as_bytes());
        client
    };
    let mut clients: Vec<Client> =
        ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"].into_iter().map(open).collect();
    for client in &mut clients {
        assert_eq!(client.message().unwrap().1, "ok");
    }
    assert_eq!(open("192.0.2.1").rest(), "");
    drop(clients);
    eventually("room again", || edge.shared.metrics.connections.get() == 0);
    assert_eq!(open("192.0.2.1").message().unwrap().1, "ok");
}

#[test]
fn a_trusted_proxy_names_the_client_of_each_request_and_nobody_else_does() {
    let app = App::ok();
    for (trusted, expected, scheme) in
        [("127.0.0.1", "192.0.2.1", "https"), ("192.0.2.0/24", "127.0.0.1", "http")]
    {
        let door = (anywhere(), Transport::Plain);
        let edge = serve(&live(&[app.address]), believing(trusted), door);
        let mut client = Client::connect(edge.address);
        client.ask(
            "GET / HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.1\r\n\
             X-Forwarded-Proto: https\r\n\r\n",
        );
        let seen = app.seen().pop().unwrap();
        let lines = format!("\r\nX-Forwarded-For: {expected}\r\nX-Forwarded-Proto: {scheme}\r\n");
        assert!(seen.contains(&lines) && !seen.contains("198.51.100.1"), "{seen}");
        client.ask(GET);
        assert!(
            app.seen()
                .pop()
                .unwrap()
                .contains("\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n")
        );
    }
}

#[test]
fn whom_a_trusted_proxy_names_is_who_may_not_come() {
    let app = App::ok();
    let denied = serde_json::json!({ "settings": { "deny": ["192.0.2.0/25"] } });
    let table = with(live(&[app.address]), denied);
    for (trusted, named, status) in [
        ("127.0.0.1", "192.0.2.1", 403),
        ("127.0.0.1", "198.51.100.1", 200),
        ("192.0.2.128/25", "192.0.2.1", 200),
    ] {
        let edge = serve(&table, believing(trusted), (anywhere(), Transport::Plain));
        let lines = format!("\r\nX-Forwarded-For: {named}\r\n\r\n");
        let (head, _) = Client::connect(edge.address).ask(&GET.replace("\r\n\r\n", &lines));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{trusted} {named}: {head}");
    }
    assert_eq!(app.seen().len(), 2);
}

#[test]
fn clients_of_ipv6_are_named_as_such() {
    let app = App::ok();
    let edge = start(&app, "", (Ipv6Addr::LOCALHOST, 0).into());
    let mut client = Client::connect(edge.address);
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: i\r\n\r\n").1, "ok");
    let seen = app.seen().pop().unwrap();
    assert!(seen.contains("\r\nX-Forwarded-For: ::1\r\n"), "{seen}");
    assert!(seen.contains("\r\nForwarded: for=\"[::1]\";host=app.example;proto=http\r\n"), "{seen}");
}
