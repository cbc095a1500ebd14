//! The certificate an edge shows for a TLS-ALPN-01 challenge (RFC 8737), read as an issuer reads it, and the self-signed
//! placeholder it shows while a real one is on its way. Neither is trusted by anybody. Tests at the end of the file.

use havre_core::name::{CertificateName, HostName};
use havre_core::time::Timestamp;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{GeneralName, X509Certificate, parse_x509_certificate};

use crate::issuer::instant;
use crate::material::Material;
use crate::{MakeError, params};

/// A day: both are made anew long before.
const LIFETIME_MS: i64 = 86_400_000;

/// The extension that holds an answer, `acmeIdentifier` (RFC 8737, 6.1).
const IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";
/// Begin of its value: an OCTET STRING of 32 bytes.
const OCTETS: [u8; 2] = [0x04, 32];
/// Names of a wrong certificate that are told.
const NAMES_TOLD: usize = 3;

/// What is wrong with a certificate that should answer a challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not X.509.
    #[error("it cannot be read as a certificate")]
    Unreadable,
    /// One for users, a placeholder, or somebody else's.
    #[error("it is for {names} and answers no challenge")]
    NoAnswer {
        /// The names in it.
        names: String,
    },
    /// Several answers, one that is not marked critical, or one that is no SHA-256.
    #[error("its answer is not in the form that RFC 8737 asks for")]
    Malformed,
    /// An issuer wants exactly one name.
    #[error("it is for {names}, and must be for {host} alone")]
    Names {
        /// The names in it.
        names: String,
        /// The name it should have.
        host: HostName,
    },
    /// The answer to an earlier challenge, or to somebody else's.
    #[error("it answers another challenge")]
    Other,
}

/// What a certificate must carry to answer a challenge: the SHA-256 of the key authorization.
pub fn digest_of(key_authorization: &str) -> [u8; 32] {
    Sha256::digest(key_authorization.as_bytes()).into()
}

/// Which challenge a certificate (DER) answers: what [`digest_of`] gave for it.
///
/// # Errors
/// It answers none.
pub fn read_answer(certificate: &[u8]) -> Result<[u8; 32], AnswerError> {
    answer(&parse(certificate)?)
}

/// Whether an issuer would take a certificate (DER) as the answer for `host` (RFC 8737, 3).
///
/// # Errors
/// It would not.
pub fn check_answer(certificate: &[u8], host: &HostName, digest: &[u8; 32]) -> Result<(), AnswerError> {
    let certificate = parse(certificate)?;
    let found = answer(&certificate)?;
    let names = names(&certificate);
    if !matches!(names.as_slice(), [name] if name.eq_ignore_ascii_case(host.as_str())) {
        return Err(AnswerError::Names { names: told(&names), host: host.clone() });
    }
    if found == *digest { Ok(()) } else { Err(AnswerError::Other) }
}

fn parse(certificate: &[u8]) -> Result<X509Certificate<'_>, AnswerError> {
    match parse_x509_certificate(certificate) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(AnswerError::Unreadable),
    }
}

fn answer(certificate: &X509Certificate<'_>) -> Result<[u8; 32], AnswerError> {
    let mut found =
        certificate.extensions().iter().filter(|extension| extension.oid.to_id_string() == IDENTIFIER);
    let Some(extension) = found.next() else {
        return Err(AnswerError::NoAnswer { names: told(&names(certificate)) });
    };
    let digest = extension.value.strip_prefix(&OCTETS).and_then(|digest| <[u8; 32]>::try_from(digest).ok());
    match digest {
        Some(digest) if extension.critical && found.next().is_none() => Ok(digest),
        _ => Err(AnswerError::Malformed),
    }
}

/// All names in it, whatever they are.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(list)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => other.to_string(),
    };
    list.value.general_names.iter().map(text).collect()
}

/// The first of them, on one line of a bounded length: they are what somebody else wrote.
fn told(names: &[String]) -> String {
    let clean = |name: &String| name.chars().filter(|c| !c.is_control()).take(100).collect::<String>();
    let first: Vec<String> = names.iter().take(NAMES_TOLD).map(clean).collect();
    match names.len() {
        0 => "nobody".to_owned(),
        count if count > NAMES_TOLD => format!("{} and {} more", first.join(", "), count - NAMES_TOLD),
        _ => first.join(", "),
    }
}

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

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const DIGEST: [u8; 32] = [7; 32];

    fn der(material: &Material) -> Vec<u8> {
        crate::inspect::leaf_der(&material.chain).unwrap()
    }

    /// A certificate for these names, with these extensions.
    fn made(names: &[&str], extensions: Vec<CustomExtension>) -> Vec<u8> {
        let names: Vec<CertificateName> = names.iter().map(|name| name.parse().unwrap()).collect();
        let mut params = crate::params(&names).unwrap();
        params.custom_extensions = extensions;
        der(&self_signed(params, NOW).unwrap())
    }

    fn identifier(digest: &[u8; 32]) -> CustomExtension {
        CustomExtension::new_acme_identifier(digest)
    }

    #[test]
    fn an_answer_is_read_back() {
        let host: HostName = "api.example.org".parse().unwrap();
        let good = der(&challenge_certificate(&host, DIGEST, NOW).unwrap());
        assert_eq!(read_answer(&good), Ok(DIGEST));
        assert_eq!(check_answer(&good, &host, &DIGEST), Ok(()));
        let nothing: String = digest_of("").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(nothing, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn what_an_issuer_would_not_take_is_refused_and_named() {
        let host: HostName = "api.example.org".parse().unwrap();
        let one = ["api.example.org"];
        let good = made(&one, vec![identifier(&DIGEST)]);
        let oid = [1, 3, 6, 1, 5, 5, 7, 1, 31];
        let loose = |content: Vec<u8>, is_critical: bool| {
            let mut extension = CustomExtension::from_oid_content(&oid, content);
            extension.set_criticality(is_critical);
            vec![extension]
        };
        let whole = [&OCTETS[..], &DIGEST].concat();
        let malformed = "its answer is not in the form that RFC 8737 asks for";
        let unreadable = "it cannot be read as a certificate";
        let many = ["a.example.org", "b.example.org", "c.example.org", "d.example.org", "e.example.org"];
        let rows = [
            (made(&one, vec![identifier(&[8; 32])]), "it answers another challenge"),
            (made(&one, Vec::new()), "it is for api.example.org and answers no challenge"),
            (made(&[], Vec::new()), "it is for nobody and answers no challenge"),
            (
                made(&many, Vec::new()),
                "it is for a.example.org, b.example.org, c.example.org and 2 more and answers no challenge",
            ),
            (
                made(&["www.example.org"], vec![identifier(&DIGEST)]),
                "it is for www.example.org, and must be for api.example.org alone",
            ),
            (
                made(&["api.example.org", "www.example.org"], vec![identifier(&DIGEST)]),
                "it is for api.example.org, www.example.org, and must be for api.example.org alone",
            ),
            (made(&one, loose(whole.clone(), false)), malformed),
            (made(&one, loose(whole[..33].to_vec(), true)), malformed),
            (made(&one, loose([&whole[..], &[0]].concat(), true)), malformed),
            (made(&one, loose(DIGEST.to_vec(), true)), malformed),
            (made(&one, vec![identifier(&DIGEST), identifier(&DIGEST)]), malformed),
            (Vec::new(), unreadable),
            (b"garbage".to_vec(), unreadable),
            (good[..good.len() - 1].to_vec(), unreadable),
            ([&good[..], &[0]].concat(), unreadable),
        ];
        assert_eq!(check_answer(&good, &host, &DIGEST), Ok(()));
        for (certificate, expected) in rows {
            let error = check_answer(&certificate, &host, &DIGEST).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
