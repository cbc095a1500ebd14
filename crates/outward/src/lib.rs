//! One HTTP call to a host outside, for who tells CDNs and forges something, asks Docker Hub or fetches with Git LFS: the name is looked up once,
//! addresses inside networks are refused unless the server allows them, the connection goes to an address that was checked, the certificate
//! must be for the name, redirects are not followed, and everything has an end. Knows nothing of what is said, keeps nothing.
//!
//! A crate of its own because it enforces a ban: loops reach hosts whose names users give through here and in no other way. It sees no store, no
//! seam and no loop. Tests: at those who call, `reconcile/tests/it/{purge_http,forge_http,registry_http,lfs_http}.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use havre_core::outward::OutwardUrl;
use havre_decide::dns::public::is_public;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longest call, from looking up the name to the end of the answer.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest wait for a connection to one address, so that the next one gets its turn within the limit.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried before giving up.
const ADDRESSES_MAX: usize = 3;
/// Most bytes that are held of an answer's head.
const HEAD_MAX: usize = 64 * 1024;

/// Why there is no answer, for people. Never says a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It may not be called until a person changes something.
    #[error("{0}")]
    Refused(String),
    /// It does not answer; later it may.
    #[error("{0}")]
    Away(String),
}

/// What is sent.
#[derive(Debug)]
pub struct Request<'a> {
    /// Whom to call.
    pub url: &'a OutwardUrl,
    /// Such as `GET`.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Header lines beside those of every call.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON, unless a header line says what it is; none when empty.
    pub body: String,
}

/// What came.
#[derive(Debug)]
pub struct Response {
    /// Of the answer.
    pub status: u16,
    /// Header lines of the answer.
    pub headers: HeaderMap,
    /// At most as much of it as the caller wants.
    pub body: Vec<u8>,
}

/// What begins to come. Dropped, it ends the connection.
#[derive(Debug)]
pub struct Answer {
    /// Of the answer.
    pub status: u16,
    /// Header lines of the answer.
    pub headers: HeaderMap,
    body: Incoming,
    /// Both keep the connection open.
    _sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<hyper::Result<()>>,
}

impl Answer {
    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// The body broke off.
    pub async fn next(&mut self) -> hyper::Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// Calls over the network.
#[derive(Debug, Clone)]
pub struct Caller {
    allow_private: bool,
    /// The key of `havred.toml` that allows private addresses; none where nothing does.
    setting: Option<&'static str>,
    limit: Duration,
    /// Most bytes that are read of an answer's body; the rest is left.
    body_max: usize,
    /// Trusted in place of the machine's own.
    roots: Option<Arc<RootCertStore>>,
    /// Taken for a public address.
    public: Option<SocketAddr>,
}

impl Caller {
    /// With the usual limit, and trusting whom the machine trusts.
    pub fn new(allow_private: bool, setting: Option<&'static str>, body_max: usize) -> Self {
        Self { allow_private, setting, limit: LIMIT, body_max, roots: None, public: None }
    }

    /// With another limit for the whole call.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Trusts these and nobody else.
    #[must_use]
    pub fn with_roots(self, roots: RootCertStore) -> Self {
        Self { roots: Some(Arc::new(roots)), ..self }
    }

    /// Takes this one address for a public one.
    #[must_use]
    pub fn with_public(self, address: SocketAddr) -> Self {
        Self { public: Some(address), ..self }
    }

    /// Makes the call.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&self, request: Request<'_>) -> Result<Response, CallError> {
        let url = request.url;
        let work = async {
            let mut answer = self.run(request).await?;
            let body = read(&mut answer, self.body_max).await;
            let body = body.map_err(|error| away(url, &chain(&error)))?;
            Ok(Response { status: answer.status, headers: answer.headers, body })
        };
        self.in_time(url, work).await
    }

    /// Makes the call and answers as soon as the body begins, however long that is; its end is the caller's to set.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn open(&self, request: Request<'_>) -> Result<Answer, CallError> {
        let url = request.url;
        self.in_time(url, self.run(request)).await
    }

    async fn in_time<T>(
        &self,
        url: &OutwardUrl,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        match timeout(self.limit, work).await {
            Ok(result) => result,
            Err(_) => Err(away(url, &format!("no answer within {:?}", self.limit))),
        }
    }

    async fn run(&self, request: Request<'_>) -> Result<Answer, CallError> {
        let url = request.url;
        if url.is_plain() && !self.allow_private {
            let message = format!("only https:// may be called{}", self.way_out("http://"));
            return Err(refused(url, &message));
        }
        let stream = self.connect(url).await?;
        if url.is_plain() {
            return self.exchange(stream, request).await;
        }
        let name = ServerName::try_from(url.host().to_owned());
        let name = name.map_err(|error| refused(url, &error.to_string()))?;
        let connected = TlsConnector::from(self.tls(url).await?).connect(name, stream).await;
        let stream = connected.map_err(|error| away(url, &format!("TLS: {}", chain(&error))))?;
        self.exchange(stream, request).await
    }

    /// What allows it, for the end of a message.
    fn way_out(&self, what: &str) -> String {
        let named = |setting| format!(" (`{setting}` in havred.toml allows {what})");
        self.setting.map(named).unwrap_or_default()
    }

    /// A connection to an address that was checked. The name is looked up once: it cannot mean another address in between.
    async fn connect(&self, url: &OutwardUrl) -> Result<TcpStream, CallError> {
        let found = tokio::net::lookup_host((url.host(), url.port())).await;
        let found = found.map_err(|error| away(url, &format!("its name could not be looked up: {error}")))?;
        let found: Vec<SocketAddr> = found.collect();
        let is_allowed = |address: &&SocketAddr| {
            self.allow_private || is_public(address.ip()) || self.public == Some(**address)
        };
        let allowed: Vec<SocketAddr> = found.iter().filter(is_allowed).take(ADDRESSES_MAX).copied().collect();
        if let (true, Some(private)) = (allowed.is_empty(), found.first()) {
            let way_out = self.way_out("others");
            let message = format!("it is at {}, which is not a public address{way_out}", private.ip());
            return Err(refused(url, &message));
        }
        let mut last = "its name has no address".to_owned();
        for address in allowed {
            match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = format!("{}: {error}", address.ip()),
                Err(_) => last = format!("{}: no connection in time", address.ip()),
            }
        }
        Err(away(url, &last))
    }

    async fn tls(&self, url: &OutwardUrl) -> Result<Arc<ClientConfig>, CallError> {
        let roots = match &self.roots {
            Some(roots) => Arc::clone(roots),
            None => Arc::new(system_roots(url).await?),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has the suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// One request and the head of its answer.
    async fn exchange<S>(&self, stream: S, request: Request<'_>) -> Result<Answer, CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let url = request.url;
        let broken = |error: hyper::Error| away(url, &chain(&error));
        let mut built = hyper::Request::builder()
            .method(request.method)
            .uri(request.target)
            .header(HOST, url.authority())
            .header(USER_AGENT, concat!("havre/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close");
        let says_what = request.headers.iter().any(|(name, _)| name == CONTENT_TYPE);
        for (name, value) in request.headers {
            built = built.header(name, value);
        }
        if !request.body.is_empty() && !says_what {
            built = built.header(CONTENT_TYPE, "application/json");
        }
        let built = built.body(Full::new(Bytes::from(request.body)));
        let built = built.map_err(|error| refused(url, &error.to_string()))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends with the answer, or with this call: dropping the set ends what is in it.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let answer = sender.send_request(built).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        Ok(Answer { status, headers, body, _sender: sender, _driver: driver })
    }
}

/// The beginning of a body.
async fn read(answer: &mut Answer, most: usize) -> hyper::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < most {
        let Some(data) = answer.next().await? else { break };
        let room = most - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
    }
    Ok(bytes)
}

fn refused(url: &OutwardUrl, message: &str) -> CallError {
    CallError::Refused(format!("{}: {message}", url.authority()))
}

fn away(url: &OutwardUrl, message: &str) -> CallError {
    CallError::Away(format!("{}: {message}", url.authority()))
}

/// Whom the machine trusts. Read for each call: calls are rare, and a root that was added counts at once.
async fn system_roots(url: &OutwardUrl) -> Result<RootCertStore, CallError> {
    let read = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        // A root that cannot be read is no reason to trust none of the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let roots =
        read.await.map_err(|error| away(url, &format!("read the certificate authorities: {error}")))?;
    if roots.is_empty() {
        let message = "this machine trusts no certificate authority: install ca-certificates";
        return Err(CallError::Away(message.to_owned()));
    }
    Ok(roots)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
