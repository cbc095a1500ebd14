//! Who is believed: of every fixture the right signature is accepted, and nothing that differs from it by one bit.

use havre_webhook::delivery::Delivery;
use havre_webhook::headers::Several;
use havre_webhook::provider::Provider;
use havre_webhook::verify::{Refusal, SECRET_MIN, sign, verify, verify_token};
use proptest::prelude::*;

use crate::fixture::{self, COUNT, DELIVERY, Fixture, SECRET, SIGNING_TOKEN};

/// Most places at which one body is changed.
const PLACES: usize = 512;

fn check(fixture: &Fixture, secret: &[u8], body: &[u8]) -> Result<(), Refusal> {
    fixture.with(|headers| verify(fixture.provider, secret, headers, body))
}

/// GitLab with its older secret token instead of the signing token.
fn with_secret_token(fixture: &Fixture) -> Fixture {
    let mut fixture = fixture.without("webhook-signature").without("webhook-timestamp").without("webhook-id");
    fixture.secret = SECRET;
    fixture.and("X-Gitlab-Token", SECRET)
}

#[test]
fn every_fixture_is_believed_with_its_signature() {
    let all = fixture::all();
    assert_eq!(all.len(), COUNT, "count the fixtures anew");
    for fixture in &all {
        assert_eq!(check(fixture, fixture.secret, &fixture.body), Ok(()), "{}", fixture.name);
        let delivery = fixture.with(|headers| Delivery::read(fixture.provider, headers, &fixture.body));
        let delivery = delivery.expect("has an id");
        match fixture.provider {
            Provider::Registry => assert_eq!(delivery.id.to_string(), delivery.body.to_string()),
            _ => assert_eq!(delivery.id.as_str(), DELIVERY, "{}", fixture.name),
        }
    }
}

#[test]
fn one_flipped_bit_of_the_body_is_refused() {
    // Who sends the secret itself does not sign, so there the body is anything.
    let signed = fixture::all().into_iter().filter(|fixture| fixture.provider != Provider::Registry);
    for fixture in signed {
        let wrong = Err(Refusal::Wrong { place: fixture.proof() });
        let mut body = fixture.body.clone();
        let stride = body.len().div_ceil(PLACES);
        for place in (0..body.len()).step_by(stride).chain([body.len() - 1]) {
            let bit = 1 << (place % 8);
            body[place] ^= bit;
            assert_eq!(check(&fixture, fixture.secret, &body), wrong, "{} at {place}", fixture.name);
            body[place] ^= bit;
        }
        assert_eq!(body, fixture.body);
        body.push(b' ');
        assert_eq!(check(&fixture, fixture.secret, &body), wrong, "{}", fixture.name);
        assert_eq!(check(&fixture, fixture.secret, &fixture.body[1..]), wrong, "{}", fixture.name);
        assert_eq!(check(&fixture, fixture.secret, b""), wrong, "{}", fixture.name);
    }
}

#[test]
fn one_flipped_bit_of_the_proof_is_refused() {
    let all = fixture::all();
    let tokens = all.iter().filter(|fixture| fixture.provider == Provider::GitLab).map(with_secret_token);
    for fixture in all.iter().cloned().chain(tokens) {
        let header = if fixture.secret == SECRET && fixture.provider == Provider::GitLab {
            "X-Gitlab-Token"
        } else {
            fixture.proof()
        };
        assert_eq!(check(&fixture, fixture.secret, &fixture.body), Ok(()), "{}", fixture.name);
        let value = fixture.value(header);
        // Names of schemes have no case.
        let start = if header == "Authorization" { "Bearer ".len() } else { 0 };
        for place in start..value.len() {
            for bit in 0..8 {
                let mut flipped = value.clone();
                flipped[place] ^= 1 << bit;
                let forged = fixture.without(header).and(header, &flipped);
                let refused = check(&forged, fixture.secret, &fixture.body).expect_err(&fixture.name);
                let is_named = matches!(refused, Refusal::Wrong { .. } | Refusal::Malformed { .. });
                assert!(is_named, "{} at {place}: {refused}", fixture.name);
            }
        }
        for cut in [1, value.len() / 2, value.len() - start] {
            let forged = fixture.without(header).and(header, &value[..value.len() - cut]);
            assert!(check(&forged, fixture.secret, &fixture.body).is_err(), "{} without {cut}", fixture.name);
        }
    }
}

#[test]
fn another_an_empty_and_a_short_secret_are_refused() {
    let all = fixture::all();
    let tokens = all.iter().filter(|fixture| fixture.provider == Provider::GitLab).map(with_secret_token);
    for fixture in all.iter().cloned().chain(tokens) {
        let name = &fixture.name;
        let check = |secret: &[u8]| check(&fixture, secret, &fixture.body);
        assert_eq!(check(b""), Err(Refusal::SecretMissing), "{name}");
        assert_eq!(
            check(&SECRET[..SECRET_MIN - 1]),
            Err(Refusal::SecretShort { bytes: SECRET_MIN - 1 }),
            "{name}"
        );
        let mut other = fixture.secret.to_vec();
        // Another key, and still base64 where it is that.
        other[8] = if other[8] == b'A' { b'B' } else { b'A' };
        assert!(matches!(check(&other), Err(Refusal::Wrong { .. })), "{name}");
    }
}

#[test]
fn an_empty_secret_is_refused_even_if_the_sender_has_none_either() {
    let body = b"{}";
    let digits: String = sign(b"", body).iter().map(|byte| format!("{byte:02x}")).collect();
    let prefixed = format!("sha256={digits}");
    for provider in Provider::ALL {
        let mut fixture = fixture::one("generic.ping.hello.json");
        fixture.provider = provider;
        fixture.lines.clear();
        for header in provider.signature_headers() {
            let value = match provider {
                Provider::Gitea => digits.as_bytes(),
                Provider::GitLab => b"",
                Provider::Registry => b"Bearer ",
                _ => prefixed.as_bytes(),
            };
            fixture.lines.push((*header, value.to_vec()));
        }
        assert_eq!(check(&fixture, b"", body), Err(Refusal::SecretMissing), "{provider}");
    }
    assert_eq!(verify_token(b"", b"", "the address"), Err(Refusal::SecretMissing));
}

#[test]
fn a_missing_and_a_second_proof_are_refused() {
    for fixture in fixture::all() {
        let (name, header) = (&fixture.name, fixture.proof());
        let twice = fixture.and(header, &fixture.value(header));
        let several = Err(Refusal::Several(Several { header }));
        assert_eq!(check(&twice, fixture.secret, &fixture.body), several, "{name}");
        // Forgejo signs in two headers, and one of them is enough.
        let none = fixture.without(header).without("X-Gitea-Signature");
        let missing = if fixture.provider == Provider::Gitea { "X-Gitea-Signature" } else { header };
        let refused = check(&none, fixture.secret, &fixture.body);
        assert_eq!(refused, Err(Refusal::Missing { header: missing }), "{name}");
    }
}

#[test]
fn of_two_signatures_each_must_be_right() {
    let fixture = fixture::one("forgejo.push.main.json");
    let wrong = "0".repeat(64).into_bytes();
    for header in ["X-Forgejo-Signature", "X-Gitea-Signature"] {
        let one = fixture.without(header);
        assert_eq!(check(&one, SECRET, &fixture.body), Ok(()), "without {header}");
        let forged = one.and(header, &wrong);
        assert_eq!(check(&forged, SECRET, &fixture.body), Err(Refusal::Wrong { place: header }));
    }
}

#[test]
fn signatures_have_one_form() {
    let fixture = fixture::one("github.push.main.json");
    let header = "X-Hub-Signature-256";
    let right = String::from_utf8(fixture.value(header)).expect("is ASCII");
    let wrong = [
        String::new(),
        "sha256=".to_owned(),
        right.to_uppercase(),
        right.replacen("sha256=", "", 1),
        right.replacen("sha256=", "sha1=", 1),
        right.replacen("sha256=", "SHA256=", 1),
        format!("{right}00"),
        format!("{right}, {right}"),
        right.replacen('=', "= ", 1),
        format!("sha256={}", "g".repeat(64)),
        format!("sha256={}", "0".repeat(63)),
    ];
    for wrong in wrong {
        let forged = fixture.without(header).and(header, wrong.as_bytes());
        let refused = check(&forged, SECRET, &fixture.body);
        assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{wrong:?}: {refused:?}");
    }
    // What a proxy may add around it does not count.
    let spaced = fixture.without(header).and(header, format!(" {right} ").as_bytes());
    assert_eq!(check(&spaced, SECRET, &fixture.body), Ok(()));
}

#[test]
fn the_kept_secret_says_how_gitlab_has_to_prove_itself() {
    let signed = fixture::one("gitlab.push.main.json");
    // Signed, but a plain secret is kept; and the other way round.
    let refused = check(&signed, SECRET, &signed.body);
    assert_eq!(refused, Err(Refusal::Missing { header: "X-Gitlab-Token" }));
    let plain = with_secret_token(&signed);
    let refused = check(&plain, SIGNING_TOKEN, &signed.body);
    assert_eq!(refused, Err(Refusal::Missing { header: "webhook-signature" }));
    let caught = plain.without("X-Gitlab-Token").and("X-Gitlab-Token", SIGNING_TOKEN);
    let refused = check(&caught, SIGNING_TOKEN, &signed.body);
    assert_eq!(refused, Err(Refusal::Missing { header: "webhook-signature" }));
}

#[test]
fn the_parts_of_a_standard_webhook_are_signed_and_strict() {
    let fixture = fixture::one("gitlab.push.main.json");
    let id = ["", "a.b", "a b", "\u{e9}", &"a".repeat(129)].map(|text| ("webhook-id", text.to_owned()));
    let time =
        ["", "17900000x0", "-1", "1.5", &"1".repeat(21)].map(|text| ("webhook-timestamp", text.to_owned()));
    for (header, text) in id.into_iter().chain(time) {
        let forged = fixture.without(header).and(header, text.as_bytes());
        let refused = check(&forged, SIGNING_TOKEN, &fixture.body);
        assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{header} {text:?}: {refused:?}");
    }
    for (header, text) in [("webhook-id", "another"), ("webhook-timestamp", "1790000001")] {
        let forged = fixture.without(header).and(header, text.as_bytes());
        let refused = check(&forged, SIGNING_TOKEN, &fixture.body);
        assert_eq!(refused, Err(Refusal::Wrong { place: "webhook-signature" }), "{header}");
        let missing = check(&fixture.without(header), SIGNING_TOKEN, &fixture.body);
        assert_eq!(missing, Err(Refusal::Missing { header }));
    }
    // While a key is changed there are two signatures, and others of kinds we do not know.
    let header = "webhook-signature";
    let right = String::from_utf8(fixture.value(header)).expect("is ASCII");
    for (text, expected) in [
        (format!("v1,{} {right}", "A".repeat(44)), Ok(())),
        (format!("v1a,AAAA {right}"), Ok(())),
        (format!("{right} {right}"), Ok(())),
        (right.replacen("v1,", "v1a,", 1), Err(Refusal::Wrong { place: header })),
        ("v1,".to_owned(), Err(Refusal::Wrong { place: header })),
    ] {
        let changed = fixture.without(header).and(header, text.as_bytes());
        assert_eq!(check(&changed, SIGNING_TOKEN, &fixture.body), expected, "{text}");
    }
    for text in [[right.as_str(); 9].join(" "), right.replacen("v1,", "v2,", 1), right.replacen("v1,", "", 1)]
    {
        let changed = fixture.without(header).and(header, text.as_bytes());
        let refused = check(&changed, SIGNING_TOKEN, &fixture.body);
        assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{text}: {refused:?}");
    }
    for (secret, expected) in [
        (&b"whsec_not base64 at all"[..], Refusal::SecretMalformed),
        (&b"whsec_AAECAwQFBgcICQo="[..], Refusal::SecretShort { bytes: 11 }),
    ] {
        assert_eq!(check(&fixture, secret, &fixture.body), Err(expected));
    }
}

#[test]
fn what_docker_hub_has_in_its_address_is_compared_alike() {
    assert_eq!(verify_token(SECRET, SECRET, "the address"), Ok(()));
    let wrong = Err(Refusal::Wrong { place: "the address" });
    for given in [&b""[..], &SECRET[1..], b"correct horse battery stapl\xe5"] {
        assert_eq!(verify_token(SECRET, given, "the address"), wrong);
    }
    assert_eq!(verify_token(b"short", b"short", "the address"), Err(Refusal::SecretShort { bytes: 5 }));
}

#[test]
fn refusals_say_what_to_do_and_no_secret() {
    let refusals = [
        Refusal::SecretMissing,
        Refusal::SecretShort { bytes: 3 },
        Refusal::SecretMalformed,
        Refusal::Missing { header: "X-Hub-Signature-256" },
        Refusal::Several(Several { header: "X-Hub-Signature-256" }),
        Refusal::Malformed { header: "X-Hub-Signature-256", form: "64 digits" },
        Refusal::Wrong { place: "X-Hub-Signature-256" },
    ];
    let lines: Vec<String> =
        refusals.iter().map(|refusal| format!("{}: {refusal}", refusal.name())).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    secret_missing: the webhook has no secret, so nobody can be believed: set one here, and the same at the sender
    secret_short: the secret of the webhook has 3 bytes, fewer than 16: set a longer one here and at the sender
    secret_malformed: the secret of the webhook begins with `whsec_`, and what follows is not base64: copy the signing token once more
    signature_missing: the delivery has no header `X-Hub-Signature-256`: enter the secret of the webhook at the sender
    signature_several: the delivery has several lines of header `X-Hub-Signature-256`, where one is right: look for a proxy on its way that adds one
    signature_malformed: header `X-Hub-Signature-256` of the delivery is not 64 digits
    signature_wrong: `X-Hub-Signature-256` does not fit: the secret at the sender is not the one here, or the body was changed on its way
    ");
    assert_eq!(refusals.iter().filter(|refusal| refusal.is_ours()).count(), 3);
}

fn provider() -> impl Strategy<Value = Provider> {
    prop::sample::select(Provider::ALL.to_vec())
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(
        provider in provider(),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 8),
        secret in prop::collection::vec(any::<u8>(), 0..40),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let names = names.iter().chain(provider.signature_headers()).chain(provider.delivery_headers());
        let lines: Vec<(&str, &[u8])> = names.zip(&values).map(|(name, value)| (*name, value.as_slice())).collect();
        let headers = havre_webhook::headers::Headers::new(&lines);
        prop_assert!(verify(provider, &secret, &headers, &body).is_err());
        let _ = Delivery::read(provider, &headers, &body);
    }

    #[test]
    fn only_the_same_token_is_right(secret in "[ -~]{16,24}", given in "[ -~]{16,24}") {
        let (secret, given) = (secret.as_bytes(), given.as_bytes());
        prop_assert_eq!(verify_token(secret, given, "the address").is_ok(), secret == given);
        prop_assert!(verify_token(secret, secret, "the address").is_ok());
    }
}
