//! The certificate an edge shows for a TLS-ALPN-01 challenge (RFC 8737), and the self-signed placeholder it shows while a real
//! one is on its way. Neither is trusted by anybody. Tests at the end of the file.

use havre_core::name::{CertificateName, HostName};
use havre_core::time::Timestamp;
use rcgen::{CertificateParams, CustomExtension, KeyPair};

use crate::issuer::instant;
use crate::material::Material;
use crate::{MakeError, params};

/// A day: both are made anew long before.
const LIFETIME_MS: i64 = 86_400_000;

/// The answer to a TLS-ALPN-01 challenge: a self-signed certificate for exactly `host` that carries `digest`, the SHA-256 of
/// the key authorization. Valid from a day before `now`, because issuers' clocks differ from ours.
///
/// # Errors
/// When the system has no randomness.
pub fn challenge_certificate(
    host: &HostName,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Material, MakeError> {
    let mut params = params(&[CertificateName::from(host.clone())])
        .map_err(|error| MakeError::new("the certificate of a challenge", error))?;
    // Critical, so that nothing but an issuer's check takes it for a certificate.
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    self_signed(params, now).map_err(|error| MakeError::new("the certificate of a challenge", error))
}

/// A self-signed certificate for `names`, valid for a day around `now`.
///
/// # Errors
/// When the system has no randomness.
pub fn placeholder(names: &[CertificateName], now: Timestamp) -> Result<Material, MakeError> {
    let make = || self_signed(params(names)?, now);
    make().map_err(|error| MakeError::new("a placeholder certificate", error))
}

fn self_signed(mut params: CertificateParams, now: Timestamp) -> Result<Material, rcgen::Error> {
    params.not_before = instant(now.as_millis() - LIFETIME_MS);
    params.not_after = instant(now.as_millis() + LIFETIME_MS);
    let pair = KeyPair::generate()?;
    let chain = params.self_signed(&pair)?.pem();
    Ok(Material { chain, key: havre_core::secret::Secret::new(pair.serialize_der()) })
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    #[test]
    fn it_is_what_the_standard_asks_for() {
        let host: HostName = "api.example.org".parse().unwrap();
        let material =
            challenge_certificate(&host, [7; 32], Timestamp::from_millis(1_800_000_000_000)).unwrap();
        let (_, block) = parse_x509_pem(material.chain.as_bytes()).unwrap();
        let certificate = block.parse_x509().unwrap();
        let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(format!("{names:?}"), r#"[DNSName("api.example.org")]"#);
        let identifier = certificate
            .extensions()
            .iter()
            .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
            .expect("acmeIdentifier");
        assert!(identifier.critical);
        // OCTET STRING of 32 bytes.
        assert_eq!(identifier.value, [&[0x04, 32][..], &[7; 32]].concat());
        let time = ASN1Time::from_timestamp(1_800_000_000).unwrap();
        assert!(certificate.validity().is_valid_at(time));
    }
}
