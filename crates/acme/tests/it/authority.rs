//! The contract of [`Authority`], run on the fake and on Pebble, and what only Pebble can show.

use std::time::Duration;

use havre_acme::authority::{
    Account, AuthorizationState, ChallengeKind, ChallengeState, ExternalAccount, NewAccount, NewOrder, Order,
    OrderState, RevocationReason,
};
use havre_acme::error::{AuthorityError, ProblemKind};
use havre_acme::fake::FakeAuthority;
use havre_acme::{Authority, Dns};
use havre_core::dns::TxtRecord;
use havre_core::name::CertificateName;
use havre_core::secret::Secret;
use havre_core::time::Timestamp;
use havre_x509::inspect::{inspect, leaf_der, renewal_id};
use havre_x509::material::Material;

use crate::bind::Bind;
use crate::issuer::World;
use crate::pebble::{Options, Pebble, now_ms};

macro_rules! contract {
    ($($test:ident)*) => {
        mod on_fake {
            $(#[tokio::test]
            async fn $test() {
                super::$test::<super::FakeAuthority>().await;
            })*
        }

        mod on_pebble {
            $(#[tokio::test]
            async fn $test() {
                super::$test::<super::Pebble>().await;
            })*
        }
    };
}

contract! {
    an_account_hangs_on_its_key
    a_certificate_is_issued_and_every_step_may_be_done_twice
    a_wildcard_is_proven_in_dns
    a_wrong_answer_is_told_with_its_name
    a_step_too_early_changes_nothing
    what_is_not_there_is_refused
    a_certificate_is_revoked_once
}

fn names(list: &[&str]) -> Vec<CertificateName> {
    list.iter().map(|name| name.parse().unwrap()).collect()
}

fn wanted(list: &[&str]) -> NewOrder {
    NewOrder { names: names(list), replaces: None, profile: None }
}

/// Looks at an order until it is as wanted; at most some 30 seconds.
async fn until(
    world: &impl World,
    account: &Account,
    url: &str,
    is_enough: impl Fn(&Order) -> bool,
) -> Order {
    for _ in 0..300 {
        let order = world.authority().order(account, url).await.unwrap();
        if is_enough(&order) {
            return order;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the order did not get there: {:?}", world.authority().order(account, url).await);
}

/// Answers all challenges rightly and waits until the order is ready.
async fn prove(world: &impl World, account: &Account, url: &str, kind: ChallengeKind) -> Order {
    let order = world.authority().order(account, url).await.unwrap();
    for one in order.authorizations.iter().filter(|one| one.state == AuthorizationState::Pending) {
        world.publish(&one.name, one.challenge(kind).unwrap(), true).await;
        world.authority().answer(account, url, &one.name, kind).await.unwrap();
        // Told twice is told once.
        world.authority().answer(account, url, &one.name, kind).await.unwrap();
    }
    until(world, account, url, |order| order.state == OrderState::Ready).await
}

/// The whole way to a certificate.
async fn issue(world: &impl World, account: &Account, order: &NewOrder, kind: ChallengeKind) -> Material {
    let authority = world.authority();
    let url = authority.new_order(account, order).await.unwrap();
    prove(world, account, &url, kind).await;
    let key = havre_x509::key::make_key().unwrap();
    let request = havre_x509::request::make_request(&key, &order.names).unwrap();
    authority.finalize(account, &url, &request).await.unwrap();
    until(world, account, &url, |order| order.state == OrderState::Valid).await;
    // After a crash the same request comes again.
    authority.finalize(account, &url, &request).await.unwrap();
    let chain = authority.chain(account, &url).await.unwrap();
    assert_eq!(authority.chain(account, &url).await.unwrap(), chain);
    Material { chain, key }
}

async fn an_account_hangs_on_its_key<W: World>() {
    let world = W::start().await;
    let make = |key: Secret| NewAccount {
        key,
        contacts: vec!["ops@example.test".into()],
        terms_agreed: true,
        external: None,
    };
    let (one, two) = (havre_x509::key::make_key().unwrap(), havre_x509::key::make_key().unwrap());
    let url = world.authority().ensure_account(&world.issuer(), &make(one.clone())).await.unwrap();
    assert_eq!(world.authority().ensure_account(&world.issuer(), &make(one)).await.unwrap(), url);
    assert_ne!(world.authority().ensure_account(&world.issuer(), &make(two)).await.unwrap(), url);
}

async fn a_certificate_is_issued_and_every_step_may_be_done_twice<W: World>() {
    let world = W::start().await;
    let account = world.account().await;
    let order = wanted(&["one.example.test", "two.example.test"]);
    let material = issue(&world, &account, &order, ChallengeKind::Http01).await;
    let seen = inspect(material.to_pem().expose(), Timestamp::from_millis(now_ms() + 2000)).unwrap();
    assert_eq!(seen.names, order.names);
    assert_eq!(seen.warnings, Vec::<String>::new());
}

async fn a_wildcard_is_proven_in_dns<W: World>() {
    let world = W::start().await;
    let account = world.account().await;
    let url = world.authority().new_order(&account, &wanted(&["*.example.test"])).await.unwrap();
    let order = world.authority().order(&account, &url).await.unwrap();
    assert_eq!(order.authorizations[0].name, "*.example.test".parse().unwrap(), "with its star");
    assert!(order.authorizations[0].challenge(ChallengeKind::Http01).is_none());
    let material = issue(&world, &account, &wanted(&["*.example.test"]), ChallengeKind::Dns01).await;
    let seen = inspect(material.to_pem().expose(), Timestamp::from_millis(now_ms() + 2000)).unwrap();
    assert_eq!(seen.names, names(&["*.example.test"]));
}

async fn a_wrong_answer_is_told_with_its_name<W: World>() {
    let world = W::start().await;
    let account = world.account().await;
    let url = world
        .authority()
        .new_order(&account, &wanted(&["good.example.test", "bad.example.test"]))
        .await
        .unwrap();
    let order = world.authority().order(&account, &url).await.unwrap();
    for one in &order.authorizations {
        let is_right = one.name.as_str() == "good.example.test";
        world.publish(&one.name, one.challenge(ChallengeKind::Http01).unwrap(), is_right).await;
        world.authority().answer(&account, &url, &one.name, ChallengeKind::Http01).await.unwrap();
    }
    let order = until(&world, &account, &url, |order| order.state == OrderState::Invalid).await;
    let (name, problem) = order.failure().expect("a reason");
    assert_eq!(name.as_str(), "bad.example.test");
    assert_eq!(problem.kind, ProblemKind::Unauthorized, "{problem}");
    assert!(!problem.detail.is_empty());
    // Telling the issuer again of a lost challenge is no error: the order says what is so.
    world
        .authority()
        .answer(&account, &url, &order.authorizations[0].name, ChallengeKind::Http01)
        .await
        .unwrap();
}

async fn a_step_too_early_changes_nothing<W: World>() {
    let world = W::start().await;
    let account = world.account().await;
    let url = world.authority().new_order(&account, &wanted(&["one.example.test"])).await.unwrap();
    let key = havre_x509::key::make_key().unwrap();
    let request = havre_x509::request::make_request(&key, &names(&["one.example.test"])).unwrap();
    let early = world.authority().finalize(&account, &url, &request).await.unwrap_err();
    assert!(matches!(&early, AuthorityError::NotReady { state, .. } if state == "pending"), "{early}");
    let early = world.authority().chain(&account, &url).await.unwrap_err();
    assert!(matches!(early, AuthorityError::NotReady { .. }), "{early}");
    let order = prove(&world, &account, &url, ChallengeKind::Http01).await;
    let challenge = order.authorizations[0].challenge(ChallengeKind::Http01).unwrap();
    assert_eq!(challenge.state, ChallengeState::Valid);
}

async fn what_is_not_there_is_refused<W: World>() {
    let world = W::start().await;
    let (mine, theirs) = (world.account().await, world.account().await);
    let url = world.authority().new_order(&mine, &wanted(&["one.example.test"])).await.unwrap();
    let refused = |error: AuthorityError| {
        assert!(matches!(error, AuthorityError::Refused { .. } | AuthorityError::Account { .. }), "{error}");
        assert!(!error.is_passing());
    };
    refused(world.authority().order(&mine, &format!("{url}x")).await.unwrap_err());
    refused(world.authority().order(&theirs, &url).await.unwrap_err());
    let other = "other.example.test".parse().unwrap();
    refused(world.authority().answer(&mine, &url, &other, ChallengeKind::Http01).await.unwrap_err());
    let nobody = Account { url: format!("{}x", mine.url), ..mine };
    let error = world.authority().new_order(&nobody, &wanted(&["one.example.test"])).await.unwrap_err();
    assert!(matches!(error, AuthorityError::Account { .. }), "{error}");
}

async fn a_certificate_is_revoked_once<W: World>() {
    let world = W::start().await;
    let account = world.account().await;
    let material = issue(&world, &account, &wanted(&["one.example.test"]), ChallengeKind::Http01).await;
    let der = leaf_der(&material.chain).unwrap();
    for _ in 0..2 {
        world.authority().revoke(&account, &der, RevocationReason::Superseded).await.unwrap();
    }
}

#[tokio::test]
async fn a_host_is_proven_over_tls() {
    let pebble = Pebble::start(Options::default()).await;
    let account = pebble.account().await;
    let material = issue(&pebble, &account, &wanted(&["one.example.test"]), ChallengeKind::TlsAlpn01).await;
    assert!(material.chain.contains("BEGIN CERTIFICATE"));
}

#[tokio::test]
async fn a_slow_issuer_with_short_lived_certificates_is_waited_for() {
    let pebble = Pebble::start(Options { slow: 3, validity: 3600, ..Options::default() }).await;
    let account = pebble.account().await;
    let material = issue(&pebble, &account, &wanted(&["one.example.test"]), ChallengeKind::Http01).await;
    let seen = inspect(material.to_pem().expose(), Timestamp::from_millis(now_ms() + 2000)).unwrap();
    assert!(seen.not_after.since(seen.not_before) <= Duration::from_secs(3601), "short-lived, as set");
}

#[tokio::test]
async fn a_name_that_is_proven_needs_no_second_proof() {
    let pebble = Pebble::start(Options { reuse: 100, ..Options::default() }).await;
    let account = pebble.account().await;
    issue(&pebble, &account, &wanted(&["one.example.test"]), ChallengeKind::Http01).await;
    let url = pebble.client.new_order(&account, &wanted(&["one.example.test"])).await.unwrap();
    let order = pebble.client.order(&account, &url).await.unwrap();
    assert_eq!(order.state, OrderState::Ready);
    assert_eq!(order.authorizations[0].state, AuthorizationState::Valid);
}

#[tokio::test]
async fn a_blocked_name_is_refused_for_good() {
    let pebble = Pebble::start(Options::default()).await;
    let account = pebble.account().await;
    let error = pebble.client.new_order(&account, &wanted(&["blocked.example.test"])).await.unwrap_err();
    let AuthorityError::Refused { problem, .. } = &error else { panic!("{error}") };
    assert_eq!(problem.kind, ProblemKind::RejectedIdentifier);
    assert!(problem.detail.contains("blocked.example.test"), "{problem}");
}

#[tokio::test]
async fn external_credentials_are_asked_for_and_used() {
    let pebble = Pebble::start(Options { external: true, ..Options::default() }).await;
    assert!(pebble.client.directory(&pebble.issuer).await.unwrap().needs_external_account);
    let key = havre_x509::key::make_key().unwrap();
    let with = |external| NewAccount { key: key.clone(), contacts: Vec::new(), terms_agreed: true, external };
    let error = pebble.client.ensure_account(&pebble.issuer, &with(None)).await.unwrap_err();
    assert!(matches!(error, AuthorityError::Account { .. }), "{error}");
    let wrong = ExternalAccount::parse("kid-1", "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc");
    let error = pebble.client.ensure_account(&pebble.issuer, &with(wrong)).await.unwrap_err();
    assert!(!error.is_passing(), "{error}");
    let right =
        ExternalAccount::parse("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");
    let url = pebble.client.ensure_account(&pebble.issuer, &with(right.clone())).await.unwrap();
    assert_eq!(pebble.client.ensure_account(&pebble.issuer, &with(right)).await.unwrap(), url);
}

#[tokio::test]
async fn the_newer_pebble_says_when_to_renew_and_has_profiles() {
    let pebble = Pebble::start(Options { newer: true, ..Options::default() }).await;
    let directory = pebble.client.directory(&pebble.issuer).await.unwrap();
    assert!(directory.has_renewal && directory.profiles.contains_key("short"), "{directory:?}");
    let account = pebble.account().await;
    let first = issue(&pebble, &account, &wanted(&["one.example.test"]), ChallengeKind::Http01).await;
    let id = renewal_id(&first.chain).unwrap();
    let renewal =
        pebble.client.renewal(&pebble.issuer, &id).await.unwrap().expect("it knows the certificate");
    assert!(renewal.start < renewal.end && renewal.ask_again_after >= Duration::from_secs(60), "{renewal:?}");
    let next = NewOrder {
        replaces: Some(id.clone()),
        profile: Some("short".into()),
        ..wanted(&["one.example.test"])
    };
    let second = issue(&pebble, &account, &next, ChallengeKind::Http01).await;
    let seen = inspect(second.to_pem().expose(), Timestamp::from_millis(now_ms() + 2000)).unwrap();
    assert!(seen.not_after.since(seen.not_before) <= Duration::from_secs(86_401), "of the profile");
    // What has been replaced can not be replaced again.
    let error = pebble.client.new_order(&account, &next).await.unwrap_err();
    assert_eq!(error.problem().map(|problem| &problem.kind), Some(&ProblemKind::AlreadyReplaced), "{error}");
}

#[tokio::test]
async fn an_issuer_that_says_nothing_of_renewal_is_no_error() {
    let pebble = Pebble::start(Options::default()).await;
    assert_eq!(pebble.client.renewal(&pebble.issuer, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE").await, Ok(None));
    let account = pebble.account().await;
    let replacing = NewOrder {
        replaces: Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".into()),
        ..wanted(&["one.example.test"])
    };
    pebble.client.new_order(&account, &replacing).await.expect("left out for issuers that do not know it");
}

#[tokio::test]
async fn a_host_and_its_wildcard_are_proven_by_two_values_in_a_real_zone() {
    let bind = Bind::start().await;
    let pebble = Pebble::start(Options { names: Some(bind.address), ..Options::default() }).await;
    let account = pebble.account().await;
    // Pebble panics at a wildcard of two labels.
    let names = ["here.example.test", "*.here.example.test"];
    let url = pebble.client.new_order(&account, &wanted(&names)).await.unwrap();
    let order = pebble.client.order(&account, &url).await.unwrap();
    let mut written = Vec::new();
    for one in &order.authorizations {
        let place = bind.dns.challenge_place(&one.name).await.unwrap();
        let value = one.challenge(ChallengeKind::Dns01).unwrap().txt.clone();
        written.push(TxtRecord { place, value });
    }
    assert_eq!(written[0].place, written[1].place);
    for record in &written {
        bind.dns.set_txt(&bind.provider(), record).await.unwrap();
    }
    for view in bind.dns.txt(&written[0].place.name).await {
        assert_eq!(view.answer.map(|values| values.len()), Ok(2), "{:?} shows both", view.server);
    }
    for one in &order.authorizations {
        pebble.client.answer(&account, &url, &one.name, ChallengeKind::Dns01).await.unwrap();
    }
    until(&pebble, &account, &url, |order| order.state == OrderState::Ready).await;
    for record in &written {
        bind.dns.clear_txt(&bind.provider(), record).await.unwrap();
    }
    assert!(bind.dns.txt(&written[0].place.name).await.iter().all(|view| view.answer == Ok(Vec::new())));
}
