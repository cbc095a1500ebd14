//! Calls a CDN over HTTPS: the certificate is checked, addresses inside networks are refused unless the server allows them,
//! redirects are not followed, and everything has an end. Keeps nothing. Tests: `tests/it/purge_http.rs`.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use havre_acme::client::address::is_public;
use havre_core::secret::Secret;
use havre_core::site::purge::{PurgeSpec, PurgeUrl, SecretName};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{PurgeError, Purger};
use crate::deployment::chain;

/// Longest call, from reading the secret to the head of the answer. CDNs answer at once and forget afterwards.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest wait for a connection to one address, so that the next one gets its turn within the limit.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried before giving up.
const ADDRESSES_MAX: usize = 3;
/// Largest secret, in bytes.
const SECRET_MAX: u64 = 4096;
/// Most bytes that are held of an answer's head. Its body is not read.
const HEAD_MAX: usize = 64 * 1024;

/// Where secrets are, and what may be called.
#[derive(Debug, Clone)]
pub struct PurgeSettings {
    /// A folder for each host that may be called with a secret, in it one file for each secret. The host is part of the place
    /// so that who may deploy cannot have a secret sent to a server of their own.
    pub secrets_dir: PathBuf,
    /// Whether addresses that are not public may be called too, and over plain HTTP.
    pub allow_private: bool,
}

/// Calls over the network.
#[derive(Debug, Clone)]
pub struct HttpPurger {
    settings: PurgeSettings,
    limit: Duration,
    /// Trusted in place of the machine's own.
    roots: Option<Arc<RootCertStore>>,
}

impl HttpPurger {
    /// Calls what `settings` allow, with the usual limit, and trusts whom the machine trusts.
    pub fn new(settings: PurgeSettings) -> Self {
        Self { settings, limit: LIMIT, roots: None }
    }

    /// With another limit for the whole call, for tests of what happens at it.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Trusts these and nobody else, for tests with a server of their own.
    #[must_use]
    pub fn with_roots(self, roots: RootCertStore) -> Self {
        Self { roots: Some(Arc::new(roots)), ..self }
    }

    async fn call(&self, spec: &PurgeSpec, tag: &str) -> Result<u16, PurgeError> {
        if spec.url.is_plain() && !self.settings.allow_private {
            let message = "only https:// may be called (`purge_private` in havred.toml allows http://)";
            return Err(failed(&spec.url, message));
        }
        let secret = self.secret(&spec.url, &spec.secret).await?;
        let stream = self.connect(&spec.url).await?;
        if spec.url.is_plain() {
            return exchange(stream, spec, tag, secret).await;
        }
        let name = ServerName::try_from(spec.url.host().to_owned());
        let name = name.map_err(|error| failed(&spec.url, &error.to_string()))?;
        let connected = TlsConnector::from(self.tls().await?).connect(name, stream).await;
        let stream = connected.map_err(|error| failed(&spec.url, &format!("TLS: {}", chain(&error))))?;
        exchange(stream, spec, tag, secret).await
    }

    /// The one line of the secret's file, as the value of a header that is never printed.
    async fn secret(&self, url: &PurgeUrl, name: &SecretName) -> Result<HeaderValue, PurgeError> {
        let path = self.settings.secrets_dir.join(url.host()).join(name.as_str());
        let wrong = |what: &str| PurgeError::new(format!("the secret {} {what}", path.display()));
        let unreadable = |error: std::io::Error| wrong(&format!("cannot be read: {error}"));
        let file = tokio::fs::File::open(&path).await.map_err(unreadable)?;
        let about = file.metadata().await.map_err(unreadable)?;
        if !about.is_file() {
            return Err(wrong("is no file"));
        }
        if about.permissions().mode() & 0o007 != 0 {
            return Err(wrong("can be opened by everybody on the machine; `chmod 640` it"));
        }
        let mut bytes = Vec::new();
        // One more than allowed, to see that it is too long.
        let read = file.take(SECRET_MAX + 1).read_to_end(&mut bytes).await;
        let secret = Secret::new(bytes);
        let length = read.map_err(unreadable)?;
        if u64::try_from(length).is_ok_and(|length| length > SECRET_MAX) {
            return Err(wrong("has more than 4096 bytes"));
        }
        let line = secret.expose().trim_ascii();
        let is_shown = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        if line.is_empty() || !line.iter().all(is_shown) {
            return Err(wrong("is not one line of visible ASCII characters"));
        }
        let mut value = HeaderValue::from_bytes(line).map_err(|_| wrong("is no value of a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// A connection to an address that was checked. The name is looked up once: it cannot mean another address in between.
    async fn connect(&self, url: &PurgeUrl) -> Result<TcpStream, PurgeError> {
        let found = tokio::net::lookup_host((url.host(), url.port())).await;
        let found =
            found.map_err(|error| failed(url, &format!("its name could not be looked up: {error}")))?;
        let found: Vec<SocketAddr> = found.collect();
        let is_allowed = |address: &&SocketAddr| self.settings.allow_private || is_public(address.ip());
        let allowed: Vec<SocketAddr> = found.iter().filter(is_allowed).take(ADDRESSES_MAX).copied().collect();
        if let (true, Some(private)) = (allowed.is_empty(), found.first()) {
            let message = format!(
                "it is at {}, which is not a public address (`purge_private` in havred.toml allows others)",
                private.ip()
            );
            return Err(failed(url, &message));
        }
        let mut last = "its name has no address".to_owned();
        for address in allowed {
            match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = format!("{}: {error}", address.ip()),
                Err(_) => last = format!("{}: no connection in time", address.ip()),
            }
        }
        Err(failed(url, &last))
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, PurgeError> {
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
impl Purger for HttpPurger {
    async fn purge(&self, spec: &PurgeSpec, tag: &str) -> Result<u16, PurgeError> {
        match timeout(self.limit, self.call(spec, tag)).await {
            Ok(result) => result,
            Err(_) => Err(failed(&spec.url, &format!("no answer within {:?}", self.limit))),
        }
    }
}

fn failed(url: &PurgeUrl, message: &str) -> PurgeError {
    PurgeError::new(format!("{}: {message}", url.authority()))
}

/// Whom the machine trusts. Read for each call: calls are rare, and a root that was added counts at once.
async fn system_roots() -> Result<RootCertStore, PurgeError> {
    let read = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        // A root that cannot be read is no reason to trust none of the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let roots =
        read.await.map_err(|error| PurgeError::new(format!("read the certificate authorities: {error}")))?;
    if roots.is_empty() {
        return Err(PurgeError::new("this machine trusts no certificate authority: install ca-certificates"));
    }
    Ok(roots)
}

/// One request and the status of its answer.
async fn exchange<S>(stream: S, spec: &PurgeSpec, tag: &str, secret: HeaderValue) -> Result<u16, PurgeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| failed(&spec.url, &chain(&error));
    let body = spec.body.filled(tag);
    let mut request = hyper::Request::builder()
        .method(spec.method.as_str())
        .uri(spec.url.target(tag))
        .header(HOST, spec.url.authority())
        .header(USER_AGENT, concat!("havre/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .header(spec.header.as_str(), secret);
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::new(Bytes::from(body)));
    let request = request.map_err(|error| failed(&spec.url, &error.to_string()))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Ends with this call, however that ends: dropping the set ends what is in it.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(status.as_u16());
    }
    let note = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    Err(failed(&spec.url, &format!("answered {}{note}", status.as_u16())))
}
