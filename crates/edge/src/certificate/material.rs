//! Material of a certificate: the chain and its key in PEM, read into what rustls presents. Pure; files are
//! `folder`'s. Tests at the end of the file.

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::Digest;

/// Largest material: a chain of ten RSA certificates with their key is a third of it.
pub const MAX_MATERIAL_BYTES: usize = 64 * 1024;
/// Longest chain that makes sense.
const MOST_CERTIFICATES: usize = 10;

/// Why material cannot be presented.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// Not PEM where PEM should be.
    #[error("read the PEM text")]
    Pem(#[source] pem::Error),
    /// No certificate, or far too many.
    #[error("expected 1 to {MOST_CERTIFICATES} certificates, found {0}")]
    Chain(usize),
    /// The key is of a kind nobody uses, or belongs to another certificate.
    #[error("use the key with its certificate")]
    Key(#[source] rustls::Error),
}

/// Digest that names `material`.
pub fn digest_of(material: &[u8]) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, material).as_ref());
    Digest::of_hash(hash)
}

/// Reads material.
///
/// # Errors
/// It is not a chain in PEM and the key that belongs to it.
pub fn parse(material: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, MaterialError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(material)
        .take(MOST_CERTIFICATES + 1)
        .collect::<Result<_, _>>()
        .map_err(MaterialError::Pem)?;
    if !(1..=MOST_CERTIFICATES).contains(&chain.len()) {
        return Err(MaterialError::Chain(chain.len()));
    }
    let key = PrivateKeyDer::from_pem_slice(material).map_err(MaterialError::Pem)?;
    let key = provider.key_provider.load_private_key(key).map_err(MaterialError::Key)?;
    // `CertifiedKey::from_der` reads the certificate to compare, and cannot read that of a challenge: its extension is
    // critical and made for issuers (RFC 8737, 3). The key stands in a certificate byte by byte.
    if let (Some(public), Some(leaf)) = (key.public_key(), chain.first())
        && memchr::memmem::find(leaf, &public).is_none()
    {
        return Err(MaterialError::Key(rustls::InconsistentKeys::KeyMismatch.into()));
    }
    Ok(CertifiedKey::new(chain, key))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rustls::crypto::aws_lc_rs::default_provider;

    /// Self-signed material, another one each time.
    pub(crate) fn material() -> String {
        let now = havre_core::time::Timestamp::from_millis(1_800_000_000_000);
        let made = havre_x509::challenge::placeholder(&["a.example".parse().unwrap()], now).unwrap();
        made.to_pem().expose_text().unwrap().to_owned()
    }

    #[test]
    fn a_chain_and_its_key_are_read_and_everything_else_is_refused() {
        let provider = default_provider();
        let (mine, other) = (material(), material());
        assert_eq!(parse(mine.as_bytes(), &provider).unwrap().cert.len(), 1);
        let (certificate, key) = mine.split_once("-----BEGIN PRIVATE KEY").unwrap();
        let foreign_key = other.split_once("-----BEGIN PRIVATE KEY").unwrap().1;
        let rows = [
            (String::new(), "expected 1 to 10 certificates, found 0"),
            ("garbage".to_owned(), "expected 1 to 10 certificates, found 0"),
            (certificate.to_owned(), "read the PEM text"),
            (format!("-----BEGIN PRIVATE KEY{key}"), "expected 1 to 10 certificates, found 0"),
            (format!("{certificate}-----BEGIN PRIVATE KEY{foreign_key}"), "use the key with its certificate"),
            (mine.replacen("MII", "!!!", 1), "read the PEM text"),
            (certificate.repeat(11) + &mine, "expected 1 to 10 certificates, found 11"),
        ];
        for (text, expected) in rows {
            let error = parse(text.as_bytes(), &provider).unwrap_err().to_string();
            assert_eq!(error, expected, "{text}");
        }
    }

    #[test]
    fn the_certificate_of_a_challenge_is_read() {
        let now = havre_core::time::Timestamp::from_millis(1_800_000_000_000);
        let host = "a.example".parse().unwrap();
        let made = havre_x509::challenge::challenge_certificate(&host, [7; 32], now).unwrap();
        let text = made.to_pem().expose_text().unwrap().to_owned();
        parse(text.as_bytes(), &default_provider()).unwrap();
    }

    #[test]
    fn a_digest_is_that_of_the_bytes() {
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest_of(b"").to_string(), of_nothing);
    }
}
