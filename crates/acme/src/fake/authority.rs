//! An issuer in memory. It signs with a root of its own, so that chains are real; what it finds when it looks at a challenge
//! is what the test says ([`FakeAuthority::judge`]), good by default. Its clock is set by hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use havre_core::name::CertificateName;
use havre_core::time::Timestamp;
use havre_x509::issuer::PretendIssuer;

use crate::authority::{
    Account, Authority, Authorization, AuthorizationState, Challenge, ChallengeKind, ChallengeState,
    Directory, Issuer, NewAccount, NewOrder, Order, OrderState, Renewal, RevocationReason,
};
use crate::error::{AuthorityError, Problem, ProblemKind};

/// A method, for planned failures and for the list of what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Operation {
    Directory,
    EnsureAccount,
    NewOrder,
    Order,
    Answer,
    Finalize,
    Chain,
    Renewal,
    Revoke,
}

/// What the issuer finds when it looks at the challenge of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The right answer.
    Good,
    /// Nothing yet: it goes on looking until the verdict changes.
    Slow,
    /// Something wrong.
    Bad(Problem),
}

/// The fake. Clones share one world.
#[derive(Debug, Clone)]
pub struct FakeAuthority {
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    now: Timestamp,
    lifetime: Duration,
    directory: Directory,
    signer: PretendIssuer,
    /// Account URL by directory URL and key.
    accounts: BTreeMap<(String, Vec<u8>), String>,
    orders: BTreeMap<String, Placed>,
    verdicts: BTreeMap<CertificateName, Verdict>,
    planned: BTreeMap<Operation, VecDeque<AuthorityError>>,
    renewals: BTreeMap<String, Renewal>,
    revoked: Vec<Vec<u8>>,
    calls: Vec<(Operation, String)>,
}

#[derive(Debug)]
struct Placed {
    account: String,
    wanted: NewOrder,
    /// Which challenge of each name the issuer was told of.
    answered: BTreeMap<CertificateName, ChallengeKind>,
    chain: Option<String>,
}

impl Default for FakeAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeAuthority {
    /// An issuer that answers, at 2026-01-01, with certificates of 90 days.
    pub fn new() -> Self {
        let world = World {
            now: Timestamp::from_millis(1_767_225_600_000),
            lifetime: Duration::from_secs(90 * 86_400),
            directory: Directory { has_renewal: true, ..Directory::default() },
            signer: PretendIssuer::new("Pretended").expect("the system has randomness"),
            accounts: BTreeMap::new(),
            orders: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            planned: BTreeMap::new(),
            renewals: BTreeMap::new(),
            revoked: Vec::new(),
            calls: Vec::new(),
        };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics while it holds the world")
    }

    /// Sets its clock; certificates are valid from then.
    pub fn set_now(&self, now: Timestamp) {
        self.world().now = now;
    }

    /// How long its certificates are valid.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.world().lifetime = lifetime;
    }

    /// What it says about itself.
    pub fn set_directory(&self, directory: Directory) {
        self.world().directory = directory;
    }

    /// What it finds when it looks at challenges of this name, from now on.
    pub fn judge(&self, name: &CertificateName, verdict: Verdict) {
        self.world().verdicts.insert(name.clone(), verdict);
    }

    /// The next call of `operation` fails with `error`; several are used up in order.
    pub fn fail_next(&self, operation: Operation, error: AuthorityError) {
        self.world().planned.entry(operation).or_default().push_back(error);
    }

    /// When it wants a certificate renewed.
    pub fn set_renewal(&self, certificate: &str, renewal: Renewal) {
        self.world().renewals.insert(certificate.to_owned(), renewal);
    }

    /// It forgets an order, as issuers do after a week.
    pub fn forget_order(&self, url: &str) {
        self.world().orders.remove(url);
    }

    /// All calls so far, each with the directory it went to, failed ones included.
    pub fn calls(&self) -> Vec<(Operation, String)> {
        self.world().calls.clone()
    }

    /// How many orders were placed at this directory.
    pub fn orders_at(&self, directory: &str) -> usize {
        self.calls()
            .iter()
            .filter(|(operation, at)| *operation == Operation::NewOrder && at == directory)
            .count()
    }

    /// The root its chains end at, in PEM.
    pub fn root(&self) -> String {
        self.world().signer.root()
    }

    /// Certificates (DER) it has revoked.
    pub fn revoked(&self) -> Vec<Vec<u8>> {
        self.world().revoked.clone()
    }

    fn begin(&self, operation: Operation, directory: &str) -> Result<MutexGuard<'_, World>, AuthorityError> {
        let mut world = self.world();
        world.calls.push((operation, directory.to_owned()));
        match world.planned.get_mut(&operation).and_then(VecDeque::pop_front) {
            Some(error) => Err(error),
            None => Ok(world),
        }
    }
}

impl World {
    fn placed(&mut self, account: &Account, url: &str, what: &str) -> Result<&mut Placed, AuthorityError> {
        match self.orders.get_mut(url) {
            Some(placed) if placed.account == account.url => Ok(placed),
            _ => Err(refused(what, ProblemKind::Malformed, "there is no such order of this account")),
        }
    }

    fn seen(&self, url: &str) -> Order {
        let placed = &self.orders[url];
        let authorizations: Vec<Authorization> =
            placed.wanted.names.iter().map(|name| self.authorization(url, placed, name)).collect();
        let is = |state| authorizations.iter().any(|authorization| authorization.state == state);
        let state = if is(AuthorizationState::Invalid) {
            OrderState::Invalid
        } else if is(AuthorizationState::Pending) {
            OrderState::Pending
        } else if placed.chain.is_some() {
            OrderState::Valid
        } else {
            OrderState::Ready
        };
        Order { url: url.to_owned(), state, authorizations, problem: None, poll_after: None }
    }

    fn authorization(&self, url: &str, placed: &Placed, name: &CertificateName) -> Authorization {
        let answered = placed.answered.get(name).copied();
        let verdict = self.verdicts.get(name).unwrap_or(&Verdict::Good);
        let kinds: &[ChallengeKind] = if name.is_wildcard() {
            &[ChallengeKind::Dns01]
        } else {
            &[ChallengeKind::Http01, ChallengeKind::TlsAlpn01, ChallengeKind::Dns01]
        };
        let challenges = kinds.iter().map(|kind| {
            let token = token(&format!("{url}/{name}/{kind:?}"));
            let (state, problem) = match verdict {
                _ if answered != Some(*kind) => (ChallengeState::Pending, None),
                Verdict::Good => (ChallengeState::Valid, None),
                Verdict::Slow => (ChallengeState::Processing, None),
                Verdict::Bad(problem) => (ChallengeState::Invalid, Some(problem.clone())),
            };
            let answer = format!("{token}.{}", token_of_account(&placed.account));
            Challenge { problem, ..Challenge::new(*kind, state, &token, &answer) }
        });
        let state = match (answered, verdict) {
            (None, _) | (Some(_), Verdict::Slow) => AuthorizationState::Pending,
            (Some(_), Verdict::Good) => AuthorizationState::Valid,
            (Some(_), Verdict::Bad(_)) => AuthorizationState::Invalid,
        };
        Authorization { name: name.clone(), state, challenges: challenges.collect() }
    }
}

fn refused(what: &str, kind: ProblemKind, detail: &str) -> AuthorityError {
    AuthorityError::Refused { what: what.to_owned(), problem: Problem::new(kind, detail) }
}

/// Text of the right shape that depends on `seed` only.
fn token(seed: &str) -> String {
    Challenge::new(ChallengeKind::Dns01, ChallengeState::Pending, "", seed).txt
}

fn token_of_account(url: &str) -> String {
    token(&format!("thumbprint of {url}"))
}

#[async_trait]
impl Authority for FakeAuthority {
    async fn directory(&self, issuer: &Issuer) -> Result<Directory, AuthorityError> {
        Ok(self.begin(Operation::Directory, &issuer.directory)?.directory.clone())
    }

    async fn ensure_account(&self, issuer: &Issuer, account: &NewAccount) -> Result<String, AuthorityError> {
        const WHAT: &str = "make an account";
        let mut world = self.begin(Operation::EnsureAccount, &issuer.directory)?;
        let account_error =
            |kind, detail| AuthorityError::Account { what: WHAT.into(), problem: Problem::new(kind, detail) };
        let key = (issuer.directory.clone(), account.key.expose().to_vec());
        if let Some(url) = world.accounts.get(&key) {
            return Ok(url.clone());
        }
        if !account.terms_agreed {
            return Err(account_error(ProblemKind::UserActionRequired, "the terms have not been agreed to"));
        }
        if world.directory.needs_external_account && account.external.is_none() {
            return Err(account_error(
                ProblemKind::ExternalAccountRequired,
                "external credentials are needed",
            ));
        }
        let url = format!("{}/account/{}", issuer.directory, world.accounts.len() + 1);
        world.accounts.insert(key, url.clone());
        Ok(url)
    }

    async fn new_order(&self, account: &Account, order: &NewOrder) -> Result<String, AuthorityError> {
        let mut world = self.begin(Operation::NewOrder, &account.issuer.directory)?;
        let key = (account.issuer.directory.clone(), account.key.expose().to_vec());
        if world.accounts.get(&key) != Some(&account.url) {
            let problem = Problem::new(ProblemKind::AccountDoesNotExist, "there is no such account");
            return Err(AuthorityError::Account { what: "order a certificate".into(), problem });
        }
        let url = format!("{}/order/{}", account.issuer.directory, world.orders.len() + 1);
        let placed = Placed {
            account: account.url.clone(),
            wanted: order.clone(),
            answered: BTreeMap::new(),
            chain: None,
        };
        world.orders.insert(url.clone(), placed);
        Ok(url)
    }

    async fn order(&self, account: &Account, url: &str) -> Result<Order, AuthorityError> {
        let mut world = self.begin(Operation::Order, &account.issuer.directory)?;
        world.placed(account, url, "look at the order")?;
        Ok(world.seen(url))
    }

    async fn answer(
        &self,
        account: &Account,
        url: &str,
        name: &CertificateName,
        kind: ChallengeKind,
    ) -> Result<(), AuthorityError> {
        const WHAT: &str = "answer a challenge";
        let mut world = self.begin(Operation::Answer, &account.issuer.directory)?;
        world.placed(account, url, WHAT)?;
        let seen = world.seen(url);
        let authorization = seen.authorizations.iter().find(|authorization| authorization.name == *name);
        if authorization.and_then(|authorization| authorization.challenge(kind)).is_none() {
            return Err(refused(WHAT, ProblemKind::Malformed, "the order has no such challenge"));
        }
        world.placed(account, url, WHAT)?.answered.entry(name.clone()).or_insert(kind);
        Ok(())
    }

    async fn finalize(&self, account: &Account, url: &str, request: &[u8]) -> Result<Order, AuthorityError> {
        const WHAT: &str = "hand in the certificate request";
        let mut world = self.begin(Operation::Finalize, &account.issuer.directory)?;
        world.placed(account, url, WHAT)?;
        match world.seen(url).state {
            OrderState::Ready => {}
            OrderState::Processing | OrderState::Valid => return Ok(world.seen(url)),
            state => {
                return Err(AuthorityError::NotReady {
                    what: WHAT.into(),
                    state: format!("{state:?}").to_lowercase(),
                });
            }
        }
        let (from, until) = (world.now, world.now.after(world.lifetime));
        let chain = world
            .signer
            .sign(request, from, until)
            .map_err(|error| refused(WHAT, ProblemKind::BadCsr, &error.to_string()))?;
        world.placed(account, url, WHAT)?.chain = Some(chain);
        Ok(world.seen(url))
    }

    async fn chain(&self, account: &Account, url: &str) -> Result<String, AuthorityError> {
        const WHAT: &str = "fetch the certificate";
        let mut world = self.begin(Operation::Chain, &account.issuer.directory)?;
        let chain = world.placed(account, url, WHAT)?.chain.clone();
        chain.ok_or_else(|| AuthorityError::NotReady {
            what: WHAT.into(),
            state: format!("{:?}", world.seen(url).state).to_lowercase(),
        })
    }

    async fn renewal(&self, issuer: &Issuer, certificate: &str) -> Result<Option<Renewal>, AuthorityError> {
        let world = self.begin(Operation::Renewal, &issuer.directory)?;
        Ok(world.renewals.get(certificate).filter(|_| world.directory.has_renewal).cloned())
    }

    async fn revoke(
        &self,
        account: &Account,
        certificate: &[u8],
        _reason: RevocationReason,
    ) -> Result<(), AuthorityError> {
        let mut world = self.begin(Operation::Revoke, &account.issuer.directory)?;
        if !world.revoked.iter().any(|revoked| revoked == certificate) {
            world.revoked.push(certificate.to_vec());
        }
        Ok(())
    }
}
