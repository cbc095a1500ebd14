//! What follows from answers, of the forms the forges have.

use std::time::Duration;

use havre_core::source::forge::Forge;
use havre_core::time::Timestamp;
use havre_forge::answer::{Answer, Asked, Outcome, read};

const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

fn of(forge: Forge, status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    read(forge, Asked::Status, &Answer { status, headers: &headers, body: body.as_bytes() }, NOW)
}

fn refused(forge: Forge, status: u16, body: &str) -> String {
    match of(forge, status, &[], body) {
        Outcome::Refused { reason } => reason,
        other => panic!("{status} {body}: {other:?}"),
    }
}

fn later(forge: Forge, status: u16, headers: &[(&str, &str)], body: &str) -> (Option<u64>, String) {
    match of(forge, status, headers, body) {
        Outcome::Later { pause, reason } => (pause.map(|pause| pause.as_secs()), reason),
        other => panic!("{status} {body}: {other:?}"),
    }
}

#[test]
fn what_was_taken_is_done() {
    for forge in Forge::ALL {
        for status in [200, 201, 204] {
            assert_eq!(of(forge, status, &[], "no JSON"), Outcome::Done);
        }
    }
}

#[test]
fn gitlab_counts_a_repeated_status_as_an_error() {
    let body = r#"{"message":"Cannot transition status via :run from :running (Reason(s): Status cannot transition via \"run\")"}"#;
    assert_eq!(of(Forge::GitLab, 400, &[], body), Outcome::Done);
    assert!(matches!(of(Forge::GitHub, 400, &[], body), Outcome::Refused { .. }));
    let other = refused(Forge::GitLab, 400, r#"{"message":{"target_url":["is blocked"]}}"#);
    assert_eq!(other, r#"the forge answered 400 (it says: {"target_url":["is blocked"]})"#);
}

#[test]
fn a_right_that_lacks_is_named_as_the_forge_names_it() {
    let body = r#"{"message":"Resource not accessible by personal access token","status":"403"}"#;
    assert_eq!(
        refused(Forge::GitHub, 403, body),
        "the token lacks a right: it needs the permission `Commit statuses: write` (of a classic token: the scope `repo:status`, or \
         `repo` where the repository is private) (it says: Resource not accessible by personal access token)"
    );
    let body = r#"{"error":"insufficient_scope","error_description":"The request requires higher privileges","scope":"api"}"#;
    let reason = refused(Forge::GitLab, 403, body);
    assert!(
        reason.contains("the scope `api`")
            && reason.ends_with("(it says: The request requires higher privileges)")
    );
    let body = r#"{"message":"token does not have at least one of required scope(s): [write:repository]","url":"x"}"#;
    assert!(refused(Forge::Gitea, 403, body).contains("`repository: read and write`"));
    let body = r#"{"type":"error","error":{"message":"Your credentials lack one or more required privilege scopes."}}"#;
    let reason = refused(Forge::Bitbucket, 403, body);
    assert!(reason.contains("`Repositories: write`") && reason.contains("Your credentials lack"), "{reason}");
    for forge in Forge::ALL {
        assert!(refused(forge, 401, "").contains("give another one"), "{forge}");
        assert!(refused(forge, 404, "").contains("pushed to Havre only"), "{forge}");
        assert!(refused(forge, 301, "").contains("`havre remote set URL`"), "{forge}");
    }
    let unknown = refused(Forge::GitHub, 422, r#"{"message":"No commit found for SHA: abc"}"#);
    assert_eq!(unknown, "the forge answered 422 (it says: No commit found for SHA: abc)");
}

#[test]
fn another_right_is_needed_for_comments() {
    let answer = Answer { status: 403, headers: &[], body: b"" };
    for forge in Forge::ALL {
        let reason = |asked| match read(forge, asked, &answer, NOW) {
            Outcome::Refused { reason } => reason,
            other => panic!("{other:?}"),
        };
        assert!(reason(Asked::Comment).starts_with("the token lacks a right: it "), "{forge}");
        assert_ne!(reason(Asked::Comment), reason(Asked::Status), "{forge}");
    }
    let answer = Answer { status: 404, ..answer };
    let Outcome::Refused { reason } = read(Forge::Gitea, Asked::Comment, &answer, NOW) else {
        panic!("only a person helps")
    };
    assert!(reason.contains("repository or pull request") && !reason.contains("commit"), "{reason}");
}

#[test]
fn a_forge_that_is_away_is_asked_again_and_not_before_it_wants() {
    for status in [408, 409, 500, 502, 503, 504] {
        assert_eq!(
            later(Forge::GitLab, status, &[], "<html>"),
            (None, format!("the forge answered {status}"))
        );
    }
    assert_eq!(later(Forge::GitHub, 503, &[("Retry-After", "30")], "").0, Some(30));
    assert_eq!(later(Forge::GitHub, 429, &[("retry-after", "soon")], "").0, None);
    // GitHub's limits: the usual one, and the one it calls secondary.
    let body = r#"{"message":"API rate limit exceeded"}"#;
    let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000090")];
    let (pause, reason) = later(Forge::GitHub, 403, &spent, body);
    assert_eq!(pause, Some(90));
    assert_eq!(reason, "the forge takes no more calls for a while (it says: API rate limit exceeded)");
    assert_eq!(later(Forge::GitHub, 403, &[("retry-after", "60")], "").0, Some(60));
    let past = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "999000")];
    assert_eq!(later(Forge::GitHub, 403, &past, "").0, None);
    let gitlab = [("RateLimit-Remaining", "0"), ("RateLimit-Reset", "1000060")];
    assert_eq!(later(Forge::GitLab, 429, &gitlab, "Retry later").0, Some(60));
    // The reset is always there; with calls left it says nothing.
    let left = [("x-ratelimit-remaining", "4000"), ("x-ratelimit-reset", "1003600")];
    assert_eq!(later(Forge::GitHub, 502, &left, "").0, None);
    assert!(matches!(of(Forge::GitHub, 403, &left, ""), Outcome::Refused { .. }));
    assert_eq!(later(Forge::GitHub, 429, &[("x-ratelimit-reset", "9223372036854775807")], "").0, None);
    let hours = later(Forge::GitHub, 429, &[("x-ratelimit-reset", "1007200")], "").0.map(Duration::from_secs);
    assert_eq!(hours, Some(Duration::from_secs(7200)), "bounded by who waits");
}

#[test]
fn what_a_forge_says_is_one_short_line() {
    let body = serde_json::json!({ "message": format!("a\r\n\u{1b}[31m{}", "b".repeat(9000)) }).to_string();
    let reason = refused(Forge::Gitea, 422, &body);
    assert!(reason.chars().count() < 300 && !reason.contains(['\r', '\n', '\u{1b}']), "{reason:?}");
    for body in ["", "[1]", "null", "{\"message\":null}", "\u{fffd}"] {
        assert_eq!(refused(Forge::Gitea, 418, body), "the forge answered 418");
    }
}
