//! By which id a delivery is remembered, so that a replay is told from news. Remembering is the store's. Tests at the end of the file.
//!
//! Most senders do not sign their headers: whoever has caught one delivery can send it again under another id. Its body is the same to
//! the byte, though. So a [`Delivery`] has both, and who remembers should refuse either: the id for as long as it is kept, the digest of
//! the body for some minutes only, because a sender may rightly say the same thing twice (a branch that is pushed, reset and pushed again).

use std::fmt;
use std::str::FromStr;

use havre_core::artifact::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::headers::{Headers, Several};
use crate::provider::Provider;

/// Longest id. Those of all forges are UUIDs.
const ID_MAX: usize = 128;

/// What a sender calls one delivery: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryId(String);

/// Headers from which no id can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Text outside of the grammar.
    #[error("`{0}` is not the id of a delivery: 1 to 128 visible ASCII characters")]
    Malformed(String),
    /// More than one.
    #[error(transparent)]
    Several(#[from] Several),
}

/// By what one delivery is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// As the sender names it, the same when it sends it again; where it names none, the digest of the body.
    pub id: DeliveryId,
    /// SHA-256 of the body.
    pub body: Digest,
}

impl DeliveryId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Delivery {
    /// Takes the id from the headers of this provider. Without one, two deliveries with the same body are one delivery.
    ///
    /// # Errors
    /// The header is there and is no id, or is there more than once.
    pub fn read(provider: Provider, headers: &Headers<'_>, body: &[u8]) -> Result<Self, DeliveryError> {
        let digest = digest(body);
        let id = match headers.first(provider.delivery_headers())? {
            Some((_, value)) => String::from_utf8_lossy(value).parse::<DeliveryId>()?,
            None => DeliveryId(digest.to_string()),
        };
        Ok(Self { id, body: digest })
    }
}

fn digest(body: &[u8]) -> Digest {
    let mut hex = String::with_capacity(64);
    let bytes: [u8; 32] = Sha256::digest(body).into();
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            hex.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    hex.parse().expect("64 lower-case digits are a digest")
}

impl FromStr for DeliveryId {
    type Err = DeliveryError;

    fn from_str(text: &str) -> Result<Self, DeliveryError> {
        if (1..=ID_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(DeliveryError::Malformed(text.chars().take(48).flat_map(char::escape_default).collect()))
    }
}

impl TryFrom<String> for DeliveryId {
    type Error = DeliveryError;

    fn try_from(text: String) -> Result<Self, DeliveryError> {
        text.parse()
    }
}

impl From<DeliveryId> for String {
    fn from(id: DeliveryId) -> Self {
        id.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(provider: Provider, lines: &[(&str, &[u8])]) -> Result<String, String> {
        let delivery = Delivery::read(provider, &Headers::new(lines), b"{}");
        delivery.map(|delivery| delivery.id.to_string()).map_err(|error| error.to_string())
    }

    const OF_BODY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn the_header_names_it_else_the_body() {
        let uuid = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
        let said = Ok(uuid.to_owned());
        assert_eq!(id(Provider::GitHub, &[("x-github-delivery", uuid.as_bytes())]), said);
        assert_eq!(
            id(Provider::Gitea, &[("x-gitea-delivery", b"1"), ("x-forgejo-delivery", uuid.as_bytes())]),
            said
        );
        assert_eq!(
            id(Provider::GitLab, &[("x-gitlab-event-uuid", b"1"), ("idempotency-key", uuid.as_bytes())]),
            said
        );
        assert_eq!(
            id(Provider::Bitbucket, &[("x-hook-uuid", b"1"), ("x-request-uuid", uuid.as_bytes())]),
            said
        );
        assert_eq!(id(Provider::Generic, &[("x-github-delivery", b"1")]), Ok(OF_BODY.to_owned()));
        assert_eq!(id(Provider::Registry, &[]), Ok(OF_BODY.to_owned()));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let long = "a".repeat(129);
        for wrong in ["", "a b", "a\u{e9}", "a\tb", &long] {
            assert!(id(Provider::GitHub, &[("x-github-delivery", wrong.as_bytes())]).is_err(), "{wrong:?}");
        }
        assert!(id(Provider::GitHub, &[("x-github-delivery", b"\xff")]).is_err());
        assert!(id(Provider::GitHub, &[("x-github-delivery", b"1"), ("x-github-delivery", b"1")]).is_err());
        assert!(serde_json::from_str::<DeliveryId>("\"a b\"").is_err());
        assert_eq!(serde_json::from_str::<DeliveryId>("\"a-b\"").unwrap().as_str(), "a-b");
    }
}
