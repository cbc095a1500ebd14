//! The handshake of an issuer, against small servers on this machine: what is asked for, what is read, and what is no answer.

use std::net::SocketAddr;
use std::sync::Arc;

use havre_core::name::HostName;
use havre_core::time::Timestamp;
use havre_reconcile::public::{HttpProbe, PublicProbe};
use havre_x509::challenge::{challenge_certificate, placeholder};
use havre_x509::inspect::leaf_der;
use havre_x509::material::Material;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn host() -> HostName {
    "api.localhost".parse().unwrap()
}

/// A server that makes one handshake with these; gives the name that was asked for.
async fn serve(material: &Material, protocols: &[&str]) -> (SocketAddr, JoinHandle<Option<String>>) {
    let chain = CertificateDer::pem_slice_iter(material.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::try_from(material.key.expose().to_vec()).unwrap();
    let key = default_provider().key_provider.load_private_key(key).unwrap();
    // `with_single_cert` would read the certificate, and cannot read the critical extension of a challenge.
    let presented = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(presented));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.ok()?;
        stream.get_ref().1.server_name().map(ToOwned::to_owned)
    });
    (address, server)
}

/// What went wrong, after who did not answer for what.
async fn fails(listener: SocketAddr) -> String {
    let error = HttpProbe.shake(listener, &host()).await.unwrap_err().to_string();
    let who = format!("{listener} did not answer for api.localhost by TLS: ");
    error.strip_prefix(&who).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[tokio::test]
async fn it_reads_what_is_presented_for_a_host_and_trusts_nobody() {
    let challenge = challenge_certificate(&host(), [7; 32], NOW).unwrap();
    let usual = placeholder(&[host().into()], NOW).unwrap();
    for material in [challenge, usual] {
        let (address, server) = serve(&material, &["acme-tls/1"]).await;
        let leaf = HttpProbe.shake(address, &host()).await.unwrap();
        assert_eq!(Some(leaf), leaf_der(&material.chain));
        assert_eq!(server.await.unwrap().as_deref(), Some("api.localhost"));
    }
}

#[tokio::test]
async fn who_does_not_speak_to_issuers_gives_no_answer() {
    let usual = placeholder(&[host().into()], NOW).unwrap();
    let (address, _) = serve(&usual, &["h2", "http/1.1"]).await;
    let message = fails(address).await;
    assert!(message.contains("NoApplicationProtocol"), "{message}");
    let (address, _) = serve(&usual, &[]).await;
    assert_eq!(fails(address).await, "it speaks TLS, but does not agree to acme-tls/1");
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let message = fails(address).await;
    assert!(message.contains("refused"), "{message}");
}

/// The kernel takes the connection, and nobody ever reads from it. No time passes really.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_not_waited_for_for_ever() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(fails(listener.local_addr().unwrap()).await, "no answer within 5 s");
}
