//! Reads a chain and a key that somebody hands in, a person or an issuer, and says what they are or what is wrong with them.
//! Pure: the time is an argument. Trust is not judged: a company's own root is as good as any here.
//! Tests: `inspect/tests.rs`.

mod key;
mod pem;

use havre_core::name::{CertificateName, HostName};
use havre_core::secret::Secret;
use havre_core::time::Timestamp;
use x509_parser::prelude::*;

pub use self::key::KeyKind;
use self::pem::Blocks;
use crate::material::{self, Material};

/// What was handed in, checked and put in order.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The chain, leaf first and without the root, and the key as PKCS#8.
    pub material: Material,
    /// The names in it, sorted.
    pub names: Vec<CertificateName>,
    /// Kind and size of its key.
    pub key: KeyKind,
    /// Who signed it, as it says itself.
    pub signed_by: String,
    /// Serial number in hex.
    pub serial: String,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// Its identifier for questions about renewal (RFC 9773, 4.1).
    pub renewal_id: Option<String>,
    /// Whether nobody but itself has signed it.
    pub is_self_signed: bool,
    /// Things that are not wrong, and that its owner should know.
    pub warnings: Vec<String>,
}

impl Inspected {
    /// Whether it is good for a host.
    pub fn covers(&self, host: &HostName) -> bool {
        self.names.iter().any(|name| name.covers(host))
    }
}

/// What is wrong with what was handed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// More than anybody's chain.
    #[error("it is larger than {limit} bytes, which no certificate with its chain is")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not a single PEM block, or a broken one.
    #[error("it is not PEM: {message}; a certificate begins with a line `-----BEGIN CERTIFICATE-----`")]
    NotPem {
        /// What is wrong.
        message: String,
    },
    /// No certificate in it.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// No key in it.
    #[error("there is no private key in it; add the key's file")]
    NoKey,
    /// More than one key.
    #[error("there are {count} private keys in it, and one is expected")]
    ManyKeys {
        /// How many.
        count: usize,
    },
    /// The key has a password.
    #[error("the private key is encrypted; remove its password with `openssl pkey -in KEY -out KEY.open`")]
    EncryptedKey,
    /// A key nobody can use here.
    #[error("the private key cannot be used: {message}")]
    BadKey {
        /// Why.
        message: String,
    },
    /// A certificate that cannot be read.
    #[error("certificate {place} in it cannot be read: {message}")]
    BadCertificate {
        /// Its place, counted from 1.
        place: usize,
        /// What is wrong.
        message: String,
    },
    /// None of the certificates is this key's.
    #[error("the private key does not belong to the certificate of {subject}")]
    KeyMismatch {
        /// The first certificate's subject or names.
        subject: String,
    },
    /// A chain that does not hold together.
    #[error(
        "the certificate of `{subject}` is not part of the chain: it has signed none of the others; remove it, or add the one between"
    )]
    Stray {
        /// Its subject.
        subject: String,
    },
    /// A signature that is not its issuer's.
    #[error(
        "the certificate of `{subject}` says that `{issuer}` signed it, and its signature says otherwise"
    )]
    BadSignature {
        /// Whose certificate.
        subject: String,
        /// Who is said to have signed it.
        issuer: String,
    },
    /// Nothing to serve by it.
    #[error("the certificate of `{subject}` {why}")]
    NotForServers {
        /// Whose certificate.
        subject: String,
        /// Why not.
        why: &'static str,
    },
    /// Its time is over.
    #[error("the certificate of `{subject}` has expired on {at}")]
    Expired {
        /// Whose.
        subject: String,
        /// When.
        at: Timestamp,
    },
    /// Its time has not come.
    #[error("the certificate of `{subject}` is not valid before {from}")]
    NotYetValid {
        /// Whose.
        subject: String,
        /// From when.
        from: Timestamp,
    },
}

/// Most certificates of one chain; real ones have two to four.
const CHAIN_MAX: usize = 10;

/// Checks PEM with one key and its certificates, in whatever order: the files of a person one after the other, or
/// [`Material::to_pem`] of what an issuer sent.
///
/// # Errors
/// The first thing that is wrong, in words for whoever handed it in.
pub fn inspect(pem: &[u8], now: Timestamp) -> Result<Inspected, InspectError> {
    let blocks = Blocks::read(pem)?;
    let key = key::read(&blocks)?;
    let all = parse(&blocks.certificates)?;
    let place = all
        .iter()
        .position(|one| key.belongs_to(one))
        .ok_or_else(|| InspectError::KeyMismatch { subject: subject(&all[0]) })?;
    let chain = link(&all, place)?;
    let leaf = &all[place];
    check_leaf(leaf)?;
    for one in &chain {
        check_time(one, now)?;
    }
    let (names, unreadable) = names_of(leaf);
    if names.is_empty() {
        let why = "names no host; a common name alone counts for nothing today";
        return Err(InspectError::NotForServers { subject: subject(leaf), why });
    }
    let is_self_signed = chain.len() == 1 && leaf.subject() == leaf.issuer();
    let mut warnings = key.warnings();
    if unreadable > 0 {
        warnings.push(format!(
            "{unreadable} of its names are no host names (such as addresses) and are not used"
        ));
    }
    if chain.len() == 1 && !is_self_signed {
        warnings.push(format!(
            "the certificate of `{}`, which signed it, is not with it; many clients will not trust it then (use the `fullchain` file)",
            leaf.issuer()
        ));
    }
    Ok(Inspected {
        material: Material { chain: written(&chain), key: key.pkcs8() },
        names,
        key: key.kind(),
        signed_by: signer_name(leaf),
        serial: hex(leaf.raw_serial()),
        not_before: instant(leaf.validity().not_before),
        not_after: instant(leaf.validity().not_after),
        renewal_id: identifier(leaf),
        is_self_signed,
        warnings,
    })
}

/// The identifier of the first certificate in a chain (PEM), for questions about its renewal.
pub fn renewal_id(chain: &str) -> Option<String> {
    let (_, block) = x509_parser::pem::parse_x509_pem(chain.as_bytes()).ok()?;
    identifier(&block.parse_x509().ok()?)
}

/// The first certificate of a chain (PEM) in DER, for its revocation.
pub fn leaf_der(chain: &str) -> Option<Vec<u8>> {
    x509_parser::pem::parse_x509_pem(chain.as_bytes()).ok().map(|(_, block)| block.contents)
}

fn parse(ders: &[Vec<u8>]) -> Result<Vec<X509Certificate<'_>>, InspectError> {
    if ders.is_empty() {
        return Err(InspectError::NoCertificate);
    }
    let one = |(index, der): (usize, &'_ Vec<u8>)| {
        let bad = |message: String| InspectError::BadCertificate { place: index + 1, message };
        match parse_x509_certificate(der) {
            Ok((rest, _)) if !rest.is_empty() => Err(bad("bytes after its end".to_owned())),
            Ok(_) if index >= CHAIN_MAX => Err(bad(format!("a chain has at most {CHAIN_MAX}"))),
            Ok((_, one)) if !is_framed(der, &one) => {
                Err(bad("what is around its signed part is damaged".to_owned()))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(bad(error.to_string())),
        }
    };
    ders.iter().enumerate().try_for_each(one)?;
    Ok(ders.iter().filter_map(|der| parse_x509_certificate(der).ok()).map(|(_, one)| one).collect())
}

/// Whether what no signature covers is as it must be: written anew from the signed part, the algorithm named within that
/// part and the value of the signature, it comes out the same, byte for byte (RFC 5280, 4.1; X.690, 10). The parser
/// takes other tags, lengths and bits too; clients do not.
fn is_framed(der: &[u8], one: &X509Certificate<'_>) -> bool {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    let signed: &[u8] = one.tbs_certificate.as_ref();
    // Behind a tag and a length of one to four bytes.
    let behind = (2..=5).find_map(|start: usize| der.get(start..)?.strip_prefix(signed));
    let Some(behind) = behind else { return false };
    let length = 2 + behind.get(1).copied().map_or(0, usize::from);
    let Some(algorithm) = behind.get(..length) else { return false };
    // Its first byte counts the bits left over at its end; signatures are whole bytes.
    let signature = wrapped(BIT_STRING, &[&[0], one.signature_value.data.as_ref()]);
    signed.windows(length).any(|within| within == algorithm)
        && der == wrapped(SEQUENCE, &[signed, algorithm, &signature])
}

/// A value of ASN.1 with its tag and its length in the one form DER allows (X.690, 10.1).
fn wrapped(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|byte| **byte == 0).count().min(length.len() - 1)..];
    let mut bytes = vec![tag];
    if content.len() >= 0x80 {
        bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(u8::MAX));
    }
    bytes.extend_from_slice(digits);
    bytes.extend_from_slice(&content);
    bytes
}

/// From the leaf upwards, each signed by the next. A root at the end is left out: clients have it or do not trust it.
fn link<'a>(
    all: &'a [X509Certificate<'a>],
    leaf: usize,
) -> Result<Vec<&'a X509Certificate<'a>>, InspectError> {
    let mut chain = vec![&all[leaf]];
    let mut used = vec![leaf];
    loop {
        let last = chain[chain.len() - 1];
        if last.subject() == last.issuer() {
            break;
        }
        let named = |index: &usize| !used.contains(index) && all[*index].subject() == last.issuer();
        let candidates: Vec<usize> = (0..all.len()).filter(named).collect();
        // Cross-signed authorities have several certificates of one name and one key; any that fits will do.
        let Some(next) =
            candidates.iter().find(|index| last.verify_signature(Some(all[**index].public_key())).is_ok())
        else {
            if candidates.is_empty() {
                break;
            }
            return Err(InspectError::BadSignature {
                subject: subject(last),
                issuer: last.issuer().to_string(),
            });
        };
        if !all[*next].is_ca() {
            return Err(InspectError::BadSignature {
                subject: subject(last),
                issuer: last.issuer().to_string(),
            });
        }
        used.push(*next);
        chain.push(&all[*next]);
    }
    let same = |index: usize| {
        all.iter()
            .enumerate()
            .any(|(other, one)| used.contains(&other) && one.as_raw() == all[index].as_raw())
    };
    if let Some(stray) = (0..all.len()).find(|index| !used.contains(index) && !same(*index)) {
        return Err(InspectError::Stray { subject: subject(&all[stray]) });
    }
    let is_root = |one: &X509Certificate<'_>| one.subject() == one.issuer();
    if chain.len() > 1 && chain.last().is_some_and(|one| is_root(one)) {
        chain.pop();
    }
    Ok(chain)
}

fn check_leaf(leaf: &X509Certificate<'_>) -> Result<(), InspectError> {
    let refuse = |why| Err(InspectError::NotForServers { subject: subject(leaf), why });
    if leaf.is_ca() && leaf.subject() != leaf.issuer() {
        return refuse("is that of an issuer, not of a host");
    }
    match leaf.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.server_auth && !usage.value.any => refuse("is not for servers"),
        Err(_) => refuse("has a broken list of what it is for"),
        _ => Ok(()),
    }
}

fn check_time(one: &X509Certificate<'_>, now: Timestamp) -> Result<(), InspectError> {
    let (from, at) = (instant(one.validity().not_before), instant(one.validity().not_after));
    if now >= at {
        return Err(InspectError::Expired { subject: subject(one), at });
    }
    if now < from {
        return Err(InspectError::NotYetValid { subject: subject(one), from });
    }
    Ok(())
}

/// Names in order, and how many could not be used.
fn names_of(leaf: &X509Certificate<'_>) -> (Vec<CertificateName>, usize) {
    let Ok(Some(list)) = leaf.subject_alternative_name() else { return (Vec::new(), 0) };
    let parsed = list.value.general_names.iter().map(|name| match name {
        GeneralName::DNSName(name) => name.to_ascii_lowercase().parse::<CertificateName>().ok(),
        _ => None,
    });
    let (good, bad): (Vec<_>, Vec<_>) = parsed.partition(Option::is_some);
    let mut names: Vec<CertificateName> = good.into_iter().flatten().collect();
    names.sort();
    names.dedup();
    (names, bad.len())
}

/// Whose it is, for people: its subject, or its first name where it has none.
fn subject(one: &X509Certificate<'_>) -> String {
    let text = one.subject().to_string();
    if text.is_empty() {
        return names_of(one).0.first().map_or_else(|| "nobody".to_owned(), ToString::to_string);
    }
    clean(&text)
}

/// Organisation and common name of who signed, such as `Let's Encrypt R11`.
fn signer_name(leaf: &X509Certificate<'_>) -> String {
    let issuer = leaf.issuer();
    let organisation = issuer.iter_organization().next().and_then(|part| part.as_str().ok());
    let common = issuer.iter_common_name().next().and_then(|part| part.as_str().ok());
    let parts: Vec<&str> = organisation.into_iter().chain(common).collect();
    if parts.is_empty() { clean(&issuer.to_string()) } else { clean(&parts.join(" ")) }
}

/// Text of others, on one line of a bounded length.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn identifier(leaf: &X509Certificate<'_>) -> Option<String> {
    let key = leaf.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            identifier.key_identifier.as_ref().map(|id| id.0)
        }
        _ => None,
    })?;
    let part = |bytes: &[u8]| {
        let text = material::base64(bytes);
        text.trim_end_matches('=').replace('+', "-").replace('/', "_")
    };
    Some(format!("{}.{}", part(key), part(leaf.raw_serial())))
}

fn written(chain: &[&X509Certificate<'_>]) -> String {
    chain.iter().map(|one| material::pem("CERTIFICATE", one.as_raw())).collect()
}

fn instant(time: ASN1Time) -> Timestamp {
    Timestamp::from_millis(time.timestamp().saturating_mul(1000))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`key`] hands back as a secret.
fn secret(bytes: &[u8]) -> Secret {
    Secret::new(bytes.to_vec())
}

#[cfg(test)]
mod tests;
