//! TLS for clients that write plain bytes: a relay on this machine that encrypts what they send and decrypts what
//! comes back, ends and resets included. It checks no certificate: what is presented is the subject of `tls.rs`.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Believes every certificate.
#[derive(Debug)]
struct Credulous;

/// rustls cannot read the certificate of a challenge, whose extension is critical; the tests compare its bytes.
fn readable(verified: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
    match verified {
        Err(Error::InvalidCertificate(CertificateError::Other(_))) => {
            Ok(HandshakeSignatureValid::assertion())
        }
        verified => verified,
    }
}

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        readable(rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        readable(rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A client that believes every certificate and offers these protocols.
pub(crate) fn client(versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// The relay. Ends when dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Relay {
    /// Encrypts for `edge`, without naming a host; `protocol` is what both sides will speak.
    pub(crate) fn start(edge: SocketAddr, protocol: &'static str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let config = client(rustls::ALL_VERSIONS, &[protocol]);
                let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
                tokio::select! {
                    () = accept(listener, connector, edge) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, _stop: stop }
    }
}

async fn accept(listener: TcpListener, connector: tokio_rustls::TlsConnector, edge: SocketAddr) {
    loop {
        let (plain, _) = listener.accept().await.unwrap();
        let connector = connector.clone();
        tokio::spawn(async move {
            let Ok(socket) = TcpStream::connect(edge).await else { return };
            socket.set_nodelay(true).unwrap();
            plain.set_nodelay(true).unwrap();
            let name = ServerName::from(edge.ip());
            // An edge that refuses the handshake closes, and so does the relay.
            let Ok(secure) = connector.connect(name, socket).await else { return };
            relay(plain, secure).await;
        });
    }
}

/// Both ways until both have ended; what breaks on one side is reset on the other.
async fn relay(plain: TcpStream, secure: tokio_rustls::client::TlsStream<TcpStream>) {
    let (mut from_client, mut to_client) = plain.into_split();
    let (mut from_edge, mut to_edge) = tokio::io::split(secure);
    let inward = tokio::spawn(async move {
        let ended = pass(&mut from_client, &mut to_edge).await;
        (ended, from_client, to_edge)
    });
    if pass(&mut from_edge, &mut to_client).await.is_err() {
        inward.abort();
        let plain = inward.await.ok().map(|(_, from_client, _)| from_client);
        // What is left of the plain connection says it too.
        let _ = plain
            .map_or_else(|| to_client.as_ref().set_zero_linger(), |from| from.as_ref().set_zero_linger());
        return;
    }
    let _ = inward.await;
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let mut block = [0; 16 * 1024];
    loop {
        match from.read(&mut block).await? {
            0 => return to.shutdown().await,
            count => {
                to.write_all(&block[..count]).await?;
                to.flush().await?;
            }
        }
    }
}
