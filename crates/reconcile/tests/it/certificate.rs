//! The loop of certificates on fakes and a clock driven by hand: from a host to what edges present, broken domains beside
//! good ones, and a restart at every point where it waits.

use std::collections::BTreeMap;
use std::time::Duration;

use havre_acme::error::{AuthorityError, DnsError, Problem, ProblemKind};
use havre_acme::fake::{Operation, Verdict};
use havre_core::artifact::Digest;
use havre_core::certificate::challenge::{ChallengeKind, Proof};
use havre_core::certificate::issuer::Issuer;
use havre_core::certificate::{Certificate, Phase, State};
use havre_core::dns::provider::{Provider, ProviderKind};
use havre_core::event::Actor;
use havre_core::name::{AbsolutePath, DnsName, HostName};
use havre_core::route::https::CertificatePurpose;
use havre_core::secret::Secret;
use havre_core::service::spec::RouteSpec;
use havre_core::time::Timestamp;
use havre_reconcile::{certificate, route};
use havre_x509::challenge::{challenge_certificate, placeholder};
use havre_x509::inspect::leaf_der;

use crate::kill::{Killed, incarnation};
use crate::world::{Control, Outside, spec, work};

const PRODUCTION: &str = "https://acme.example.org/directory";
const STAGING: &str = "https://staging.example.org/directory";

/// A world in a year that has certificates.
fn outside() -> Outside {
    let outside = Outside::new();
    outside.clock.set(Timestamp::from_millis(1_767_225_600_000));
    outside
}

fn host(text: &str) -> HostName {
    text.parse().unwrap()
}

fn issuer(challenges: &[ChallengeKind]) -> Issuer {
    Issuer {
        name: "own".parse().unwrap(),
        rank: 1,
        directory: PRODUCTION.parse().unwrap(),
        staging: Some(STAGING.parse().unwrap()),
        contact: None,
        challenges: challenges.to_vec(),
        eab_key_id: None,
        root_pem: None,
    }
}

impl Control {
    async fn set_issuer(&self, challenges: &[ChallengeKind]) {
        let issuer = issuer(challenges);
        let write =
            self.world.store.write(self.world.now(), Actor::Local, move |tx| tx.set_issuer(&issuer, None));
        write.await.unwrap();
    }

    /// The provider of `example.org`.
    async fn set_dns_provider(&self) {
        let fields = BTreeMap::from([("token".to_owned(), Secret::from("x"))]);
        let provider = Provider::parse(ProviderKind::Infomaniak, fields).unwrap();
        let zone: DnsName = "example.org".parse().unwrap();
        let set = self
            .world
            .store
            .write(self.world.now(), Actor::Local, move |tx| tx.set_dns_provider(&zone, &provider));
        set.await.unwrap();
    }

    /// A service with these hosts, all of which point here.
    async fn want(&self, hosts: &[String]) {
        let mut spec = spec(work("1"));
        spec.routes =
            hosts.iter().map(|text| RouteSpec { host: host(text), path: AbsolutePath::root() }).collect();
        for text in hosts {
            self.outside.dns.set_host(&host(text), &["203.0.113.7".parse().unwrap()]);
        }
        self.apply(spec).await;
    }

    async fn certificates(&self) -> Vec<Certificate> {
        self.world.store.read(|view| view.list_certificates()).await.unwrap()
    }

    async fn waiting(&self, id: i64) -> String {
        self.world.store.read(move |view| view.waiting("certificate", id)).await.unwrap().unwrap_or_default()
    }

    /// Loops and edge take turns until nothing changes.
    async fn settle_certificates(&self) {
        let (mut before, mut quiet) = (0, 0);
        for _ in 0..400 {
            self.outside.authority.set_now(self.world.now());
            route::activate(&self.world).await.unwrap();
            self.edge_catches_up().await;
            certificate::activate(&self.world).await.unwrap();
            self.background().await;
            let rows = self.certificates().await;
            let now: u64 = rows.iter().map(|row| row.revision).sum();
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
            if quiet == 4 {
                return;
            }
        }
        panic!("the certificates do not settle: {:?}", self.certificates().await);
    }

    async fn has_material(&self, digest: &Digest) -> bool {
        let digest = digest.clone();
        self.world.store.read(move |view| view.find_chain(&digest)).await.unwrap().is_some()
    }

    async fn pass(&self, seconds: u64) {
        self.outside.clock.advance(Duration::from_secs(seconds));
        self.settle_certificates().await;
    }
}

fn refused() -> Problem {
    Problem::new(ProblemKind::Connection, "connection refused")
}

#[tokio::test]
async fn a_host_gets_its_certificate_and_turns_to_https() {
    for kind in [ChallengeKind::Http01, ChallengeKind::TlsAlpn01] {
        let outside = outside();
        let control = outside.control();
        control.want(&["api.example.org".to_owned()]).await;
        control.settle_certificates().await;
        assert_eq!(
            control.waiting(1).await,
            "no issuer is set: `havre issuer set letsencrypt --contact you@example.org --agree-tos`"
        );
        control.set_issuer(&[kind]).await;
        control.settle_certificates().await;
        let rows = control.certificates().await;
        let current = rows[0].current.as_ref().expect("it is issued");
        assert!(matches!(rows[0].state, State::Resting { .. }));
        assert_eq!(control.waiting(1).await, "");
        let table = outside.edge.state.lock().unwrap().table.clone();
        assert_eq!(table.challenges, [], "answers go when they have served");
        assert_eq!(table.certificates.len(), 1);
        assert_eq!(table.certificates[0].digest, current.digest);
        assert_eq!(table.certificates[0].purpose, CertificatePurpose::Serve);
        assert!(table.hosts[&host("api.example.org")].redirect_to_https);
        assert_eq!((outside.authority.orders_at(PRODUCTION), outside.authority.orders_at(STAGING)), (1, 0));
        let digest = current.digest.clone();
        let kept = control.world.store.read(move |view| view.find_material(&digest)).await.unwrap();
        assert!(kept.is_some());
    }
}

#[tokio::test]
async fn a_wildcard_by_records_which_are_taken_away() {
    let outside = outside();
    let control = outside.control();
    control.set_dns_provider().await;
    control.set_issuer(&[ChallengeKind::Http01, ChallengeKind::Dns01]).await;
    control.want(&["api.example.org".to_owned(), "www.example.org".to_owned()]).await;
    control.settle_certificates().await;
    let rows = control.certificates().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].names[0].as_str(), "*.example.org");
    assert!(rows[0].current.is_some(), "{rows:?} {}", control.waiting(1).await);
    let writes: Vec<bool> = outside.dns.writes().into_iter().map(|(is_set, _)| is_set).collect();
    assert_eq!((writes.first(), writes.last()), (Some(&true), Some(&false)));
    assert!(outside.dns.values(&"_acme-challenge.example.org".parse().unwrap()).is_empty());
    let hosts = outside.edge.state.lock().unwrap().table.hosts.len();
    assert_eq!(hosts, 2);
}

/// How often the provider was asked and how many orders were placed, with the phase of the one that is open.
async fn tried(control: &Control) -> (usize, usize, bool) {
    let outside = &control.outside;
    let orders = outside.authority.orders_at(PRODUCTION) + outside.authority.orders_at(STAGING);
    let row = control.certificates().await.remove(0);
    let is_stalled = matches!(row.state, State::Ordering { phase: Phase::Stalled { .. }, .. });
    (outside.dns.tries(), orders, is_stalled)
}

#[test]
fn a_dns_provider_in_trouble_costs_one_order_however_often_it_is_tried() {
    let outside = outside();
    for _ in 0..5 {
        outside.dns.fail_next(DnsError::Unavailable {
            what: "add a TXT record".to_owned(),
            provider: "Infomaniak".to_owned(),
            message: "http 500".to_owned(),
        });
    }
    incarnation(async || {
        let control = outside.control();
        control.set_dns_provider().await;
        control.set_issuer(&[ChallengeKind::Dns01]).await;
        control.want(&["api.example.org".to_owned()]).await;
        control.settle_certificates().await;
        assert_eq!(tried(&control).await, (1, 1, true));
        let text = control.waiting(1).await;
        assert!(text.contains("did not take the record 1 times; the order is kept"), "{text}");
        assert!(text.ends_with("Infomaniak has trouble: http 500"), "{text}");
        // Time that is too short for another try, then enough for the second, third and fourth.
        for (seconds, tries) in [(50, 1), (20, 2), (340, 3), (1000, 4)] {
            control.pass(seconds).await;
            assert_eq!(tried(&control).await, (tries, 1, true));
        }
    });
    // Another control goes on with the same pause and the same order, also when it comes late.
    incarnation(async || {
        let control = outside.control();
        control.settle_certificates().await;
        assert_eq!(tried(&control).await, (4, 1, true));
        control.pass(3 * 3600).await;
        assert_eq!(tried(&control).await, (5, 1, true));
        control.pass(4000).await;
        let row = control.certificates().await.remove(0);
        assert!(row.current.is_some(), "{row:?} {}", control.waiting(1).await);
        assert_eq!((row.record.failures, row.record.stalls), (0, 0));
        assert_eq!(outside.authority.orders_at(PRODUCTION), 1, "the same order gave it");
        assert_eq!(outside.authority.orders_at(STAGING), 0);
        let recorded = control.world.store.read(|view| view.list_orders(Timestamp::default())).await.unwrap();
        assert_eq!(recorded.len(), 1);
        assert!(outside.dns.values(&"_acme-challenge.example.org".parse().unwrap()).is_empty());
    });
}

#[tokio::test]
async fn refused_credentials_are_said_and_tried_again_when_the_provider_is_set_anew() {
    let outside = outside();
    let control = outside.control();
    outside.dns.fail_next(DnsError::Denied {
        what: "add a TXT record".to_owned(),
        provider: "Infomaniak".to_owned(),
        message: "http 401".to_owned(),
    });
    control.set_dns_provider().await;
    control.set_issuer(&[ChallengeKind::Dns01]).await;
    control.want(&["api.example.org".to_owned()]).await;
    control.settle_certificates().await;
    let text = control.waiting(1).await;
    assert!(
        text.starts_with("this does not pass by itself: could not add a TXT record: Infomaniak"),
        "{text}"
    );
    control.pass(1800).await;
    assert_eq!(tried(&control).await, (1, 1, true), "nobody has changed anything");
    control.set_dns_provider().await;
    control.settle_certificates().await;
    assert!(control.certificates().await[0].current.is_some(), "{}", control.waiting(1).await);
    assert_eq!(outside.authority.orders_at(PRODUCTION), 1);
}

#[tokio::test]
async fn an_order_that_is_kept_is_given_up_when_nobody_wants_it() {
    let outside = outside();
    let control = outside.control();
    outside.dns.fail_next(DnsError::Refused {
        what: "add a TXT record".to_owned(),
        provider: "Infomaniak".to_owned(),
        message: "no such zone".to_owned(),
    });
    control.set_dns_provider().await;
    control.set_issuer(&[ChallengeKind::Dns01]).await;
    control.want(&["api.example.org".to_owned()]).await;
    control.settle_certificates().await;
    assert_eq!(tried(&control).await, (1, 1, true));
    control.want(&["api.example.net".to_owned()]).await;
    control.settle_certificates().await;
    let rows = control.certificates().await;
    assert!(rows.iter().all(|row| row.names[0].as_str() != "*.example.org"), "{rows:?}");
}

#[tokio::test]
async fn why_it_waits_is_said_and_nobody_is_asked_meanwhile() {
    let outside = outside();
    let control = outside.control();
    control.set_issuer(&[ChallengeKind::Http01]).await;
    control.want(&["api.example.org".to_owned()]).await;
    outside.dns.set_host(&host("api.example.org"), &["198.51.100.1".parse().unwrap()]);
    control.settle_certificates().await;
    let text = control.waiting(1).await;
    assert!(text.starts_with("api.example.org: it points to 198.51.100.1"), "{text}");
    outside.dns.set_host(&host("api.example.org"), &["203.0.113.7".parse().unwrap()]);
    outside.edge.state.lock().unwrap().is_up = false;
    control.pass(60).await;
    assert_eq!(control.waiting(1).await, "no edge reports; is `havred edge` running?");
    assert_eq!(outside.authority.calls(), []);
    outside.edge.state.lock().unwrap().is_up = true;
    control.pass(60).await;
    assert!(control.certificates().await[0].current.is_some(), "{}", control.waiting(1).await);
}

/// The digest of what the edges present in a trial.
fn on_trial(row: &Certificate) -> Digest {
    match (&row.state, row.state.proofs()) {
        (State::Asking { .. }, [Proof::Handshake { digest, .. }]) => digest.clone(),
        _ => panic!("there is no trial: {row:?}"),
    }
}

#[tokio::test]
async fn by_tls_no_order_is_placed_before_the_edge_presents_its_own_challenge() {
    let outside = outside();
    let control = outside.control();
    let name = host("api.example.org");
    control.set_issuer(&[ChallengeKind::TlsAlpn01]).await;
    control.want(&["api.example.org".to_owned()]).await;
    let present = |leaf: Option<Vec<u8>>| outside.edge.state.lock().unwrap().presented = leaf;
    let usual = placeholder(&[name.clone().into()], control.world.now()).unwrap();
    let other = challenge_certificate(&name, [7; 32], control.world.now()).unwrap();
    let foreign = challenge_certificate(&host("www.example.org"), [7; 32], control.world.now()).unwrap();
    for (leaf, why) in [
        (leaf_der(&usual.chain), "it is for api.example.org and answers no challenge"),
        (leaf_der(&other.chain), "it answers another challenge"),
        (leaf_der(&foreign.chain), "it is for www.example.org, and must be for api.example.org alone"),
        (Some(b"garbage".to_vec()), "it cannot be read as a certificate"),
    ] {
        present(leaf);
        control.pass(30).await;
        let expected = format!(
            "the edge does not give the answer it should: edge node: 127.0.0.1:443 presents the wrong certificate for api.example.org: {why}"
        );
        assert_eq!(control.waiting(1).await, expected);
        assert_eq!(outside.authority.calls(), []);
    }
    // Longer than a trial lasts: the next one has material of its own, and the one before leaves nothing behind.
    let first = on_trial(&control.certificates().await[0]);
    control.pass(660).await;
    let second = on_trial(&control.certificates().await[0]);
    assert_ne!(first, second);
    assert_eq!((control.has_material(&first).await, control.has_material(&second).await), (false, true));
    assert_eq!(outside.authority.calls(), []);

    present(None);
    control.pass(60).await;
    assert!(control.certificates().await[0].current.is_some(), "{}", control.waiting(1).await);
    assert_eq!((outside.authority.orders_at(PRODUCTION), outside.authority.orders_at(STAGING)), (1, 0));
    assert!(!control.has_material(&second).await, "a trial leaves nothing behind");
    let table = outside.edge.state.lock().unwrap().table.clone();
    assert!(table.certificates.iter().all(|one| one.purpose == CertificatePurpose::Serve), "{table:?}");
}

#[tokio::test]
async fn by_tls_an_edge_without_https_is_said_unless_there_is_another_way() {
    let outside = outside();
    let control = outside.control();
    outside.edge.state.lock().unwrap().lacks_https = true;
    control.set_issuer(&[ChallengeKind::TlsAlpn01]).await;
    control.want(&["api.example.org".to_owned()]).await;
    control.settle_certificates().await;
    assert_eq!(
        control.waiting(1).await,
        "the edge does not give the answer it should: edge node: it listens nowhere for HTTPS, which tls-alpn-01 needs: set `https` of `[edge]` in havred.toml"
    );
    assert_eq!(outside.authority.calls(), []);
    control.set_issuer(&[ChallengeKind::TlsAlpn01, ChallengeKind::Http01]).await;
    control.pass(30).await;
    assert!(control.certificates().await[0].current.is_some(), "{}", control.waiting(1).await);
    assert_eq!(outside.authority.orders_at(PRODUCTION), 1);
}

#[tokio::test]
async fn a_hundred_broken_domains_beside_a_good_one() {
    let outside = outside();
    let control = outside.control();
    control.set_issuer(&[ChallengeKind::Http01]).await;
    let mut hosts: Vec<String> = (0..100).map(|n| format!("broken{n}.example{}.org", n % 9)).collect();
    for (index, text) in hosts.iter().enumerate() {
        // Half of them look fine from here.
        if index % 2 == 0 {
            outside.authority.judge(&text.parse().unwrap(), Verdict::Bad(refused()));
        }
    }
    hosts.insert(50, "good.example.org".to_owned());
    control.want(&hosts).await;
    for (index, text) in hosts.iter().filter(|text| text.starts_with("broken")).enumerate() {
        if index % 2 == 1 {
            outside.dns.set_host(&host(text), &["198.51.100.1".parse().unwrap()]);
        }
    }
    let started = control.world.now();
    control.settle_certificates().await;
    // An issuer takes its time to look, and is asked again after a while.
    for _ in 0..6 {
        control.pass(5).await;
    }
    let rows = control.certificates().await;
    let good = rows.iter().find(|row| row.names[0].as_str() == "good.example.org").unwrap();
    let why = control.waiting(good.id.row()).await;
    let served = good.current.as_ref().unwrap_or_else(|| panic!("not served at once: {good:?} {why}"));
    assert!(served.since.since(started) < Duration::from_secs(60));
    assert_eq!(outside.authority.orders_at(PRODUCTION), 1, "production heard of the good one only");
    for _ in 0..24 {
        control.pass(3600).await;
    }
    assert_eq!(outside.authority.orders_at(PRODUCTION), 1);
    let orders = outside.authority.orders_at(STAGING);
    assert!(orders <= 50 * 9 + 1, "{orders} rehearsals in a day");
    let rows = control.certificates().await;
    assert!(rows.iter().all(|row| row.current.is_some() || !row.names[0].as_str().starts_with("good")));
}

#[tokio::test]
async fn an_issuer_that_is_down_is_left_alone_and_the_next_one_is_asked() {
    let outside = outside();
    let control = outside.control();
    control.set_issuer(&[ChallengeKind::Http01]).await;
    let second = Issuer {
        name: "second".parse().unwrap(),
        rank: 2,
        directory: "https://second.example.org/directory".parse().unwrap(),
        staging: None,
        ..issuer(&[ChallengeKind::Http01])
    };
    let set =
        control.world.store.write(control.world.now(), Actor::Local, move |tx| tx.set_issuer(&second, None));
    set.await.unwrap();
    let down = AuthorityError::Unavailable {
        what: "place an order".to_owned(),
        retry_after: None,
        message: "503".to_owned(),
    };
    for _ in 0..3 {
        outside.authority.fail_next(Operation::NewOrder, down.clone());
    }
    control.want(&["api.example.org".to_owned()]).await;
    for seconds in [0, 70, 340, 1000] {
        control.pass(seconds).await;
    }
    let row = control.certificates().await.remove(0);
    let current = row.current.expect("the second issuer signed it");
    assert_eq!(current.issuer.unwrap().as_str(), "second");
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time() {
    let outside = outside();
    let control = outside.control();
    control.set_issuer(&[ChallengeKind::Http01]).await;
    control.want(&["api.example.org".to_owned()]).await;
    control.settle_certificates().await;
    let first = control.certificates().await.remove(0).current.unwrap();
    control.pass(50 * 86_400).await;
    assert_eq!(control.certificates().await[0].current.as_ref().unwrap().digest, first.digest);
    control.pass(12 * 86_400).await;
    let second = control.certificates().await.remove(0).current.unwrap();
    assert_ne!(second.digest, first.digest);
    assert!(second.not_after > first.not_after);
}

/// Kills control after so many polls; `false` once it was done before that.
fn killed(kind: ChallengeKind, polls: usize) -> bool {
    let outside = outside();
    incarnation(async || {
        let control = outside.control();
        control.set_issuer(&[kind]).await;
        control.want(&["api.example.org".to_owned()]).await;
    });
    let was_killed = incarnation(async || {
        let control = outside.control();
        let settle = Killed { future: Box::pin(async { control.settle_certificates().await }), polls };
        settle.await.is_none()
    });
    incarnation(async || {
        let control = outside.control();
        control.settle_certificates().await;
        control.pass(120).await;
        let rows = control.certificates().await;
        assert!(rows[0].current.is_some(), "killed after {polls} polls: {rows:?}");
        assert!(matches!(rows[0].state, State::Resting { .. }), "killed after {polls} polls: {rows:?}");
        let recorded = control.world.store.read(|view| view.list_orders(Default::default())).await.unwrap();
        let placed = outside.authority.orders_at(PRODUCTION) + outside.authority.orders_at(STAGING);
        assert!(placed <= recorded.len(), "killed after {polls} polls: an order the budget does not know");
        assert!(placed <= 3, "killed after {polls} polls: {placed} orders");
    });
    was_killed
}

#[test]
fn killed_at_every_point_it_ends_the_same() {
    for kind in [ChallengeKind::Http01, ChallengeKind::TlsAlpn01] {
        let mut polls = 1;
        while killed(kind, polls) {
            polls += 1;
        }
        assert!(polls > 20, "only {polls} points were tried");
    }
}
