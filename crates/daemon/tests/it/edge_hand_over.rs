//! An edge hands over to a successor while users ask it over HTTPS: on kept connections, over several streams of HTTP/2,
//! and on new connections that resume their sessions.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use h2::client::SendRequest;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::world::alone::Alone;
use crate::world::origin::SLOW;
use crate::world::spec::HOST;
use crate::world::{secure, until};

const TIMES: usize = 10;
/// Users of each kind.
const KEPT: usize = 3;
const FRESH: usize = 3;
const H2: usize = 2;
/// Requests at once on a connection of HTTP/2.
const STREAMS: usize = 6;
/// Answers between two hand-overs: users get somewhere.
const BETWEEN: usize = 100;
/// Pause of each user between two requests.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(30);

/// What the users of a test have in common.
#[derive(Debug)]
struct Office {
    address: SocketAddr,
    stopped: watch::Receiver<bool>,
    /// Number of the next request.
    next: AtomicUsize,
    answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
    /// Handshakes of users that come anew each time.
    full: AtomicUsize,
    resumed: AtomicUsize,
}

impl Office {
    /// A target no other request has; every fourth is answered late, so that requests are under way at any moment.
    fn target(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let path = if number.is_multiple_of(4) { SLOW } else { "/" };
        format!("{path}?n={number}")
    }

    fn note(&self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => _ = self.answered.fetch_add(1, Ordering::SeqCst),
            Err(failure) => self.failures.lock().expect("no holder panics").push(failure),
        }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    fn is_open(&self) -> bool {
        !*self.stopped.borrow()
    }
}

fn said(what: &str, error: impl std::fmt::Display) -> String {
    format!("{what}: {error}")
}

/// Ends with a failure when it takes too long.
async fn in_time<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

type Kept = http1::SendRequest<Empty<Bytes>>;

/// A new connection for HTTP/1.1, and how its handshake went.
async fn open(address: SocketAddr, client: &Arc<ClientConfig>) -> Result<(Kept, HandshakeKind), String> {
    let stream = secure::connect(address, client).await.map_err(|error| said("connect", error))?;
    let kind = stream.get_ref().1.handshake_kind().ok_or("a handshake of no kind")?;
    let greeted = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = greeted.map_err(|error| said("begin", error))?;
    tokio::spawn(connection);
    Ok((sender, kind))
}

/// One request; whether the connection takes another.
async fn ask(sender: &mut Kept, target: &str) -> Result<bool, String> {
    let request = Request::get(target).header(header::HOST, HOST).body(Empty::new()).expect("a request");
    let answer = sender.send_request(request).await.map_err(|error| said("ask", error))?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| said("read the answer", error))?.to_bytes();
    if head.status != 200 || body != "ok" {
        return Err(format!("{} {body:?}", head.status));
    }
    Ok(head.headers.get(header::CONNECTION).is_none_or(|value| value != "close"))
}

/// Asks on one connection for as long as the edge keeps it.
async fn keep_asking(office: Arc<Office>) {
    let client = secure::client(&[&TLS13], "http/1.1");
    let mut connection = None;
    while office.is_open() {
        let outcome = in_time(async {
            let mut sender = match connection.take() {
                Some(sender) => sender,
                None => open(office.address, &client).await?.0,
            };
            if ask(&mut sender, &office.target()).await? {
                connection = Some(sender);
            }
            Ok(())
        });
        let outcome = outcome.await;
        office.note(outcome);
        tokio::time::sleep(PAUSE).await;
    }
}

/// One request on a connection of its own.
async fn visit(office: &Office, client: &Arc<ClientConfig>) -> Result<HandshakeKind, String> {
    in_time(async {
        let (mut sender, kind) = open(office.address, client).await?;
        ask(&mut sender, &office.target()).await?;
        Ok(kind)
    })
    .await
}

/// Comes anew for each request, with the tickets of earlier connections.
async fn come_again(office: Arc<Office>) {
    let client = secure::client(&[&TLS13], "http/1.1");
    while office.is_open() {
        let outcome = visit(&office, &client).await.map(|kind| {
            let count = if kind == HandshakeKind::Resumed { &office.resumed } else { &office.full };
            count.fetch_add(1, Ordering::SeqCst);
        });
        office.note(outcome);
        tokio::time::sleep(PAUSE).await;
    }
}

/// What became of a request over HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// The connection had said goodbye before it took the request, which may be sent again (RFC 9113, 6.8).
    NotTaken,
}

/// Goodbye is what a connection says to requests it has not taken; to those it has it says something else.
fn fate_of(what: &str, error: &h2::Error) -> Result<Fate, String> {
    let is_goodbye = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
    if is_goodbye { Ok(Fate::NotTaken) } else { Err(said(what, error)) }
}

async fn ask_over_h2(sender: SendRequest<Bytes>, target: &str) -> Result<Fate, String> {
    let mut sender = match sender.ready().await {
        Ok(sender) => sender,
        Err(error) => return fate_of("wait for a stream", &error),
    };
    let request = Request::get(format!("https://{HOST}{target}")).body(()).expect("a request");
    let answer = match sender.send_request(request, true) {
        Ok((answer, _)) => answer.await,
        Err(error) => return fate_of("ask over HTTP/2", &error),
    };
    let (head, mut body) = match answer {
        Ok(answer) => answer.into_parts(),
        Err(error) => return fate_of("hear over HTTP/2", &error),
    };
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| said("read over HTTP/2", error))?;
        body.flow_control().release_capacity(data.len()).map_err(|error| said("give back", error))?;
        text.extend_from_slice(&data);
    }
    if head.status != 200 || text != b"ok" {
        return Err(format!("{} {text:?} over HTTP/2", head.status));
    }
    Ok(Fate::Answered)
}

async fn open_h2(address: SocketAddr, client: &Arc<ClientConfig>) -> Result<SendRequest<Bytes>, String> {
    let stream = secure::connect(address, client).await.map_err(|error| said("connect", error))?;
    let greeted = h2::client::handshake(stream).await;
    let (sender, connection) = greeted.map_err(|error| said("begin over HTTP/2", error))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Asks over several streams of one connection for as long as the edge keeps it.
async fn ask_in_streams(office: Arc<Office>) {
    let client = secure::client(&[&TLS13], "h2");
    let mut connection = None;
    let mut targets: Vec<String> = Vec::new();
    while office.is_open() || !targets.is_empty() {
        if connection.is_none() {
            match in_time(open_h2(office.address, &client)).await {
                Ok(sender) => connection = Some(sender),
                Err(failure) => return office.note(Err(failure)),
            }
        }
        let sender = connection.clone().expect("it was just made");
        targets.resize_with(STREAMS, || office.target());
        let asked = targets.iter().map(|target| in_time(ask_over_h2(sender.clone(), target)));
        let fates = join_all(asked).await;
        let mut left = Vec::new();
        for (target, fate) in targets.drain(..).zip(fates) {
            match fate {
                Ok(Fate::Answered) => office.note(Ok(())),
                Ok(Fate::NotTaken) => left.push(target),
                Err(failure) => {
                    office.note(Err(failure));
                    connection = None;
                }
            }
        }
        if !left.is_empty() {
            connection = None;
        }
        targets = left;
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_upgrades_fail_no_request_over_tls_and_http2_and_sessions_outlive_them() {
    let edge = Alone::start(2, "").await;
    let (stop, stopped) = watch::channel(false);
    let office = Arc::new(Office {
        address: edge.secure,
        stopped,
        next: AtomicUsize::new(1),
        answered: AtomicUsize::default(),
        failures: Mutex::default(),
        full: AtomicUsize::default(),
        resumed: AtomicUsize::default(),
    });
    let mut users = JoinSet::new();
    for _ in 0..KEPT {
        users.spawn(keep_asking(Arc::clone(&office)));
    }
    for _ in 0..FRESH {
        users.spawn(come_again(Arc::clone(&office)));
    }
    for _ in 0..H2 {
        users.spawn(ask_in_streams(Arc::clone(&office)));
    }

    for time in 0..TIMES {
        let before = office.answered();
        let go_on = async || {
            let has_failed = !office.failures.lock().expect("no holder panics").is_empty();
            (has_failed || office.answered() >= before + BETWEEN).then_some(())
        };
        until("users get somewhere", go_on).await;
        // What the predecessor gave these clients is good for its successor.
        let clients = [&TLS13, &TLS12].map(|version| secure::client(&[version], "http/1.1"));
        for (kind, is_after) in [(HandshakeKind::Full, false), (HandshakeKind::Resumed, true)] {
            if is_after {
                edge.hand_over().await;
            }
            for client in &clients {
                let visited = visit(&office, client).await;
                assert_eq!(visited, Ok(kind), "hand-over {time}, after it: {is_after}");
                office.note(Ok(()));
            }
        }
    }
    stop.send_replace(true);
    while let Some(ended) = users.join_next().await {
        ended.expect("a user does not panic");
    }

    let failures = office.failures.lock().expect("no holder panics").clone();
    let shown = &failures[..failures.len().min(5)];
    assert!(failures.is_empty(), "{} requests failed, such as: {shown:#?}", failures.len());
    // Each reached the application once: nothing was lost, and nothing was asked twice.
    let asked = edge.origin.asked();
    let again: Vec<_> = asked.iter().filter(|(_, count)| **count != 1).collect();
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(asked.len(), office.answered());
    assert!(office.answered() >= TIMES * BETWEEN, "only {} requests", office.answered());
    let (full, resumed) = (office.full.load(Ordering::SeqCst), office.resumed.load(Ordering::SeqCst));
    assert_eq!(full, FRESH, "the first time each, and never again in {resumed}");
    assert!(resumed > 0, "they came again");
}
