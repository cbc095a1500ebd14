//! What the contract of [`Authority`] needs of a world: an issuer, and a way to answer its challenges rightly or wrongly.

use havre_acme::Authority;
use havre_acme::authority::{Account, Challenge, Issuer, NewAccount};
use havre_acme::error::{Problem, ProblemKind};
use havre_acme::fake::{FakeAuthority, Verdict};
use havre_core::name::CertificateName;

use crate::pebble::{Options, Pebble};

pub(crate) trait World {
    async fn start() -> Self;
    fn authority(&self) -> &dyn Authority;
    fn issuer(&self) -> Issuer;
    async fn publish(&self, name: &CertificateName, challenge: &Challenge, is_right: bool);

    async fn account(&self) -> Account {
        let key = havre_x509::key::make_key().unwrap();
        let wanted = NewAccount {
            key: key.clone(),
            contacts: vec!["ops@example.test".into()],
            terms_agreed: true,
            external: None,
        };
        let url = self.authority().ensure_account(&self.issuer(), &wanted).await.unwrap();
        Account { issuer: self.issuer(), url, key }
    }
}

impl World for Pebble {
    async fn start() -> Self {
        // One nonce in five is refused: nobody above may notice.
        Self::start(Options { refused_nonces: 20, ..Options::default() }).await
    }

    fn authority(&self) -> &dyn Authority {
        &self.client
    }

    fn issuer(&self) -> Issuer {
        self.issuer.clone()
    }

    async fn publish(&self, name: &CertificateName, challenge: &Challenge, is_right: bool) {
        Self::publish(self, name, challenge, is_right).await;
    }
}

impl World for FakeAuthority {
    async fn start() -> Self {
        let fake = Self::new();
        fake.set_now(havre_core::time::Timestamp::from_millis(crate::pebble::now_ms() - 1000));
        fake
    }

    fn authority(&self) -> &dyn Authority {
        self
    }

    fn issuer(&self) -> Issuer {
        Issuer::public("https://pretended.test/dir")
    }

    async fn publish(&self, name: &CertificateName, _challenge: &Challenge, is_right: bool) {
        let verdict = if is_right {
            Verdict::Good
        } else {
            Verdict::Bad(Problem::new(ProblemKind::Unauthorized, "found something else"))
        };
        self.judge(name, verdict);
    }
}
