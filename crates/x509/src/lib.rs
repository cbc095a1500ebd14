//! Keys and certificates as bytes: making a key, a request, the certificate of a TLS-ALPN challenge, a deploy key, and reading what a
//! person or an issuer hands us. Plain functions; randomness for keys is the only thing they take from outside.
//!
//! A crate of its own because it isolates rcgen and x509-parser, and because both sides need it: `web` to check an upload,
//! the loops to check what an issuer sent, the edge for its placeholder. It opens no connection, reads no file, keeps nothing.
//! Tests: at the end of each file.

pub mod challenge;
pub mod current;
pub mod deploy_key;
pub mod inspect;
pub mod issuer;
pub mod key;
pub mod material;
pub mod request;

use havre_core::name::CertificateName;

/// Why something could not be made. Happens with keys of a kind we do not make, and not otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not make {what}: {message}")]
pub struct MakeError {
    /// What was to be made.
    pub what: &'static str,
    /// What stands in the way.
    pub message: String,
}

impl MakeError {
    pub(crate) fn new(what: &'static str, cause: impl std::fmt::Display) -> Self {
        Self { what, message: cause.to_string() }
    }
}

/// Parameters for these names and nothing else: no common name, which nobody reads any more (RFC 9525).
pub(crate) fn params(names: &[CertificateName]) -> Result<rcgen::CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = rcgen::CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}
