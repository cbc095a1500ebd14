//! HTTPS servers made by hand: one that answers a TLS-ALPN challenge, one that misbehaves as a test says.

use std::net::SocketAddr;
use std::sync::Arc;

use havre_core::time::Timestamp;
use havre_x509::issuer::PretendIssuer;
use havre_x509::material::Material;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn config(material: &Material, alpn: Option<&[u8]>) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(material.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::try_from(material.key.expose().to_vec()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // `with_single_cert` reads the certificate, and cannot read the critical extension of a challenge.
    let key = provider.key_provider.load_private_key(key).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))));
    config.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
    Arc::new(config)
}

/// Shakes hands with whoever speaks `alpn`, and says nothing.
pub(crate) async fn serve_alpn(address: SocketAddr, material: &Material, alpn: &[u8]) {
    let acceptor = TlsAcceptor::from(config(material, Some(alpn)));
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.read(&mut [0; 1]).await;
                }
            });
        }
    });
}

/// What a misbehaving server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends these bytes and closes.
    Say(String),
    /// Sends these bytes, then this many more, and closes.
    Flood(String, usize),
    /// Says nothing, and keeps the connection.
    Hang,
    /// Sends these bytes, and then nothing more.
    Stall(String),
}

/// A server on a free port that acts by `choose`, which gets method and path. Answers its port and the root to trust.
pub(crate) async fn serve(choose: impl Fn(&str, &str) -> Act + Send + Sync + 'static) -> (u16, String) {
    let root = PretendIssuer::new("Server of a test").unwrap();
    let now = crate::pebble::now_ms();
    let (from, until) = (Timestamp::from_millis(now - 3_600_000), Timestamp::from_millis(now + 86_400_000));
    let material = root.issue(&["localhost".parse().unwrap()], from, until).unwrap();
    let acceptor = TlsAcceptor::from(config(&material, None));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let choose = Arc::new(choose);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let (acceptor, choose) = (acceptor.clone(), Arc::clone(&choose));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = vec![0; 16_384];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&head[..length]).into_owned();
                let mut words = text.split(' ');
                let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                act(&mut stream, choose(method, path)).await;
            });
        }
    });
    (port, root.root())
}

async fn act(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), act: Act) {
    match act {
        Act::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Act::Flood(text, count) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let block = vec![b' '; 64 * 1024];
            for _ in 0..count / block.len() {
                if stream.write_all(&block).await.is_err() {
                    return;
                }
            }
            let _ = stream.shutdown().await;
        }
        Act::Hang => std::future::pending().await,
        Act::Stall(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.flush().await;
            std::future::pending().await
        }
    }
}

/// A whole answer with a body.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Act {
    Act::Say(format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A server without TLS that answers every request with this, as a provider's API would.
pub(crate) async fn serve_plain(status: &'static str, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut vec![0; 16_384]).await;
            act(&mut stream, answer(status, "content-type: application/json\r\n", body)).await;
        }
    });
    address
}
