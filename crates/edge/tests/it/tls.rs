//! HTTPS by real clients: what is presented to whom, resumption, bounds, and bodies.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Instant;

use havre_api::route_table::{Certificate, CertificatePurpose, HostPolicy, Route, RouteTable};
use havre_core::quantity::Span;
use havre_edge::Shared;
use havre_edge::account::Account;
use havre_edge::certificate::Certificates;
use havre_edge::certificate::folder::Folder;
use havre_edge::certificate::material::digest_of;
use havre_edge::config::EdgeLimits;
use havre_edge::listen::{Door, Transport};
use havre_edge::table::Table;
use havre_edge::tls::settings::Settings;
use havre_edge::tls::ticket::Tickets;
use havre_edge::worker::{Workers, spawn_workers};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, StreamOwned};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::h2_client::{Peer, run};
use crate::rig::{App, Client, PATIENCE, eventually, live};
use crate::tls_relay::client;

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Self-signed material, another one each time; clients of these tests look at nothing but its bytes.
pub(crate) fn material() -> String {
    let now = havre_core::time::Timestamp::from_millis(1_800_000_000_000);
    let made = havre_x509::challenge::placeholder(&["a.example".parse().unwrap()], now).unwrap();
    made.to_pem().expose_text().unwrap().to_owned()
}

/// What answers a TLS-ALPN challenge.
fn challenge() -> String {
    let now = havre_core::time::Timestamp::from_millis(1_800_000_000_000);
    let host = "app.example".parse().unwrap();
    let made = havre_x509::challenge::challenge_certificate(&host, [7; 32], now).unwrap();
    made.to_pem().expose_text().unwrap().to_owned()
}

fn first_certificate(material: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(material.as_bytes()).unwrap()
}

/// The line of a table for `material`.
pub(crate) fn entry(material: &str, names: &[&str], purpose: CertificatePurpose) -> Certificate {
    Certificate {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        digest: digest_of(material.as_bytes()).to_string(),
        purpose,
    }
}

/// An edge that listens for HTTP and HTTPS.
struct Edge {
    plain: SocketAddr,
    secure: SocketAddr,
    shared: Arc<Shared>,
    workers: Workers,
    folder: Folder,
    sites: TempDir,
    _stop: watch::Sender<bool>,
}

impl Edge {
    fn start(state: &TempDir, limits: EdgeLimits, workers: usize, table: &RouteTable) -> Self {
        let folder = Folder::open(state.path().join("certificates")).unwrap();
        let tickets = Arc::new(Tickets::open(state.path()).unwrap());
        let certificates = Certificates::new(Some(folder.clone()), Settings::new(tickets).unwrap());
        let sites = tempfile::tempdir().unwrap();
        let mut shared = Shared::secured(limits, sites.path().to_path_buf(), Account::silent(), certificates);
        let [plain, secure] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [plain_address, secure_address] = [&plain, &secure].map(|one| one.local_addr().unwrap());
        shared.https_port = Some(secure_address.port());
        let shared = Arc::new(shared);
        shared.publish(Table::build(table, None).unwrap());
        let doors = (0..workers)
            .map(|_| {
                [(&plain, Transport::Plain), (&secure, Transport::Tls)]
                    .map(|(listener, transport)| {
                        let listener = listener.try_clone().unwrap();
                        listener.set_nonblocking(true).unwrap();
                        Door { listener, transport }
                    })
                    .into()
            })
            .collect();
        let (stop, stopped) = watch::channel(false);
        let workers = spawn_workers(Arc::clone(&shared), doors, stopped).unwrap();
        Self { plain: plain_address, secure: secure_address, shared, workers, folder, sites, _stop: stop }
    }

    /// Before one application, with these certificates on its disk.
    fn before(app: &App, materials: &[(&str, &[&str])]) -> (TempDir, Self) {
        let state = tempfile::tempdir().unwrap();
        let mut table = live(&[app.address]);
        for name in ["a.example", "b.example", "c.other.example"] {
            table.routes.push(Route { host: name.to_owned(), ..table.routes[0].clone() });
        }
        for (material, names) in materials {
            table.certificates.push(entry(material, names, CertificatePurpose::Serve));
        }
        let edge = Self::start(&state, EdgeLimits::default(), 1, &table);
        for (material, _) in materials {
            edge.keep(material);
        }
        (state, edge)
    }

    fn keep(&self, material: &str) {
        self.folder.save(digest_of(material.as_bytes()), material.as_bytes()).unwrap();
    }

    fn publish(&self, table: &RouteTable) {
        let previous = self.shared.table.load_full();
        self.shared.publish(Table::build(table, Some(&previous)).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.workers.acknowledge(table.generation));
    }

    fn connect(&self, name: &str, config: &Arc<ClientConfig>) -> Connection {
        connect(self.secure, name, config)
    }
}

/// A connection before its handshake; an address as `name` means that the client names nobody.
fn connect(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Connection {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket)
}

fn both() -> Arc<ClientConfig> {
    Arc::new(client(&[&TLS13, &TLS12], &["http/1.1"]))
}

/// A client that never resumes, for tests that look at certificates.
fn fresh() -> Arc<ClientConfig> {
    let mut config = client(&[&TLS13, &TLS12], &["http/1.1"]);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: i\r\nConnection: close\r\n\r\n")
}

/// One request on a connection of its own; the whole answer, which must end with a farewell.
fn ask(connection: &mut Connection, host: &str, path: &str) -> String {
    connection.write_all(request(host, path).as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

fn presented(connection: &Connection) -> CertificateDer<'static> {
    connection.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn each_host_is_presented_its_own_certificate_and_a_stranger_none() {
    let app = App::ok();
    let (exact, wild) = (material(), material());
    let (_state, edge) = Edge::before(&app, &[(&exact, &["a.example"]), (&wild, &["*.example"])]);
    let config = fresh();
    for (name, expected) in [
        ("a.example", Some(&exact)),
        ("A.Example", Some(&exact)),
        ("b.example", Some(&wild)),
        ("c.other.example", None),
        ("127.0.0.1", None),
    ] {
        let mut connection = edge.connect(name, &config);
        let host = if name == "127.0.0.1" { "a.example" } else { name };
        let answer = ask(&mut connection, host, "/");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"), "{name}: {answer}");
        let found = presented(&connection);
        match expected {
            Some(material) => assert_eq!(found, first_certificate(material), "{name}"),
            None => assert!(![&exact, &wild].map(|one| first_certificate(one)).contains(&found), "{name}"),
        }
    }
    assert!(app.seen().iter().all(|seen| seen.contains("\r\nX-Forwarded-Proto: https\r\n")));
    assert!(app.seen().iter().all(|seen| seen.contains(";proto=https\r\n")));

    let mut stranger = edge.connect("nobody.test", &config);
    let error = stranger.write_all(b"GET").unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    let metrics = &edge.shared.metrics;
    eventually("one failure", || metrics.handshakes_failed.get() == 1);
    assert_eq!(metrics.handshakes.get(), 5);
}

#[test]
fn useless_material_hurts_its_own_host_alone_and_not_before_there_was_better() {
    let app = App::ok();
    let good = material();
    let foreign = material();
    let (_, key) = foreign.split_once("-----BEGIN PRIVATE KEY").unwrap();
    let (certificate, _) = good.split_once("-----BEGIN PRIVATE KEY").unwrap();
    let mismatch = format!("{certificate}-----BEGIN PRIVATE KEY{key}");
    let (_state, edge) = Edge::before(
        &app,
        &[(&good, &["a.example"]), (&mismatch, &["b.example"]), ("garbage", &["c.other.example"])],
    );
    let config = fresh();
    for (name, is_good) in [("b.example", false), ("c.other.example", false), ("a.example", true)] {
        let mut connection = edge.connect(name, &config);
        assert!(ask(&mut connection, name, "/").starts_with("HTTP/1.1 200 "), "{name}");
        assert_eq!(presented(&connection) == first_certificate(&good), is_good, "{name}");
    }

    // Renewed with material that is useless, or not here yet: the one before is presented.
    let mut table = live(&[app.address]);
    table.routes.push(Route { host: "a.example".to_owned(), ..table.routes[0].clone() });
    for (generation, renewed) in [(2, mismatch.as_str()), (3, "not here yet")] {
        table.generation = generation;
        table.certificates = vec![entry(renewed, &["a.example"], CertificatePurpose::Serve)];
        edge.publish(&table);
        let mut connection = edge.connect("a.example", &config);
        assert!(ask(&mut connection, "a.example", "/").starts_with("HTTP/1.1 200 "));
        assert_eq!(presented(&connection), first_certificate(&good), "{renewed}");
    }
    let renewed = material();
    table.generation = 4;
    table.certificates = vec![entry(&renewed, &["a.example"], CertificatePurpose::Serve)];
    edge.keep(&renewed);
    edge.publish(&table);
    let mut connection = edge.connect("a.example", &config);
    ask(&mut connection, "a.example", "/");
    assert_eq!(presented(&connection), first_certificate(&renewed));
}

#[test]
fn sessions_are_resumed_by_every_worker_and_after_a_restart() {
    let app = App::ok();
    let material = material();
    let mut table = live(&[app.address]);
    table.certificates = vec![entry(&material, &["app.example"], CertificatePurpose::Serve)];
    let state = tempfile::tempdir().unwrap();
    for (version, protocol) in [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)] {
        let config = Arc::new(client(&[version], &["http/1.1"]));
        let mut kinds = Vec::new();
        for _life in 0..2 {
            let edge = Edge::start(&state, EdgeLimits::default(), 3, &table);
            edge.keep(&material);
            for _ in 0..6 {
                let mut connection = edge.connect("app.example", &config);
                assert!(ask(&mut connection, "app.example", "/").ends_with("\r\n\r\nok"));
                assert_eq!(connection.conn.protocol_version(), Some(protocol));
                assert_eq!(connection.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
                kinds.push(connection.conn.handshake_kind().unwrap());
            }
            assert!(edge.shared.metrics.handshakes_resumed.get() >= 5);
        }
        assert_eq!(kinds.remove(0), HandshakeKind::Full);
        assert!(kinds.iter().all(|kind| *kind == HandshakeKind::Resumed), "{protocol:?}: {kinds:?}");
    }
}

#[test]
fn a_placeholder_is_never_resumed() {
    let app = App::ok();
    let (_state, edge) = Edge::before(&app, &[]);
    let config = both();
    for _ in 0..3 {
        let mut connection = edge.connect("a.example", &config);
        ask(&mut connection, "a.example", "/");
        assert_eq!(connection.conn.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn a_request_for_another_name_is_sent_away_unless_the_certificate_covers_it() {
    let app = App::ok();
    let (one, wild) = (material(), material());
    let (_state, edge) =
        Edge::before(&app, &[(&one, &["a.example"]), (&wild, &["*.other.example", "b.example"])]);
    let config = both();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client(&[&TLS13, &TLS12], &["h2"])));
    for (name, host, status) in [
        ("a.example", "b.example", 421),
        ("b.example", "a.example", 421),
        ("b.example", "c.other.example", 200),
        ("c.other.example", "B.example", 200),
        ("a.example", "a.example.", 200),
    ] {
        let answer = ask(&mut edge.connect(name, &config), host, "/");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name} {host}: {answer}");
        assert_eq!(answer.contains("\r\nHavre-Error: misdirected\r\n"), status == 421, "{answer}");
        // The same over HTTP/2.
        let answer = run(async {
            let socket = tokio::net::TcpStream::connect(edge.secure).await.unwrap();
            let secure = connector.connect(ServerName::try_from(name).unwrap(), socket).await.unwrap();
            let mut peer = Peer::over(secure, &h2::client::Builder::new()).await;
            let request = http::Request::get(format!("https://{host}/")).body(()).unwrap();
            peer.ask(request, None).await.unwrap()
        });
        assert_eq!(answer.status(), status, "{name} {host} over HTTP/2");
        assert_eq!(answer.field("havre-error") == "misdirected", status == 421, "{answer:?}");
    }
}

#[test]
fn plain_requests_are_sent_to_https_and_https_says_so_for_the_future() {
    let app = App::ok();
    let material = material();
    let (_state, edge) = Edge::before(&app, &[(&material, &["app.example"])]);
    let mut table = live(&[app.address]);
    table.generation = 2;
    table.certificates = vec![entry(&material, &["app.example"], CertificatePurpose::Serve)];
    let policy =
        HostPolicy { redirect_to_https: true, hsts: Some("max-age=300; includeSubDomains".to_owned()) };
    table.hosts = [("app.example".to_owned(), policy)].into();
    edge.publish(&table);

    let mut plain = Client::connect(edge.plain);
    let (head, body) =
        plain.ask("POST /a?b=c HTTP/1.1\r\nHost: APP.example:80\r\nContent-Length: 2\r\n\r\nxy");
    let location = format!("\r\nLocation: https://app.example:{}/a?b=c\r\n", edge.secure.port());
    assert!(head.starts_with("HTTP/1.1 308 Permanent Redirect\r\n") && head.contains(&location), "{head}");
    assert_eq!(body, "");
    // Control asks the plain listener, with its key.
    let (head, body) = plain.ask("GET / HTTP/1.1\r\nHost: app.example\r\nHavre-Probe: key\r\n\r\n");
    assert!(!head.contains("Strict-Transport-Security"), "{head}");
    assert_eq!(body, "ok");

    let answer = ask(&mut edge.connect("app.example", &both()), "app.example", "/");
    let line = "\r\nStrict-Transport-Security: max-age=300; includeSubDomains\r\n";
    assert!(answer.contains(line), "{answer}");
}

#[test]
fn a_challenge_is_presented_to_those_who_ask_for_it_and_carries_no_request() {
    let app = App::ok();
    let (usual, challenge) = (material(), challenge());
    let (_state, edge) = Edge::before(&app, &[(&usual, &["app.example"])]);
    let mut table = live(&[app.address]);
    table.generation = 2;
    table.certificates = vec![
        entry(&usual, &["app.example"], CertificatePurpose::Serve),
        entry(&challenge, &["app.example"], CertificatePurpose::TlsAlpn01),
    ];
    edge.keep(&challenge);
    edge.publish(&table);

    let authority = Arc::new(client(&[&TLS13, &TLS12], &["acme-tls/1"]));
    let mut connection = edge.connect("app.example", &authority);
    // No request: the edge is gone after the handshake, and a reset would hide its farewell.
    let Connection { conn, sock } = &mut connection;
    conn.complete_io(sock).unwrap();
    assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(presented(&connection), first_certificate(&challenge));
    assert_eq!(connection.conn.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert_eq!(app.accepted(), 0);

    // Nobody else sees it, and nobody gets it for another name.
    let mut connection = edge.connect("app.example", &fresh());
    ask(&mut connection, "app.example", "/");
    assert_eq!(presented(&connection), first_certificate(&usual));
    let error = edge.connect("a.example", &authority).write_all(b"GET").unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

#[test]
fn a_handshake_that_does_not_come_is_ended() {
    let limits = EdgeLimits { handshake_timeout: Span::millis(200), ..EdgeLimits::default() };
    let app = App::ok();
    let edge = Edge::start(&tempfile::tempdir().unwrap(), limits, 1, &live(&[app.address]));
    // Nothing; the start of a record; a record that never ends; another protocol.
    for bytes in [
        &b""[..],
        b"\x16\x03\x01",
        b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut client = Client::connect(edge.secure);
        client.send(bytes);
        client.rest();
    }
    let failed = || edge.shared.metrics.handshakes_failed.get();
    eventually("four failures", || failed() == 4);
    eventually("no connection left", || edge.shared.metrics.connections.get() == 0);
}

#[test]
fn one_client_makes_only_so_many_handshakes_a_second() {
    let limits = EdgeLimits { handshakes_per_client: 3, ..EdgeLimits::default() };
    let app = App::ok();
    let edge = Edge::start(&tempfile::tempdir().unwrap(), limits, 1, &live(&[app.address]));
    let config = both();
    let start = Instant::now();
    let served = (0..60).filter(|_| edge.connect("app.example", &config).write_all(b"G").is_ok()).count();
    // Three in each second that began meanwhile, two of them only in part.
    let seconds = start.elapsed().as_secs() as usize + 2;
    assert!((3..=3 * seconds).contains(&served), "{served} of 60 in {seconds} seconds");
    assert_eq!(edge.shared.metrics.handshakes_shed.get() as usize, 60 - served);
}

#[test]
fn large_bodies_arrive_whole_in_both_directions() {
    const SIZE: usize = 5 * 1024 * 1024 + 17;
    let bytes: Vec<u8> = (0..SIZE).map(|place| (place * 31 % 251) as u8).collect();
    let app = {
        let bytes = bytes.clone();
        App::start(move |_, conversation| {
            while let Some(head) = conversation.client.through("\r\n\r\n") {
                if head.starts_with("GET") {
                    conversation.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
                    conversation.client.send(&bytes);
                } else {
                    let body = conversation.client.take(SIZE);
                    let same = body == bytes;
                    conversation.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{same:4}"));
                }
            }
        })
    };
    let (_state, edge) = Edge::before(&app, &[]);
    let digest = "ab".repeat(32);
    let site = edge.sites.path().join(&digest);
    std::fs::create_dir(&site).unwrap();
    std::fs::File::create(site.join("large.bin")).unwrap().write_all_at(&bytes, 0).unwrap();
    let mut table = live(&[app.address]);
    table.generation = 2;
    let target = serde_json::json!({
        "kind": "site", "digest": digest, "release": "r1", "spa": false, "expose_release": false,
    });
    let target = serde_json::from_value(target).unwrap();
    table.routes.push(Route { host: "site.example".to_owned(), target, ..table.routes[0].clone() });
    edge.publish(&table);

    for (host, path) in [("app.example", "/"), ("site.example", "/large.bin")] {
        let mut connection = edge.connect(host, &both());
        connection.write_all(request(host, path).as_bytes()).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        let start = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert!(answer[start..] == bytes, "{host}: {} bytes", answer.len() - start);
    }
    let mut connection = edge.connect("app.example", &both());
    let head = format!(
        "POST / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&bytes).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\ntrue"), "{answer}");
}

#[test]
fn an_answer_that_is_cut_does_not_end_like_a_whole_one() {
    let app = App::start(|_, conversation| {
        conversation.request();
        conversation.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nonly this");
    });
    let (_state, edge) = Edge::before(&app, &[]);
    let mut connection = edge.connect("app.example", &both());
    connection.write_all(request("app.example", "/").as_bytes()).unwrap();
    let error = connection.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}");
}

#[test]
fn a_websocket_passes_over_tls() {
    let app = App::start(|_, conversation| {
        conversation.client.head();
        conversation.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        );
        let said = conversation.client.take(4);
        conversation.client.send(&said);
    });
    let (_state, edge) = Edge::before(&app, &[]);
    let mut connection = edge.connect("app.example", &both());
    let head = "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n\r\n";
    connection.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    connection.write_all(b"ping").unwrap();
    let mut rest = String::new();
    connection.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "ping");
}
