//! The call to a CDN: what its texts may be, how it goes to JSON and back, when it is due, and how long it is tried.

use havre_core::deployment::state::State;
use havre_core::deployment::{Deployment, Kind};
use havre_core::event::EventKind;
use havre_core::id::{DeploymentId, ReleaseId, ServiceId};
use havre_core::quantity::Span;
use havre_core::service::Place;
use havre_core::site::event::Event;
use havre_core::site::purge::{
    PurgeBody, PurgeHeader, PurgeMethod, PurgeSpec, SecretName, TRIES_MAX, is_due, next_try, pages_tag,
    site_tag,
};
use havre_core::time::Timestamp;
use havre_manifest::parse;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000_000 + seconds * 1000)
}

#[test]
fn other_texts_are_closed_too() {
    for right in ["cdn", "fastly-2", "0"] {
        assert_eq!(right.parse::<SecretName>().expect(right).as_str(), right);
    }
    for wrong in ["", ".", "..", "../x", "a/b", "-a", "A", "a b", "a\0", &"a".repeat(65)] {
        assert!(wrong.parse::<SecretName>().is_err(), "{wrong:?} must not parse");
    }
    for right in ["Authorization", "Fastly-Key", "AccessKey", "x-key"] {
        assert!(right.parse::<PurgeHeader>().is_ok(), "{right:?} must parse");
    }
    for wrong in
        ["", "a b", "a:", "a\r\nb", "Host", "content-length", "Transfer-Encoding", "é", &"a".repeat(65)]
    {
        assert!(wrong.parse::<PurgeHeader>().is_err(), "{wrong:?} must not parse");
    }
    let body: PurgeBody = "{\"tags\":[\"{tag}\"]}".parse().unwrap();
    assert_eq!(body.filled("a-b-c-pages"), "{\"tags\":[\"a-b-c-pages\"]}");
    assert!("".parse::<PurgeBody>().is_ok_and(|body| body.is_empty()));
    for wrong in ["{\"a\":", "tag={tag}", "{tag}", &format!("\"{}\"", "a".repeat(1023))] {
        assert!(wrong.parse::<PurgeBody>().is_err(), "{wrong:?} must not parse");
    }
}

#[test]
fn a_call_goes_to_json_and_back() {
    let json = serde_json::json!({
        "url": "https://api.example.org/{tag}", "method": "PURGE", "header": "X-Key", "secret": "cdn",
        "body": "{\"tags\":[\"{tag}\"]}",
    });
    let spec: PurgeSpec = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), json);
    let short = serde_json::json!({ "url": "https://a.example/", "header": "X-Key", "secret": "cdn" });
    let spec: PurgeSpec = serde_json::from_value(short.clone()).unwrap();
    assert_eq!((spec.method, spec.body.is_empty()), (PurgeMethod::Post, true));
    for (key, wrong) in
        [("url", "https://u@a.example/"), ("header", "host"), ("secret", "../x"), ("body", "{")]
    {
        let mut value = short.clone();
        value[key] = wrong.into();
        assert!(serde_json::from_value::<PurgeSpec>(value).is_err(), "{key} = {wrong:?} must be refused");
    }
}

#[test]
fn events_stay_readable_for_years() {
    let release = ReleaseId::new(7);
    let reason = "cdn.example: answered 503".to_owned();
    for (event, json, text) in [
        (
            Event::Purged { release, status: 200 },
            serde_json::json!({ "room": "site", "type": "purged", "release": "r7", "status": 200 }),
            "CDN told of r7: it forgets the pages from before (answered 200)",
        ),
        (
            Event::PurgeFailed { release, tries: 1, reason: reason.clone(), next_at: Some(at(0)) },
            serde_json::json!({
                "room": "site", "type": "purge_failed", "release": "r7", "tries": 1, "reason": reason,
                "next_at": "2001-09-09T01:46:40.000Z",
            }),
            "CDN not told of r7 (try 1, another follows): cdn.example: answered 503",
        ),
        (
            Event::PurgeFailed { release, tries: 24, reason: reason.clone(), next_at: None },
            serde_json::json!({
                "room": "site", "type": "purge_failed", "release": "r7", "tries": 24, "reason": reason,
            }),
            "CDN not told of r7 after 24 tries: cdn.example: answered 503; purge it by hand",
        ),
    ] {
        let kind = EventKind::Site(event);
        assert_eq!(serde_json::to_value(&kind).unwrap(), json);
        assert_eq!(kind.to_string(), text);
        assert_eq!(serde_json::from_value::<EventKind>(json).unwrap(), kind);
    }
}

#[test]
fn tags_are_named_after_the_place() {
    let place = Place {
        project: "dropit".parse().unwrap(),
        environment: "production".parse().unwrap(),
        service: "web".parse().unwrap(),
    };
    assert_eq!(pages_tag(&site_tag(&place)), "dropit-production-web-pages");
}

fn open(state: State) -> Deployment {
    Deployment {
        id: DeploymentId::new(2),
        service: ServiceId::new(1),
        release: ReleaseId::new(2),
        previous: Some(ReleaseId::new(1)),
        kind: Kind::Deploy,
        state,
        cancel_requested: false,
        created_at: at(0),
    }
}

#[test]
fn a_call_waits_for_its_time_and_for_every_edge() {
    let now = at(100);
    assert!(is_due(at(100), &[], now) && is_due(at(0), &[], now));
    assert!(!is_due(at(101), &[], now) && !is_due(at(3700), &[], now));
    assert!(is_due(at(3701), &[], now), "no pause is that long: the clock was set back");
    let since = at(90);
    assert!(!is_due(at(0), &[open(State::Pending), open(State::Switching { since })], now));
    for over in [State::Pending, State::Preparing { since }, State::Draining { since }] {
        assert!(is_due(at(0), &[open(over)], now));
    }
}

#[test]
fn a_call_is_tried_for_eighteen_hours() {
    let mut now = at(0);
    let mut pauses = Vec::new();
    for tries in 1.. {
        let Some(next) = next_try(tries, now) else { break };
        pauses.push(next.since(now).as_secs());
        now = next;
    }
    assert_eq!(pauses.len(), usize::try_from(TRIES_MAX).unwrap() - 1);
    assert_eq!(pauses[..8], [10, 30, 60, 300, 900, 1800, 3600, 3600]);
    assert!(pauses.is_sorted());
    assert_eq!(now, at(64_300));
    assert_eq!(
        next_try(0, now),
        Some(now.after(Span::seconds(10).duration())),
        "before the first there is no pause to count"
    );
    assert_eq!(next_try(u32::MAX, now), None);
}

fn site(cdn: &str) -> String {
    format!("project = \"p\"\n[sites.web]\nroot = \"dist\"\nhosts = [\"a\"]\n[sites.web.cdn]\n{cdn}\n")
}

#[test]
fn the_manifest_says_how() {
    let text = site(
        "tags = \"surrogate-key\"\npurge = { url = \"https://api.example.org/{tag}\", method = \"PURGE\", \
         header = \"Fastly-Key\", secret = \"fastly\", body = '{\"tags\": [\"{tag}\"]}' }",
    );
    let manifest = parse(&text).unwrap_or_else(|error| panic!("must be understood:\n{error}"));
    let specs = manifest.resolve(&"production".parse().unwrap()).unwrap();
    let specs = serde_json::to_value(&specs).unwrap();
    assert_eq!(
        specs[0]["work"]["settings"]["cdn"],
        serde_json::json!({ "tags": "surrogate-key", "purge": {
            "url": "https://api.example.org/{tag}", "method": "PURGE", "header": "Fastly-Key", "secret": "fastly",
            "body": "{\"tags\": [\"{tag}\"]}",
        } })
    );
    for (purge, said) in [
        ("{}", "`sites.web.cdn.purge` has no `url`"),
        ("{}", "`sites.web.cdn.purge` has no `header`"),
        ("{}", "`sites.web.cdn.purge` has no `secret`"),
        ("{ token = \"x\" }", "did you mean `secret`?"),
        ("{ method = \"GET\" }", "`sites.web.cdn.purge.method`: `GET` is none of its values"),
        (
            "{ url = \"https://u@a.example/\" }",
            "`sites.web.cdn.purge.url`: `https://u@a.example/` is not an address",
        ),
        ("{ header = \"Host\" }", "`Host` is not a valid header for a secret"),
        ("{ secret = \"../x\" }", "`../x` is not a valid name of a secret"),
        ("{ body = \"{\" }", "is not JSON of at most 1024 bytes"),
        ("\"https://a.example/\"", "expected a table"),
    ] {
        let error = parse(&site(&format!("tags = \"cache-tag\"\npurge = {purge}"))).unwrap_err().to_string();
        assert!(error.contains(said), "{purge} must say {said:?}:\n{error}");
    }
}
