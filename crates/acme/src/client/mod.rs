//! The real [`Authority`]: instant-acme speaks ACME, over an HTTP of ours. Every call stands for itself: it opens its own
//! connection, reads the directory, does one thing, and keeps nothing. Decides nothing. Tests: `tests/it/authority.rs` against
//! Pebble, `tests/it/abuse.rs` against servers that misbehave.

mod account;
mod answer;
mod calls;
mod http;
mod read;

use std::future::Future;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use havre_core::name::CertificateName;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

pub use self::http::Limits;
use self::http::Link;
use crate::authority::{
    Account, Authority, ChallengeKind, Directory, Issuer, NewAccount, NewOrder, Order, OrderState, Renewal,
    RevocationReason,
};
use crate::error::{AuthorityError, Problem, ProblemKind};

/// Talks to issuers over the network.
#[derive(Debug, Default)]
pub struct AcmeClient {
    limits: Limits,
    /// The system's roots, read once: they are some hundred files.
    roots: OnceLock<Arc<RootCertStore>>,
}

impl AcmeClient {
    /// With the usual limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// With limits of one's own, for tests of what happens at them.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits, roots: OnceLock::new() }
    }

    fn link(&self, what: &'static str, issuer: &Issuer) -> Result<Link, AuthorityError> {
        let roots = self
            .roots_for(issuer)
            .map_err(|message| AuthorityError::BadInput { what: what.to_owned(), message })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has the suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let link = Link::new(what, issuer.allow_private, self.limits, Arc::new(config));
        link.check_address(&issuer.directory)?;
        Ok(link)
    }

    fn roots_for(&self, issuer: &Issuer) -> Result<Arc<RootCertStore>, String> {
        let system = self.roots.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            // A root that cannot be read is no reason to trust none of the others; without any, TLS says so.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        });
        let Some(pem) = &issuer.extra_roots else { return Ok(Arc::clone(system)) };
        let mut roots = RootCertStore::clone(system);
        for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let root =
                root.map_err(|error| format!("the extra roots of the issuer cannot be read: {error}"))?;
            roots
                .add(root)
                .map_err(|error| format!("an extra root of the issuer cannot be used: {error}"))?;
        }
        Ok(Arc::new(roots))
    }

    async fn session(
        &self,
        what: &'static str,
        account: &Account,
    ) -> Result<(Link, instant_acme::Account), AuthorityError> {
        let link = self.link(what, &account.issuer)?;
        let key = PrivatePkcs8KeyDer::from(account.key.expose());
        let opened = instant_acme::Account::builder_with_http(Box::new(link.clone()))
            .from_parts(account.url.clone(), key, account.issuer.directory.clone())
            .await;
        let opened = opened.map_err(|error| failed(&link, error))?;
        Ok((link, opened))
    }

    async fn order_of(
        &self,
        what: &'static str,
        account: &Account,
        url: &str,
    ) -> Result<(Link, instant_acme::Account, instant_acme::Order), AuthorityError> {
        let (link, session) = self.session(what, account).await?;
        let order = session.order(url.to_owned()).await.map_err(|error| failed(&link, error))?;
        Ok((link, session, order))
    }
}

/// What an error of instant-acme means. Refusals come through it unread: `answer.rs` has classed them before.
fn failed(link: &Link, error: instant_acme::Error) -> AuthorityError {
    use instant_acme::Error;
    match error {
        Error::Other(cause) => match cause.downcast::<AuthorityError>() {
            Ok(classed) => *classed,
            Err(other) => link.garbled(other.to_string()),
        },
        // A nonce that was refused again and again, or a failure kept inside an order.
        Error::Api(problem) => match answer::from_inside(&problem) {
            Problem { kind: ProblemKind::BadNonce, .. } => AuthorityError::Unavailable {
                what: link.what(),
                retry_after: None,
                message: NONCES_REFUSED.to_owned(),
            },
            problem => AuthorityError::Refused { what: link.what(), problem },
        },
        Error::KeyRejected | Error::Crypto => AuthorityError::BadInput {
            what: link.what(),
            message: "the key of the account is not a P-256 key".to_owned(),
        },
        other => link.garbled(other.to_string()),
    }
}

/// Said when an issuer refused nonces as often as they are tried again below us.
const NONCES_REFUSED: &str = "it refuses every nonce";
/// Times a whole call is made again for that. A refused nonce means that nothing was done.
const CALLS_MAX: usize = 5;

/// Makes a call again while nonces are all that stands in its way: behind a balancer, or at Pebble, several in a row are refused.
async fn patiently<T, F>(mut call: impl FnMut() -> F + Send) -> Result<T, AuthorityError>
where
    F: Future<Output = Result<T, AuthorityError>> + Send,
{
    let mut answer = call().await;
    for _ in 1..CALLS_MAX {
        match &answer {
            Err(AuthorityError::Unavailable { message, .. }) if message == NONCES_REFUSED => {
                answer = call().await
            }
            _ => break,
        }
    }
    answer
}

fn not_ready(link: &Link, state: OrderState) -> AuthorityError {
    AuthorityError::NotReady { what: link.what(), state: format!("{state:?}").to_lowercase() }
}

#[async_trait]
impl Authority for AcmeClient {
    async fn directory(&self, issuer: &Issuer) -> Result<Directory, AuthorityError> {
        self.read_directory(issuer).await
    }

    async fn ensure_account(&self, issuer: &Issuer, account: &NewAccount) -> Result<String, AuthorityError> {
        patiently(|| self.find_or_make_account(issuer, account)).await
    }

    async fn new_order(&self, account: &Account, order: &NewOrder) -> Result<String, AuthorityError> {
        patiently(|| self.place_order(account, order)).await
    }

    async fn order(&self, account: &Account, url: &str) -> Result<Order, AuthorityError> {
        patiently(|| self.read_order(account, url)).await
    }

    async fn answer(
        &self,
        account: &Account,
        url: &str,
        name: &CertificateName,
        kind: ChallengeKind,
    ) -> Result<(), AuthorityError> {
        patiently(|| self.tell_ready(account, url, name, kind)).await
    }

    async fn finalize(&self, account: &Account, url: &str, request: &[u8]) -> Result<Order, AuthorityError> {
        patiently(|| self.hand_in(account, url, request)).await
    }

    async fn chain(&self, account: &Account, url: &str) -> Result<String, AuthorityError> {
        patiently(|| self.fetch_chain(account, url)).await
    }

    async fn renewal(&self, issuer: &Issuer, certificate: &str) -> Result<Option<Renewal>, AuthorityError> {
        self.read_renewal(issuer, certificate).await
    }

    async fn revoke(
        &self,
        account: &Account,
        certificate: &[u8],
        reason: RevocationReason,
    ) -> Result<(), AuthorityError> {
        patiently(|| self.revoke_now(account, certificate, reason)).await
    }
}
