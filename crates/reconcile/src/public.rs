//! The seam to the public listener: asks it as a user would and tells which release answered. The eighth seam;
//! reason in `docs/decisions/0004-public-probe-seam.md`.

mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use havre_core::name::HostName;
use havre_core::service::spec::RouteSpec;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;

/// Header that asks an edge to name the release even where the service does not; carries the probe key.
pub const PROBE_HEADER: &str = "havre-probe";

/// Header in which an edge names the release that answered.
pub const RELEASE_HEADER: &str = "havre-release";

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the public listener could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum PublicError {
    /// No connection, no answer, or not HTTP.
    #[error("{listener} did not answer for {route}: {message}")]
    NoAnswer {
        /// Where we asked.
        listener: SocketAddr,
        /// For which route.
        route: String,
        /// What happened.
        message: String,
    },
}

/// An answer of the public listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicAnswer {
    /// HTTP status.
    pub status: u16,
    /// Name of the release that answered (`r7`), when the edge named one.
    pub release: Option<String>,
}

/// Asks a public listener which release answers for a route.
#[async_trait]
pub trait PublicProbe: Send + Sync + std::fmt::Debug {
    /// One request over a fresh connection.
    ///
    /// # Errors
    /// When there is no HTTP answer within five seconds.
    async fn ask(
        &self,
        listener: SocketAddr,
        route: &RouteSpec,
        key: &str,
    ) -> Result<PublicAnswer, PublicError>;

    /// Status and text of a small answer for a host and path, asked as an issuer of certificates would.
    ///
    /// # Errors
    /// When there is no HTTP answer within five seconds, or one of more than 4 KB.
    async fn fetch(
        &self,
        listener: SocketAddr,
        host: &HostName,
        path: &str,
    ) -> Result<(u16, String), PublicError>;

    /// The certificate (DER) that is presented for a host to who asks as an issuer does for TLS-ALPN-01 (RFC 8737). Nothing
    /// is trusted because of it.
    ///
    /// # Errors
    /// When there is no such handshake within five seconds.
    async fn shake(&self, listener: SocketAddr, host: &HostName) -> Result<Vec<u8>, PublicError>;
}

/// Largest body of [`PublicProbe::fetch`].
const BODY_MAX: usize = 4096;

/// The real one: plain HTTP/1.1 over TCP, and TLS without a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpProbe;

#[async_trait]
impl PublicProbe for HttpProbe {
    async fn ask(
        &self,
        listener: SocketAddr,
        route: &RouteSpec,
        key: &str,
    ) -> Result<PublicAnswer, PublicError> {
        let failed = |message: String| PublicError::NoAnswer { listener, route: route.to_string(), message };
        match tokio::time::timeout(TIMEOUT, ask(listener, route, key)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn fetch(
        &self,
        listener: SocketAddr,
        host: &HostName,
        path: &str,
    ) -> Result<(u16, String), PublicError> {
        let failed =
            |message: String| PublicError::NoAnswer { listener, route: format!("{host}{path}"), message };
        match tokio::time::timeout(TIMEOUT, fetch(listener, host, path)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn shake(&self, listener: SocketAddr, host: &HostName) -> Result<Vec<u8>, PublicError> {
        let failed =
            |message: String| PublicError::NoAnswer { listener, route: format!("{host} by TLS"), message };
        match tokio::time::timeout(TIMEOUT, tls::shake(listener, host)).await {
            Ok(Ok(leaf)) => Ok(leaf),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }
}

async fn fetch(listener: SocketAddr, host: &HostName, path: &str) -> Result<(u16, String), AnyError> {
    let stream = tokio::net::TcpStream::connect(reachable(listener)).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, host.as_str())
        .header(hyper::header::USER_AGENT, "havre-probe")
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
    driver.abort();
    let body = body.map_err(|error| format!("read the answer: {error}"))?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).trim_end().to_owned()))
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn ask(listener: SocketAddr, route: &RouteSpec, key: &str) -> Result<PublicAnswer, AnyError> {
    let stream = tokio::net::TcpStream::connect(reachable(listener)).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::get(route.path.as_str())
        .header(hyper::header::HOST, route.host.as_str())
        .header(hyper::header::USER_AGENT, "havre-probe")
        .header(hyper::header::CONNECTION, "close")
        .header(PROBE_HEADER, key)
        .body(Empty::<Bytes>::new())?;
    let mut response = sender.send_request(request).await?;
    let answer = PublicAnswer {
        status: response.status().as_u16(),
        release: response
            .headers()
            .get(RELEASE_HEADER)
            .and_then(|value| value.to_str().ok())
            .map(ToOwned::to_owned),
    };
    // One frame is enough to know that a body comes; the rest is of no interest.
    let _ = response.frame().await;
    driver.abort();
    Ok(answer)
}

/// A wildcard address is listened on, not connected to.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}
