//! Makes or finds the account of a key. Signed here and not by instant-acme, which makes a new key for each account with
//! external credentials: a crash between the issuer's answer and our store would lose that account, and issuers limit how
//! many one may make. Tests: `tests/it/authority.rs`; the signatures themselves are checked by every issuer.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::authority::{ExternalAccount, NewAccount};
use crate::client::NONCES_REFUSED;
use crate::client::http::Link;
use crate::error::{AuthorityError, Problem, ProblemKind};

/// Times a refused nonce is tried again. Pebble refuses one in twenty on purpose, and load balancers do by accident.
const NONCES_MAX: usize = 5;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Places {
    new_nonce: String,
    new_account: String,
}

#[derive(Deserialize)]
struct Standing {
    #[serde(default)]
    status: String,
}

/// The URL of the account of `account.key` at the issuer whose directory is `directory`.
pub(crate) async fn ensure(
    link: &Link,
    directory: &str,
    account: &NewAccount,
) -> Result<String, AuthorityError> {
    let places: Places = serde_json::from_slice(&link.get(directory).await?)
        .map_err(|error| link.garbled(format!("its directory: {error}")))?;
    let signer = Signer::new(link, account)?;
    let payload = payload(&signer, account, &places.new_account);
    let mut nonce = None;
    for _ in 0..NONCES_MAX {
        let fresh = match nonce.take() {
            Some(nonce) => nonce,
            None => {
                link.plain(http::Method::HEAD, &places.new_nonce).await?;
                link.notes().nonce.ok_or_else(|| link.garbled("it gives no nonce"))?
            }
        };
        let head = json!({ "alg": "ES256", "jwk": signer.jwk, "nonce": fresh, "url": places.new_account });
        let (status, body) = link.post(&places.new_account, signer.sign(link, &head, &payload)?).await?;
        if status == StatusCode::BAD_REQUEST {
            nonce = link.notes().nonce;
            continue;
        }
        return account_url(link, &body);
    }
    Err(AuthorityError::Unavailable {
        what: link.what(),
        retry_after: None,
        message: NONCES_REFUSED.to_owned(),
    })
}

fn account_url(link: &Link, body: &[u8]) -> Result<String, AuthorityError> {
    let standing: Standing = serde_json::from_slice(body).map_err(|error| link.garbled(error.to_string()))?;
    if !matches!(standing.status.as_str(), "valid" | "") {
        let problem = Problem::new(ProblemKind::Unauthorized, &format!("the account is {}", standing.status));
        return Err(AuthorityError::Account { what: link.what(), problem });
    }
    link.notes().location.ok_or_else(|| link.garbled("it does not say where the account is"))
}

fn payload(signer: &Signer, account: &NewAccount, url: &str) -> Value {
    let contacts: Vec<String> = account.contacts.iter().map(|address| format!("mailto:{address}")).collect();
    let mut payload = json!({ "termsOfServiceAgreed": account.terms_agreed, "contact": contacts });
    if let Some(external) = &account.external {
        payload["externalAccountBinding"] = binding(external, &signer.jwk, url);
    }
    payload
}

/// RFC 8555, 7.3.4: our public key, signed with the key of the issuer's site.
fn binding(external: &ExternalAccount, jwk: &Value, url: &str) -> Value {
    let head = json!({ "alg": "HS256", "kid": external.key_id, "url": url });
    let (head, payload) = (encode(&head), encode(jwk));
    let key = hmac::Key::new(hmac::HMAC_SHA256, external.key.expose());
    let tag = hmac::sign(&key, format!("{head}.{payload}").as_bytes());
    json!({ "protected": head, "payload": payload, "signature": BASE64.encode(tag.as_ref()) })
}

fn encode(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

struct Signer {
    pair: EcdsaKeyPair,
    jwk: Value,
}

impl Signer {
    fn new(link: &Link, account: &NewAccount) -> Result<Self, AuthorityError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, account.key.expose()).map_err(
            |_| AuthorityError::BadInput {
                what: link.what(),
                message: "the key of the account is not a P-256 key".to_owned(),
            },
        )?;
        // Uncompressed point: 4, x, y.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": BASE64.encode(x), "y": BASE64.encode(y) });
        Ok(Self { pair, jwk })
    }

    fn sign(&self, link: &Link, head: &Value, payload: &Value) -> Result<Vec<u8>, AuthorityError> {
        let (head, payload) = (encode(head), encode(payload));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), format!("{head}.{payload}").as_bytes())
            .map_err(|_| AuthorityError::BadInput {
                what: link.what(),
                message: "the system has no randomness".to_owned(),
            })?;
        let whole =
            json!({ "protected": head, "payload": payload, "signature": BASE64.encode(signature.as_ref()) });
        Ok(whole.to_string().into_bytes())
    }
}
