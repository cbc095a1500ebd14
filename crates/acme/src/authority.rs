//! The seam to issuers of certificates, as plain data. Real: [`crate::client`]; hand-driven: [`crate::fake`].
//! Decides nothing and remembers nothing. Tests: `tests/it/authority.rs`, the contract of both.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use havre_core::name::CertificateName;
use havre_core::secret::Secret;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{AuthorityError, Problem};

/// Talks to issuers. Every call names everything it needs, so that it can be made again after a crash, and a call made twice
/// leaves the same world as one made once, except [`Authority::new_order`], which says so itself.
///
/// Nonces that an issuer refuses are tried again inside. Nothing else is: how often and when is a decision.
#[async_trait]
pub trait Authority: std::fmt::Debug + Send + Sync + 'static {
    /// What the issuer says about itself. Changes nothing; a good first question to a new issuer.
    ///
    /// # Errors
    /// Those of [`AuthorityError`] that need no account.
    async fn directory(&self, issuer: &Issuer) -> Result<Directory, AuthorityError>;

    /// Makes the account of a key, or finds it: an issuer has one account for each key. Answers its URL.
    ///
    /// # Errors
    /// [`AuthorityError::Account`] when the issuer wants an external account, other terms, or refuses the contact.
    async fn ensure_account(&self, issuer: &Issuer, account: &NewAccount) -> Result<String, AuthorityError>;

    /// Orders a certificate and answers the URL of the order, which must be stored before anything else is done. **Not
    /// idempotent:** done twice it may make two orders, and both count against the issuer's limits. So count before calling.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`] names the names at fault; [`AuthorityError::RateLimited`].
    async fn new_order(&self, account: &Account, order: &NewOrder) -> Result<String, AuthorityError>;

    /// How an order stands, with everything needed to answer its challenges.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`] with [`crate::error::ProblemKind::Malformed`] when the issuer no longer knows it.
    async fn order(&self, account: &Account, url: &str) -> Result<Order, AuthorityError>;

    /// Tells the issuer that the challenge of this kind for this name can be looked at now. A challenge the issuer has been
    /// told of before is left alone.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`] when the order has no such challenge.
    async fn answer(
        &self,
        account: &Account,
        url: &str,
        name: &CertificateName,
        kind: ChallengeKind,
    ) -> Result<(), AuthorityError>;

    /// Hands in the request for the certificate (PKCS#10, DER) of an order that is [`OrderState::Ready`]; an order that is
    /// past that is left alone. Answers how the order stands.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`], such as for a key the issuer finds weak.
    async fn finalize(&self, account: &Account, url: &str, request: &[u8]) -> Result<Order, AuthorityError>;

    /// The certificate with its chain (PEM, leaf first) of an order that is [`OrderState::Valid`].
    ///
    /// # Errors
    /// [`AuthorityError::NotReady`] for any other order.
    async fn chain(&self, account: &Account, url: &str) -> Result<String, AuthorityError>;

    /// When the issuer wants this certificate renewed (RFC 9773); `None` when it does not say such things.
    /// `certificate` is the identifier of `havre_x509`: key identifier, dot, serial number.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`] when the issuer does not know the certificate.
    async fn renewal(&self, issuer: &Issuer, certificate: &str) -> Result<Option<Renewal>, AuthorityError>;

    /// Revokes a certificate (DER) of this account. One that is revoked already is fine.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`].
    async fn revoke(
        &self,
        account: &Account,
        certificate: &[u8],
        reason: RevocationReason,
    ) -> Result<(), AuthorityError>;
}

/// An issuer, and how far it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Where its directory is: `https` only.
    pub directory: String,
    /// Roots (PEM) to trust besides those of the system, for an issuer inside a company.
    pub extra_roots: Option<String>,
    /// Whether it may live at an address that is not public. Off, unless someone runs their own.
    pub allow_private: bool,
}

impl Issuer {
    /// A public issuer.
    pub fn public(directory: &str) -> Self {
        Self { directory: directory.to_owned(), extra_roots: None, allow_private: false }
    }
}

/// What an issuer says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Directory {
    /// Where its terms can be read.
    pub terms: Option<String>,
    /// Whether an account needs credentials from the issuer's own site.
    pub needs_external_account: bool,
    /// Names it goes by in CAA records.
    pub caa_identities: Vec<String>,
    /// Kinds of certificates it offers, with what it says about each.
    pub profiles: BTreeMap<String, String>,
    /// Whether it says when to renew (ARI).
    pub has_renewal: bool,
}

/// An account to make or find.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Private key (PKCS#8, DER, P-256), which is what the account hangs on.
    pub key: Secret,
    /// Where the issuer may write to. Addresses without `mailto:`.
    pub contacts: Vec<String>,
    /// Whether a person has agreed to the issuer's terms.
    pub terms_agreed: bool,
    /// Credentials from the issuer's own site.
    pub external: Option<ExternalAccount>,
}

/// Credentials that tie an ACME account to one at the issuer's site (EAB).
#[derive(Debug, Clone)]
pub struct ExternalAccount {
    /// Name of the key.
    pub key_id: String,
    /// The key itself, decoded.
    pub key: Secret,
}

impl ExternalAccount {
    /// From what issuers show on their sites: base64, in either alphabet, with or without padding.
    pub fn parse(key_id: &str, key: &str) -> Option<Self> {
        use base64::Engine as _;
        let text: String = key
            .trim()
            .trim_end_matches('=')
            .chars()
            .map(|c| match c {
                '+' => '-',
                '/' => '_',
                other => other,
            })
            .collect();
        let key = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let is_usable = !key_id.trim().is_empty() && !key.is_empty();
        is_usable.then(|| Self { key_id: key_id.trim().to_owned(), key: Secret::new(key) })
    }
}

/// An account that exists.
#[derive(Debug, Clone)]
pub struct Account {
    /// At whom.
    pub issuer: Issuer,
    /// Its URL, as [`Authority::ensure_account`] answered.
    pub url: String,
    /// Its key.
    pub key: Secret,
}

/// A certificate to order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// What it is for.
    pub names: Vec<CertificateName>,
    /// Identifier of the certificate it takes the place of; issuers with ARI then do not count it against limits. Given to
    /// issuers that know ARI only, and left out for others.
    pub replaces: Option<String>,
    /// Kind of certificate, one of [`Directory::profiles`].
    pub profile: Option<String>,
}

/// How an order stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its URL.
    pub url: String,
    /// How far it is.
    pub state: OrderState,
    /// One for each name.
    pub authorizations: Vec<Authorization>,
    /// Why it is [`OrderState::Invalid`], where the issuer says so of the order as a whole.
    pub problem: Option<Problem>,
    /// How long the issuer would like us to wait before asking again.
    pub poll_after: Option<Duration>,
}

impl Order {
    /// The name that failed and why, the most telling reason the issuer gave.
    pub fn failure(&self) -> Option<(&CertificateName, &Problem)> {
        self.authorizations.iter().find_map(|authorization| {
            let problem = authorization.challenges.iter().find_map(|challenge| challenge.problem.as_ref())?;
            Some((&authorization.name, problem))
        })
    }
}

/// How far an order is (RFC 8555, 7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Challenges are open.
    Pending,
    /// All names are proven: finalize it.
    Ready,
    /// The issuer is at work.
    Processing,
    /// The certificate is there.
    Valid,
    /// It failed or ran out; only a new order helps.
    Invalid,
}

/// What must be proven for one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// The name as ordered, a wildcard with its star.
    pub name: CertificateName,
    /// How far it is.
    pub state: AuthorizationState,
    /// The ways to prove it that Havre knows; one is enough.
    pub challenges: Vec<Challenge>,
}

impl Authorization {
    /// The challenge of a kind.
    pub fn challenge(&self, kind: ChallengeKind) -> Option<&Challenge> {
        self.challenges.iter().find(|challenge| challenge.kind == kind)
    }
}

/// How far an authorization is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizationState {
    /// To be proven.
    Pending,
    /// Proven.
    Valid,
    /// Failed, expired, revoked or deactivated.
    Invalid,
}

/// How a name can be proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeKind {
    /// A file over plain HTTP, port 80.
    Http01,
    /// A certificate over TLS, port 443.
    TlsAlpn01,
    /// A TXT record; the only way for wildcards.
    Dns01,
}

/// One way to prove a name, with all three answers computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Which way.
    pub kind: ChallengeKind,
    /// How far it is.
    pub state: ChallengeState,
    /// HTTP-01: last part of the path.
    pub token: String,
    /// HTTP-01: the body. Not secret.
    pub key_authorization: String,
    /// TLS-ALPN-01: what goes into the certificate (`havre_x509::challenge_certificate`).
    pub digest: [u8; 32],
    /// DNS-01: the value of the TXT record.
    pub txt: String,
    /// What the issuer met when it looked.
    pub problem: Option<Problem>,
}

impl Challenge {
    /// Computes the answers (RFC 8555, 8.1, 8.4; RFC 8737, 3) from the token and the key authorization.
    pub fn new(kind: ChallengeKind, state: ChallengeState, token: &str, key_authorization: &str) -> Self {
        use base64::Engine as _;
        use sha2::Digest as _;
        let digest: [u8; 32] = sha2::Sha256::digest(key_authorization.as_bytes()).into();
        Self {
            kind,
            state,
            token: token.to_owned(),
            key_authorization: key_authorization.to_owned(),
            digest,
            txt: base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(digest),
            problem: None,
        }
    }
}

/// How far a challenge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeState {
    /// The issuer waits to be told.
    Pending,
    /// The issuer is looking.
    Processing,
    /// Seen and good.
    Valid,
    /// Seen and not good.
    Invalid,
}

/// When an issuer wants a certificate renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Renew at a random moment from here,
    pub start: Timestamp,
    /// until here.
    pub end: Timestamp,
    /// A page that says why.
    pub explanation: Option<String>,
    /// Ask again after this long.
    pub ask_again_after: Duration,
}

/// Why a certificate is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    /// No reason given.
    Unspecified,
    /// Somebody else may have the key.
    KeyCompromise,
    /// Another certificate has taken its place.
    Superseded,
    /// The name is not served any more.
    CessationOfOperation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_the_standards() {
        // The example of RFC 8555, 8.3; the digest by `printf %s ... | sha256sum`.
        let authorization =
            "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
        let challenge = Challenge::new(
            ChallengeKind::Dns01,
            ChallengeState::Pending,
            "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0",
            authorization,
        );
        assert_eq!(challenge.txt.len(), 43);
        assert!(!challenge.txt.contains('='), "base64url without padding");
    }

    #[test]
    fn external_keys_come_in_every_alphabet() {
        let bytes = |text| ExternalAccount::parse("kid", text).map(|account| account.key.expose().to_vec());
        assert_eq!(bytes("-_8="), Some(vec![0xfb, 0xff]));
        assert_eq!(bytes(" +/8 "), Some(vec![0xfb, 0xff]));
        assert_eq!(bytes("not base64!"), None);
        assert_eq!(bytes(""), None);
    }
}
