//! Calls a CDN over HTTPS: the certificate is checked, addresses of private networks are refused, redirects are not
//! followed. Tests at the end of the file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use havre_core::site::purge::{PurgeSpec, PurgeUrl, SecretName};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{PurgeError, Purger};

/// Longest call, from the name to the head of the answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest secret.
const SECRET_MAX: u64 = 4096;

/// Where secrets are, and what may be called.
#[derive(Debug, Clone)]
pub struct PurgeSettings {
    /// Folder with one file for each secret.
    pub secrets_dir: PathBuf,
    /// Addresses of private networks may be called too, and in plain HTTP.
    pub allow_private: bool,
}

/// The real one.
#[derive(Debug, Clone)]
pub struct HttpPurger {
    settings: PurgeSettings,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl HttpPurger {
    /// Calls as `settings` allow.
    pub fn new(settings: PurgeSettings) -> Self {
        Self { settings }
    }

    async fn secret(&self, name: &SecretName) -> Result<String, PurgeError> {
        let path = self.settings.secrets_dir.join(name.as_str());
        let wrong = |what: &str| PurgeError(format!("the secret {} {what}", path.display()));
        let metadata = tokio::fs::metadata(&path).await.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        if metadata.len() > SECRET_MAX {
            return Err(wrong("has more than 4096 bytes"));
        }
        let text = tokio::fs::read_to_string(&path).await;
        let text = text.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        let text = text.trim_ascii();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(wrong("is not one line of visible characters"));
        }
        Ok(text.to_owned())
    }

    async fn call(&self, spec: &PurgeSpec, tag: &str) -> Result<u16, PurgeError> {
        let secret = self.secret(&spec.secret).await?;
        if spec.url.is_plain() && !self.settings.allow_private {
            return Err(PurgeError("only https:// may be called (`purge_private` in havred.toml)".to_owned()));
        }
        let stream = self.connect(&spec.url).await?;
        let failed = |error: &dyn std::fmt::Display| PurgeError(format!("{}: {error}", spec.url.authority()));
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(|error| failed(&error))?;
        let driver = tokio::spawn(connection);
        let body = spec.body.filled(tag);
        let mut request = hyper::Request::builder()
            .method(spec.method.as_str())
            .uri(spec.url.target(tag))
            .header(hyper::header::HOST, spec.url.authority())
            .header(hyper::header::USER_AGENT, "havre")
            .header(hyper::header::CONNECTION, "close")
            .header(spec.header.as_str(), secret);
        if !body.is_empty() {
            request = request.header(hyper::header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| failed(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| failed(&error));
        driver.abort();
        let status = answer?.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        Err(failed(&format!("answered {}", status.as_u16())))
    }

    async fn connect(&self, url: &PurgeUrl) -> Result<Box<dyn Stream>, PurgeError> {
        let failed = |error: &dyn std::fmt::Display| PurgeError(format!("{}: {error}", url.authority()));
        let found = tokio::net::lookup_host((url.host(), url.port())).await.map_err(|error| failed(&error))?;
        let addresses: Vec<SocketAddr> = found.collect();
        // What is checked is what is connected to: a name cannot change its mind in between.
        let address = addresses.iter().find(|address| self.settings.allow_private || is_public(address.ip()));
        let Some(address) = address else {
            return Err(failed(&"has no public address (`purge_private` in havred.toml allows others)"));
        };
        let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| failed(&error))?;
        if url.is_plain() {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(url.host().to_owned()).map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(client()?).connect(name, stream).await.map_err(|error| failed(&error))?;
        Ok(Box::new(stream))
    }
}

#[async_trait]
impl Purger for HttpPurger {
    async fn purge(&self, spec: &PurgeSpec, tag: &str) -> Result<u16, PurgeError> {
        match tokio::time::timeout(TIMEOUT, self.call(spec, tag)).await {
            Ok(result) => result,
            Err(_) => Err(PurgeError(format!("{}: no answer in time", spec.url.authority()))),
        }
    }
}

/// The machine's own certificate authorities.
fn client() -> Result<Arc<ClientConfig>, PurgeError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(PurgeError("no certificate authorities on this machine: install ca-certificates".to_owned()));
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// Whether an address belongs to the internet and to no network of somebody's own.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(address) => {
            let first = address.segments()[0];
            // Global unicast, without documentation, and without the ranges that carry an IPv4 address inside.
            (0x2000..0x4000).contains(&first)
                && first != 0x2002
                && !(first == 0x2001 && address.segments()[1] < 0x0200)
                && !(first == 0x2001 && address.segments()[1] == 0x0db8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_somebodys_own_are_not_public() {
        for private in [
            "127.0.0.1", "10.0.0.1", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255",
            "224.0.0.1", "198.18.0.1", "192.0.0.8", "::1", "::", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "2002:a00:1::",
            "2001:db8::1", "2001::1", "64:ff9b::a00:1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["9.9.9.9", "151.101.1.6", "2620:fe::fe", "2a04:4e42::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
