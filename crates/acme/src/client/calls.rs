//! What each call of [`AcmeClient`] does, once. Trying again after refused nonces is `mod.rs`.
//! Tests: `tests/it/authority.rs` against Pebble, `tests/it/abuse.rs` against servers that misbehave.

use havre_core::name::CertificateName;
use instant_acme::{CertificateIdentifier, Identifier};
use rustls::pki_types::CertificateDer;

use super::{AcmeClient, account, answer, failed, not_ready, read};
use crate::authority::{
    Account, ChallengeKind, Directory, Issuer, NewAccount, NewOrder, Order, OrderState, Renewal,
    RevocationReason,
};
use crate::error::{AuthorityError, Problem, ProblemKind};

impl AcmeClient {
    pub(super) async fn read_directory(&self, issuer: &Issuer) -> Result<Directory, AuthorityError> {
        let link = self.link("read the issuer's directory", issuer)?;
        read::directory(&link, &link.get(&issuer.directory).await?).map(|(directory, _)| directory)
    }

    pub(super) async fn find_or_make_account(
        &self,
        issuer: &Issuer,
        account: &NewAccount,
    ) -> Result<String, AuthorityError> {
        let link = self.link("make an account", issuer)?;
        account::ensure(&link, &issuer.directory, account).await
    }

    pub(super) async fn place_order(
        &self,
        account: &Account,
        order: &NewOrder,
    ) -> Result<String, AuthorityError> {
        let (link, session) = self.session("order a certificate", account).await?;
        let names: Vec<Identifier> =
            order.names.iter().map(|name| Identifier::Dns(name.to_string())).collect();
        let mut wanted = instant_acme::NewOrder::new(&names);
        if let Some((key, serial)) = order.replaces.as_deref().and_then(|replaces| replaces.split_once('.')) {
            wanted = wanted.replaces(CertificateIdentifier {
                authority_key_identifier: key.into(),
                serial: serial.into(),
            });
        }
        if let Some(profile) = &order.profile {
            wanted = wanted.profile(profile);
        }
        let mut placed = session.new_order(&wanted).await;
        if order.replaces.is_some() && matches!(placed, Err(instant_acme::Error::Unsupported(_))) {
            let mut plain = instant_acme::NewOrder::new(&names);
            if let Some(profile) = &order.profile {
                plain = plain.profile(profile);
            }
            placed = session.new_order(&plain).await;
        }
        match (placed, link.notes().created) {
            (Ok(order), _) => Ok(order.url().to_owned()),
            // The order is there, though something about the answer was odd, such as `replaces` not repeated: losing it would
            // cost another one.
            (Err(_), Some(created)) => Ok(created),
            (Err(error), None) => Err(failed(&link, error)),
        }
    }

    pub(super) async fn read_order(&self, account: &Account, url: &str) -> Result<Order, AuthorityError> {
        let (link, session, order) = self.order_of("look at the order", account, url).await?;
        read::order(&link, session.key_thumbprint(), order).await
    }

    pub(super) async fn tell_ready(
        &self,
        account: &Account,
        url: &str,
        name: &CertificateName,
        kind: ChallengeKind,
    ) -> Result<(), AuthorityError> {
        let (link, _session, mut order) = self.order_of("answer a challenge", account, url).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| failed(&link, error))?;
            if authorization.identifier().to_string() != name.as_str() {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(read::wire_kind(kind)) else { break };
            if challenge.status != instant_acme::ChallengeStatus::Pending {
                return Ok(());
            }
            return match challenge.set_ready().await {
                // The issuer has looked already and did not like it; the order shows that.
                Err(instant_acme::Error::Api(problem))
                    if answer::from_inside(&problem).kind != ProblemKind::BadNonce =>
                {
                    Ok(())
                }
                result => result.map_err(|error| failed(&link, error)),
            };
        }
        let problem =
            Problem::new(ProblemKind::Malformed, &format!("the order has no such challenge for {name}"));
        Err(AuthorityError::Refused { what: link.what(), problem })
    }

    pub(super) async fn hand_in(
        &self,
        account: &Account,
        url: &str,
        request: &[u8],
    ) -> Result<Order, AuthorityError> {
        let (link, session, mut order) =
            self.order_of("hand in the certificate request", account, url).await?;
        match read::order_state(order.state().status) {
            OrderState::Ready => order.finalize_csr(request).await.map_err(|error| failed(&link, error))?,
            OrderState::Processing | OrderState::Valid => {}
            state => return Err(not_ready(&link, state)),
        }
        read::order(&link, session.key_thumbprint(), order).await
    }

    pub(super) async fn fetch_chain(&self, account: &Account, url: &str) -> Result<String, AuthorityError> {
        let (link, _session, mut order) = self.order_of("fetch the certificate", account, url).await?;
        match read::order_state(order.state().status) {
            OrderState::Valid => {}
            state => return Err(not_ready(&link, state)),
        }
        let chain = order.certificate().await.map_err(|error| failed(&link, error))?;
        chain.ok_or_else(|| not_ready(&link, OrderState::Processing))
    }

    pub(super) async fn read_renewal(
        &self,
        issuer: &Issuer,
        certificate: &str,
    ) -> Result<Option<Renewal>, AuthorityError> {
        let link = self.link("ask when to renew", issuer)?;
        let is_clean =
            certificate.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !is_clean || certificate.matches('.').count() != 1 {
            let message = "the identifier of the certificate is not two parts with a dot between".to_owned();
            return Err(AuthorityError::BadInput { what: link.what(), message });
        }
        let (_, renewal_url) = read::directory(&link, &link.get(&issuer.directory).await?)?;
        let Some(url) = renewal_url else { return Ok(None) };
        let body = link.get(&format!("{}/{certificate}", url.trim_end_matches('/'))).await?;
        read::renewal(&link, &body).map(Some)
    }

    pub(super) async fn revoke_now(
        &self,
        account: &Account,
        certificate: &[u8],
        reason: RevocationReason,
    ) -> Result<(), AuthorityError> {
        let (link, session) = self.session("revoke a certificate", account).await?;
        let certificate = CertificateDer::from(certificate.to_vec());
        let reason = Some(read::wire_reason(reason));
        let request = instant_acme::RevocationRequest { certificate: &certificate, reason };
        match session.revoke(&request).await.map_err(|error| failed(&link, error)) {
            Err(AuthorityError::Refused {
                problem: Problem { kind: ProblemKind::AlreadyRevoked, .. },
                ..
            }) => Ok(()),
            result => result,
        }
    }
}
