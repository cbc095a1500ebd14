//! Asks Docker Hub over HTTPS, as its documentation says: a token for the preview image, then the head of its manifest, whose headers
//! say what is left. The certificate is checked, addresses inside networks are refused, redirects are not followed, and everything
//! has an end. Keeps nothing. Tests: `tests/it/registry_http.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use havre_acme::client::address::is_public;
use havre_core::registry::limit::PullLimit;
use havre_core::registry::{Credentials, hub};
use havre_core::secret::Secret;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{LimitError, PullLimits};
use crate::deployment::chain;

/// Longest time for both questions together.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for a connection to one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried before giving up.
const ADDRESSES_MAX: usize = 3;
/// Most bytes that are held of an answer's head, and of the answer with the token.
const ANSWER_MAX: usize = 64 * 1024;

/// Where a server is.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Asks over the network.
#[derive(Debug, Clone)]
pub struct HttpPullLimits {
    tokens: Endpoint,
    registry: Endpoint,
    /// For tests with servers on this machine only.
    allow_private: bool,
    /// Trusted in place of the machine's own.
    roots: Option<Arc<RootCertStore>>,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Default for HttpPullLimits {
    fn default() -> Self {
        let endpoint = |host: &str| Endpoint { host: host.to_owned(), port: 443 };
        Self {
            tokens: endpoint(hub::TOKEN_HOST),
            registry: endpoint(hub::REGISTRY_HOST),
            allow_private: false,
            roots: None,
        }
    }
}

impl HttpPullLimits {
    /// Asks these servers, wherever they are, and trusts `roots` and nobody else: for tests.
    pub fn of_test(tokens: Endpoint, registry: Endpoint, roots: RootCertStore) -> Self {
        Self { tokens, registry, allow_private: true, roots: Some(Arc::new(roots)) }
    }

    async fn read(&self, credentials: Option<&Credentials>) -> Result<Option<PullLimit>, LimitError> {
        let proof = credentials.map(basic).transpose()?;
        let answer = self.exchange(&self.tokens, (Method::GET, hub::TOKEN_TARGET), proof).await?;
        if answer.status != StatusCode::OK {
            return Err(refused(&self.tokens, answer.status));
        }
        let token = parse_token(&answer.body)
            .ok_or_else(|| failed(&self.tokens, "answered without a token that could be read"))?;
        let proof = bearer(&token)?;
        let answer = self.exchange(&self.registry, (Method::HEAD, hub::PREVIEW_TARGET), Some(proof)).await?;
        // 429: nothing is left, and that is what the headers say.
        if answer.status != StatusCode::OK && answer.status != StatusCode::TOO_MANY_REQUESTS {
            return Err(refused(&self.registry, answer.status));
        }
        Ok(parse_limit(&answer.headers))
    }

    /// One request and its answer.
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        (method, target): (Method, &str),
        proof: Option<HeaderValue>,
    ) -> Result<Answer, LimitError> {
        let broken = |error: hyper::Error| failed(endpoint, &chain(&error));
        let stream = self.connect(endpoint).await?;
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, endpoint.host.as_str())
            .header(USER_AGENT, concat!("havre/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close");
        if let Some(proof) = proof {
            request = request.header(AUTHORIZATION, proof);
        }
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| failed(endpoint, &error.to_string()))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(ANSWER_MAX)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends with this call, however that ends: dropping the set ends what is in it.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let answer = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| failed(endpoint, &error.to_string()))?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes().to_vec() })
    }

    /// A connection to an address that was checked. The name is looked up once: it cannot mean another address in between.
    async fn connect(&self, endpoint: &Endpoint) -> Result<TlsStream<TcpStream>, LimitError> {
        let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
        let found =
            found.map_err(|error| failed(endpoint, &format!("its name could not be looked up: {error}")))?;
        let is_allowed = |address: &SocketAddr| self.allow_private || is_public(address.ip());
        let mut last = "its name has no public address".to_owned();
        let allowed: Vec<SocketAddr> = found.filter(is_allowed).take(ADDRESSES_MAX).collect();
        for address in allowed {
            let stream = match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    last = format!("{}: {error}", address.ip());
                    continue;
                }
                Err(_) => {
                    last = format!("{}: no connection in time", address.ip());
                    continue;
                }
            };
            let name = ServerName::try_from(endpoint.host.clone());
            let name = name.map_err(|error| failed(endpoint, &error.to_string()))?;
            let connected = TlsConnector::from(self.tls().await?).connect(name, stream).await;
            return connected.map_err(|error| failed(endpoint, &format!("TLS: {}", chain(&error))));
        }
        Err(failed(endpoint, &last))
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, LimitError> {
        let roots = match &self.roots {
            Some(roots) => Arc::clone(roots),
            None => Arc::new(system_roots().await?),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has the suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

#[async_trait]
impl PullLimits for HttpPullLimits {
    async fn ask(&self, credentials: Option<&Credentials>) -> Result<Option<PullLimit>, LimitError> {
        match timeout(LIMIT, self.read(credentials)).await {
            Ok(result) => result,
            Err(_) => Err(LimitError::new(format!("no answer within {LIMIT:?}"))),
        }
    }
}

fn failed(endpoint: &Endpoint, message: &str) -> LimitError {
    LimitError::new(format!("{}: {message}", endpoint.host))
}

fn refused(endpoint: &Endpoint, status: StatusCode) -> LimitError {
    failed(endpoint, &format!("answered {}", status.as_u16()))
}

fn basic(credentials: &Credentials) -> Result<HeaderValue, LimitError> {
    let Credentials { user, password, .. } = credentials;
    let pair = Secret::new([user.as_str().as_bytes(), b":", password.expose()].concat());
    proof("Basic", &STANDARD.encode(pair.expose()))
}

fn bearer(token: &Secret) -> Result<HeaderValue, LimitError> {
    proof("Bearer", token.expose_text().unwrap_or_default())
}

/// The value of a header that is never printed.
fn proof(scheme: &str, text: &str) -> Result<HeaderValue, LimitError> {
    let value = HeaderValue::try_from(format!("{scheme} {text}"));
    let mut value = value.map_err(|_| LimitError::new("the token is no value of a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn parse_token(body: &[u8]) -> Option<Secret> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let token = body.get("token").or_else(|| body.get("access_token"))?.as_str()?;
    (!token.is_empty()).then(|| Secret::from(token))
}

fn parse_limit(headers: &HeaderMap) -> Option<PullLimit> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    PullLimit::parse(text("ratelimit-limit")?, text("ratelimit-remaining")?)
}

/// Whom the machine trusts. Read for each question: they are rare, and a root that was added counts at once.
async fn system_roots() -> Result<RootCertStore, LimitError> {
    let read = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        // A root that cannot be read is no reason to trust none of the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let roots =
        read.await.map_err(|error| LimitError::new(format!("read the certificate authorities: {error}")))?;
    if roots.is_empty() {
        return Err(LimitError::new("this machine trusts no certificate authority: install ca-certificates"));
    }
    Ok(roots)
}
