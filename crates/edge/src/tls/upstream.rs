//! TLS towards applications: whom a release trusts, made ready once for all of its connections, and the handshake.
//! Sessions are resumed from memory. What connections carry is not its business. Tests: `tests/it/tls_upstream.rs`.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use havre_api::route_table::Protocol;
use havre_core::service::tls::{TlsSpec, Trust as Vouching};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error,
    RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;

use super::handshake::step;
use crate::proxy::{Pace, Wire};
use crate::stream::{SocketIo, Stream, Tls};
use crate::upstream::Upstream;

/// How the upstreams of a release prove who they are.
#[derive(Debug)]
pub(crate) struct Trust {
    spec: TlsSpec,
    protocol: Protocol,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Trust {
    /// None when the library refuses the name or our own settings. Certificates it cannot read are left out, and then
    /// vouch for nobody: one bad certificate must not keep an edge from its next table.
    pub(crate) fn new(spec: &TlsSpec, protocol: Protocol) -> Option<Self> {
        let provider = Arc::new(default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]).ok()?;
        let builder = match &spec.trust {
            Vouching::Ca { certificates } => {
                let mut roots = RootCertStore::empty();
                let (_, unread) = roots.add_parsable_certificates(certificates.ders());
                if unread > 0 {
                    tracing::warn!(name = %spec.name, unread, "certificates in `ca` that cannot be read");
                }
                builder.with_root_certificates(roots)
            }
            Vouching::Anyone => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(TakesAny(algorithms)))
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![if protocol.is_h2() { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::try_from(spec.name.to_string()).ok()?;
        Some(Self { spec: spec.clone(), protocol, name, config: Arc::new(config) })
    }

    /// Whether it was made from the same.
    pub(crate) fn is_of(&self, spec: &TlsSpec, protocol: Protocol) -> bool {
        self.protocol == protocol && self.spec == *spec
    }

    /// Makes the handshake on a fresh connection. The caller sets the deadline.
    pub(crate) async fn shake_hands(self: &Arc<Self>, mut socket: TcpStream) -> io::Result<Box<Tls>> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        let mut session = Connection::from(session.map_err(io::Error::other)?);
        poll_fn(|context| step(&mut session, &mut SocketIo { socket: &mut socket, context }))
            .await
            .map_err(in_words)?;
        let mut tls = Tls::new(socket, session, None);
        if self.protocol.is_h2() && !tls.speaks_h2() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "TLS: does not offer HTTP/2 (ALPN h2)"));
        }
        tls.trust = Some(Arc::clone(self));
        Ok(Box::new(tls))
    }
}

/// Whether connections made under one are good for the other.
pub(crate) fn is_same(one: Option<&Arc<Trust>>, other: Option<&Arc<Trust>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}

/// A connection to `upstream`, its handshake included where it speaks TLS, all within `wait`.
pub(crate) async fn connect(wire: Wire<'_>, upstream: &Upstream, wait: Duration) -> io::Result<Stream> {
    let mut pace = Pace::within(wait);
    let socket = wire.connect(upstream.address, &mut pace).await?;
    let Some(trust) = &upstream.trust else { return Ok(Stream::Plain(socket)) };
    // Boxed: plain connections should not pay for its size.
    let mut shaking = Box::pin(trust.shake_hands(socket));
    let tls = wire.paced(&mut pace, |context, _| shaking.as_mut().poll(context)).await?;
    Ok(Stream::Tls(tls))
}

/// What went wrong, for people. The kind stays: `InvalidData` is a handshake that failed, not a connection.
fn in_words(problem: io::Error) -> io::Error {
    let text = match problem.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "nothing in `ca` vouches for its certificate".to_owned()
        }
        Some(Error::InvalidMessage(_)) => "what answers does not speak TLS".to_owned(),
        Some(cause) => cause.to_string(),
        None if problem.kind() == io::ErrorKind::UnexpectedEof => "closed during the handshake".to_owned(),
        None => return problem,
    };
    io::Error::new(problem.kind(), format!("TLS: {text}"))
}

/// Takes any certificate: for `verify = false`, and for nothing else. The handshake must still be signed by the key of
/// the certificate that was shown.
#[derive(Debug)]
struct TakesAny(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for TakesAny {
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
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
