//! Applications that speak TLS: who is believed and who is not, what passes, what is kept, and how their health is
//! asked.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use havre_api::edge_report::Health;
use havre_api::route_table::{Protocol, RouteTable};
use havre_core::service::tls::{TlsSpec, Trust};
use havre_core::time::Timestamp;
use havre_edge::table::{Table, TableError};
use havre_x509::issuer::PretendIssuer;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};

use crate::h2_client::{Peer, request, run};
use crate::h2_raw::H2Rig;
use crate::h2_upstream::Streamed;
use crate::rig::{App, Rig, live};
use crate::world::wait_for;

const NAME: &str = "app.internal";
const GET: &str = "GET /a HTTP/1.1\r\nHost: app.example\r\n\r\n";
const DAY: i64 = 86_400_000;

/// What a server shows that has a certificate for `name`.
fn shown(issuer: &PretendIssuer, name: &str, protocols: &[&str]) -> Arc<ServerConfig> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    let (from, until) = (Timestamp::from_millis(now - DAY), Timestamp::from_millis(now + DAY));
    let pem = issuer.issue(&[name.parse().unwrap()], from, until).unwrap().to_pem();
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pem.expose()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem.expose()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// TLS for an application that speaks plainly, in a thread of its own.
struct Front {
    address: SocketAddr,
    /// Handshakes that came to their end.
    accepted: Arc<AtomicUsize>,
}

impl Front {
    fn before(app: SocketAddr, config: Arc<ServerConfig>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let accepted: Arc<AtomicUsize> = Arc::default();
        let front = Self { address, accepted: Arc::clone(&accepted) };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let acceptor = tokio_rustls::TlsAcceptor::from(config);
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let (acceptor, accepted) = (acceptor.clone(), Arc::clone(&accepted));
                    tokio::spawn(async move {
                        let Ok(mut secure) = acceptor.accept(stream).await else { return };
                        accepted.fetch_add(1, Ordering::SeqCst);
                        let Ok(mut plain) = TcpStream::connect(app).await else { return };
                        plain.set_nodelay(true).unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
                    });
                }
            });
        });
        front
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn ca(issuer: &PretendIssuer) -> Trust {
    Trust::Ca { certificates: issuer.root().parse().unwrap() }
}

fn table(address: SocketAddr, protocol: Protocol, trust: Trust) -> RouteTable {
    let mut table = live(&[address]);
    let service = table.services.get_mut("api").unwrap();
    service.upstreams[0].protocol = protocol;
    service.tls.insert("r1".to_owned(), TlsSpec { name: NAME.parse().unwrap(), trust });
    table
}

fn issuer(name: &str) -> PretendIssuer {
    PretendIssuer::new(name).unwrap()
}

/// Says what servers of plain HTTP say to a handshake, once they have read it.
fn without_tls() -> App {
    App::start(|_, conversation| {
        let _ = conversation.client.stream.read(&mut [0; 16 * 1024]);
        conversation.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    })
}

fn refused(table: &RouteTable) {
    let rig = Rig::start(Default::default(), table);
    let (head, _) = rig.connect().ask(GET);
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert!(head.contains("\r\nHavre-Error: upstream-tls\r\n"), "{head}");
}

#[test]
fn a_connection_is_made_once_and_kept_while_the_trust_is_the_same() {
    let (good, other) = (issuer("good"), issuer("other"));
    let app = App::ok();
    let front = Front::before(app.address, shown(&good, NAME, &["http/1.1"]));
    let mut wire = table(front.address, Protocol::Https, ca(&good));
    let rig = Rig::start(Default::default(), &wire);
    let mut client = rig.connect();
    for _ in 0..3 {
        let (head, body) = client.ask(GET);
        assert!(head.starts_with("HTTP/1.1 200 ") && body == "ok", "{head}");
    }
    // The same service in another table.
    wire.generation = 2;
    rig.publish(&wire);
    // A body makes it ask the kernel whether the connection is still there.
    let (head, _) = client.ask("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\nhello");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(front.accepted(), 1);
    // Whoever is not trusted any more is not believed for the sake of an old connection.
    let mut wire = table(front.address, Protocol::Https, ca(&other));
    wire.generation = 3;
    rig.publish(&wire);
    let (head, _) = rig.connect().ask(GET);
    assert!(head.contains("\r\nHavre-Error: upstream-tls\r\n"), "{head}");
    // Nor is anything sent without TLS on a connection with it, or the other way round.
    let mut wire = live(&[front.address]);
    wire.generation = 4;
    rig.publish(&wire);
    let (head, _) = rig.connect().ask(GET);
    assert!(!head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(app.seen().len(), 4);
}

#[test]
fn who_cannot_prove_its_name_gets_no_request() {
    let (good, other) = (issuer("good"), issuer("other"));
    let app = App::ok();
    let front = |issuer, name| Front::before(app.address, shown(issuer, name, &["http/1.1"])).address;
    refused(&table(front(&other, NAME), Protocol::Https, ca(&good)));
    refused(&table(front(&good, "other.internal"), Protocol::Https, ca(&good)));
    refused(&table(without_tls().address, Protocol::Https, ca(&good)));
    assert!(app.seen().is_empty(), "{:?}", app.seen());
}

#[test]
fn without_verification_anybody_is_believed() {
    let app = App::ok();
    let front = Front::before(app.address, shown(&issuer("any"), "other.internal", &[]));
    let rig = Rig::start(Default::default(), &table(front.address, Protocol::Https, Trust::Anyone));
    assert!(rig.connect().ask(GET).0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_upstream_without_trust_is_refused_and_never_reached_plainly() {
    let mut wire = table("127.0.0.1:1".parse().unwrap(), Protocol::H2, Trust::Anyone);
    wire.services.get_mut("api").unwrap().tls.clear();
    assert_eq!(Table::build(&wire, None).unwrap_err(), TableError::NoTrust { task: "t1".to_owned() });
}

#[test]
fn large_bodies_pass_both_ways() {
    let good = issuer("good");
    let app = App::start(|_, conversation| {
        while let Some(request) = conversation.request() {
            let body = request.split_once("\r\n\r\n").unwrap().1;
            conversation.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let front = Front::before(app.address, shown(&good, NAME, &["http/1.1"]));
    let rig = Rig::start(Default::default(), &table(front.address, Protocol::Https, ca(&good)));
    let mut client = rig.connect();
    let text = "0123456789abcdef".repeat(200_000);
    let length = text.len();
    let (head, body) = client
        .ask(&format!("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: {length}\r\n\r\n{text}"));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body == text, "{} of {length} bytes", body.len());
    let chunks = format!("{length:x}\r\n{text}\r\n0\r\n\r\n");
    let (head, body) = client
        .ask(&format!("POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // The application sends back the chunks as they came, which are those of the edge.
    assert!(body.len() > length, "{} of {length} bytes", body.len());
    assert_eq!(front.accepted(), 1);
}

#[test]
fn a_websocket_passes() {
    let good = issuer("good");
    let app = App::start(|_, conversation| {
        conversation.client.head();
        conversation.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: a\r\n\r\nearly",
        );
        let mut block = [0; 4096];
        while let Ok(count @ 1..) = conversation.client.stream.read(&mut block) {
            conversation.client.send(&block[..count]);
        }
        conversation.record("ended");
    });
    let front = Front::before(app.address, shown(&good, NAME, &["http/1.1"]));
    let rig = Rig::start(Default::default(), &table(front.address, Protocol::Https, ca(&good)));
    let mut client = rig.connect();
    client.send(
        b"GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Key: k\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.take(5), b"early");
    for text in ["a".to_owned(), "hello".to_owned(), "x".repeat(30_000)] {
        client.send(text.as_bytes());
        assert!(client.take(text.len()) == text.as_bytes());
    }
    client.end_sending();
    assert_eq!(client.rest(), "");
    crate::rig::eventually("the tunnel is over", || app.seen().last().is_some_and(|last| last == "ended"));
}

#[test]
fn http2_shares_a_connection_and_keeps_trailers() {
    let good = issuer("good");
    let app = Streamed::start();
    let front = Front::before(app.address, shown(&good, NAME, &["h2", "http/1.1"]));
    let wire = table(front.address, Protocol::H2, ca(&good));
    let rig = H2Rig::start(Default::default(), &wire);
    run(async {
        let mut peer = Peer::connect(rig.address).await;
        let call = || request("POST", "/grpc.Echo/Call").header("te", "trailers").body(()).unwrap();
        for _ in 0..3 {
            let answer = peer.ask(call(), Some(b"hello")).await.unwrap();
            assert_eq!((answer.status(), &answer.body[..]), (200, &b"hello"[..]));
            assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
        }
    });
    assert_eq!(app.seen.lock().unwrap()[0].uri(), "https://app.example/grpc.Echo/Call");
    assert_eq!(front.accepted(), 1);
    let rig = Rig::start(Default::default(), &wire);
    let body = "x".repeat(300_000);
    let (head, _) = rig
        .connect()
        .ask(&format!("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 300000\r\n\r\n{body}"));
    assert!(head.contains("\r\nx-length: 300000\r\n"), "{head}");
}

#[test]
fn http2_must_be_agreed_on() {
    let good = issuer("good");
    let app = Streamed::start();
    for protocols in [&["http/1.1"][..], &[]] {
        let front = Front::before(app.address, shown(&good, NAME, protocols));
        refused(&table(front.address, Protocol::H2, ca(&good)));
    }
    assert!(app.seen.lock().unwrap().is_empty());
}

/// What a probe finds out.
async fn health(table: &RouteTable, expected: Health) {
    let shared = havre_edge::Shared::new(Default::default(), "/nonexistent".into());
    let table = shared.publish(Table::build(table, None).unwrap());
    let probes = tokio::spawn(havre_edge::probe::run(Arc::clone(&shared)));
    let found = || table.members().map(|member| member.upstream.health()).next().unwrap();
    wait_for(&format!("{expected:?}"), || found() == expected).await;
    probes.abort();
}

#[tokio::test]
async fn health_is_asked_over_tls() {
    let (good, other) = (issuer("good"), issuer("other"));
    let (app, streamed) = (App::ok(), Streamed::start());
    let front = Front::before(app.address, shown(&good, NAME, &["http/1.1"]));
    let h2 = Front::before(streamed.address, shown(&good, NAME, &["h2"]));
    let unhealthy = |reason: &str| Health::Unhealthy { reason: reason.to_owned() };
    health(&table(front.address, Protocol::Https, ca(&good)), Health::Healthy).await;
    health(&table(h2.address, Protocol::H2, ca(&good)), Health::Healthy).await;
    health(&table(h2.address, Protocol::H2, Trust::Anyone), Health::Healthy).await;
    let nobody = unhealthy("TLS: nothing in `ca` vouches for its certificate");
    health(&table(front.address, Protocol::Https, ca(&other)), nobody.clone()).await;
    health(&table(h2.address, Protocol::H2, ca(&other)), nobody).await;
    let no_tls = unhealthy("TLS: what answers does not speak TLS");
    health(&table(without_tls().address, Protocol::Https, ca(&good)), no_tls).await;
}
