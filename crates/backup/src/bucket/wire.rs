//! One request and its answer: the name is looked up once, connections go to addresses that were checked, the certificate must be for the
//! name, redirects are not followed, and everything has an end. A few connections are kept for the next request. Knows neither
//! signatures nor what an answer means. Tests: `tests/it/bucket_failures.rs`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::bucket::Limits;
use crate::bucket::answer::Answer;
use crate::dial::{NoWay, dial};

/// Most bytes that are held of an answer's head.
const HEAD_MAX: usize = 64 * 1024;
/// Bytes of a body that are handed on at once: what shows that something moves.
const PIECE_BYTES: usize = 128 * 1024;
/// Most bytes that are set aside for a body before they come.
const AHEAD_MAX: usize = 64 * 1024 * 1024;
/// Connections that are kept.
const KEPT_MAX: usize = 4;
/// Longest time one is kept: storages close them after some more.
const KEPT_FOR: Duration = Duration::from_secs(15);

/// Why there is no answer. Never says what was asked, which is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trip {
    /// It stays so until a person changes something.
    Barred(String),
    /// A kept connection had been closed meanwhile. That is no failure of the storage.
    Stale(String),
    /// It broke, or took too long.
    Broken(String),
}

/// What is sent. It is signed, so it cannot be printed.
pub(super) struct Request {
    pub(super) method: &'static str,
    /// Path and query, signed.
    pub(super) target: String,
    /// Header lines beside those of every request.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<Bytes>,
    /// Most bytes of the answer's body that are taken; more are an error.
    pub(super) most: usize,
}

/// Where requests go.
pub(super) struct Peer {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As it was signed.
    pub(super) authority: String,
    pub(super) is_plain: bool,
    /// Trusted in place of the machine's own.
    pub(super) roots: Option<RootCertStore>,
    pub(super) may_reach: fn(IpAddr) -> bool,
}

/// The way to a storage.
pub(super) struct Wire {
    peer: Peer,
    limits: Limits,
    tls: Mutex<Option<Arc<ClientConfig>>>,
    kept: Mutex<Vec<Connection>>,
}

struct Connection {
    sender: SendRequest<Pieces>,
    /// What moves its bytes. Ends with it: dropping the set ends what is in it.
    _driver: JoinSet<Result<(), hyper::Error>>,
    idle_since: Instant,
}

impl Wire {
    pub(super) fn new(peer: Peer, limits: Limits) -> Self {
        Self { peer, limits, tls: Mutex::new(None), kept: Mutex::new(Vec::new()) }
    }

    /// Sends it and waits for the answer, on a connection that was kept where `may_reuse` says so.
    pub(super) async fn exchange(&self, request: &Request, may_reuse: bool) -> Result<Answer, Trip> {
        let moved = Arc::new(AtomicU64::new(0));
        let kept = if may_reuse { self.kept() } else { None };
        let is_kept = kept.is_some();
        let work = async {
            let connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            self.send(connection, request, &moved).await
        };
        let result = tokio::select! {
            result = timeout(self.limits.whole, work) => match result {
                Ok(result) => result,
                Err(_) => Err(Trip::Broken(format!("no end of an answer within {:?}", self.limits.whole))),
            },
            () = self.stands_still(&moved) => {
                Err(Trip::Broken(format!("nothing moved for {:?}", self.limits.idle)))
            }
        };
        match result {
            Err(Trip::Broken(reason)) if is_kept => Err(Trip::Stale(reason)),
            other => other,
        }
    }

    /// Ends when nothing has moved for as long as is allowed.
    async fn stands_still(&self, moved: &AtomicU64) {
        // Making a connection has a limit of its own.
        tokio::time::sleep(self.limits.connect).await;
        let mut last = moved.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(self.limits.idle).await;
            let now = moved.load(Ordering::Relaxed);
            if now == last {
                return;
            }
            last = now;
        }
    }

    fn kept(&self) -> Option<Connection> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.idle_since.elapsed() < KEPT_FOR && !one.sender.is_closed());
        kept.pop()
    }

    fn keep(&self, connection: Connection) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(Connection { idle_since: Instant::now(), ..connection });
        }
    }

    async fn connect(&self) -> Result<Connection, Trip> {
        match timeout(self.limits.connect, self.connect_now()).await {
            Ok(result) => result,
            Err(_) => Err(Trip::Broken(format!("no connection within {:?}", self.limits.connect))),
        }
    }

    async fn connect_now(&self) -> Result<Connection, Trip> {
        let stream = self.stream().await?;
        if self.peer.is_plain {
            return handshake(stream).await;
        }
        let name = ServerName::try_from(self.peer.host.clone());
        let name = name.map_err(|error| Trip::Barred(error.to_string()))?;
        let connector = TlsConnector::from(self.tls().await?);
        let stream = connector.connect(name, stream).await.map_err(|error| {
            let text = format!("TLS: {}", chain(&error));
            // A certificate is no better the next time.
            if error.kind() == std::io::ErrorKind::InvalidData {
                Trip::Barred(text)
            } else {
                Trip::Broken(text)
            }
        })?;
        handshake(stream).await
    }

    async fn stream(&self) -> Result<TcpStream, Trip> {
        let may_reach = |address: IpAddr| {
            (self.peer.may_reach)(address) && (!self.peer.is_plain || address.is_loopback())
        };
        dial(&self.peer.host, self.peer.port, may_reach).await.map_err(|no_way| match no_way {
            NoWay::Barred(reason) => Trip::Barred(reason),
            NoWay::Broken(reason) => Trip::Broken(reason),
        })
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, Trip> {
        let made = self.tls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(made) = made {
            return Ok(made);
        }
        let roots = match &self.peer.roots {
            Some(roots) => roots.clone(),
            None => system_roots().await?,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has the suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(config.clone());
        Ok(config)
    }

    async fn send(
        &self,
        mut connection: Connection,
        request: &Request,
        moved: &Arc<AtomicU64>,
    ) -> Result<Answer, Trip> {
        let mut built = hyper::Request::builder()
            .method(request.method)
            .uri(request.target.as_str())
            .header(HOST, self.peer.authority.as_str())
            .header(USER_AGENT, concat!("havre/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &request.headers {
            built = built.header(*name, value.as_str());
        }
        let built = built
            .body(Pieces::new(&request.body, moved.clone()))
            .map_err(|error| Trip::Barred(format!("the request cannot be written: {error}")))?;
        connection.sender.ready().await.map_err(broken)?;
        let answer = connection.sender.send_request(built).await.map_err(broken)?;
        moved.fetch_add(1, Ordering::Relaxed);
        let (head, body) = answer.into_parts();
        let expected = head.headers.get(CONTENT_LENGTH).and_then(length);
        let body = read(body, expected, request.most, moved).await?;
        self.keep(connection);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

fn length(value: &HeaderValue) -> Option<usize> {
    value.to_str().ok()?.parse().ok()
}

async fn handshake<S>(stream: S) -> Result<Connection, Trip>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake::<_, Pieces>(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    Ok(Connection { sender, _driver: driver, idle_since: Instant::now() })
}

/// All of a body: one that ends early is an error of hyper's where its length was said.
async fn read(
    mut body: Incoming,
    expected: Option<usize>,
    most: usize,
    moved: &AtomicU64,
) -> Result<Bytes, Trip> {
    let too_long = || Trip::Barred(format!("the answer is longer than {most} bytes"));
    if expected.is_some_and(|expected| expected > most) {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(expected.unwrap_or_default().min(AHEAD_MAX));
    while let Some(frame) = body.frame().await {
        moved.fetch_add(1, Ordering::Relaxed);
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if data.len() > most - bytes.len() {
            return Err(too_long());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

fn broken(error: hyper::Error) -> Trip {
    Trip::Broken(chain(&error))
}

/// The error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Whom the machine trusts.
async fn system_roots() -> Result<RootCertStore, Trip> {
    let read = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        // A root that cannot be read is no reason to trust none of the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let roots = read
        .await
        .map_err(|error| Trip::Barred(format!("the certificate authorities cannot be read: {error}")))?;
    if roots.is_empty() {
        let message = "this machine trusts no certificate authority: install ca-certificates";
        return Err(Trip::Barred(message.to_owned()));
    }
    Ok(roots)
}

/// A body that is there already, in small pieces.
struct Pieces {
    left: VecDeque<Bytes>,
    bytes: u64,
    moved: Arc<AtomicU64>,
}

impl Pieces {
    /// Shares the bytes.
    fn new(parts: &[Bytes], moved: Arc<AtomicU64>) -> Self {
        let mut left = VecDeque::new();
        let mut bytes = 0;
        for part in parts {
            let mut part = part.clone();
            bytes += part.len() as u64;
            while !part.is_empty() {
                left.push_back(part.split_to(part.len().min(PIECE_BYTES)));
            }
        }
        Self { left, bytes, moved }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.left.pop_front();
        self.bytes -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        self.moved.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}
