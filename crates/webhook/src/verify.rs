//! Whether a delivery comes from somebody who knows the secret of the webhook: HMAC-SHA256 over the raw bytes, or, where a sender
//! cannot sign, the secret itself. Both are compared in constant time. Which of the two is decided by the provider and by the
//! secret that is kept here, never by what the delivery brings. Replays are not told here: [`crate::delivery`].
//! Tests: `tests/it/verify.rs`, and those of known vectors at the end of the file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::headers::{Headers, Several};
use crate::provider::Provider;

/// Fewest bytes of a secret: 128 bits, where they are random.
pub const SECRET_MIN: usize = 16;

/// What a signing token of GitLab begins with (Standard Webhooks); base64 of the key follows.
pub const SIGNING_TOKEN: &str = "whsec_";

/// Most signatures of one delivery: while a key is changed, one with each.
const SIGNATURES_MAX: usize = 8;

const HEX_FORM: &str = "64 digits 0-9 and a-f";
const PREFIXED_FORM: &str = "`sha256=` and 64 digits 0-9 and a-f";
const BEARER_FORM: &str = "`Bearer` and the secret";
const SIGNED_FORM: &str = "1 to 8 signatures of the form `v1,` and base64, with a space between them";
const ID_FORM: &str = "1 to 128 visible ASCII characters without a dot";
const TIME_FORM: &str = "1 to 20 digits";

/// Why a delivery is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The webhook has an empty secret here.
    #[error("the webhook has no secret, so nobody can be believed: set one here, and the same at the sender")]
    SecretMissing,
    /// The webhook has a short secret here.
    #[error(
        "the secret of the webhook has {bytes} bytes, fewer than 16: set a longer one here and at the sender"
    )]
    SecretShort {
        /// How many it has.
        bytes: usize,
    },
    /// The secret looks like a signing token and is none.
    #[error(
        "the secret of the webhook begins with `whsec_`, and what follows is not base64: copy the signing token once more"
    )]
    SecretMalformed,
    /// No proof at all.
    #[error("the delivery has no header `{header}`: enter the secret of the webhook at the sender")]
    Missing {
        /// The header.
        header: &'static str,
    },
    /// More than one proof.
    #[error(transparent)]
    Several(#[from] Several),
    /// A header outside of its form.
    #[error("header `{header}` of the delivery is not {form}")]
    Malformed {
        /// The header.
        header: &'static str,
        /// What it has to be.
        form: &'static str,
    },
    /// The proof is not right.
    #[error(
        "`{place}` does not fit: the secret at the sender is not the one here, or the body was changed on its way"
    )]
    Wrong {
        /// The header, or where else the secret was looked for.
        place: &'static str,
    },
}

impl Refusal {
    /// A stable name for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SecretMissing => "secret_missing",
            Self::SecretShort { .. } => "secret_short",
            Self::SecretMalformed => "secret_malformed",
            Self::Missing { .. } => "signature_missing",
            Self::Several(_) => "signature_several",
            Self::Malformed { .. } => "signature_malformed",
            Self::Wrong { .. } => "signature_wrong",
        }
    }

    /// Whether the webhook is set up wrongly here, so that no delivery can be believed, whoever sends it.
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::SecretMissing | Self::SecretShort { .. } | Self::SecretMalformed)
    }
}

/// Checks that the sender knows `secret`. `body` is what came, byte by byte: JSON that was read and written again is another text.
///
/// # Errors
/// Why the delivery is not believed.
pub fn verify(provider: Provider, secret: &[u8], headers: &Headers<'_>, body: &[u8]) -> Result<(), Refusal> {
    check_secret(secret)?;
    match provider {
        Provider::GitHub | Provider::Bitbucket | Provider::Generic => {
            check_hex(provider, "sha256=", headers, &sign(secret, body))
        }
        Provider::Gitea => check_hex(provider, "", headers, &sign(secret, body)),
        Provider::GitLab => match secret.strip_prefix(SIGNING_TOKEN.as_bytes()) {
            Some(text) => check_signed(text, headers, body),
            None => {
                let header = "X-Gitlab-Token";
                verify_token(secret, required(headers, header)?, header)
            }
        },
        Provider::Registry => {
            let header = "Authorization";
            let given = bearer(required(headers, header)?);
            let given = given.ok_or(Refusal::Malformed { header, form: BEARER_FORM })?;
            verify_token(secret, given, header)
        }
    }
}

/// Compares a secret that was sent as it is with the one that is kept. [`verify`] does it for headers; by itself it is for Docker
/// Hub, which can send the secret in the address of the webhook only. `place` says where it was looked for.
///
/// # Errors
/// The kept secret is too short, or they differ.
pub fn verify_token(secret: &[u8], given: &[u8], place: &'static str) -> Result<(), Refusal> {
    check_secret(secret)?;
    // Of digests, which are equally long whatever was sent: the comparison itself stops early at another length.
    let (kept, given): ([u8; 32], [u8; 32]) = (Sha256::digest(secret).into(), Sha256::digest(given).into());
    if bool::from(kept.ct_eq(&given)) { Ok(()) } else { Err(Refusal::Wrong { place }) }
}

/// HMAC-SHA256 of a body: what a sender writes in hex into its header.
pub fn sign(secret: &[u8], body: &[u8]) -> [u8; 32] {
    authenticate(secret, &[body])
}

fn authenticate(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        code.update(part);
    }
    code.finalize().into_bytes().into()
}

fn check_secret(secret: &[u8]) -> Result<(), Refusal> {
    match secret.len() {
        0 => Err(Refusal::SecretMissing),
        bytes if bytes < SECRET_MIN => Err(Refusal::SecretShort { bytes }),
        _ => Ok(()),
    }
}

fn required<'h>(headers: &Headers<'h>, header: &'static str) -> Result<&'h [u8], Refusal> {
    headers.one(header)?.ok_or(Refusal::Missing { header })
}

/// Every signature that is there must be right: Forgejo sends its own and Gitea's.
fn check_hex(
    provider: Provider,
    prefix: &'static str,
    headers: &Headers<'_>,
    expected: &[u8; 32],
) -> Result<(), Refusal> {
    let mut is_signed = false;
    let mut missing = "";
    for &header in provider.signature_headers() {
        missing = header;
        let Some(value) = headers.one(header)? else { continue };
        let form = if prefix.is_empty() { HEX_FORM } else { PREFIXED_FORM };
        let given = read_hex(value, prefix).ok_or(Refusal::Malformed { header, form })?;
        if !bool::from(expected.ct_eq(&given)) {
            return Err(Refusal::Wrong { place: header });
        }
        is_signed = true;
    }
    if is_signed { Ok(()) } else { Err(Refusal::Missing { header: missing }) }
}

/// Standard Webhooks, as GitLab sends them: a signature over id, time and body. The id has no dot here, so that nothing can be
/// moved from one part into the other.
fn check_signed(key: &[u8], headers: &Headers<'_>, body: &[u8]) -> Result<(), Refusal> {
    let key = STANDARD.decode(key).map_err(|_| Refusal::SecretMalformed)?;
    if key.len() < SECRET_MIN {
        return Err(Refusal::SecretShort { bytes: key.len() });
    }
    let header = "webhook-signature";
    let signatures = required(headers, header)?;
    let id = required(headers, "webhook-id")?;
    if !(1..=128).contains(&id.len()) || !id.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.') {
        return Err(Refusal::Malformed { header: "webhook-id", form: ID_FORM });
    }
    let time = required(headers, "webhook-timestamp")?;
    if !(1..=20).contains(&time.len()) || !time.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Malformed { header: "webhook-timestamp", form: TIME_FORM });
    }
    let expected = STANDARD.encode(authenticate(&key, &[id, b".", time, b".", body]));
    let mut count = 0;
    let mut is_right = false;
    for signature in signatures.split(|byte| *byte == b' ') {
        count += 1;
        // Other versions are other kinds of keys.
        let given = signature.strip_prefix(b"v1,").unwrap_or_default();
        is_right |= bool::from(expected.as_bytes().ct_eq(given));
        if count > SIGNATURES_MAX || !signature.starts_with(b"v1") {
            return Err(Refusal::Malformed { header, form: SIGNED_FORM });
        }
    }
    if is_right { Ok(()) } else { Err(Refusal::Wrong { place: header }) }
}

/// Lower case only, so that one signature has one text.
fn read_hex(text: &[u8], prefix: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(prefix.as_bytes())?;
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
    }
    Some(bytes)
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// What follows `Bearer` (RFC 9110, 11.4: names of schemes have no case).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, token) = value.split_at(space);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn known_vectors() {
        // RFC 4231, test cases 2 and 6 (a key longer than a block).
        let rows: [(&[u8], &[u8], &str); 3] = [
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            // The example of GitHub's manual.
            (
                b"It's a Secret to Everybody",
                b"Hello, World!",
                "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            ),
        ];
        for (key, body, expected) in rows {
            assert_eq!(hex(&sign(key, body)), expected);
            assert_eq!(read_hex(expected.as_bytes(), ""), Some(sign(key, body)));
        }
    }

    #[test]
    fn hex_has_one_form() {
        let right = "ab".repeat(32);
        assert_eq!(read_hex(format!("sha256={right}").as_bytes(), "sha256="), Some([0xab; 32]));
        let wrong = [
            right.to_uppercase(),
            right[1..].to_owned(),
            format!("{right}0"),
            right.replace('b', "g"),
            String::new(),
        ];
        for wrong in wrong {
            assert_eq!(read_hex(wrong.as_bytes(), ""), None, "{wrong:?}");
        }
        assert_eq!(read_hex(right.as_bytes(), "sha256="), None);
        assert_eq!(read_hex(format!("sha1={right}").as_bytes(), "sha256="), None);
    }
}
