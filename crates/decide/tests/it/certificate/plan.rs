//! Golden plans: each state with what stands in its way, as `havre certificate list` would show it.

use std::fmt::Write as _;

use havre_core::certificate::budget::{End, Placed};
use havre_core::certificate::challenge::{ChallengeKind, Proof};
use havre_core::certificate::{Attempt, Certificate, Failure, Phase, Record, Side, Source, Stage, State};
use havre_core::dns::pointing::Pointing;
use havre_core::dns::{TxtPlace, TxtRecord};
use havre_core::id::OrderId;
use havre_decide::certificate::conclude::{Outcome, conclude};
use havre_decide::certificate::plan::plan;
use havre_decide::certificate::seen::{EdgesSeen, Look, NamesSeen, Seen, Wanted};

use crate::certificate::world::{DAY, at, certificate, current, elsewhere, issuer, names, wanted};

fn say(text: &mut String, title: &str, row: &Certificate, (wanted, seen): (&Wanted, &Seen), seconds: i64) {
    let plan = plan(row, wanted, seen, at(seconds));
    writeln!(text, "{title}").unwrap();
    if let Some(step) = plan.step {
        writeln!(text, "  do {}", serde_json::to_string(&step).unwrap()).unwrap();
    }
    if let Some(next) = plan.next {
        writeln!(text, "  become {}", serde_json::to_string(&next).unwrap()).unwrap();
    }
    for blocker in plan.waiting_on {
        writeln!(text, "  wait: {blocker}").unwrap();
    }
    if let Some(again) = plan.look_again_at {
        writeln!(text, "  look again after {} s", again.since(at(seconds)).as_secs()).unwrap();
    }
}

fn looked(seconds: i64, pointing: Pointing) -> Option<Look<NamesSeen>> {
    let hosts = vec![("api.example.org".parse().unwrap(), pointing)];
    Some(Look { at: at(seconds), seen: NamesSeen { hosts, forbidden: Vec::new() } })
}

fn edges(seconds: i64, gave: Result<(), String>) -> EdgesSeen {
    EdgesSeen { gave: Some(Look { at: at(seconds), seen: gave }), ..knowing() }
}

/// One that has the newest table and was not asked yet.
fn knowing() -> EdgesSeen {
    EdgesSeen { count: 1, know: true, ..EdgesSeen::default() }
}

fn handshake() -> Proof {
    Proof::Handshake { host: "api.example.org".parse().unwrap(), digest: "cd".repeat(32).parse().unwrap() }
}

fn asking(seconds: i64, trial: Vec<Proof>) -> State {
    State::Asking { since: at(seconds), trial }
}

fn ordering(phase: Phase, challenge: ChallengeKind) -> State {
    let attempt = Attempt { issuer: "letsencrypt".parse().unwrap(), stage: Stage::Production, challenge };
    State::Ordering { since: at(0), order: OrderId::new(1), attempt, phase }
}

#[test]
fn before_an_issuer_hears_of_anything() {
    let mut text = String::new();
    let row = certificate(1, "api.example.org");
    let (wanted, empty) = (wanted(), Seen::default());
    let none = Wanted { issuers: Vec::new(), ..wanted.clone() };
    say(&mut text, "no issuer", &row, (&none, &empty), 1);
    let local = certificate(2, "dropit.localhost");
    say(&mut text, "not a public name", &local, (&wanted, &empty), 1);
    let own = Wanted { issuers: vec![issuer("own", 1)], ..wanted.clone() };
    say(&mut text, "not a public name, issuer of one's own", &local, (&own, &empty), 1);
    let wild = certificate(3, "*.example.org");
    say(&mut text, "wildcard without a provider", &wild, (&wanted, &empty), 1);
    let with_provider = Wanted { has_provider: true, ..wanted.clone() };
    say(&mut text, "wildcard with a provider", &wild, (&with_provider, &empty), 1);
    let lost = Wanted { here: Vec::new(), ..wanted.clone() };
    say(&mut text, "no address known", &row, (&lost, &empty), 1);
    say(&mut text, "never looked", &row, (&wanted, &empty), 1);
    let seen = Seen { names: looked(1, elsewhere()), ..Seen::default() };
    say(&mut text, "points elsewhere, just looked", &row, (&wanted, &seen), 2);
    let seen = Seen { names: looked(1, elsewhere()), ..Seen::default() };
    say(&mut text, "points elsewhere, looked a while ago", &row, (&wanted, &seen), 60);
    let seen = Seen { names: looked(4 * 3600, elsewhere()), ..Seen::default() };
    say(&mut text, "points elsewhere for hours", &row, (&wanted, &seen), 4 * 3600 + 1);
    let seen = Seen { names: looked(1, Pointing::Here), ..Seen::default() };
    say(&mut text, "points here", &row, (&wanted, &seen), 2);

    let asking = Certificate { state: asking(0, Vec::new()), ..row.clone() };
    say(&mut text, "no edge", &asking, (&wanted, &empty), 1);
    let seen = Seen { edges: EdgesSeen { count: 1, ..EdgesSeen::default() }, ..Seen::default() };
    say(&mut text, "the edge has an older table", &asking, (&wanted, &seen), 1);
    let seen = Seen { edges: knowing(), ..Seen::default() };
    say(&mut text, "the edge knows", &asking, (&wanted, &seen), 1);
    let silent = edges(1, Err("127.0.0.1:80 did not answer".to_owned()));
    let seen = Seen { edges: silent, ..Seen::default() };
    say(&mut text, "the edge does not answer", &asking, (&wanted, &seen), 2);
    let seen = Seen { edges: edges(1, Ok(())), ..Seen::default() };
    say(&mut text, "the edge answers", &asking, (&wanted, &seen), 2);
    say(&mut text, "asked for too long", &asking, (&wanted, &empty), 700);
    insta::assert_snapshot!(text);
}

#[test]
fn a_handshake_is_tried_before_an_order() {
    let mut text = String::new();
    let mut wanted = wanted();
    wanted.issuers[0].challenges = vec![ChallengeKind::TlsAlpn01];
    let row = Certificate { state: asking(0, Vec::new()), ..certificate(1, "api.example.org") };
    let seen = |edges: EdgesSeen| Seen { edges, ..Seen::default() };
    say(&mut text, "no edge", &row, (&wanted, &Seen::default()), 1);
    say(&mut text, "nothing to present yet", &row, (&wanted, &seen(knowing())), 1);
    say(&mut text, "files were given in another trial", &row, (&wanted, &seen(edges(1, Ok(())))), 2);
    let made = Outcome::TrialMade { proofs: vec![handshake()] };
    let tried = conclude(&row, made, at(1)).certificate;
    assert_eq!((tried.state.since(), tried.state.proofs()), (at(0), [handshake()].as_slice()));
    let behind = EdgesSeen { count: 1, ..EdgesSeen::default() };
    say(&mut text, "the edge has an older table", &tried, (&wanted, &seen(behind)), 1);
    say(&mut text, "the edge knows", &tried, (&wanted, &seen(knowing())), 1);
    let wrong = edges(1, Err("edge node: 127.0.0.1:443 presents the wrong certificate".to_owned()));
    say(&mut text, "it presents another", &tried, (&wanted, &seen(wrong.clone())), 2);
    say(&mut text, "it presents another, looked a while ago", &tried, (&wanted, &seen(wrong)), 60);
    say(&mut text, "it presents the right one", &tried, (&wanted, &seen(edges(1, Ok(())))), 2);
    say(&mut text, "asked for too long", &tried, (&wanted, &seen(knowing())), 700);
    wanted.issuers[0].challenges = vec![ChallengeKind::Http01];
    say(&mut text, "the way has changed", &tried, (&wanted, &seen(edges(1, Ok(())))), 2);
    wanted.issuers[0].challenges = vec![ChallengeKind::TlsAlpn01, ChallengeKind::Http01];
    let plain = EdgesSeen { lack_https: true, ..knowing() };
    say(&mut text, "an edge without HTTPS, and another way", &row, (&wanted, &seen(plain)), 1);
    insta::assert_snapshot!(text);
}

#[test]
fn a_trial_of_an_older_store_is_read() {
    let json = r#"{"state":"asking","since":"2027-01-15T08:00:00.000Z"}"#;
    let read: State = serde_json::from_str(json).unwrap();
    assert_eq!(read, asking(0, Vec::new()));
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
    let tried = asking(0, vec![handshake()]);
    let json = serde_json::to_string(&tried).unwrap();
    assert_eq!(serde_json::from_str::<State>(&json).unwrap(), tried, "it survives a restart");
}

#[test]
fn failures_budget_and_rehearsals() {
    let mut text = String::new();
    let wanted = wanted();
    let mut row = Certificate { state: asking(0, Vec::new()), ..certificate(1, "api.example.org") };
    let good = Seen { edges: edges(1, Ok(())), ..Seen::default() };
    let crowd = Seen { newcomers: 4, ..good.clone() };
    say(&mut text, "one of many newcomers", &row, (&wanted, &crowd), 2);
    row.record.failures = 1;
    row.state = asking(0, vec![handshake()]);
    say(&mut text, "failed once: another way, and a rehearsal", &row, (&wanted, &good), 2);
    row.record.rehearsed_at = Some(at(0));
    say(&mut text, "rehearsed a moment ago", &row, (&wanted, &good), 2);
    say(
        &mut text,
        "rehearsed long ago",
        &Certificate { state: asking(2 * DAY, vec![handshake()]), ..row.clone() },
        (&wanted, &Seen { edges: edges(2 * DAY, Ok(())), ..Seen::default() }),
        2 * DAY + 1,
    );
    row.record = Record::default();
    row.state = asking(0, Vec::new());
    let placed = |seconds: i64| Placed {
        issuer: "letsencrypt".parse().unwrap(),
        stage: Stage::Production,
        names: names("api.example.org"),
        is_renewal: false,
        is_retry: false,
        at: at(seconds),
        end: Some(End::Issued { at: at(seconds) }),
    };
    let full = Seen { history: (-4..0).map(|n| placed(n * 3600)).collect(), ..good.clone() };
    say(&mut text, "four of the same in a week", &row, (&wanted, &full), 2);
    let failure =
        Failure { at: at(0), attempt: None, side: Side::Domain, message: "connection refused".to_owned() };
    row.record = Record { failures: 2, last_failure: Some(failure), ..Record::default() };
    row.state = State::BackingOff { since: at(0), until: at(300) };
    say(&mut text, "backing off", &row, (&wanted, &good), 2);
    say(&mut text, "backed off", &row, (&wanted, &good), 300);
    say(&mut text, "backing off, clock set back", &row, (&wanted, &good), -5);
    row.record.issuer_failures = 3;
    let two = Wanted { issuers: vec![issuer("letsencrypt", 1), issuer("own", 2)], ..wanted.clone() };
    row.state = asking(0, Vec::new());
    say(
        &mut text,
        "three failures of the issuer: the next one, which has no staging",
        &row,
        (&two, &good),
        2,
    );
    insta::assert_snapshot!(text);
}

#[test]
fn an_open_order() {
    let mut text = String::new();
    let wanted = wanted();
    let url = "https://acme/order/1".to_owned();
    let file = Proof::File {
        host: "api.example.org".parse().unwrap(),
        token: "t".to_owned(),
        answer: "t.k".to_owned(),
    };
    let mut row = certificate(1, "api.example.org");
    let good = Seen { edges: edges(1, Ok(())), ..Seen::default() };
    row.state = ordering(Phase::Placing, ChallengeKind::Http01);
    say(&mut text, "stopped while it was placed", &row, (&wanted, &good), 2);
    row.state = ordering(Phase::Placed { url: url.clone() }, ChallengeKind::Http01);
    say(&mut text, "placed", &row, (&wanted, &good), 2);
    row.state = ordering(
        Phase::Publishing { url: url.clone(), proofs: Vec::new(), since: None },
        ChallengeKind::Http01,
    );
    say(&mut text, "nothing to prove", &row, (&wanted, &Seen::default()), 2);
    row.state = ordering(
        Phase::Publishing { url: url.clone(), proofs: vec![file.clone()], since: None },
        ChallengeKind::Http01,
    );
    say(
        &mut text,
        "to be published",
        &row,
        (&wanted, &Seen { edges: EdgesSeen { count: 1, ..EdgesSeen::default() }, ..Seen::default() }),
        2,
    );
    say(&mut text, "published", &row, (&wanted, &good), 2);
    say(&mut text, "not published for long", &row, (&wanted, &Seen::default()), 700);
    row.state = ordering(
        Phase::Publishing { url: url.clone(), proofs: vec![handshake()], since: None },
        ChallengeKind::TlsAlpn01,
    );
    let seen = Seen { edges: knowing(), ..Seen::default() };
    say(&mut text, "published, by TLS", &row, (&wanted, &seen), 2);
    say(&mut text, "presented, by TLS", &row, (&wanted, &good), 2);
    row.state = ordering(Phase::Validating { url, proofs: vec![file], since: at(3) }, ChallengeKind::Http01);
    say(&mut text, "told", &row, (&wanted, &good), 3);
    say(
        &mut text,
        "told and asked",
        &row,
        (&wanted, &Seen { asked_issuer_at: Some(at(4)), ..good.clone() }),
        4,
    );
    say(&mut text, "an hour later", &row, (&wanted, &good), 3700);
    let gone = Wanted { issuers: Vec::new(), ..wanted.clone() };
    say(&mut text, "the issuer was removed", &row, (&gone, &good), 4);
    insta::assert_snapshot!(text);
}

fn txt() -> Proof {
    let place = TxtPlace {
        name: "_acme-challenge.example.org".parse().unwrap(),
        zone: "example.org".parse().unwrap(),
    };
    Proof::Txt { record: TxtRecord { place, value: "v".to_owned() } }
}

#[test]
fn a_dns_provider_in_trouble() {
    let mut text = String::new();
    let wanted = Wanted { has_provider: true, ..wanted() };
    let seen = Seen::default();
    let url = "https://acme/order/1".to_owned();
    let (since, until) = (at(10), at(70));
    let stalled = |proofs: Vec<Proof>, is_passing: bool| {
        let message = "Pretended has trouble: 500".to_owned();
        let phase = Phase::Stalled { url: url.clone(), proofs, since, until, is_passing, message };
        let mut row = certificate(1, "*.example.org");
        row.state = ordering(phase, ChallengeKind::Dns01);
        row.record.stalls = 2;
        row
    };
    let row = stalled(vec![txt()], true);
    say(&mut text, "it passes", &row, (&wanted, &seen), 11);
    say(&mut text, "its time has come, and the order is the same", &row, (&wanted, &seen), 70);
    say(&mut text, "two days later, because control was down", &row, (&wanted, &seen), 2 * DAY);
    say(&mut text, "clock set back", &row, (&wanted, &seen), 5);
    say(&mut text, "it does not pass", &stalled(vec![txt()], false), (&wanted, &seen), 11);
    say(&mut text, "the zone was not found, tried again", &stalled(Vec::new(), true), (&wanted, &seen), 70);
    say(&mut text, "more than six days", &row, (&wanted, &seen), 6 * DAY + 1);
    let gone = Wanted { has_provider: false, ..wanted.clone() };
    say(&mut text, "the provider was removed", &row, (&gone, &seen), 11);
    let unwanted = Certificate { is_wanted: false, ..row };
    say(&mut text, "wanted no more", &unwanted, (&wanted, &seen), 11);
    // What comes after it has its ten minutes and its hour from there.
    let mut row = stalled(Vec::new(), true);
    let publishing = Phase::Publishing { url: url.clone(), proofs: vec![txt()], since: Some(at(DAY)) };
    row.state = ordering(publishing, ChallengeKind::Dns01);
    say(&mut text, "records are written again", &row, (&wanted, &seen), DAY);
    let lagging = Some(Look { at: at(DAY + 1), seen: Err("ns1 does not show it".to_owned()) });
    let seen = Seen { zone: lagging, ..Seen::default() };
    say(&mut text, "the zone does not show them yet", &row, (&wanted, &seen), DAY + 2);
    let shown = Seen { zone: Some(Look { at: at(DAY + 1), seen: Ok(()) }), ..Seen::default() };
    say(&mut text, "it shows them", &row, (&wanted, &shown), DAY + 2);
    insta::assert_snapshot!(text);
}

#[test]
fn an_order_is_kept_with_growing_pauses_until_its_records_are_taken() {
    let mut row = certificate(1, "*.example.org");
    row.state = ordering(Phase::Placed { url: "u".to_owned() }, ChallengeKind::Dns01);
    row = conclude(&row, Outcome::Wants { proofs: vec![txt()] }, at(1)).certificate;
    let mut hours = Vec::new();
    let mut now = at(1);
    for is_passing in [true, true, true, true, true, false, false] {
        let done = conclude(&row, Outcome::Stalled { is_passing, message: "500\n".to_owned() }, now);
        assert_eq!(done.end, None, "the order is open");
        row = done.certificate;
        let State::Ordering { order, phase, .. } = &row.state else { panic!("{row:?}") };
        let Phase::Stalled { proofs, until, message, .. } = phase else { panic!("{row:?}") };
        assert_eq!(
            (*order, proofs.as_slice(), message.as_str()),
            (OrderId::new(1), [txt()].as_slice(), "500 ")
        );
        hours.push(until.since(now).as_secs() / 3600);
        now = *until;
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Certificate>(&json).unwrap(), row, "it survives a restart");
    }
    assert!(hours[..3].iter().all(|hours| *hours == 0) && hours[3] == 1 && hours[4] == 1, "{hours:?}");
    assert!(hours[5] >= 24, "a person must do something: {hours:?}");
    assert_eq!((row.record.failures, row.record.leftovers.len()), (0, 1));
    // A person asked, or set the provider anew.
    assert!(row.state.end_pause(now) && !State::Resting { since: now }.end_pause(now));
    let wanted = Wanted { has_provider: true, ..wanted() };
    row.state = plan(&row, &wanted, &Seen::default(), now).next.unwrap();
    row = conclude(&row, Outcome::Answered, now).certificate;
    assert_eq!(row.record.stalls, 0);
    assert!(matches!(row.state, State::Ordering { phase: Phase::Validating { .. }, .. }), "{row:?}");
}

#[test]
fn an_order_of_an_older_store_is_read() {
    let json = r#"{"phase":"publishing","url":"u","proofs":[]}"#;
    let read: Phase = serde_json::from_str(json).unwrap();
    assert_eq!(read, Phase::Publishing { url: "u".to_owned(), proofs: Vec::new(), since: None });
}

#[test]
fn what_is_there_already() {
    let mut text = String::new();
    let (wanted, seen) = (wanted(), Seen::default());
    let mut row = certificate(1, "api.example.org");
    row.current = Some(current("api.example.org", 0, 90));
    say(&mut text, "fresh", &row, (&wanted, &seen), DAY);
    say(&mut text, "a third left", &row, (&wanted, &seen), 60 * DAY);
    say(&mut text, "expired", &row, (&wanted, &seen), 100 * DAY);
    row.current.as_mut().unwrap().ask_again_at = at(DAY);
    say(&mut text, "time to ask about renewal", &row, (&wanted, &seen), DAY);
    row.record.is_renewal_asked = true;
    say(&mut text, "a person asked", &row, (&wanted, &seen), 2);
    row.is_wanted = false;
    say(&mut text, "wanted no more, though a person asked", &row, (&wanted, &seen), 60 * DAY);
    let uploaded = Certificate { source: Source::Uploaded, is_wanted: true, ..row };
    say(&mut text, "uploaded", &uploaded, (&wanted, &seen), DAY);
    say(&mut text, "uploaded, ends soon", &uploaded, (&wanted, &seen), 80 * DAY);
    insta::assert_snapshot!(text);
}

#[test]
fn a_worse_certificate_is_refused_and_the_order_still_counts() {
    let mut row = certificate(1, "api.example.org");
    row.current = Some(current("api.example.org", 0, 90));
    row.state = ordering(Phase::Placed { url: String::new() }, ChallengeKind::Http01);
    for (worse, reason) in [
        (current("www.example.org", 0, 100), "it is not for api.example.org"),
        (current("api.example.org", 0, 80), "longer than this one"),
        (current("api.example.org", 3 * DAY, 100), "it is valid from"),
    ] {
        let done = conclude(&row, Outcome::Issued { current: Box::new(worse) }, at(DAY));
        assert_eq!(done.certificate.current, row.current);
        let failure = done.certificate.record.last_failure.unwrap();
        assert!(failure.message.contains(reason), "{}", failure.message);
        assert!(matches!(done.end, Some((_, End::Issued { .. }))));
        assert!(matches!(done.certificate.state, State::BackingOff { .. }));
    }
}
