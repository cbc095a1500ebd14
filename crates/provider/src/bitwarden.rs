//! Bitwarden Secrets Manager: what its server gives is sealed, and opened here. The key of a machine account is the second half of its access
//! token; it opens what the login gives, in which the key of the organisation is, and that opens the value: AES-256-CBC and HMAC-SHA-256, the
//! sum first. Tests: at the end of the file, and `tests/it/bitwarden.rs`.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use havre_core::outward::OutwardUrl;
use havre_core::secret::Secret;
use havre_decide::secret::provider::reference::{Form, Location};
use havre_decide::secret::provider::setting::ServerUrl;
use havre_decide::secret::provider::{Fetched, ValueVersion};
use havre_outward::Caller;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

use crate::call::{Ask, Client, proof};
use crate::{FetchError, text_of};

/// Length of a key: the first half opens, the second half proves.
const KEY: usize = 64;
/// Length of the key in an access token.
const SEED: usize = 16;

/// One Bitwarden and who asks it.
pub(crate) struct Bitwarden<'a> {
    api: Client,
    identity: Client,
    token: &'a Secret,
}

/// What a login gives.
struct Session {
    bearer: Secret,
    key: Secret,
}

impl<'a> Bitwarden<'a> {
    /// The cloud has a host for each of its interfaces; a server of one's own has a path.
    pub(crate) fn new(caller: &Caller, url: &ServerUrl, token: &'a Secret) -> Result<Self, FetchError> {
        let cloud = ["bitwarden.com", "bitwarden.eu"]
            .into_iter()
            .find(|host| matches!(url.url().host().strip_suffix(*host), Some("" | "vault." | "api.")));
        let client = |name: &str| -> Result<Client, FetchError> {
            let Some(host) = cloud else {
                let base = format!("{}/{name}", url.base());
                return Ok(Client::new(caller.clone(), url.url().clone(), base));
            };
            let url = format!("https://{name}.{host}").parse::<OutwardUrl>();
            let url = url.map_err(|error| FetchError::refused(error.to_string()))?;
            Ok(Client::new(caller.clone(), url, String::new()))
        };
        Ok(Self { api: client("api")?, identity: client("identity")?, token })
    }

    pub(crate) async fn fetch(
        &self,
        locations: &BTreeSet<Location>,
    ) -> Result<BTreeMap<Location, Fetched>, FetchError> {
        let session = self.log_in().await?;
        let mut fetched = BTreeMap::new();
        for location in locations {
            let Form::Whole { path: id } = location.form() else { continue };
            let headers = vec![proof("authorization", "Bearer ", &session.bearer)?];
            let ask = Ask { method: "GET", target: format!("/secrets/{id}"), headers, body: String::new() };
            let body = self.api.ask(ask).await?.good(&format!("read the secret {id}"))?;
            let value = body["value"].as_str().and_then(|sealed| open(&session.key, sealed));
            let value = value.and_then(|value| value.expose_text().map(|text| Value::from(text.to_owned())));
            let unreadable =
                || FetchError::refused(format!("the secret {id} cannot be opened with this access token"));
            let value = text_of(location, &value.ok_or_else(unreadable)?)?;
            let version = ValueVersion::new(body["revisionDate"].as_str().unwrap_or_default());
            fetched.insert(location.clone(), Fetched { value, version });
        }
        Ok(fetched)
    }

    pub(crate) async fn look(&self) -> Result<String, FetchError> {
        self.log_in().await?;
        Ok("the machine account logged in, and the key of its organisation was opened".to_owned())
    }

    async fn log_in(&self) -> Result<Session, FetchError> {
        let wrong = || {
            FetchError::refused(
                "the credential is no access token of a machine account, which is written 0.ID.SECRET:KEY",
            )
        };
        let token = parse_token(self.token.expose_text().unwrap_or_default()).ok_or_else(wrong)?;
        let headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            // What Bitwarden calls a program.
            (HeaderName::from_static("device-type"), HeaderValue::from_static("21")),
        ];
        let AccessToken { id, secret, seed } = token;
        let body =
            format!("scope=api.secrets&client_id={id}&client_secret={secret}&grant_type=client_credentials");
        let ask = Ask { method: "POST", target: "/connect/token".to_owned(), headers, body };
        let body = self.identity.ask(ask).await?.good("log in")?;
        let unreadable = || FetchError::refused("the login gave no key that this access token opens");
        let payload = body["encrypted_payload"].as_str().and_then(|sealed| open(&derive_key(&seed), sealed));
        let payload: Value =
            serde_json::from_slice(payload.ok_or_else(unreadable)?.expose()).map_err(|_| unreadable())?;
        let key =
            payload["encryptionKey"].as_str().and_then(|key| STANDARD.decode(key).ok()).map(Secret::new);
        let key = key.filter(|key| key.expose().len() == KEY).ok_or_else(unreadable)?;
        let bearer = body["access_token"].as_str().filter(|bearer| !bearer.is_empty()).map(Secret::from);
        Ok(Session { bearer: bearer.ok_or_else(unreadable)?, key })
    }
}

/// `0.ID.SECRET:KEY`.
struct AccessToken<'t> {
    id: &'t str,
    secret: &'t str,
    seed: Secret,
}

fn parse_token(text: &str) -> Option<AccessToken<'_>> {
    let (front, key) = text.split_once(':')?;
    let parts: Vec<&str> = front.split('.').collect();
    let ["0", id, secret] = parts[..] else { return None };
    // Both stand in a form as they are.
    let is_word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let seed = Secret::new(STANDARD.decode(key).ok()?);
    (is_word(id) && is_word(secret) && seed.expose().len() == SEED).then_some(AccessToken {
        id,
        secret,
        seed,
    })
}

/// The key that opens what the login gives.
fn derive_key(seed: &Secret) -> Secret {
    stretch(seed, b"bitwarden-accesstoken", b"sm-access-token")
}

/// HKDF-SHA-256 (RFC 5869) for exactly two blocks.
fn stretch(seed: &Secret, salt: &[u8], info: &[u8]) -> Secret {
    let sum = |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    let middle = sum(salt, seed.expose());
    let first = sum(middle.as_ref(), &[info, [1].as_slice()].concat());
    let second = sum(middle.as_ref(), &[first.as_ref(), info, [2].as_slice()].concat());
    Secret::new([first.as_ref(), second.as_ref()].concat())
}

/// Opens `2.IV|CONTENT|SUM`; nothing is opened before the sum is right.
fn open(key: &Secret, sealed: &str) -> Option<Secret> {
    let parts: Vec<&str> = sealed.strip_prefix("2.")?.split('|').collect();
    let [iv, content, sum] = parts[..] else { return None };
    let (iv, mut content) = (STANDARD.decode(iv).ok()?, STANDARD.decode(content).ok()?);
    let sum = STANDARD.decode(sum).ok()?;
    let (cipher, proof) = key.expose().split_at_checked(KEY / 2)?;
    let proof = hmac::Key::new(hmac::HMAC_SHA256, proof);
    hmac::verify(&proof, &[iv.as_slice(), content.as_slice()].concat(), &sum).ok()?;
    let iv: [u8; 16] = iv.try_into().ok()?;
    let cipher = UnboundCipherKey::new(&AES_256, cipher).ok()?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).ok()?;
    let opened = cipher.decrypt(&mut content, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?.len();
    content.truncate(opened);
    Some(Secret::new(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_derived_as_bitwarden_does() {
        for (seed, info, key) in [
            (
                "&/$%F1a895g67HlX",
                "",
                "4PV6+PcmF2w7YHRatvyMcVQtI7zvCyssv/wFWmzjiH6Iv9altjmDkuBD1aagLVaLezbthbSe+ktR+U6qswxNnQ==",
            ),
            (
                "67t9b5g67$%Dh89n",
                "test",
                "F9jVQmrACGx9VUPjuzfMYDjr726JtL300Y3Yg+VYUnVQtQ1s8oImJ5xtp1KALC9h2nav04++1LDW4iFD+infng==",
            ),
        ] {
            let derived = stretch(&Secret::from(seed), b"bitwarden-test_key", info.as_bytes());
            assert_eq!(STANDARD.encode(derived.expose()), key);
        }
    }

    #[test]
    fn what_is_sealed_with_another_key_or_changed_is_not_opened() {
        let key = derive_key(&Secret::from("0123456789abcdef"));
        let sealed = SEALED;
        assert_eq!(open(&key, sealed).unwrap().expose_text(), Some("planted-of-bitwarden"));
        assert!(open(&derive_key(&Secret::from("0123456789abcdeg")), sealed).is_none());
        for wrong in [
            sealed.replacen("2.", "0.", 1),
            sealed.replacen("2.A", "2.B", 1),
            sealed.replace('|', ""),
            String::new(),
            "2.||".to_owned(),
        ] {
            assert!(open(&key, &wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_an_access_token_is() {
        let right =
            "0.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzIQQ==";
        let token = parse_token(right).unwrap();
        assert_eq!((token.id, token.secret.len()), ("ec2c1d46-6a4b-4751-a310-af9601317f2d", 30));
        for wrong in [
            "",
            "x",
            "0.a.b",
            "1.a.b:X8vbvA0bduihIDe/qrzIQQ==",
            "0.a.b&c:X8vbvA0bduihIDe/qrzIQQ==",
            "0.a.b:AA==",
        ] {
            assert!(parse_token(wrong).is_none(), "{wrong}");
        }
    }

    const SEALED: &str = "2.AAECAwQFBgcICQoLDA0ODw==|ptJTXVNCoaYeSg/wa3pMTL+bT8ydA3PD347dqcKEehA=|8RWiaaFMvv9DwajXELNlWReAyVUi8zpTzS3zVZqvQ3U=";
}
