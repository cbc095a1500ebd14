//! `havre promote`, and `havre deploy --image` for who builds elsewhere: what is sent, what is said, how it ends.

use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, Fake, build, built, deployment, deployment_is, requested};

fn image(letter: &str) -> Value {
    json!({"kind": "image", "id": format!("sha256:{}", letter.repeat(64)), "pull": null})
}

fn answer(dry_run: bool) -> Value {
    let mut promoted = json!({"service": "api", "source": "r3", "commit": "abc123", "before": image("a"), "artifact": image("b")});
    if !dry_run {
        promoted["release"] = json!("r8");
        promoted["deployment"] = deployment(json!({"state": "pending"}), "");
    }
    json!({"dry_run": dry_run, "from": "staging", "to": "production", "promoted": [promoted],
        "skipped": [{"service": "web", "reason": "same_already", "text": "same already"}], "warnings": ["api: worth knowing"]})
}

const WORDS: [&str; 5] = ["promote", "staging", "production", "--project", "shop"];
const SHOWN: &str = "api: image aaaaaaaaaaaa -> image bbbbbbbbbbbb, r3 of staging, commit abc123\nweb: left out: same already\n";

#[tokio::test]
async fn a_dry_run_shows_digests_and_reasons() {
    let fake = Fake::start().await;
    fake.answer(&format!("POST {ENVIRONMENT}/promote"), 200, answer(true));
    let (code, stdout, stderr) =
        fake.finish(&[&WORDS[..], &["--dry-run", "--service", "api"][..]].concat()).await;
    assert_eq!((code, stdout.as_str()), (0, SHOWN), "{stderr}");
    assert!(
        stderr.contains("note: api: worth knowing") && stderr.contains("nothing was changed"),
        "{stderr}"
    );
    let sent =
        format!(r#"POST {ENVIRONMENT}/promote {{"from":"staging","services":["api"],"dry_run":true}}"#);
    assert!(fake.requests().contains(&sent), "{:#?}", fake.requests());
    let (code, stdout, _) = fake.finish(&[&WORDS[..], &["--dry-run", "--json"][..]].concat()).await;
    assert_eq!((code, serde_json::from_str::<Value>(&stdout).expect("is JSON")), (0, answer(true)));
}

#[tokio::test]
async fn it_is_followed_to_its_end() {
    for (name, expected) in [("succeeded", 0), ("cancelled", 1)] {
        let fake = Fake::start().await;
        fake.answer(&format!("POST {ENVIRONMENT}/promote"), 202, answer(false));
        fake.answer("GET /v1/deployments/d7", 200, deployment(json!({"state": "pending"}), ""));
        let run = fake.run(&WORDS);
        fake.wait_for("GET /v1/events", 1).await;
        fake.event(11, deployment_is(name));
        let (code, _, stderr) = run.end().await;
        assert_eq!(code, expected, "{stderr}");
        assert!(stderr.contains("r3 of staging, commit abc123 (d7 of r8)"), "{stderr}");
    }
}

#[tokio::test]
async fn nothing_to_promote_ends_with_5() {
    let fake = Fake::start().await;
    let message = "there is nothing to promote from staging to production: api: same already";
    let refusal = json!({"code": "nothing_to_promote", "message": message, "hint": "look at it"});
    fake.answer(&format!("POST {ENVIRONMENT}/promote"), 409, refusal);
    let (code, stdout, stderr) = fake.finish(&WORDS).await;
    assert_eq!((code, stdout.as_str()), (5, ""));
    assert!(stderr.contains(message), "{stderr}");
}

#[tokio::test]
async fn an_image_is_deployed_without_a_havre_toml() {
    let fake = Fake::start().await;
    fake.one_service();
    std::fs::remove_file(fake.folder.path().join("project/havre.toml")).expect("it was there");
    let name = format!("registry.example.org/api@sha256:{}", "a".repeat(64));
    let run = fake.run(&["deploy", "api", "--project", "shop", "--image", &name]);
    fake.wait_for("GET /v1/events", 1).await;
    fake.end("/v1/builds/b4/log");
    fake.answer("GET /v1/builds/b4", 200, build(&built()["to"]));
    fake.event(11, requested());
    fake.event(12, built());
    fake.event(13, deployment_is("succeeded"));
    let (code, _, stderr) = run.end().await;
    assert_eq!(code, 0, "{stderr}");
    let requests = fake.requests();
    let escaped = name.replace('/', "%2F").replace('@', "%40").replace(':', "%3A");
    let sent = format!("POST {ENVIRONMENT}/services/api/builds?commit=abc123&image={escaped}");
    assert!(requests.contains(&sent), "{requests:#?}");
    assert!(
        !requests.iter().any(|request| request.starts_with("PUT ")),
        "no configuration is sent: {requests:#?}"
    );
}
