//! Reads a private key in any of the three usual forms, and says whether a certificate is its own. Tests: `tests.rs`.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _, RsaKeyPair,
};
use havre_core::secret::Secret;
use x509_parser::prelude::*;

use super::pem::{Blocks, Label};
use super::{InspectError, secret};

/// Kind and size of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA with the curve P-256: the best there is.
    P256,
    /// ECDSA with the curve P-384.
    P384,
    /// RSA, with its bits.
    Rsa(usize),
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
        }
    }
}

/// RSA keys that clients accept and that do not cost more than a connection is worth.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

pub(super) struct Key {
    kind: KeyKind,
    /// As it stands in a certificate: a point, or modulus and exponent.
    public: Vec<u8>,
    pkcs8: Secret,
}

pub(super) fn read(blocks: &Blocks) -> Result<Key, InspectError> {
    let (label, der) = match blocks.keys.as_slice() {
        [] => return Err(InspectError::NoKey),
        [one] => one,
        many => return Err(InspectError::ManyKeys { count: many.len() }),
    };
    let bad = |message: String| InspectError::BadKey { message };
    let curves =
        [(KeyKind::P256, &ECDSA_P256_SHA256_ASN1_SIGNING), (KeyKind::P384, &ECDSA_P384_SHA384_ASN1_SIGNING)];
    if *label != Label::Pkcs1 {
        for (kind, curve) in curves {
            if let Some(key) = ecdsa(kind, curve, der.expose()) {
                return Ok(key);
            }
        }
    }
    let rsa = match label {
        Label::Pkcs8 => RsaKeyPair::from_pkcs8(der.expose()),
        Label::Pkcs1 => RsaKeyPair::from_der(der.expose()),
        Label::Sec1 => return Err(bad("it is neither P-256 nor P-384".to_owned())),
    };
    let Ok(rsa) = rsa else {
        return Err(bad(
            "it is not ECDSA (P-256, P-384) and not RSA, which is what browsers accept".to_owned()
        ));
    };
    let bits = rsa.public_modulus_len() * 8;
    if !RSA_BITS.contains(&bits) {
        return Err(bad(format!(
            "its RSA key has {bits} bits; 2048 to 4096 are accepted, and P-256 is better"
        )));
    }
    let written = rsa.as_der().map_err(|_| bad("it could not be written as PKCS#8".to_owned()))?;
    let public: &rsa::PublicKey = rsa.public_key();
    Ok(Key { kind: KeyKind::Rsa(bits), public: public.as_ref().to_vec(), pkcs8: secret(written.as_ref()) })
}

fn ecdsa(kind: KeyKind, curve: &'static EcdsaSigningAlgorithm, der: &[u8]) -> Option<Key> {
    let pair = EcdsaKeyPair::from_private_key_der(curve, der).ok()?;
    let pkcs8 = secret(pair.to_pkcs8v1().ok()?.as_ref());
    Some(Key { kind, public: pair.public_key().as_ref().to_vec(), pkcs8 })
}

impl Key {
    pub(super) const fn kind(&self) -> KeyKind {
        self.kind
    }

    pub(super) fn pkcs8(&self) -> Secret {
        self.pkcs8.clone()
    }

    pub(super) fn belongs_to(&self, certificate: &X509Certificate<'_>) -> bool {
        certificate.public_key().subject_public_key.data.as_ref() == self.public.as_slice()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        match self.kind {
            KeyKind::Rsa(bits) => {
                vec![format!(
                    "its key is RSA with {bits} bits; a P-256 key makes connections about four times cheaper"
                )]
            }
            KeyKind::P256 | KeyKind::P384 => Vec::new(),
        }
    }
}
