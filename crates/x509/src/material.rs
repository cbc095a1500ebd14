//! What an edge serves for a name: a chain and its key, in one form that is the same for the same material, so that its
//! digest names it. Whether the two belong together is `inspect`. Tests at the end of the file.

use havre_core::secret::Secret;
use sha2::{Digest as _, Sha256};

/// A chain and its key.
#[derive(Debug, Clone)]
pub struct Material {
    /// The chain in PEM, leaf first.
    pub chain: String,
    /// The key (PKCS#8, DER).
    pub key: Secret,
}

impl Material {
    /// As edges get it: the chain, then the key, in PEM.
    pub fn to_pem(&self) -> Secret {
        let mut text = self.chain.trim_end().to_owned();
        text.push('\n');
        text.push_str(&pem("PRIVATE KEY", self.key.expose()));
        Secret::from(text)
    }

    /// Hex SHA-256 of [`Material::to_pem`].
    pub fn digest(&self) -> String {
        Sha256::digest(self.to_pem().expose()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One PEM block (RFC 7468): 64 characters on a line.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = base64(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for place in (0..body.len()).step_by(64) {
        text.push_str(&body[place..body.len().min(place + 64)]);
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// Base64 with padding (RFC 4648, 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= group.len() { char::from(ALPHABET[six]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_reads_back_at_every_length() {
        for length in [0, 1, 2, 3, 47, 48, 49, 96, 97, 138] {
            let der: Vec<u8> = (0..length).map(|byte: u8| byte.wrapping_mul(37)).collect();
            let text = pem("THING", &der);
            let (_, block) = x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap();
            assert_eq!((block.label.as_str(), block.contents), ("THING", der), "{text}");
            assert!(text.lines().all(|line| line.len() <= 64));
        }
    }

    #[test]
    fn the_digest_names_the_whole() {
        let one = Material { chain: "chain\n\n".into(), key: Secret::from("key") };
        let same = Material { chain: "chain".into(), key: Secret::from("key") };
        let other = Material { chain: "chain".into(), key: Secret::from("kez") };
        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), other.digest());
        assert_eq!(one.digest().len(), 64);
    }
}
