//! What a handshake may negotiate: TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only, the
//! post-quantum hybrid where the client offers it, HTTP/2 and HTTP/1.1. No early data: a replayed request is a
//! request nobody sent. Tests: `tests/it/tls.rs`.

use std::sync::Arc;

use havre_core::time::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, default_provider, kx_group};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCertUsingSni};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite};

use crate::certificate::material::{self, MaterialError};

/// Protocol of TLS-ALPN-01 challenges (RFC 8737).
pub(crate) const ACME_PROTOCOL: &[u8] = b"acme-tls/1";
/// Protocols users may speak, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What connections may be encrypted with, in our order, which costs this machine least: all are authenticated and
/// have forward secrecy, so none is weaker than another, and clients without instructions for AES are few by now.
const SUITES: [SupportedCipherSuite; 9] = [
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Why there are no settings, or no placeholder.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The library refuses what we ask of it.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// No key or certificate of our own.
    #[error("make a self-signed certificate")]
    Placeholder(#[from] havre_x509::MakeError),
    /// The same.
    #[error("use a self-signed certificate")]
    Material(#[from] MaterialError),
}

/// What all certificates of one edge process have in common.
#[derive(Debug)]
pub struct Settings {
    base: ServerConfig,
    provider: Arc<CryptoProvider>,
    no_tickets: Arc<dyn ProducesTickets>,
}

impl Settings {
    /// Settings with these tickets.
    ///
    /// # Errors
    /// The library refuses them.
    pub fn new(tickets: Arc<dyn ProducesTickets>) -> Result<Self, SettingsError> {
        let kx_groups =
            vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
        let cipher_suites = SUITES.to_vec();
        let provider = Arc::new(CryptoProvider { cipher_suites, kx_groups, ..default_provider() });
        let mut base = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let no_tickets = std::mem::replace(&mut base.ticketer, tickets);
        base.ignore_client_order = true;
        base.session_storage = Arc::new(NoServerSessionStorage {});
        base.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self { base, provider, no_tickets })
    }

    /// Settings of tests: tickets that end with the process.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::new(Arc::new(super::ticket::Tickets::new().expect("randomness"))).expect("settings of our own")
    }

    pub(crate) fn provider(&self) -> &CryptoProvider {
        &self.provider
    }

    /// Everything a handshake with this certificate needs.
    pub(crate) fn present(&self, key: CertifiedKey, is_challenge: bool) -> Arc<ServerConfig> {
        let mut config = self.base.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
        if is_challenge {
            config.alpn_protocols = vec![ACME_PROTOCOL.to_vec()];
            self.forbid_resumption(&mut config);
        }
        Arc::new(config)
    }

    /// A session that is resumed later would not see a better certificate.
    fn forbid_resumption(&self, config: &mut ServerConfig) {
        config.send_tls13_tickets = 0;
        config.ticketer = Arc::clone(&self.no_tickets);
    }

    /// The same with a fresh self-signed certificate that names nobody.
    pub(crate) fn placeholder(&self) -> Result<Arc<ServerConfig>, SettingsError> {
        let millis = i64::try_from(super::ticket::now()).unwrap_or(0) * 1000;
        let made = havre_x509::challenge::placeholder(&[], Timestamp::from_millis(millis))?;
        let key = material::parse(made.to_pem().expose(), &self.provider)?;
        let mut config = self.base.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
        self.forbid_resumption(&mut config);
        Ok(Arc::new(config))
    }
}
