//! What a route table says about HTTPS: which certificate answers for which names, answers to HTTP-01 challenges,
//! and whether a host wants HTTPS only. It orders nothing (`certificate`) and holds no key: an edge fetches the
//! material by digest. Tests: `web`'s `tests/it/edge.rs`, which shows it on the wire.

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::name::{CertificateName, HostName};

/// A certificate an edge presents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Names it answers for, sorted.
    pub names: Vec<CertificateName>,
    /// SHA-256 of the material: the chain in PEM, then the key in PKCS#8 PEM.
    pub digest: Digest,
    /// When it is presented.
    pub purpose: CertificatePurpose,
}

/// When a certificate is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificatePurpose {
    /// To users.
    Serve,
    /// To a certificate authority that checks a TLS-ALPN-01 challenge (RFC 8737), and to nobody else.
    TlsAlpn01,
}

/// An HTTP-01 challenge (RFC 8555, 8.3): the plain listener answers it before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Host the authority asks.
    pub host: HostName,
    /// Last segment of the path it asks for.
    pub token: String,
    /// Body of the answer.
    pub answer: String,
}

/// How a host treats plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostPolicy {
    /// Plain requests are sent to HTTPS. Only once the host has a certificate.
    #[serde(default)]
    pub redirect_to_https: bool,
    /// Browsers are told to use HTTPS only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
}

/// How strongly browsers are told to use HTTPS only (RFC 6797). Browsers remember it: a stronger preset than
/// [`Hsts::Short`] cannot be taken back before its time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hsts {
    /// Five minutes: to try it.
    Short,
    /// One year, this host.
    Year,
    /// One year, this host and every host below it.
    Subdomains,
    /// Two years, every host below it, and agreed to browsers' built-in lists.
    Preload,
}

impl Hsts {
    /// Value of the `Strict-Transport-Security` header.
    pub fn header(self) -> &'static str {
        match self {
            Self::Short => "max-age=300",
            Self::Year => "max-age=31536000",
            Self::Subdomains => "max-age=31536000; includeSubDomains",
            Self::Preload => "max-age=63072000; includeSubDomains; preload",
        }
    }
}
