//! One handshake as an issuer makes it for a TLS-ALPN-01 challenge (RFC 8737): what is presented for a host. Sends no request and
//! judges no trust; the certificate of a challenge is trusted by nobody. Tests: `tests/it/public_tls.rs`.

use std::net::SocketAddr;
use std::sync::Arc;

use havre_core::name::HostName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::{AnyError, reachable};

/// What issuers ask for in place of a protocol for requests.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// The first certificate that is presented for `host`, in DER.
pub(super) async fn shake(listener: SocketAddr, host: &HostName) -> Result<Vec<u8>, AnyError> {
    let name = ServerName::try_from(host.as_str().to_owned()).map_err(|error| error.to_string())?;
    let socket = TcpStream::connect(reachable(listener)).await?;
    let stream = TlsConnector::from(Arc::new(client())).connect(name, socket).await?;
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(PROTOCOL) {
        return Err("it speaks TLS, but does not agree to acme-tls/1".into());
    }
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    Ok(leaf.ok_or("it presents no certificate")?.to_vec())
}

/// A client that remembers no session, so that it is presented a certificate each time.
fn client() -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has the suites of TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Reader))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config
}

/// Lets every certificate pass: it is read, not trusted. Signatures are not looked at either, because rustls refuses to read
/// a certificate with a critical extension that it does not know, which that of a challenge must have (RFC 8737, 3).
#[derive(Debug)]
struct Reader;

impl ServerCertVerifier for Reader {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
