//! The contract of [`Dns`], run on the fake and on BIND, and what only BIND can show. Both hold the same small world of names.

use std::net::IpAddr;

use havre_acme::dns::{Dns, DnsSettings};
use havre_acme::error::DnsError;
use havre_acme::fake::FakeDns;
use havre_core::dns::pointing::{Pointing, judge_pointing};
use havre_core::dns::provider::{Provider, ProviderKind};
use havre_core::dns::{CaaRecord, TxtPlace, TxtRecord};
use havre_core::name::{CertificateName, DnsName, HostName};
use havre_core::secret::Secret;

use crate::bind::Bind;

trait World {
    async fn start() -> Self;
    fn dns(&self) -> &dyn Dns;
    fn provider(&self) -> Provider;
}

impl World for Bind {
    async fn start() -> Self {
        Self::start().await
    }

    fn dns(&self) -> &dyn Dns {
        &self.dns
    }

    fn provider(&self) -> Provider {
        self.provider()
    }
}

impl World for FakeDns {
    async fn start() -> Self {
        let fake = Self::new();
        let here: Vec<IpAddr> = vec!["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        fake.set_host(&host("example.test"), &here[..1]);
        fake.set_host(&host("here.example.test"), &here);
        fake.set_host(&host("alias.example.test"), &here);
        fake.set_host(&host("far.example.test"), &here[..1]);
        fake.set_host(&host("there.example.test"), &["198.51.100.1".parse().unwrap()]);
        fake.set_host(&host("empty.example.test"), &[]);
        let caa = CaaRecord { is_critical: false, tag: "issue".into(), value: "pretended.test".into() };
        fake.set_caa(&name("example.test"), &[caa]);
        let place = TxtPlace { name: name("far.delegated.test"), zone: name("delegated.test") };
        fake.delegate(&name("_acme-challenge.far.example.test"), &place);
        // The fake has one zone for each host; only where a record is written differs from BIND's world.
        for part in ["here", "there"] {
            let record = name(&format!("_acme-challenge.{part}.example.test"));
            fake.delegate(&record, &TxtPlace { name: record.clone(), zone: name("example.test") });
        }
        fake
    }

    fn dns(&self) -> &dyn Dns {
        self
    }

    fn provider(&self) -> Provider {
        let fields = [("token".to_owned(), Secret::from("x"))];
        Provider::parse(ProviderKind::Infomaniak, fields.into()).unwrap()
    }
}

macro_rules! contract {
    ($($test:ident)*) => {
        mod on_fake {
            $(#[tokio::test]
            async fn $test() {
                super::$test::<super::FakeDns>().await;
            })*
        }

        mod on_bind {
            $(#[tokio::test]
            async fn $test() {
                super::$test::<super::Bind>().await;
            })*
        }
    };
}

contract! {
    where_a_host_points_is_seen_by_everybody
    caa_records_are_looked_for_upwards
    the_place_of_a_challenge_follows_a_delegation
    values_live_side_by_side_and_only_ours_goes
    values_written_at_the_same_time_are_all_there
}

fn host(text: &str) -> HostName {
    text.parse().unwrap()
}

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn certificate(text: &str) -> CertificateName {
    text.parse().unwrap()
}

async fn points(world: &impl World, text: &str) -> Pointing {
    let here: Vec<IpAddr> = vec!["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
    let views = world.dns().addresses(&host(text)).await;
    assert!(views.iter().any(|view| view.server.is_authoritative()), "{text}: {views:?}");
    assert!(views.iter().any(|view| !view.server.is_authoritative()), "{text}: {views:?}");
    judge_pointing(&views, &here)
}

async fn where_a_host_points_is_seen_by_everybody<W: World>() {
    let world = W::start().await;
    for text in ["here.example.test", "example.test", "alias.example.test", "far.example.test"] {
        assert_eq!(points(&world, text).await, Pointing::Here, "{text}");
    }
    let there = points(&world, "there.example.test").await;
    assert!(
        matches!(&there, Pointing::Elsewhere { found, .. } if found == &["198.51.100.1".parse::<IpAddr>().unwrap()]),
        "{there}"
    );
    assert!(matches!(points(&world, "empty.example.test").await, Pointing::NoAddress { .. }));
    assert!(matches!(points(&world, "nobody.example.test").await, Pointing::NoSuchName { .. }));
}

async fn caa_records_are_looked_for_upwards<W: World>() {
    let world = W::start().await;
    let found =
        world.dns().caa(&host("deep.below.here.example.test")).await.unwrap().expect("those of the zone");
    assert_eq!(found.at, name("example.test"));
    assert_eq!(
        found.records.iter().map(|one| (one.tag.as_str(), one.value.as_str())).collect::<Vec<_>>(),
        [("issue", "pretended.test")]
    );
    assert_eq!(world.dns().caa(&host("www.delegated.test")).await, Ok(None));
}

async fn the_place_of_a_challenge_follows_a_delegation<W: World>() {
    let world = W::start().await;
    let dns = world.dns();
    let place = |text: &'static str| async move { dns.challenge_place(&certificate(text)).await.unwrap() };
    let at = |record, zone| TxtPlace { name: name(record), zone: name(zone) };
    assert_eq!(place("here.example.test").await, at("_acme-challenge.here.example.test", "example.test"));
    assert_eq!(place("*.here.example.test").await, at("_acme-challenge.here.example.test", "example.test"));
    assert_eq!(place("far.example.test").await, at("far.delegated.test", "delegated.test"));
}

async fn values_live_side_by_side_and_only_ours_goes<W: World>() {
    let world = W::start().await;
    let (dns, provider) = (world.dns(), world.provider());
    let place = dns.challenge_place(&certificate("there.example.test")).await.unwrap();
    let record = |value: &str| TxtRecord { place: place.clone(), value: value.to_owned() };
    let seen = || async {
        let views = dns.txt(&place.name).await;
        assert!(!views.is_empty());
        let mut values: Vec<String> = views.into_iter().flat_map(|view| view.answer.unwrap()).collect();
        values.sort();
        values
    };
    assert_eq!(seen().await, Vec::<String>::new(), "nothing yet, which is no failure");
    for value in ["one", "two", "one"] {
        dns.set_txt(&provider, &record(value)).await.unwrap();
    }
    assert_eq!(seen().await, ["one", "two"]);
    for _ in 0..2 {
        dns.clear_txt(&provider, &record("one")).await.unwrap();
    }
    assert_eq!(seen().await, ["two"], "the other order's value is still there");
    dns.clear_txt(&provider, &record("two")).await.unwrap();
    assert_eq!(seen().await, Vec::<String>::new());
}

async fn values_written_at_the_same_time_are_all_there<W: World>() {
    let world = W::start().await;
    let (dns, provider) = (world.dns(), world.provider());
    let place = dns.challenge_place(&certificate("here.example.test")).await.unwrap();
    let records: Vec<TxtRecord> =
        (0..8).map(|number| TxtRecord { place: place.clone(), value: format!("value {number}") }).collect();
    for written in
        futures_util::future::join_all(records.iter().map(|record| dns.set_txt(&provider, record))).await
    {
        written.unwrap();
    }
    let views = dns.txt(&place.name).await;
    for view in views {
        assert_eq!(view.answer.unwrap().len(), 8);
    }
}

#[tokio::test]
async fn a_wrong_key_is_a_matter_of_credentials() {
    let bind = Bind::start().await;
    let place = TxtPlace { name: name("_acme-challenge.here.example.test"), zone: name("example.test") };
    let record = TxtRecord { place, value: "x".into() };
    for provider in [
        bind.provider_with("platform", "d3Jvbmcgd3Jvbmcgd3Jvbmc="),
        bind.provider_with("nobody", "d3Jvbmcgd3Jvbmcgd3Jvbmc="),
    ] {
        let error = bind.dns.set_txt(&provider, &record).await.unwrap_err();
        assert!(matches!(error, DnsError::Denied { .. }), "{error}");
        assert!(!error.is_passing());
    }
    let elsewhere = TxtRecord {
        place: TxtPlace { name: name("x.other.org"), zone: name("other.org") },
        value: "x".into(),
    };
    let error = bind.dns.set_txt(&bind.provider(), &elsewhere).await.unwrap_err();
    assert!(!error.is_passing(), "{error}");
    let broken = bind.dns.set_txt(&bind.provider_with("platform", "not base64!"), &record).await.unwrap_err();
    assert!(matches!(broken, DnsError::BadSettings { .. }), "{broken}");
}

#[tokio::test]
async fn a_provider_that_is_down_or_unwell_passes() {
    let bind = Bind::start().await;
    let port = crate::program::free_port([127, 0, 0, 1].into());
    let down = |kind, fields: &[(&str, String)]| {
        let fields =
            fields.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(value.as_str()))).collect();
        Provider::parse(kind, fields).unwrap()
    };
    let server = format!("127.0.0.1:{port}");
    let rfc2136 = down(
        ProviderKind::Rfc2136,
        &[("server", server.clone()), ("key", "k".into()), ("secret", "c2VjcmV0".into())],
    );
    let http = down(ProviderKind::PowerDns, &[("url", format!("http://{server}")), ("key", "k".into())]);
    let place = TxtPlace { name: name("_acme-challenge.here.example.test"), zone: name("example.test") };
    let record = TxtRecord { place, value: "x".into() };
    for provider in [rfc2136, http] {
        let error = bind.dns.set_txt(&provider, &record).await.unwrap_err();
        assert!(matches!(error, DnsError::Unavailable { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_a_provider_answers_decides_whether_it_passes() {
    let dns = havre_acme::dns::DnsClient::new(DnsSettings::new(Vec::new()));
    let place = TxtPlace { name: name("_acme-challenge.here.example.test"), zone: name("example.test") };
    let record = TxtRecord { place, value: "x".into() };
    let said = |status, body| {
        let (dns, record) = (&dns, &record);
        async move {
            let url = format!("http://{}", crate::https::serve_plain(status, body).await);
            let fields = [("url".to_owned(), Secret::from(url)), ("key".to_owned(), Secret::from("hunter2"))];
            let provider = Provider::parse(ProviderKind::PowerDns, fields.into()).unwrap();
            dns.set_txt(&provider, record).await.unwrap_err()
        }
    };
    for status in ["500 Internal Server Error", "502 Bad Gateway", "429 Too Many Requests"] {
        let error = said(status, "{}").await;
        assert!(matches!(error, DnsError::Unavailable { .. }), "{status}: {error}");
    }
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let error = said(status, "{}").await;
        assert!(matches!(error, DnsError::Denied { .. }), "{status}: {error}");
        assert!(!error.to_string().contains("hunter2"));
    }
    for status in ["422 Unprocessable Entity", "404 Not Found", "400 Bad Request"] {
        let error = said(status, "{}").await;
        assert!(matches!(error, DnsError::Refused { .. }), "{status}: {error}");
    }
    let error = said("200 OK", "<html>").await;
    assert!(matches!(error, DnsError::Unavailable { .. }), "garbage: {error}");
}

#[tokio::test]
async fn cnames_in_a_circle_end() {
    let bind = Bind::start().await;
    let views = bind.dns.addresses(&host("loop.example.test")).await;
    assert!(views.iter().all(|view| !view.answer.as_ref().is_ok_and(|found| !found.is_empty())), "{views:?}");
}

#[tokio::test]
async fn every_provider_can_be_made_from_its_fields() {
    let settings = DnsSettings { resolvers: Vec::new(), ..DnsSettings::new(Vec::new()) };
    let dns = havre_acme::dns::DnsClient::new(settings);
    for kind in ProviderKind::ALL {
        let value = |field: &str| match field {
            "server" => "127.0.0.1:1",
            "secret" => "c2VjcmV0",
            "url" => "http://127.0.0.1:1",
            "region" => "eu",
            _ => "1234",
        };
        let fields = kind.fields().iter().filter(|field| !field.is_optional);
        let fields = fields.map(|field| (field.name.to_owned(), Secret::from(value(field.name)))).collect();
        let provider = Provider::parse(*kind, fields).unwrap();
        // TransIP wants a real key in PEM; that it says so is enough.
        if let Err(error) = dns.check_provider(&provider).await {
            assert!(*kind == ProviderKind::TransIp, "{kind}: {error}");
        }
    }
}
