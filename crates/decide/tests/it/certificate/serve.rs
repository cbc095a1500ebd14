//! Rows to entries of the route table.

use std::fmt::Write as _;

use havre_core::certificate::challenge::{ChallengeKind, Proof};
use havre_core::certificate::{Attempt, Certificate, Current, Phase, Source, Stage, State};
use havre_core::id::OrderId;
use havre_core::name::HostName;
use havre_core::route::https::Hsts;
use havre_core::service::spec::{HttpsMode, HttpsSpec};
use havre_decide::certificate::serve::{certificates, challenges, policies};

use crate::certificate::world::{DAY, at, certificate, current};

fn served(id: i64, text: &str, days: i64, digit: &str) -> Certificate {
    let current = Current { digest: digit.repeat(64).parse().unwrap(), ..current(text, 0, days) };
    Certificate { current: Some(current), ..certificate(id, text) }
}

fn show(rows: &[Certificate], seconds: i64) -> String {
    let mut text = String::new();
    for entry in certificates(rows, at(seconds)) {
        let names: Vec<&str> = entry.names.iter().map(|name| name.as_str()).collect();
        writeln!(text, "{} {:?} {}", &entry.digest.hex()[..2], entry.purpose, names.join(" ")).unwrap();
    }
    for entry in challenges(rows) {
        writeln!(text, "{} {} -> {}", entry.host, entry.token, entry.answer).unwrap();
    }
    text
}

#[test]
fn the_best_for_each_name_is_presented() {
    let brought =
        Certificate { source: Source::Uploaded, ..served(2, "api.example.org www.example.org", 30, "b") };
    let rows = [served(1, "api.example.org", 90, "a"), brought, served(3, "*.example.org", 90, "c")];
    let mut text = show(&rows, DAY);
    text.push_str("-- after the uploaded one has expired\n");
    text.push_str(&show(&rows, 40 * DAY));
    text.push_str("-- after all have\n");
    text.push_str(&show(&rows, 100 * DAY));
    insta::assert_snapshot!(text);
}

#[test]
fn open_challenges_are_answered() {
    let mut file = certificate(1, "a.example.org");
    let attempt = Attempt {
        issuer: "own".parse().unwrap(),
        stage: Stage::Production,
        challenge: ChallengeKind::Http01,
    };
    let ordering = |proof: Proof| State::Ordering {
        since: at(0),
        order: OrderId::new(1),
        attempt: attempt.clone(),
        phase: Phase::Publishing { url: String::new(), proofs: vec![proof], since: None },
    };
    let host = |text: &str| text.parse().unwrap();
    file.state = ordering(Proof::File {
        host: host("a.example.org"),
        token: "t".to_owned(),
        answer: "t.k".to_owned(),
    });
    let mut handshake = certificate(2, "b.example.org");
    let digest = "d".repeat(64).parse().unwrap();
    handshake.state = ordering(Proof::Handshake { host: host("b.example.org"), digest });
    let asking = |id: i64, name: &str, trial: Vec<Proof>| Certificate {
        state: State::Asking { since: at(0), trial },
        ..certificate(id, name)
    };
    let trial = Proof::Handshake { host: host("d.example.org"), digest: "e".repeat(64).parse().unwrap() };
    let rows =
        [file, handshake, asking(3, "c.example.org", Vec::new()), asking(4, "d.example.org", vec![trial])];
    insta::assert_snapshot!(show(&rows, 1));
}

#[test]
fn hosts_turn_to_https_only_with_a_valid_certificate() {
    let redirect = HttpsSpec { mode: HttpsMode::Redirect, hsts: Some(Hsts::Year) };
    let both = HttpsSpec { mode: HttpsMode::Both, hsts: None };
    let off = HttpsSpec { mode: HttpsMode::Off, hsts: None };
    let hosts: Vec<(HostName, HttpsSpec)> = [
        ("a.example.org", redirect),
        ("a.example.org", off),
        ("b.example.org", both),
        ("c.example.org", off),
        ("d.example.net", redirect),
    ]
    .map(|(host, https)| (host.parse().unwrap(), https))
    .into();
    let rows = [served(1, "*.example.org", 90, "a")];
    let at_day = |day: i64| {
        let pairs = hosts.iter().map(|(host, https)| (host, *https));
        format!("{:?}", policies(pairs, &rows, at(day * DAY)))
    };
    assert_eq!(
        at_day(1),
        "{HostName(\"a.example.org\"): HostPolicy { redirect_to_https: true, hsts: Some(Year) }}"
    );
    assert_eq!(at_day(100), "{}");
}
