//! `havre dockerfile check`: what is printed, and how it ends. Needs no server.

use serde_json::Value;

use crate::world::Fake;

const GOOD: &str =
    "FROM node:22-bookworm-slim\nWORKDIR /app\nCOPY main.js ./\nUSER node\nCMD [\"node\", \"main.js\"]\n";

#[tokio::test]
async fn what_is_found_is_printed_by_lines() {
    let fake = Fake::start().await;
    fake.write("Dockerfile", "FROM node:22\nUSER node\nCMD node main.js\nEXPOSE 3000\n");
    let (code, stdout, stderr) = fake.finish(&["dockerfile", "check"]).await;
    assert_eq!(code, 6, "{stdout}{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines.contains(&"  fix: CMD [\"node\", \"main.js\"]"), "{stdout}");
    assert!(lines.iter().any(|line| line.starts_with("Dockerfile:3 warning shell-form: ")), "{stdout}");
    assert!(lines.iter().any(|line| line.starts_with("Dockerfile:1 note base-digest: ")), "{stdout}");
    assert_eq!(stderr, "Dockerfile: 1 warning, 2 notes");
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn notes_do_not_count() {
    let fake = Fake::start().await;
    fake.write("apps/api/Dockerfile", GOOD);
    fake.write("apps/api/.dockerignore", "*\n!main.js\n");
    let (code, stdout, stderr) = fake.finish(&["dockerfile", "check", "apps/api"]).await;
    assert_eq!((code, stderr.as_str()), (0, "apps/api/Dockerfile: 3 notes"), "{stdout}");
    let (code, stdout, stderr) = fake.finish(&["dockerfile", "check", "apps/api", "--json"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let shown: Value = serde_json::from_str(&stdout).expect("is JSON");
    let rules: Vec<&str> =
        shown.as_array().expect("a list").iter().filter_map(|finding| finding["rule"].as_str()).collect();
    assert_eq!(rules, ["base-digest", "expose", "healthcheck"]);
    assert_eq!(shown[0]["line"], 1);
    assert_eq!(shown[0]["severity"], "note");
}

#[tokio::test]
async fn havre_toml_says_context_and_stage() {
    let fake = Fake::start().await;
    let manifest = "project = \"shop\"\n[services.api]\ndockerfile = \"docker/api\"\ntarget = \"run\"\n";
    fake.write("havre.toml", manifest);
    fake.write(".dockerignore", "docker\n");
    fake.write(".env", "TOKEN=1\n");
    let stages =
        "FROM node:22 AS run\nCOPY . .\nUSER node\nCMD [\"node\", \"main.js\"]\nFROM node:22\nUSER root\n";
    fake.write("docker/api", stages);
    let (code, stdout, stderr) = fake.finish(&["dockerfile", "check", "docker/api"]).await;
    assert_eq!(code, 6, "{stdout}{stderr}");
    // The last stage is not the one that is built, and `.env` lies in the context that havre.toml names.
    assert!(!stdout.contains("root-user"), "{stdout}");
    assert!(stdout.contains("docker/api:2 warning dockerignore: `.env` is in the build context"), "{stdout}");
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let fake = Fake::start().await;
    let (code, stdout, stderr) = fake.finish(&["dockerfile", "check", "none"]).await;
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("error: there is no none\n"), "{stderr}");
    fake.write("Dockerfile", "FROM a:1\nR\u{1b}[31mN x\n");
    let (code, stdout, _) = fake.finish(&["dockerfile", "check"]).await;
    assert_eq!(code, 6);
    assert!(!stdout.contains('\u{1b}'), "{stdout:?}");
}
