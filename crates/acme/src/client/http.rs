//! HTTPS to an issuer: one question after the other over one connection, each with an end in time and size, to addresses that
//! were checked. Follows no redirect, keeps no cookie, knows no proxy. What answers mean is `answer.rs`.
//! Tests: `tests/it/abuse.rs`.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use havre_decide::dns::public::is_public;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::answer;
use crate::error::{AuthorityError, ProblemKind};

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a name, a connection and a TLS handshake, each.
    pub connect: Duration,
    /// From sending a question to the last byte of its answer. Issuers may take their time to sign.
    pub answer: Duration,
    /// Bytes of an answer. A chain has some ten thousand.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), answer: Duration::from_secs(60), body: 1 << 20 }
    }
}

/// Addresses of one name that are tried before giving up.
const ADDRESSES_MAX: usize = 4;

const AGENT: &str = concat!("havre/", env!("CARGO_PKG_VERSION"));

type Sender = SendRequest<BodyWrapper<Bytes>>;

/// The way to one issuer during one call of the seam. Clones share connection and notes.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

struct Inner {
    what: &'static str,
    allow_private: bool,
    limits: Limits,
    tls: TlsConnector,
    /// Host and port to an open connection. Nearly always one.
    open: Mutex<HashMap<String, Sender>>,
    notes: std::sync::Mutex<Notes>,
}

/// What answers carry beside their body, for the caller of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    /// `Retry-After` of the last answer.
    pub(crate) retry_after: Option<Duration>,
    /// `Location` of the last answer.
    pub(crate) location: Option<String>,
    /// The same of the last thing that was created.
    pub(crate) created: Option<String>,
    /// Nonce of the last answer.
    pub(crate) nonce: Option<String>,
}

impl Link {
    pub(crate) fn new(
        what: &'static str,
        allow_private: bool,
        limits: Limits,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        let tls = TlsConnector::from(tls);
        Self(Arc::new(Inner {
            what,
            allow_private,
            limits,
            tls,
            open: Mutex::default(),
            notes: std::sync::Mutex::default(),
        }))
    }

    pub(crate) fn what(&self) -> String {
        self.0.what.to_owned()
    }

    pub(crate) fn notes(&self) -> Notes {
        self.0.notes.lock().expect("nothing panics while it holds the notes").clone()
    }

    /// Asks for a document without signing the question.
    pub(crate) async fn get(&self, url: &str) -> Result<Bytes, AuthorityError> {
        self.plain(http::Method::GET, url).await.map(|(_, body)| body)
    }

    pub(crate) async fn plain(
        &self,
        method: http::Method,
        url: &str,
    ) -> Result<(StatusCode, Bytes), AuthorityError> {
        let request = Request::builder().method(method).uri(url).body(BodyWrapper::default());
        self.ask(request.map_err(|error| self.garbled(format!("`{}` is no address: {error}", short(url))))?)
            .await
    }

    /// Sends a body that is signed already.
    pub(crate) async fn post(&self, url: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), AuthorityError> {
        let request = Request::builder().method(http::Method::POST).uri(url);
        let request = request.header(CONTENT_TYPE, "application/jose+json").body(BodyWrapper::from(body));
        self.ask(request.map_err(|error| self.garbled(format!("`{}` is no address: {error}", short(url))))?)
            .await
    }

    pub(crate) fn garbled(&self, message: impl Into<String>) -> AuthorityError {
        AuthorityError::Garbled { what: self.what(), message: message.into() }
    }

    /// instant-acme trusts that the addresses in a directory are addresses, and panics over those that are not.
    fn check_places(&self, directory: &[u8]) -> Result<(), AuthorityError> {
        let document: HashMap<String, serde_json::Value> = serde_json::from_slice(directory)
            .map_err(|error| self.garbled(format!("it is not a directory: {error}")))?;
        match document.get("newNonce").and_then(serde_json::Value::as_str).map(str::parse::<Uri>) {
            Some(Ok(_)) => Ok(()),
            _ => Err(self.garbled("its directory does not say where nonces are")),
        }
    }

    /// Whether an address of a person can be asked at all.
    pub(crate) fn check_address(&self, url: &str) -> Result<(), AuthorityError> {
        let read = url
            .parse()
            .map_err(|_| format!("`{}` is no address", short(url)))
            .and_then(|uri| Target::read(&uri));
        read.map(|_| ()).map_err(|message| AuthorityError::NotAllowed { what: self.what(), message })
    }

    async fn ask(&self, request: Request<BodyWrapper<Bytes>>) -> Result<(StatusCode, Bytes), AuthorityError> {
        let response = self.exchange(request).await?;
        let (parts, body) = response.into_parts();
        Ok((parts.status, body))
    }

    /// One question and its answer. A refused nonce is handed back for the signer to try again; every other refusal is an error.
    async fn exchange(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, AuthorityError> {
        let target = Target::read(request.uri())
            .map_err(|message| AuthorityError::NotAllowed { what: self.what(), message })?;
        let mut sender = self.connection(&target).await?;
        let headers = request.headers_mut();
        headers.insert(HOST, target.host_header().map_err(|message| self.garbled(message))?);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        *request.uri_mut() = target.path.clone();
        let answered = timeout(self.0.limits.answer, async {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, self.0.limits.body)
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            Ok::<_, hyper::Error>((parts, body))
        });
        let (parts, body) = match answered.await {
            Err(_) => {
                return Err(
                    self.unreachable(&target, format!("no whole answer in {:?}", self.0.limits.answer))
                );
            }
            Ok(Err(error)) => return Err(self.unreachable(&target, chain_of(&error))),
            Ok(Ok((parts, Ok(body)))) => (parts, body),
            Ok(Ok((_, Err(error)))) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(self.garbled(format!("it is longer than {} bytes", self.0.limits.body)));
            }
            Ok(Ok((_, Err(error)))) => return Err(self.unreachable(&target, error.to_string())),
        };
        self.note(&parts);
        self.0.open.lock().await.insert(target.key(), sender);
        let is_bad_nonce =
            || answer::problem(&body).is_some_and(|problem| problem.kind == ProblemKind::BadNonce);
        if parts.status.is_success() || (parts.status == StatusCode::BAD_REQUEST && is_bad_nonce()) {
            return Ok(Response::from_parts(parts, body));
        }
        Err(answer::refusal(self.0.what, parts.status, &parts.headers, &body))
    }

    fn note(&self, parts: &http::response::Parts) {
        let text =
            |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut notes = self.0.notes.lock().expect("nothing panics while it holds the notes");
        notes.retry_after = answer::retry_after(&parts.headers);
        notes.nonce = text("replay-nonce");
        notes.location = text(LOCATION.as_str());
        if parts.status == StatusCode::CREATED {
            notes.created = text(LOCATION.as_str());
        }
    }

    fn unreachable(&self, target: &Target, message: String) -> AuthorityError {
        AuthorityError::Unreachable { what: self.what(), address: target.key(), message }
    }

    async fn connection(&self, target: &Target) -> Result<Sender, AuthorityError> {
        if let Some(mut open) = self.0.open.lock().await.remove(&target.key())
            && !open.is_closed()
            && open.ready().await.is_ok()
        {
            return Ok(open);
        }
        let mut last = None;
        for address in self.addresses(target).await? {
            match self.connect(target, address).await {
                Ok(sender) => return Ok(sender),
                Err(message) => last = Some(format!("{address}: {message}")),
            }
        }
        Err(self.unreachable(target, last.unwrap_or_else(|| "its name has no address".to_owned())))
    }

    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, AuthorityError> {
        let looked_up =
            timeout(self.0.limits.connect, tokio::net::lookup_host((target.host.as_str(), target.port)))
                .await;
        let found: Vec<SocketAddr> = match looked_up {
            Err(_) => {
                return Err(self.unreachable(target, "its name could not be looked up in time".to_owned()));
            }
            Ok(Err(error)) => {
                return Err(self.unreachable(target, format!("its name could not be looked up: {error}")));
            }
            Ok(Ok(found)) => found.collect(),
        };
        let allowed = |address: &&SocketAddr| self.0.allow_private || is_public(address.ip());
        let usable: Vec<SocketAddr> = found.iter().filter(allowed).take(ADDRESSES_MAX).copied().collect();
        match (usable.is_empty(), found.first()) {
            (true, Some(private)) => {
                let message = format!(
                    "{} is at {}, which is not a public address; an issuer inside a network must be allowed to be there",
                    target.host,
                    private.ip()
                );
                Err(AuthorityError::NotAllowed { what: self.what(), message })
            }
            _ => Ok(usable),
        }
    }

    async fn connect(&self, target: &Target, address: SocketAddr) -> Result<Sender, String> {
        let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
        let bounded = self.0.limits.connect;
        let stream =
            timeout(bounded, TcpStream::connect(address)).await.map_err(|_| "no connection in time")?;
        let stream = stream.map_err(|error| error.to_string())?;
        let secured = timeout(bounded, self.0.tls.connect(name, stream))
            .await
            .map_err(|_| "no TLS handshake in time")?;
        let secured = secured.map_err(|error| format!("TLS: {error}"))?;
        let (sender, connection) =
            handshake(TokioIo::new(secured)).await.map_err(|error| error.to_string())?;
        // Ends when the sender is dropped, which is at the end of the call.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl HttpClient for Link {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let link = self.clone();
        Box::pin(async move {
            let is_directory = request.method() == http::Method::GET;
            let answered = link.exchange(request).await.and_then(|answered| {
                if is_directory {
                    link.check_places(answered.body())?
                }
                Ok(answered)
            });
            let (parts, body) =
                answered.map_err(|error| instant_acme::Error::Other(Box::new(error)))?.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

/// Where a question goes.
struct Target {
    host: String,
    port: u16,
    path: Uri,
}

impl Target {
    fn read(uri: &Uri) -> Result<Self, String> {
        if uri.scheme_str() != Some("https") {
            return Err(format!("`{}` does not begin with https://", short(&uri.to_string())));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let path = path.parse().map_err(|error| format!("`{}` is no address: {error}", short(path)))?;
        Ok(Self { host, port: uri.port_u16().unwrap_or(443), path })
    }

    fn key(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn host_header(&self) -> Result<HeaderValue, String> {
        let key = self.key();
        let text = if self.port == 443 { key.trim_end_matches(":443") } else { &key };
        HeaderValue::from_str(text).map_err(|_| format!("`{}` is no host", short(&self.host)))
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// An error with its causes, because hyper's own text is only "connection error".
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
