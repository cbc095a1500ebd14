//! What the tests of the edge stand on: route tables in few words, a control and applications whose answers the
//! test decides, and waiting for a predicate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use havre_api::edge_report::EdgeReport;
use havre_api::route_table::{
    Check, Limits, Probe, ROUTE_TABLE_VERSION, Route, RouteTable, ServiceUpstreams, Target, Upstream,
    UpstreamRole,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// An upstream with short intervals.
pub(crate) fn upstream(task: &str, address: SocketAddr, role: UpstreamRole) -> Upstream {
    Upstream {
        task: task.to_owned(),
        release: "r1".to_owned(),
        address,
        protocol: Default::default(),
        role,
        probe: Probe {
            path: "/health".to_owned(),
            host: "app.example".to_owned(),
            timeout_ms: 2000,
            starting_interval_ms: 10,
            steady_interval_ms: 20,
            unhealthy_after: 3,
        },
        checks: Vec::new(),
    }
}

/// A check of `path` for status 200 and a text.
pub(crate) fn check(path: &str, contains: &str) -> Check {
    Check { path: path.to_owned(), status: 200, contains: contains.to_owned() }
}

/// A table with one service on host `app.example`.
pub(crate) fn table(generation: u64, upstreams: Vec<Upstream>) -> RouteTable {
    let service = ServiceUpstreams {
        balance: havre_api::route_table::Balance::default(),
        name: "shop/production/api".to_owned(),
        upstreams,
        expose_release: true,
        limits: Limits::default(),
        is_paused: false,
        canary: None,
        tls: BTreeMap::new(),
    };
    RouteTable {
        version: ROUTE_TABLE_VERSION,
        generation,
        probe_key: "key".to_owned(),
        routes: vec![Route {
            host: "app.example".to_owned(),
            path_prefix: "/".to_owned(),
            target: Target::Service { service: "api".to_owned() },
            policy: None,
            is_counted: false,
        }],
        services: BTreeMap::from([("api".to_owned(), service)]),
        ..RouteTable::default()
    }
}

/// Waits until `is_true`, at most ten seconds.
pub(crate) async fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is_true() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for: {what}");
}

/// Reads a request: its head, and its body by `Content-Length`.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = buffer.split_off(end);
    let head = String::from_utf8(buffer).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}

/// What a fake application does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// These bytes, then the end.
    Bytes(String),
    /// Nothing, for ever.
    Silence,
    /// 200 `late`, once there is a permit.
    Held(Arc<Semaphore>),
}

/// A plain answer.
pub(crate) fn reply(status: u16, body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// An application. Ends when dropped.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    /// Answers by path; others get 404.
    pub(crate) replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    /// Heads of all requests so far.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    /// Most requests it ever had at the same time.
    pub(crate) most: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let replies: Arc<Mutex<BTreeMap<String, Reply>>> = Arc::default();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let most = Arc::new(AtomicUsize::new(0));
        let now = Arc::new(AtomicUsize::new(0));
        let server = tokio::spawn({
            let (replies, heads, most) = (Arc::clone(&replies), Arc::clone(&heads), Arc::clone(&most));
            async move {
                let mut answers = tokio::task::JoinSet::new();
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let (replies, heads) = (Arc::clone(&replies), Arc::clone(&heads));
                    let (most, now) = (Arc::clone(&most), Arc::clone(&now));
                    answers.spawn(async move {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        if let Some((head, _)) = read_request(&mut stream).await {
                            let path = head.split(' ').nth(1).unwrap().to_owned();
                            heads.lock().unwrap().push(head);
                            let reply = replies.lock().unwrap().get(&path).cloned();
                            match reply.unwrap_or_else(reply_missing) {
                                Reply::Bytes(bytes) => drop(stream.write_all(bytes.as_bytes()).await),
                                Reply::Held(gate) => {
                                    gate.acquire().await.unwrap().forget();
                                    let late = "HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\nlate";
                                    drop(stream.write_all(late.as_bytes()).await);
                                }
                                Reply::Silence => {
                                    // Until the other side gives up.
                                    let _ = stream.read(&mut [0; 1]).await;
                                }
                            }
                        }
                        now.fetch_sub(1, Ordering::SeqCst);
                    });
                    while answers.try_join_next().is_some() {}
                }
            }
        });
        Self { address, replies, heads, most, server }
    }

    pub(crate) fn set(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// How often `path` was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let start = format!("GET {path} ");
        self.heads.lock().unwrap().iter().filter(|head| head.starts_with(&start)).count()
    }
}

fn reply_missing() -> Reply {
    reply(404, "no such path")
}

impl Drop for App {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What control answers and has heard.
#[derive(Debug, Default)]
pub(crate) struct ControlState {
    /// Text of the table it offers, whatever `after` says, and its generation.
    pub(crate) offer: Option<(u64, String)>,
    /// Offer it even to an edge that has it.
    pub(crate) insists: bool,
    pub(crate) reports: Vec<EdgeReport>,
    pub(crate) asked_after: Vec<u64>,
    /// Texts of changes by the generation they build on; none: it is older than changes are.
    pub(crate) changes: Option<BTreeMap<u64, String>>,
    /// Material by digest; others are answered 404.
    pub(crate) materials: BTreeMap<String, String>,
    /// Digests that were asked for.
    pub(crate) asked_for: Vec<String>,
}

/// A control on a Unix socket. Ends when dropped, connections included.
pub(crate) struct Control {
    pub(crate) state: Arc<Mutex<ControlState>>,
    server: JoinHandle<()>,
}

impl Control {
    pub(crate) fn start(socket: &Path) -> Self {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let state: Arc<Mutex<ControlState>> = Arc::default();
        let server = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                let mut answers = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    answers.spawn(answer(stream, Arc::clone(&state)));
                    while answers.try_join_next().is_some() {}
                }
            }
        });
        Self { state, server }
    }

    pub(crate) fn offer(&self, table: &RouteTable) {
        let text = serde_json::to_string(table).unwrap();
        self.state.lock().unwrap().offer = Some((table.generation, text));
    }

    /// The newest report, without what it says of traffic, which depends on when it came.
    pub(crate) fn last(&self) -> Option<EdgeReport> {
        let last = self.state.lock().unwrap().reports.last().cloned();
        last.map(|report| EdgeReport { traffic: None, ..report })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(mut stream: UnixStream, state: Arc<Mutex<ControlState>>) {
    let Some((head, body)) = read_request(&mut stream).await else { return };
    if head.starts_with("POST /edge/v1/report HTTP/1.1\r\n") {
        state.lock().unwrap().reports.push(serde_json::from_slice(&body).unwrap());
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        return;
    }
    if let Some(rest) = head.strip_prefix("GET /v1/edge/certificates/") {
        let digest = rest.split(' ').next().unwrap();
        let material = {
            let mut state = state.lock().unwrap();
            state.asked_for.push(digest.to_owned());
            state.materials.get(digest).cloned()
        };
        let (status, text) = material.map_or((404, String::new()), |text| (200, text));
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
    if let Some(rest) = head.strip_prefix("GET /edge/v1/changes?after=") {
        let after: u64 = rest.split('&').next().unwrap().parse().unwrap();
        let (status, text) = change_after(after, &state).await;
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
    let after =
        head.strip_prefix("GET /edge/v1/table?after=").and_then(|rest| rest.split('&').next()).unwrap();
    let after: u64 = after.parse().unwrap();
    assert!(head.contains("&wait_ms=25000 HTTP/1.1\r\n"), "{head}");
    state.lock().unwrap().asked_after.push(after);
    loop {
        let offer = {
            let state = state.lock().unwrap();
            state.offer.clone().filter(|(generation, _)| *generation > after || state.insists)
        };
        if let Some((_, text)) = offer {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
            let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Status and body: as control waits for a change, or for a table that only comes whole.
async fn change_after(after: u64, state: &Mutex<ControlState>) -> (u16, String) {
    loop {
        {
            let state = state.lock().unwrap();
            let Some(changes) = &state.changes else { return (404, String::new()) };
            if let Some(text) = changes.get(&after) {
                return (200, text.clone());
            }
            if state.offer.as_ref().is_some_and(|(generation, _)| *generation > after) {
                return (410, String::new());
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
