//! The steps of a certificate: asks, writes, tells, and stores what follows. Chooses nothing; what a result means is
//! `havre_decide::certificate::conclude`. Every step may run twice, placing an order aside, which is recorded before it is done.
//! What concerns edges is in `execute/edges.rs`.

mod edges;

use havre_acme::authority::{self, Account, NewAccount, NewOrder, OrderState};
use havre_acme::error::{AuthorityError, DnsError};
use havre_core::certificate::Window;
use havre_core::certificate::challenge::{ChallengeKind, Proof};
use havre_core::certificate::issuer::Issuer;
use havre_core::certificate::{Attempt, Certificate, Current, Side, Stage, State};
use havre_core::dns::TxtRecord;
use havre_core::dns::pointing::judge_pointing;
use havre_core::event::Actor;
use havre_core::name::IssuerName;
use havre_core::quantity::Span;
use havre_core::secret::Secret;
use havre_decide::certificate::conclude::{Outcome, conclude};
use havre_decide::certificate::plan::Step;
use havre_decide::certificate::seen::{Look, NamesSeen, Wanted};
use havre_decide::dns::caa::check_caa;
use havre_store::certificate::OrderRequest;
use havre_store::{Material, StoreError};
use havre_x509::current::current;
use havre_x509::inspect::{inspect, renewal_id};

use super::ignore_conflict;
use crate::deployment::chain;
use crate::world::World;

/// Does one step and stores what follows.
pub(super) async fn execute(
    world: &World,
    row: &Certificate,
    wanted: &Wanted,
    step: Step,
) -> Result<(), StoreError> {
    let at = Site { world, row, wanted };
    match step {
        Step::LookUp => at.look_up().await,
        Step::MakeTrial => at.make_trial().await?,
        Step::AskEdges => at.ask_edges().await?,
        Step::PlaceOrder { attempt, is_renewal, is_retry } => at.place(attempt, is_renewal, is_retry).await?,
        Step::ReadOrder { url, challenge } => {
            let (outcome, materials) = at.read_order(&url, challenge).await?;
            at.store(outcome, materials).await?;
        }
        Step::WriteRecords { records } => at.write_records(&records).await?,
        Step::LookAtZone { records } => at.look_at_zone(&records).await,
        Step::Answer { url, challenge } => {
            let outcome = at.answer(&url, challenge).await?;
            at.store(outcome, Vec::new()).await?;
        }
        Step::Proceed { url } => at.proceed(&url).await?,
        Step::GiveUp { side, message } => at.store(failed(side, message), Vec::new()).await?,
        Step::AskRenewal { issuer } => at.ask_renewal(&issuer).await?,
        Step::ClearRecords { records } => at.clear(&records).await?,
    }
    Ok(())
}

struct Site<'a> {
    world: &'a World,
    row: &'a Certificate,
    wanted: &'a Wanted,
}

impl Site<'_> {
    async fn store(&self, outcome: Outcome, materials: Vec<Material>) -> Result<(), StoreError> {
        let now = self.world.now();
        let conclusion = conclude(self.row, outcome, now);
        let stored = self
            .world
            .store
            .write(now, Actor::Havre, move |tx| tx.conclude_certificate(conclusion, &materials))
            .await;
        ignore_conflict(stored)
    }

    async fn look_up(&self) {
        let mut seen = NamesSeen::default();
        let issuer =
            havre_core::certificate::issuer::choose(&self.wanted.issuers, self.row.record.issuer_failures);
        let identities: Vec<String> = issuer
            .map(|issuer| issuer.caa_domains().iter().map(ToString::to_string).collect())
            .unwrap_or_default();
        for name in &self.row.names {
            let host = name.host();
            let views = self.world.dns.addresses(&host).await;
            seen.hosts.push((host.clone(), judge_pointing(&views, &self.wanted.here)));
            if identities.is_empty() {
                continue;
            }
            match self.world.dns.caa(&host).await {
                Ok(set) => {
                    seen.forbidden.extend(check_caa(set.as_ref(), name, &identities).err().map(|no| no.to_string()));
                }
                Err(failure) => seen.forbidden.push(format!(
                    "whether its CAA records allow the issuer is not known, and an issuer would refuse: {failure}"
                )),
            }
        }
        let look = Look { at: self.world.now(), seen };
        self.world.certificates.look(self.row.id, |sight| sight.names = Some(look));
    }

    fn issuer(&self, name: &IssuerName) -> Option<&Issuer> {
        self.wanted.issuers.iter().find(|issuer| issuer.name == *name)
    }

    async fn place(&self, attempt: Attempt, is_renewal: bool, is_retry: bool) -> Result<(), StoreError> {
        let Some(issuer) = self.issuer(&attempt.issuer).cloned() else { return Ok(()) };
        let account = match self.account(&issuer, attempt.stage).await? {
            Ok(account) => account,
            Err(outcome) => return self.store(outcome, Vec::new()).await,
        };
        let key = match havre_x509::key::make_key() {
            Ok(key) => key,
            Err(error) => return self.store(failed(Side::Ours, chain(&error)), Vec::new()).await,
        };
        let replaces =
            match self.row.current.as_ref().filter(|current| current.issuer.as_ref() == Some(&issuer.name)) {
                Some(current) if attempt.stage == Stage::Production => self.renewal_id(current).await?,
                _ => None,
            };
        let row = self.row.clone();
        let limits = issuer.limits(attempt.stage);
        let request = OrderRequest { attempt, is_renewal, is_retry, limits };
        let placed = self
            .world
            .store
            .write(self.world.now(), Actor::Havre, move |tx| tx.place_order(&row, &request, &key));
        match placed.await {
            Ok(Ok(_)) => {}
            // Another certificate was faster; the next plan says so.
            Ok(Err(_)) | Err(StoreError::Conflict { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let order = NewOrder { names: self.row.names.clone(), replaces, profile: None };
        let outcome = match self.world.authority.new_order(&account, &order).await {
            Ok(url) => Outcome::Placed { url },
            Err(error) => outcome(&error),
        };
        let id = self.row.id;
        let row = self.world.store.read(move |view| view.get_certificate(id)).await?;
        Site { row: &row, ..*self }.store(outcome, Vec::new()).await
    }

    /// Our account, made when there is none.
    async fn account(&self, issuer: &Issuer, stage: Stage) -> Result<Result<Account, Outcome>, StoreError> {
        let Some(directory) = issuer.directory_of(stage) else {
            let message = format!("{} has no directory for a {}", issuer.name, stage.as_str());
            return Ok(Err(failed(Side::Ours, message)));
        };
        let there = authority::Issuer {
            directory: directory.to_string(),
            extra_roots: issuer.root_pem.clone(),
            allow_private: !issuer.is_public(),
        };
        let name = issuer.name.clone();
        let (account, eab) = self
            .world
            .store
            .read({
                let name = name.clone();
                move |view| Ok((view.find_account(&name, stage)?, view.find_eab_key(&name)?))
            })
            .await?;
        if let Some(url) = account.as_ref().and_then(|account| account.url.clone()) {
            let key = account.expect("it has a url").key;
            return Ok(Ok(Account { issuer: there, url, key }));
        }
        let fresh = match havre_x509::key::make_key() {
            Ok(key) => key,
            Err(error) => return Ok(Err(failed(Side::Ours, chain(&error)))),
        };
        let write = self.world.store.write(self.world.now(), Actor::Havre, {
            let name = name.clone();
            move |tx| tx.ensure_account_key(&name, stage, &fresh)
        });
        let key: Secret = write.await?.key;
        let external = match (&issuer.eab_key_id, eab.as_ref().and_then(Secret::expose_text)) {
            (Some(id), Some(key)) => match authority::ExternalAccount::parse(id, key) {
                Some(external) => Some(external),
                None => return Ok(Err(failed(Side::Ours, format!("the EAB key of {name} is not base64")))),
            },
            _ => None,
        };
        let new = NewAccount {
            key: key.clone(),
            contacts: issuer.contact.iter().cloned().collect(),
            terms_agreed: true,
            external,
        };
        match self.world.authority.ensure_account(&there, &new).await {
            Err(error) => Ok(Err(outcome(&error))),
            Ok(url) => {
                let known = url.clone();
                let write = self.world.store.write(self.world.now(), Actor::Havre, move |tx| {
                    tx.set_account_url(&name, stage, &known)
                });
                write.await?;
                Ok(Ok(Account { issuer: there, url, key }))
            }
        }
    }

    /// The account of the open order.
    async fn open_account(&self) -> Result<Result<Account, Outcome>, StoreError> {
        let State::Ordering { attempt, .. } = &self.row.state else {
            return Ok(Err(failed(Side::Ours, "no order is open".to_owned())));
        };
        match self.issuer(&attempt.issuer) {
            Some(issuer) => self.account(issuer, attempt.stage).await,
            None => Ok(Err(failed(Side::Ours, format!("the issuer {} was removed", attempt.issuer)))),
        }
    }

    async fn read_order(
        &self,
        url: &str,
        challenge: ChallengeKind,
    ) -> Result<(Outcome, Vec<Material>), StoreError> {
        let account = match self.open_account().await? {
            Ok(account) => account,
            Err(outcome) => return Ok((outcome, Vec::new())),
        };
        let order = match self.world.authority.order(&account, url).await {
            Ok(order) => order,
            Err(error) => return Ok((outcome(&error), Vec::new())),
        };
        if order.state == OrderState::Invalid {
            return Ok((invalid(&order), Vec::new()));
        }
        let (mut proofs, mut materials) = (Vec::new(), Vec::new());
        for open in
            order.authorizations.iter().filter(|one| one.state == authority::AuthorizationState::Pending)
        {
            let Some(asked) = open.challenge(wire(challenge)) else {
                let message = format!("the issuer does not offer {challenge} for {}", open.name);
                return Ok((failed(Side::Domain, message), Vec::new()));
            };
            match self.proof(open, asked, challenge).await {
                Ok((proof, material)) => {
                    proofs.push(proof);
                    materials.extend(material);
                }
                Err(outcome) => return Ok((outcome, Vec::new())),
            }
        }
        Ok((Outcome::Wants { proofs }, materials))
    }

    async fn proof(
        &self,
        open: &authority::Authorization,
        asked: &authority::Challenge,
        challenge: ChallengeKind,
    ) -> Result<(Proof, Option<Material>), Outcome> {
        let host = open.name.host();
        match challenge {
            ChallengeKind::Http01 => {
                let (token, answer) = (asked.token.clone(), asked.key_authorization.clone());
                Ok((Proof::File { host, token, answer }, None))
            }
            ChallengeKind::TlsAlpn01 => {
                let (proof, material) = self.handshake(host, asked.digest)?;
                Ok((proof, Some(material)))
            }
            ChallengeKind::Dns01 => {
                let place = self.world.dns.challenge_place(&open.name).await;
                let place = place.map_err(|error| stalled(&error))?;
                Ok((Proof::Txt { record: TxtRecord { place, value: asked.txt.clone() } }, None))
            }
        }
    }

    /// The provider that can write a record: that of the zone it is in.
    async fn provider(&self, record: &TxtRecord) -> Result<havre_core::dns::provider::Provider, StoreError> {
        let zone = record.place.zone.clone();
        self.world
            .store
            .read(move |view| {
                let zones = view.list_dns_providers()?;
                let ours = zones
                    .into_iter()
                    .map(|(ours, _)| ours)
                    .filter(|ours| zone.is_in(ours) || ours.is_in(&zone));
                match ours.max_by_key(|ours| ours.as_str().len()) {
                    Some(ours) => view.get_dns_provider(&ours),
                    None => view.get_dns_provider(&zone),
                }
            })
            .await
    }

    async fn write_records(&self, records: &[TxtRecord]) -> Result<(), StoreError> {
        for record in records {
            let written = match self.provider(record).await {
                Ok(provider) => {
                    self.world.dns.set_txt(&provider, record).await.map_err(|error| stalled(&error))
                }
                Err(error @ (StoreError::NotFound { .. } | StoreError::Sealed { .. })) => {
                    Err(Outcome::Stalled { is_passing: false, message: chain(&error) })
                }
                Err(error) => return Err(error),
            };
            if let Err(outcome) = written {
                return self.store(outcome, Vec::new()).await;
            }
        }
        self.look_at_zone(records).await;
        Ok(())
    }

    async fn look_at_zone(&self, records: &[TxtRecord]) {
        let mut seen = Ok(());
        for record in records {
            let views = self.world.dns.txt(&record.place.name).await;
            let own = views.iter().filter(|view| view.server.is_authoritative());
            let lagging = own
                .filter(|view| !view.answer.as_ref().is_ok_and(|values| values.contains(&record.value)))
                .map(|view| view.server.to_string())
                .next();
            if let Some(server) = lagging {
                seen = Err(format!("{server} does not show {}", record.place.name));
            }
            if views.is_empty() {
                seen = Err(format!("no server of the zone of {} answered", record.place.name));
            }
        }
        let look = Look { at: self.world.now(), seen };
        self.world.certificates.look(self.row.id, |sight| sight.zone = Some(look));
    }

    async fn answer(&self, url: &str, challenge: ChallengeKind) -> Result<Outcome, StoreError> {
        let account = match self.open_account().await? {
            Ok(account) => account,
            Err(outcome) => return Ok(outcome),
        };
        for proof in self.row.state.proofs() {
            let name = match proof {
                Proof::File { host, .. } | Proof::Handshake { host, .. } => {
                    self.row.names.iter().find(|name| name.host() == *host)
                }
                Proof::Txt { record } => self
                    .row
                    .names
                    .iter()
                    .find(|name| name.challenge_record().as_ref() == Some(&record.place.name)),
            };
            // A record may be elsewhere, behind a CNAME; then there is one name, or all are told.
            let names = name.map_or(self.row.names.as_slice(), std::slice::from_ref);
            for name in names {
                if let Err(error) = self.world.authority.answer(&account, url, name, wire(challenge)).await {
                    return Ok(outcome(&error));
                }
            }
        }
        Ok(Outcome::Answered)
    }

    async fn proceed(&self, url: &str) -> Result<(), StoreError> {
        let account = match self.open_account().await? {
            Ok(account) => account,
            Err(outcome) => return self.store(outcome, Vec::new()).await,
        };
        let asked = self.world.authority.order(&account, url).await;
        let now = self.world.now();
        self.world.certificates.look(self.row.id, |sight| sight.asked_issuer_at = Some(now));
        let order = match asked {
            Ok(order) if order.state == OrderState::Ready => match self.finalize(&account, url).await? {
                Ok(order) => order,
                Err(outcome) => return self.store(outcome, Vec::new()).await,
            },
            Ok(order) => order,
            // An issuer that is down for a moment has not forgotten the order; the hour of the order bounds this.
            Err(error) if error.is_passing() => return Ok(()),
            Err(error) => return self.store(outcome(&error), Vec::new()).await,
        };
        match order.state {
            OrderState::Pending | OrderState::Ready | OrderState::Processing => Ok(()),
            OrderState::Invalid => self.store(invalid(&order), Vec::new()).await,
            OrderState::Valid => self.collect(&account, url).await,
        }
    }

    async fn finalize(
        &self,
        account: &Account,
        url: &str,
    ) -> Result<Result<authority::Order, Outcome>, StoreError> {
        let key = self.order_key().await?;
        let request = match havre_x509::request::make_request(&key, &self.row.names) {
            Ok(request) => request,
            Err(error) => return Ok(Err(failed(Side::Ours, chain(&error)))),
        };
        let order = self.world.authority.finalize(account, url, &request).await;
        Ok(order.map_err(|error| outcome(&error)))
    }

    async fn order_key(&self) -> Result<Secret, StoreError> {
        let State::Ordering { order, .. } = &self.row.state else {
            return Err(StoreError::NotFound { kind: "open order of", id: self.row.id.to_string() });
        };
        let order = *order;
        self.world.store.read(move |view| view.order_key(order)).await
    }

    async fn collect(&self, account: &Account, url: &str) -> Result<(), StoreError> {
        let chain_pem = match self.world.authority.chain(account, url).await {
            Ok(chain) => chain,
            Err(error) if error.is_passing() => return Ok(()),
            Err(error) => return self.store(outcome(&error), Vec::new()).await,
        };
        let key = self.order_key().await?;
        let made = havre_x509::material::Material { chain: chain_pem, key };
        let State::Ordering { attempt, .. } = &self.row.state else { return Ok(()) };
        let now = self.world.now();
        let inspected = match inspect(made.to_pem().expose(), now) {
            Ok(inspected) => inspected,
            Err(error) => {
                let message = format!("what the issuer sent cannot be used: {error}");
                return self.store(failed(Side::Issuer, message), Vec::new()).await;
            }
        };
        let current = current(&inspected, Some(attempt.issuer.clone()), now);
        let havre_x509::material::Material { chain, key } = inspected.material;
        let material = Material { digest: current.digest.clone(), chain, key };
        let materials = if attempt.stage == Stage::Production { vec![material] } else { Vec::new() };
        self.store(Outcome::Issued { current: Box::new(current) }, materials).await
    }

    async fn renewal_id(&self, current: &Current) -> Result<Option<String>, StoreError> {
        let digest = current.digest.clone();
        let chain = self.world.store.read(move |view| view.find_chain(&digest)).await?;
        Ok(chain.and_then(|chain| renewal_id(&chain)))
    }

    async fn ask_renewal(&self, name: &IssuerName) -> Result<(), StoreError> {
        let (Some(current), Some(issuer)) = (&self.row.current, self.issuer(name)) else { return Ok(()) };
        let there = authority::Issuer {
            directory: issuer.directory.to_string(),
            extra_roots: issuer.root_pem.clone(),
            allow_private: !issuer.is_public(),
        };
        let id = self.renewal_id(current).await?;
        let said = match &id {
            Some(id) => self.world.authority.renewal(&there, id).await.ok(),
            None => Some(None),
        };
        let outcome = match said {
            Some(Some(renewal)) => Outcome::Renewal {
                window: Some(Window { start: renewal.start, end: renewal.end }),
                retry_after: Some(span(renewal.ask_again_after)),
            },
            Some(None) => Outcome::Renewal { window: None, retry_after: None },
            // It does not answer now: what it said last still holds.
            None => Outcome::Renewal { window: current.window.clone(), retry_after: None },
        };
        self.store(outcome, Vec::new()).await
    }

    async fn clear(&self, records: &[TxtRecord]) -> Result<(), StoreError> {
        for record in records {
            let cleared = match self.provider(record).await {
                Ok(provider) => {
                    self.world.dns.clear_txt(&provider, record).await.map_err(|error| chain(&error))
                }
                // Without a provider nobody can take it away; people see it in the event that removed the provider.
                Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => return Err(error),
            };
            if let Err(message) = cleared {
                tracing::warn!(certificate = %self.row.id, %message, "could not take a record away; trying again");
                let now = self.world.now();
                self.world.certificates.look(self.row.id, |sight| sight.tidied_at = Some(now));
                return Ok(());
            }
        }
        self.store(Outcome::Cleared, Vec::new()).await
    }
}

fn failed(side: Side, message: String) -> Outcome {
    Outcome::Failed { side, message, retry_after: None }
}

/// Trouble with DNS says nothing against the order.
fn stalled(error: &DnsError) -> Outcome {
    Outcome::Stalled { is_passing: error.is_passing(), message: chain(error) }
}

fn span(length: std::time::Duration) -> Span {
    Span::millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}

/// Whose doing an error of an issuer is.
fn outcome(error: &AuthorityError) -> Outcome {
    let side = match error {
        AuthorityError::RateLimited { .. } => Side::Limit,
        AuthorityError::Refused { .. } => Side::Domain,
        AuthorityError::Unreachable { .. }
        | AuthorityError::Unavailable { .. }
        | AuthorityError::Garbled { .. }
        | AuthorityError::NotReady { .. } => Side::Issuer,
        AuthorityError::Account { .. }
        | AuthorityError::NotAllowed { .. }
        | AuthorityError::BadInput { .. } => Side::Ours,
    };
    Outcome::Failed { side, message: chain(error), retry_after: error.retry_after().map(span) }
}

/// Why an order failed, in the issuer's words.
fn invalid(order: &authority::Order) -> Outcome {
    let message = match (order.failure(), &order.problem) {
        (Some((name, problem)), _) => format!("{name}: {problem}"),
        (None, Some(problem)) => problem.to_string(),
        (None, None) => "the issuer gave the order up without a reason".to_owned(),
    };
    failed(Side::Domain, message)
}

fn wire(kind: ChallengeKind) -> authority::ChallengeKind {
    match kind {
        ChallengeKind::Http01 => authority::ChallengeKind::Http01,
        ChallengeKind::TlsAlpn01 => authority::ChallengeKind::TlsAlpn01,
        ChallengeKind::Dns01 => authority::ChallengeKind::Dns01,
    }
}
