//! What the tests of the data path stand on: an edge of one worker with limits the test chooses, an application
//! that records the exact bytes it gets, and a client that sends exact bytes. All of it blocks, each side in its own
//! thread; every read gives up after ten seconds, so a hanging edge is a failing test.

use std::io::{Read, Write};
use std::marker::PhantomData;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use havre_api::route_table::{RouteTable, UpstreamRole};
use havre_core::quantity::Span;
use havre_edge::Shared;
use havre_edge::account::Account;
use havre_edge::config::EdgeLimits;
use havre_edge::listen::{Door, Transport};
use havre_edge::table::Table;
use havre_edge::worker::{Workers, spawn_workers};
use tokio::sync::watch;

use crate::tls_relay::Relay;
use crate::world::{table, upstream};

/// Longest any side waits for the other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Limits short enough for tests of slow sides.
pub(crate) fn short_limits() -> EdgeLimits {
    EdgeLimits {
        head_timeout: Span::millis(200),
        idle_timeout: Span::millis(300),
        body_period: Span::millis(200),
        tunnel_idle_timeout: Span::millis(400),
        stop_timeout: Span::millis(500),
        ..EdgeLimits::default()
    }
}

/// How clients of a rig reach it.
pub(crate) trait Way {
    const TRANSPORT: Transport;
    /// Where clients connect, and what must live as long as they do.
    fn open(edge: SocketAddr) -> (SocketAddr, Option<Relay>);
}

/// Clients speak HTTP.
pub(crate) enum Plain {}

impl Way for Plain {
    const TRANSPORT: Transport = Transport::Plain;

    fn open(edge: SocketAddr) -> (SocketAddr, Option<Relay>) {
        (edge, None)
    }
}

/// Clients speak HTTPS: a relay encrypts for them, so that tests still see and send exact bytes.
pub(crate) enum Tls {}

impl Way for Tls {
    const TRANSPORT: Transport = Transport::Tls;

    fn open(edge: SocketAddr) -> (SocketAddr, Option<Relay>) {
        let relay = Relay::start(edge, "http/1.1");
        (relay.address, Some(relay))
    }
}

/// An edge with one worker and plain clients.
pub(crate) type Rig = RigOver<Plain>;

/// An edge with one worker.
pub(crate) struct RigOver<W> {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Workers,
    pub(crate) sites: tempfile::TempDir,
    stop: Option<watch::Sender<bool>>,
    _relay: Option<Relay>,
    _way: PhantomData<W>,
}

impl<W: Way> RigOver<W> {
    /// An edge that serves `table`.
    pub(crate) fn start(limits: EdgeLimits, table: &RouteTable) -> Self {
        Self::accounting(limits, table, Account::silent())
    }

    /// An edge that serves `table` and accounts for it.
    pub(crate) fn accounting(limits: EdgeLimits, table: &RouteTable, account: Account) -> Self {
        let sites = tempfile::tempdir().unwrap();
        let shared = Shared::with(limits, sites.path().to_path_buf(), account);
        shared.publish(Table::build(table, None).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, relay) = W::open(listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(false);
        let door = Door { listener, transport: W::TRANSPORT };
        let workers = spawn_workers(Arc::clone(&shared), vec![vec![door]], stopped).unwrap();
        Self { address, shared, workers, sites, stop: Some(stop), _relay: relay, _way: PhantomData }
    }

    /// An edge before one live upstream at `app.example`.
    pub(crate) fn before(app: &App) -> Self {
        Self::start(EdgeLimits::default(), &live(&[app.address]))
    }

    /// Swaps the table and waits until every worker uses it.
    pub(crate) fn publish(&self, table: &RouteTable) {
        let previous = self.shared.table.load_full();
        self.shared.publish(Table::build(table, Some(&previous)).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.workers.acknowledge(table.generation));
    }

    /// A connection.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends `request` on a connection of its own, says that nothing follows only by waiting, and returns
    /// everything up to the end. For requests whose answer closes the connection.
    pub(crate) fn last_word(&self, request: &[u8]) -> String {
        let mut client = self.connect();
        client.send(request);
        client.rest()
    }

    /// The soft stop.
    pub(crate) fn tell_to_stop(&self) {
        self.stop.as_ref().unwrap().send(true).unwrap();
    }

    /// In flight over all upstreams of the table in use.
    pub(crate) fn in_flight(&self) -> u64 {
        self.shared.table.load().members().map(|member| member.upstream.in_flight()).sum()
    }
}

impl<W> Drop for RigOver<W> {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

/// A table with these live upstreams behind `app.example`; the first is task `t1`.
pub(crate) fn live(addresses: &[SocketAddr]) -> RouteTable {
    let name = |index: usize| format!("t{}", index + 1);
    table(
        1,
        addresses
            .iter()
            .enumerate()
            .map(|(index, address)| upstream(&name(index), *address, UpstreamRole::Live))
            .collect(),
    )
}

/// Waits until `is_true`.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One side of a connection in a test.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// The other side has reset the connection instead of ending it.
    pub(crate) was_reset: bool,
    pending: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, was_reset: false, pending: Vec::new() }
    }

    /// Sends all of it; a peer that has closed is noticed when reading.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Reads once more; false at the end. A reset counts as an end.
    fn more(&mut self) -> bool {
        let mut block = [0; 65536];
        match self.stream.read(&mut block) {
            Ok(0) => false,
            Ok(count) => {
                self.pending.extend_from_slice(&block[..count]);
                true
            }
            Err(problem) if problem.kind() == std::io::ErrorKind::ConnectionReset => {
                self.was_reset = true;
                false
            }
            Err(problem) => panic!("reading: {problem}; so far {:?}", String::from_utf8_lossy(&self.pending)),
        }
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        while self.more() {}
        text(std::mem::take(&mut self.pending))
    }

    /// Exactly `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.pending.len() < count {
            assert!(self.more(), "ended after {:?}", String::from_utf8_lossy(&self.pending));
        }
        self.pending.drain(..count).collect()
    }

    /// Everything through the next `mark`; `None` if the connection ends before it and nothing came.
    pub(crate) fn through(&mut self, mark: &str) -> Option<String> {
        loop {
            if let Some(at) = self.pending.windows(mark.len()).position(|part| part == mark.as_bytes()) {
                return Some(text(self.take(at + mark.len())));
            }
            if !self.more() {
                assert!(
                    self.pending.is_empty(),
                    "ended before {mark:?}: {:?}",
                    String::from_utf8_lossy(&self.pending)
                );
                return None;
            }
        }
    }

    /// A head.
    pub(crate) fn head(&mut self) -> String {
        self.through("\r\n\r\n").expect("an answer before the end of the connection")
    }

    /// A head and a body by `Content-Length` or chunks, as they came.
    pub(crate) fn message(&mut self) -> Option<(String, String)> {
        let head = self.through("\r\n\r\n")?;
        let lower = head.to_ascii_lowercase();
        let body = if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
            let mut body = String::new();
            loop {
                let line = self.through("\r\n").expect("a chunk");
                let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
                body.push_str(&line);
                body.push_str(&text(self.take(size + 2)));
                if size == 0 {
                    break body;
                }
            }
        } else {
            let length =
                lower.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            text(self.take(length.map_or(0, |length| length.parse().unwrap())))
        };
        Some((head, body))
    }

    /// Sends a request and returns its answer.
    pub(crate) fn ask(&mut self, request: &str) -> (String, String) {
        self.send(request.as_bytes());
        self.message().expect("an answer before the end of the connection")
    }

    pub(crate) fn end_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An application. Its connections are served by what the test gives; everything read through [`Conversation`]
/// is recorded.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    /// Head and body of each request, exactly as they came.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    /// Connections accepted so far.
    pub(crate) accepted: Arc<Mutex<usize>>,
    _thread: JoinHandle<()>,
}

impl App {
    /// Serves each connection with `serve`, which is told its number from 0.
    pub(crate) fn start(serve: impl Fn(usize, &mut Conversation) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let accepted: Arc<Mutex<usize>> = Arc::default();
        let serve = Arc::new(serve);
        let thread = std::thread::spawn({
            let (seen, accepted) = (Arc::clone(&seen), Arc::clone(&accepted));
            move || {
                for (number, stream) in listener.incoming().enumerate() {
                    *accepted.lock().unwrap() += 1;
                    let (seen, serve) = (Arc::clone(&seen), Arc::clone(&serve));
                    std::thread::spawn(move || {
                        let client = Client::over(stream.unwrap());
                        serve(number, &mut Conversation { client, has_answered: false, seen });
                    });
                }
            }
        });
        Self { address, seen, accepted, _thread: thread }
    }

    /// Answers every request with these bytes and keeps the connection.
    pub(crate) fn answering(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::start(move |_, conversation| {
            while conversation.request().is_some() {
                conversation.client.send(answer.as_ref());
            }
        })
    }

    /// Answers `ok`.
    pub(crate) fn ok() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn accepted(&self) -> usize {
        *self.accepted.lock().unwrap()
    }
}

/// The application's side of a connection.
pub(crate) struct Conversation {
    pub(crate) client: Client,
    /// For applications that treat the first request differently.
    pub(crate) has_answered: bool,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Conversation {
    /// The next request, recorded; `None` when the edge closes.
    pub(crate) fn request(&mut self) -> Option<String> {
        let (head, body) = self.client.message()?;
        let request = head + &body;
        self.record(&request);
        Some(request)
    }

    pub(crate) fn record(&self, what: &str) {
        self.seen.lock().unwrap().push(what.to_owned());
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.client.send(bytes.as_bytes());
    }
}
